"""Users in a folder: the known ones by their ids, new ones by what they played.

The folders of ``userlogfeat fit-cf`` (factors), ``fit-users`` (a user tower) and
``fit-metric`` (an audio model, with its users in a folder below) all hold
``user_factors.parquet``, whose notes say which class made it.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from userlogfeat._ids import positions
from userlogfeat._typing import ArrayLike, PathLike
from userlogfeat.factor_files import (
    DIGEST,
    ITEMS,
    PLAYS,
    USERS,
    digest_users,
    read_plays,
    read_side,
    write_side,
)
from userlogfeat.recommendation.histories import mean_histories
from userlogfeat.users.histories import histories_for
from userlogfeat.users.tower_files import TENSORS, read_tower_config
from userlogfeat.weights.config import CONFIG

if TYPE_CHECKING:
    import polars as pl

    from userlogfeat.estimators.metric import MetricEmbedder
    from userlogfeat.logs.interactions import Interactions


BELOW = "users"  # in the folder of an audio model
_SHOWN = 3  # examples in a message


def find_users(folder: PathLike) -> Path:
    """Find the folder that holds the users: this one, or one below an audio model.

    Parameters
    ----------
    folder : str or Path

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        Where there are no users.
    """
    for path in (Path(folder), Path(folder) / BELOW):
        if (path / USERS).exists():  # a file, or a folder where Spark wrote it
            return path
    raise ValueError(
        f"There are no users in {folder}: neither it nor its folder {BELOW!r} has "
        f"{USERS}. Pass a folder that `userlogfeat fit-users`, `fit-cf` or "
        "`fit-metric` wrote."
    )


def read_users(folder: PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Read the known users and their embeddings.

    Parameters
    ----------
    folder : str or Path

    Returns
    -------
    ids : ndarray, shape (n_users,)
    embeddings : ndarray of float32, shape (n_users, n_units)
    """
    return read_side(find_users(folder), USERS)[:2]


def read_digest(folder: PathLike) -> str | None:
    """Read which training the users of a folder are of; None if not recorded.

    Parameters
    ----------
    folder : str or Path

    Returns
    -------
    str or None
        Digest by :func:`userlogfeat.factor_files.digest_users`.
    """
    return read_side(find_users(folder), USERS)[2].get(DIGEST)


def read_played(folder: PathLike) -> Interactions | None:
    """Read what the known users of a folder played, as logs; None if it is not kept.

    Parameters
    ----------
    folder : str or Path
    """
    from userlogfeat.logs.interactions import Interactions

    folder = find_users(folder)
    user_items = read_plays(folder)
    if user_items is None:
        return None
    ids = [read_side(folder, side)[0] for side in (USERS, ITEMS)]
    return Interactions(user_items, *ids)


def by_history(folder: PathLike, logs: Interactions, user_ids: ArrayLike) -> np.ndarray:
    """Embed users as the mean of what they played: see :func:`mean_histories`.

    Parameters
    ----------
    folder : str or Path
        Folder of factors; items that it does not know are ignored.
    logs : Interactions
    user_ids : array-like, shape (n_users,)

    Returns
    -------
    ndarray of float32, shape (n_users, n_factors)
        Zeros for users without known items.
    """
    item_ids, items, _ = read_side(find_users(folder), ITEMS)
    plays = histories_for(logs, user_ids, item_ids)["user_items"]
    return mean_histories(plays, items)


def learned_by(folder: PathLike) -> str:
    """Return the name of the class that made the users of a folder."""
    made_by = read_side(find_users(folder), USERS)[2]
    return made_by.get("class", "CFEmbedding")


def basis_of_users(
    folder: PathLike,
    user_ids: ArrayLike,
    logs: Interactions | None,
    demographics: pl.DataFrame | None,
) -> list[str]:
    """Name what the embedding of each new user is based on.

    Parameters
    ----------
    folder, logs, demographics
        As of :func:`embed_users`.
    user_ids : array-like, shape (n_users,)
        As it returned them.

    Returns
    -------
    list of str
        "history", "demographics", "history and demographics", or "popularity" where
        nothing is known.
    """
    folder = find_users(folder)
    item_ids = read_side(folder, ITEMS)[0]
    plays = histories_for(logs, user_ids, item_ids)["user_items"]
    described = np.zeros(len(user_ids), bool)
    if demographics is not None:
        columns = demographics.drop("id")
        given = np.zeros(len(columns), bool)
        for column in columns.iter_columns():
            given |= column.is_not_null().to_numpy()
        rows = positions(user_ids, demographics["id"].to_list())
        described = (rows >= 0) & given[rows]
    names = {
        (True, True): "history and demographics",
        (True, False): "history",
        (False, True): "demographics",
        (False, False): "popularity",
    }
    played = np.diff(plays.indptr) > 0
    return [
        names[pair] for pair in zip(played.tolist(), described.tolist(), strict=True)
    ]


