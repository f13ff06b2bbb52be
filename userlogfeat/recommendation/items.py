"""Items to recommend: of a folder of factors, a feature table, or audio heard now.

What is heard lies among the users in its direction alone, so audio is compared by
cosine; factors by the scalar product they were learned for.
"""

import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sklearn.base import clone

from userlogfeat.factor_files import ITEMS, read_side
from userlogfeat.recommendation.users import positions
from userlogfeat.tables import FeatureTable

LAYER = "embedding"
_SHOWN = 3  # examples in a message


@dataclass(frozen=True, eq=False)
class Items:
    """Items and their embeddings.

    Attributes
    ----------
    ids : ndarray, shape (n_items,)
    embeddings : ndarray of float32, shape (n_items, n_units)
    metric : {"dot", "cosine"}
        How they are compared with users.
    failed : list of (clip, status, message)
        Clips that could not be heard.
    """

    ids: np.ndarray
    embeddings: np.ndarray
    metric: str
    failed: list = field(default_factory=list)


def has_factors(folder):
    """Whether a folder holds factors of items."""
    return (Path(folder) / ITEMS).is_file()


def items_of_factors(folder):
    """Items of a folder of `fit-cf` or `fit-users`; those that nobody played left out.

    Parameters
    ----------
    folder : str or Path

    Returns
    -------
    Items
    """
    ids, embeddings, _ = read_side(folder, ITEMS)
    known = embeddings.any(axis=1)
    return Items(ids[known], embeddings[known], "dot")


def items_of_table(table, *, model=None):
    """Clips of a feature table that have an embedding.

    Parameters
    ----------
    table : str or Path
        Of ``userlogfeat extract`` with the layer "embedding".
    model : UserLogEmbedder, optional
        The model that should have made it; else a warning.

    Returns
    -------
    Items
        Their ids are the clips, as they were given to `extract`.

    Raises
    ------
    ValueError
        Where the table lacks the layer, or no clip of it was heard.
    """
    table = FeatureTable(table)
    if LAYER not in table.layer_sizes:
        raise ValueError(
            f"The table {table.folder} has the layers {', '.join(table.layer_sizes)}, "
            f"but not {LAYER!r}, which lies among the users. Extract it: userlogfeat "
            f"extract --layer {LAYER} --weights MODEL."
        )
    if model is not None:
        _check_model(table, model)
    clips = table.clips()
    found = table.lookup(clips, [LAYER])
    if not found.found.any():
        raise ValueError(f"None of the {len(clips)} clips of {table.folder} was heard.")
    ids = np.array(clips, dtype=object)[found.found]
    return Items(ids, found.layers[LAYER][found.found], "cosine")


def items_of_audio(clips, model):
    """Hear clips with a model.

    Parameters
    ----------
    clips : list of str or Path
        Files; folders are walked for them.
    model : UserLogEmbedder

    Returns
    -------
    Items

    Raises
    ------
    ValueError
        Where there is no clip.
    AudioError
        Where none can be heard: that of the first.
    """
    from userlogfeat.audio import find_audio

    paths = list(dict.fromkeys(str(path) for path in find_audio(clips)))
    if not paths:
        raise ValueError(f"There is no audio in {', '.join(map(str, clips))}.")
    ids, rows, errors = [], [], []
    for clip in model.iter_features(paths, on_error="yield"):
        if clip.error is None:
            ids.append(str(clip.clip))
            rows.append(clip.layers[LAYER])
        else:
            errors.append((clip.clip, clip.error))
    if not rows:
        raise errors[0][1]
    failed = [(clip, type(error).__name__, str(error)) for clip, error in errors]
    return Items(np.array(ids, dtype=object), np.stack(rows), "cosine", failed)


def name_items(items, catalogue, *, by="item"):
    """Clips become the items of a catalogue; several of one item are averaged.

    Parameters
    ----------
    items : Items
        Whose ids are clips.
    catalogue : Catalogue
    by : {"item", "artist", "album"}

    Returns
    -------
    Items
        In the order of their first clips. Clips that the catalogue does not have, or
        that have no item there, are left out.

    Raises
    ------
    ValueError
        Where none is left.
    """
    from os.path import abspath

    place = positions(
        [abspath(clip) for clip in items.ids], [abspath(c) for c in catalogue.clips]
    )
    column = catalogue.column(by).tolist()
    names = [column[row] if row >= 0 else None for row in place]
    number = {}
    group = np.array(
        [-1 if n is None else number.setdefault(n, len(number)) for n in names]
    )
    if not number:
        raise ValueError(
            f"None of the {len(items.ids)} clips ({list(items.ids[:_SHOWN])}) has an "
            f"{by} in the catalogue ({list(catalogue.clips[:_SHOWN])})."
        )
    lengths = np.linalg.norm(items.embeddings, axis=1, keepdims=True)
    units = items.embeddings / np.where(lengths > 0, lengths, 1)
    sums = np.zeros((len(number), units.shape[1]), np.float32)
    np.add.at(sums, group[group >= 0], units[group >= 0])
    return Items(np.array(list(number)), sums, items.metric, items.failed)


def _check_model(table, model):
    """Warn where a table is of another model, whatever the machine's precision."""
    made = [
        clone(model).set_params(precision=precision).fingerprint
        for precision in ("fp32", "bf16")
    ]
    if table.fingerprint not in made:
        warnings.warn(
            f"The table {table.folder} was made by another model, or with another "
            f"duration, than {str(model.weights)!r} has. If it is another model, the "
            "recommendations mean nothing: extract it again with --weights "
            f"{model.weights}.",
            stacklevel=3,
        )
