"""Items to recommend: of a folder of factors, a feature table, or audio heard now.

What is heard lies among the users in its direction alone, so audio is compared by
cosine; factors by the scalar product they were learned for.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from sklearn.base import clone

from userlogfeat._typing import ClipIds, PathLike
from userlogfeat.evaluation.ranking import unit_rows
from userlogfeat.factor_files import DIGEST, ITEMS, read_popularity, read_side
from userlogfeat.recommendation.users import positions, same_training
from userlogfeat.tables import FeatureTable

if TYPE_CHECKING:
    from userlogfeat.catalogue.clips import Catalogue
    from userlogfeat.estimators.user_log import UserLogEmbedder


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
    popularity : ndarray of float32, shape (n_items,), or None
        Share of the users who played each, where it is known.
    """

    ids: np.ndarray
    embeddings: np.ndarray
    metric: str
    failed: list = field(default_factory=list)
    popularity: np.ndarray | None = None


def has_factors(folder: PathLike) -> bool:
    """Whether a folder holds factors of items."""
    return (Path(folder) / ITEMS).exists()  # a file, or a folder where Spark wrote it


def items_of_factors(folder: PathLike, *, users: PathLike | None = None) -> Items:
    """Items of a folder of `fit-cf` or `fit-users`; those that nobody played left out.

    Parameters
    ----------
    folder : str or Path
    users : str or Path, optional
        Folder of the users they are for.

    Returns
    -------
    Items

    Raises
    ------
    ValueError
        Where it is known that users and items are of different trainings.
    """
    ids, embeddings, made_by = read_side(folder, ITEMS)
    if users is not None and same_training(users, made_by.get(DIGEST)) is False:
        raise ValueError(
            _other_training(
                f"The items in {folder}",
                users,
                f"Take both from one folder, or users of a model that was taught those "
                f"of {folder}. Where these were trained again, train the model again.",
            )
        )
    known = embeddings.any(axis=1)
    popularity = read_popularity(folder)
    popularity = None if popularity is None else popularity[known]
    return Items(ids[known], embeddings[known], "dot", popularity=popularity)


def items_of_table(
    table: PathLike,
    *,
    model: UserLogEmbedder | None = None,
    users: PathLike | None = None,
) -> Items:
    """Clips of a feature table that have an embedding.

    Parameters
    ----------
    table : str or Path
        Of ``userlogfeat extract`` with the layer "embedding".
    model : UserLogEmbedder, optional
        The model that should have made it; else a warning.
    users : str or Path, optional
        Folder of the users they are for. A warning where neither the table nor `model`
        tells that these users taught it.

    Returns
    -------
    Items
        Their ids are the clips, as they were given to `extract`.

    Raises
    ------
    ValueError
        Where the table lacks the layer, or no clip of it was heard; or it is known that
        its model was taught other users.
    """
    table = FeatureTable(table)
    if LAYER not in table.layer_sizes:
        raise ValueError(
            f"The table {table.folder} has the layers {', '.join(table.layer_sizes)}, "
            f"but not {LAYER!r}, which lies among the users. Extract it: userlogfeat "
            f"extract --layer {LAYER} --weights MODEL."
        )
    same = users is not None and same_training(users, table.users_digest)
    if users is not None and same is False:
        advice = "userlogfeat extract --weights MODEL."
        raise ValueError(
            _other_training(
                f"The table {table.folder}",
                users,
                f"Extract it with the model that was taught these users: {advice}",
            )
        )
    if model is not None:
        _check_model(table, model)
    elif same is None:
        _warn_unknown(f"the model of the table {table.folder}", users)
    clips = table.clips()
    found = table.lookup(clips, [LAYER])
    if not found.found.any():
        raise ValueError(f"None of the {len(clips)} clips of {table.folder} was heard.")
    ids = np.array(clips, dtype=object)[found.found]
    return Items(ids, found.layers[LAYER][found.found], "cosine")


def items_of_audio(
    clips: ClipIds, model: UserLogEmbedder, *, users: PathLike | None = None
) -> Items:
    """Hear clips with a model.

    Parameters
    ----------
    clips : list of str or Path
        Files; folders are walked for them.
    model : UserLogEmbedder
    users : str or Path, optional
        Folder of the users they are for. A warning where the model does not tell that
        these users taught it.

    Returns
    -------
    Items

    Raises
    ------
    ValueError
        Where there is no clip, or it is known that the model was taught other users.
    AudioError
        Where none can be heard: that of the first.
    """
    from userlogfeat.audio import find_audio

    if users is not None:
        same = same_training(users, model.users_digest)
        name = f"model {str(model.weights)!r}"
        if same is False:
            raise ValueError(
                _other_training(
                    f"The estimates of {name}",
                    users,
                    "Pass --weights MODEL, the model that was taught these users.",
                )
            )
        if same is None:
            _warn_unknown(name, users)
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


def name_items(
    items: Items,
    catalogue: Catalogue,
    *,
    by: Literal["item", "artist", "album"] = "item",
) -> Items:
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
    units = unit_rows(items.embeddings)
    sums = np.zeros((len(number), units.shape[1]), np.float32)
    np.add.at(sums, group[group >= 0], units[group >= 0])
    return Items(np.array(list(number)), sums, items.metric, items.failed)


def _other_training(what, users, advice):
    return (
        f"{what} and the users in {users} are of different trainings: their numbers "
        "mean different things, and so would any recommendation. Expected both of one "
        f"training. {advice}"
    )


def _warn_unknown(what, users):
    warnings.warn(
        f"It is not noted which users taught {what}. If they are not those in {users}, "
        "the recommendations mean nothing.",
        stacklevel=3,
    )


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