def category_columns(folder: PathLike) -> list[str]:
    """List the columns of demographics that a tower reads as categories.

    Parameters
    ----------
    folder : str or Path
        Folder of users of any kind; only a tower has such columns.
    """
    folder = find_users(folder)
    if not (folder / CONFIG).is_file():
        return []
    columns = read_tower_config(folder)["demographics"]
    return [column["name"] for column in columns if "values" in column]


def keep_users(
    folder: PathLike, source: PathLike | None, ids: ArrayLike, embedder: MetricEmbedder
) -> None:
    """Put the users of an audio model in a folder below it.

    Parameters
    ----------
    folder : str or Path
        Folder of the model.
    source : str or Path, or None
        Folder of its users, which is copied, so that new users can be embedded. None:
        they were learned beside the network.
    ids : array-like, shape (n_users,)
    embedder : MetricEmbedder
        Its `users_` are kept, if they were drawn in training.
    """
    below = Path(folder) / BELOW
    if source is not None:
        below.mkdir()
        for path in find_users(source).iterdir():
            if path.name in (USERS, ITEMS, PLAYS, CONFIG, TENSORS):
                copy = shutil.copytree if path.is_dir() else shutil.copyfile
                copy(path, below / path.name)
        return
    rows = embedder.drawn_users_
    learned = ids[rows], embedder.users_[rows]
    made_by = {"class": type(embedder).__name__, DIGEST: digest_users(*learned)}
    write_side(below, USERS, *learned, made_by=made_by)


def embed_users(
    folder: PathLike,
    logs: Interactions | None = None,
    demographics: pl.DataFrame | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Embed new users, by their histories and their demographics.

    Parameters
    ----------
    folder : str or Path
        Folder of a user tower, or of factors, into which users are folded.
    logs : Interactions, optional
        Their histories; items that the folder does not know are ignored.
    demographics : polars.DataFrame, optional
        For a user tower: the columns of its training, beside "id". With `logs`, users
        that these do not have are left out; without, all are embedded, and must be new.

    Returns
    -------
    ids : ndarray, shape (n_users,)
    embeddings : ndarray of float32, shape (n_users, n_units)
        For users of whom nothing is known: zeros with factors, or the mean of all with
        a tower, with its warning.

    Raises
    ------
    ValueError
        Where the folder cannot embed new users, or knows none of the items; or users
        have demographics, no history, and are known there by their history.
    """
    folder = find_users(folder)
    maker = learned_by(folder)
    if maker not in ("CFEmbedding", "UserEmbedding"):
        raise ValueError(
            f"The users in {folder} were learned one by one (a lookup table): new "
            "users have no place among them. Train the model with users of "
            "`userlogfeat fit-users` or `fit-cf`."
        )
    ids = _ids_of(logs, demographics)
    if logs is None:
        _refuse_known(ids, folder)
    item_ids = read_side(folder, ITEMS)[0]
    histories = histories_for(logs, ids, item_ids)
    if maker == "UserEmbedding":
        return ids, _by_tower(folder, histories, demographics, ids)
    if demographics is not None:
        raise ValueError(
            f"The users in {folder} are factors of `fit-cf`, which knows no "
            "demographics. Leave them out, or train a tower: `userlogfeat fit-users`."
        )
    return ids, _by_factors(folder, histories["user_items"])


def _ids_of(logs, demographics):
    """List the users of the logs; without logs, those of the demographics."""
    others = [] if demographics is None else demographics["id"].to_list()
    ids = others if logs is None else np.asarray(logs.user_ids).tolist()
    if not ids:
        raise ValueError("Got neither histories nor demographics of new users.")
    if others and type(ids[0]) is not type(others[0]):
        raise ValueError(
            "The users of the histories and those of the demographics have ids of "
            f"different types ({ids[0]!r} and {others[0]!r}): bring both to one type."
        )
    return np.array(ids)


def _refuse_known(ids, folder):
    """Raise where users of whom only demographics are given have a known history."""
    known = positions(ids, read_side(folder, USERS)[0]) >= 0
    if known.any():
        raise ValueError(
            f"{known.sum()} of {len(ids)} users of the demographics "
            f"({ids[known][:_SHOWN].tolist()}) are among those of {folder}: by "
            "demographics alone, their histories would be forgotten. Keep new users "
            "only in the table; known ones get theirs without it."
        )


def _by_tower(folder, histories, demographics, ids):
    from userlogfeat.estimators.user_tower import UserEmbedding

    tower = UserEmbedding.load(folder)
    known = None
    if demographics is not None:
        rows = positions(ids, demographics["id"].to_list())
        rows = [None if row < 0 else int(row) for row in rows]
        known = demographics.drop("id")[rows]
    groups = {k: v for k, v in histories.items() if k in tower.groups_[1:]}
    return tower.transform(histories["user_items"], known, **groups)


def _by_factors(folder, user_items):
    from userlogfeat.estimators.cf import CFEmbedding

    return CFEmbedding.load(folder).transform(user_items)
