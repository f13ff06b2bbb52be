"""Items to recommend: factors of a folder, a feature table, or audio embedded now.

Audio embeddings lie among the users in their direction alone, so audio is compared by
cosine; factors by the scalar product that they were learned for.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, field
from os.path import abspath
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from userlogfeat._groups import number_keys
from userlogfeat._ids import positions
from userlogfeat._progress import progress_bar
from userlogfeat._typing import ClipIds, PathLike
from userlogfeat.audio import find_audio
from userlogfeat.evaluation.ranking import unit_rows
from userlogfeat.factor_files import DIGEST, ITEMS, read_popularity, read_side
from userlogfeat.recommendation.users import read_digest
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
        Clips that could not be embedded.
    popularity : ndarray of float32, shape (n_items,), or None
        Fraction of the users who played each, where it is known.
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
    """Read the items of `fit-cf` or `fit-users`; those without plays are left out.

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
        Where users and items are known to be of different trainings.
    """
    ids, embeddings, made_by = read_side(folder, ITEMS)
    _same_training(
        f"The items in {folder}",
        made_by.get(DIGEST),
        users,
        "Take both from one folder, or users of a model that was trained on those of "
        f"{folder}. Where these were trained again, train the model again.",
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
    """Read the clips of a feature table that have an embedding.

    Parameters
    ----------
    table : str or Path
        Table of ``userlogfeat extract`` with the layer "embedding".
    model : UserLogEmbedder, optional
        The model that should have made it; else a warning.
    users : str or Path, optional
        Folder of the users they are for. A warning where neither the table nor `model`
        notes that it was trained on these users.

    Returns
    -------
    Items
        Their ids are the clips, as they were given to `extract`.

    Raises
    ------
    ValueError
        Where the table lacks the layer, or all of its clips failed; or its model is
        known to be trained on other users.
    """
    table = FeatureTable(table)
    if LAYER not in table.layer_sizes:
        raise ValueError(
            f"The table {table.folder} has the layers {', '.join(table.layer_sizes)}, "
            f"but not {LAYER!r}, which lies among the users. Extract it: userlogfeat "
            f"extract --layer {LAYER} --weights MODEL."
        )
    noted = _same_training(
        f"The table {table.folder}",
        table.users_digest,
        users,
        "Extract it with the model that was trained on these users: userlogfeat "
        "extract --weights MODEL.",
    )
    if model is not None:
        _check_model(table, model)
    elif not noted:
        _warn_unknown(f"the model of the table {table.folder}", users)
    clips = table.clips()
    found = table.lookup(clips, [LAYER])
    if not found.found.any():
        raise ValueError(f"None of the {len(clips)} clips of {table.folder} is usable.")
    ids = np.array(clips, dtype=object)[found.found]
    return Items(ids, found.layers[LAYER][found.found], "cosine")


def items_of_audio(
    clips: ClipIds, model: UserLogEmbedder, *, users: PathLike | None = None
) -> Items:
    """Embed clips with a model.

    Parameters
    ----------
    clips : list of str or Path
        Files; folders are searched for them.
    model : UserLogEmbedder
    users : str or Path, optional
        Folder of the users they are for. A warning where the model does not note that
        it was trained on these users.

    Returns
    -------
    Items

    Raises
    ------
    ValueError
        Where there is no clip, or the model is known to be trained on other users.
    AudioError
        Where no clip can be read: the error of the first.
    """
    if users is not None:
        name = f"model {str(model.weights)!r}"
        advice = "Pass --weights MODEL, the model that was trained on these users."
        estimates = f"The estimates of {name}"
        if not _same_training(estimates, model.users_digest, users, advice):
            _warn_unknown(name, users)
    paths = list(dict.fromkeys(str(path) for path in find_audio(clips)))
    if not paths:
        raise ValueError(f"There is no audio in {', '.join(map(str, clips))}.")
    ids, rows, errors = [], [], []
    features = model.iter_features(paths, on_error="yield")
    for clip in progress_bar(features, total=len(paths), desc="embed", unit="clip"):
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
    """Turn clips into the items of a catalogue; several of one item are averaged.

    Parameters
    ----------
    items : Items
        Their ids are clips.
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
    place = positions(
        [abspath(clip) for clip in items.ids], [abspath(c) for c in catalogue.clips]
    )
    column = catalogue.column(by).tolist()
    named = [row for row, at in enumerate(place) if at >= 0 and column[at] is not None]
    if not named:
        raise ValueError(
            f"None of the {len(items.ids)} clips ({list(items.ids[:_SHOWN])}) has an "
            f"{by} in the catalogue ({list(catalogue.clips[:_SHOWN])}). Relative clips "
            f"start from {os.getcwd()!r}: where those of a table do not, go there, or "
            "make them absolute: userlogfeat table rename TABLE --base FOLDER."
        )
    names = [column[at] for at in place[named]]
    units = unit_rows(items.embeddings)
    sums = np.zeros((len(set(names)), units.shape[1]), np.float32)
    np.add.at(sums, number_keys(names), units[named])
    ids = np.array(list(dict.fromkeys(names)))
    return Items(ids, sums, items.metric, items.failed)


def _same_training(what, digest, users, advice):
    """Whether a digest is noted on both sides (or no users are given).

    Raises a ValueError where the two differ.
    """
    if users is None:
        return True
    own = read_digest(users)
    if own is None or digest is None:
        return False
    if own != digest:
        raise ValueError(
            f"{what} and the users in {users} are of different trainings: their "
            "numbers mean different things, and so would any recommendation. Expected "
            f"both from one training. {advice}"
        )
    return True


def _warn_unknown(what, users):
    warnings.warn(
        f"It is not recorded on which users {what} was trained. If they are not those "
        f"in {users}, the recommendations mean nothing.",
        stacklevel=3,
    )


def _check_model(table, model):
    """Warn where a table is from another model, whatever the machine's precision."""
    # By the digests of both: bf16 is not used here, so that nothing warns of its speed.
    made = {model._digest(precision) for precision in ("fp32", "bf16")}
    if table.fingerprint not in made:
        warnings.warn(
            f"The table {table.folder} was made by another model, or with another "
            f"duration, than {str(model.weights)!r} has. If it is another model, the "
            "recommendations mean nothing: extract it again with --weights "
            f"{model.weights}.",
            stacklevel=3,
        )
