"""Recommendations as a file: user, rank, item, score; a block of users at a time."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from userlogfeat._files import replace_file
from userlogfeat._typing import ArrayLike, PathLike
from userlogfeat.recommendation.ranking import recommend
from userlogfeat.recommendation.users import move, positions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from userlogfeat.logs import Interactions

SUFFIXES = (".parquet", ".csv", ".tsv")
_BLOCK_ROWS = 1_000_000  # of the file, in memory at once


def write_recommendations(
    path: PathLike,
    users: tuple[ArrayLike, ArrayLike],
    items: tuple[ArrayLike, ArrayLike],
    k: int,
    *,
    metric: Literal["dot", "cosine"],
    exclude: Sequence[Interactions] = (),
    popularity: ArrayLike | None = None,
    backend: Literal["exact", "faiss"] = "exact",
) -> tuple[int, list[int]]:
    """Recommend to every user, and write it down.

    Parameters
    ----------
    path : str or Path
        A .parquet, .csv or .tsv file; whole or absent. One row a recommendation:
        `user`, `rank` (from 1), `item`, `score`; users in their order, best first.
    users, items : (ids, embeddings)
        Of n_users and n_items: array-like (n,) and (n, n_units).
    k : int
        Items a user; fewer where fewer are left.
    metric : {"dot", "cosine"}
        As of :func:`userlogfeat.recommend`.
    exclude : sequence of Interactions
        Who has played what: not recommended again. Other users and items count for
        nothing.
    popularity : array-like (n_items,), optional
        For users of whom nothing is known, as of :func:`userlogfeat.recommend`.
    backend : {"exact", "faiss"}

    Returns
    -------
    n_written : int
        Rows of the file.
    n_excluded : list of int
        Pairs of these users and items that were left out, by each of `exclude`.

    Raises
    ------
    ValueError
        Where the suffix is not known, or embeddings do not fit each other.
    """
    user_ids, user_embeddings = users
    item_ids, item_embeddings = items
    check_suffix(path)
    shape = (len(user_ids), len(item_ids))
    excluded = [_known_pairs(logs, user_ids, item_ids) for logs in exclude]
    pairs = sum(excluded) if excluded else None
    names = [pl.Series(np.asarray(ids).tolist()) for ids in (user_ids, item_ids)]
    step = max(1, _BLOCK_ROWS // k)
    n_written = 0
    with replace_file(path) as temporary, _Writer(temporary, Path(path).suffix) as file:
        for start in range(0, len(user_ids), step):
            part = slice(start, start + step)
            chosen, scores = recommend(
                user_embeddings[part],
                item_embeddings,
                min(k, shape[1]),
                exclude=None if pairs is None else pairs[part],
                metric=metric,
                backend=backend,
                popularity=popularity,
            )
            frame = _rows(names[0][part], names[1], chosen, scores)
            file.write(frame)
            n_written += frame.height
    return n_written, [logs.nnz for logs in excluded]


def check_suffix(path: PathLike) -> None:
    """Refuse a name that does not say how the file is laid out."""
    if Path(path).suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"Got the output {str(path)!r}, expected a name that ends in "
            f"{', '.join(SUFFIXES)}."
        )


def _known_pairs(logs, user_ids, item_ids):
    rows = positions(logs.user_ids, user_ids)
    columns = positions(logs.item_ids, item_ids)
    return move(logs.user_items, rows, columns, (len(user_ids), len(item_ids)))


def _rows(user_ids, item_ids, chosen, scores):
    """One row a recommendation, without the places that stayed empty."""
    users, places = np.nonzero(chosen >= 0)
    return pl.DataFrame(
        {
            "user": user_ids[users],
            "rank": pl.Series(places + 1, dtype=pl.Int32),
            "item": item_ids[chosen[users, places]],
            "score": pl.Series(scores[users, places], dtype=pl.Float32),
        }
    )


class _Writer(contextlib.AbstractContextManager):
    """A file that grows by frames; with its header also where there is none."""

    def __init__(self, path, suffix):
        self.path, self.suffix = path, suffix.lower()
        self.file, self.parquet = open(path, "wb"), None
        self.empty = True

    def write(self, frame):
        """Add the rows of a frame."""
        if self.suffix == ".parquet":
            self._write_parquet(frame.to_arrow())
        else:
            separator = "\t" if self.suffix == ".tsv" else ","
            frame.write_csv(self.file, include_header=self.empty, separator=separator)
        self.empty = False

    def _write_parquet(self, table):
        import pyarrow.parquet as pq

        if self.parquet is None:
            self.parquet = pq.ParquetWriter(self.file, table.schema)
        self.parquet.write_table(table.cast(self.parquet.schema))

    def __exit__(self, *exception):
        if self.parquet is not None:
            self.parquet.close()
        self.file.close()
