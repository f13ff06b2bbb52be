"""Recommendations as a file: user, rank, item, score; a block of users at a time."""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from userlogfeat._files import replace_file
from userlogfeat._ids import positions
from userlogfeat._parquet import parquet_writer
from userlogfeat._typing import ArrayLike, PathLike
from userlogfeat.recommendation.index import ItemIndex
from userlogfeat.recommendation.ranking import fill_unknown, recommend
from userlogfeat.users.histories import move

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
    basis: Sequence[str] | None = None,
    search: Literal["exact", "approximate"] = "exact",
) -> tuple[int, list[int]]:
    """Recommend to every user, and write it down.

    Parameters
    ----------
    path : str or Path
        A .parquet, .csv or .tsv file, written as a whole or not at all. One row a
        recommendation: `user`, `rank` (from 1), `item`, `score`, and `basis` where it
        is given; users in their order, best first. :func:`userlogfeat.read_logs` reads
        it.
    users, items : (ids, embeddings)
        Array-like (n,) and (n, n_units), for n_users users and n_items items.
    k : int
        Number of items for each user; fewer where fewer are left.
    metric : {"dot", "cosine"}
        The score, as for :func:`userlogfeat.recommend`.
    exclude : sequence of Interactions
        Plays: these pairs are not recommended again. Other users and items are
        ignored.
    popularity : array-like (n_items,), optional
        Ranks the items for users of whom nothing is known, as for
        :func:`userlogfeat.recommend`.
    basis : sequence of str, of length n_users, optional
        Kind of knowledge of each user; for users of zeros "popularity" is written.
    search : {"exact", "approximate"}
        "approximate": by an :class:`ItemIndex`, for millions of items; some of the best
        are missed.

    Returns
    -------
    n_written : int
        Rows of the file.
    n_excluded : list of int
        Pairs of these users and items that were left out, for each of `exclude`.

    Raises
    ------
    ValueError
        Where the suffix is not known, embeddings do not fit each other, or a text file
        cannot hold the ids.
    """
    user_ids, user_embeddings = users
    item_ids, item_embeddings = items
    check_suffix(path)
    shape = (len(user_ids), len(item_ids))
    excluded = [_known_pairs(logs, user_ids, item_ids) for logs in exclude]
    pairs = sum(excluded) if excluded else None
    names = [pl.Series(np.asarray(ids).tolist()) for ids in (user_ids, item_ids)]
    find = _finder(user_embeddings, item_embeddings, metric, search, popularity)
    known = np.asarray(user_embeddings).any(axis=1)
    if basis is not None:
        basis = [b if known[row] else "popularity" for row, b in enumerate(basis)]
        basis = pl.Series(basis, dtype=pl.String)
    step = max(1, _BLOCK_ROWS // k)
    n_written = 0
    layout = (names, basis)
    with replace_file(path) as temporary, _open(temporary, path, *layout) as write:
        for start in range(0, len(user_ids), step):
            part = slice(start, start + step)
            own = None if pairs is None else pairs[part]
            chosen, scores = find(user_embeddings[part], min(k, shape[1]), own)
            own_basis = None if basis is None else basis[part]
            frame = _rows(names[0][part], names[1], chosen, scores, own_basis)
            write(frame)
            n_written += frame.height
    return n_written, [logs.nnz for logs in excluded]


def check_suffix(path: PathLike) -> None:
    """Refuse a name that does not determine the format of the file."""
    if Path(path).suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"Got the output {str(path)!r}, expected a name that ends in "
            f"{', '.join(SUFFIXES)}."
        )


def _known_pairs(logs, user_ids, item_ids):
    rows = positions(logs.user_ids, user_ids)
    columns = positions(logs.item_ids, item_ids)
    return move(logs.user_items, rows, columns, (len(user_ids), len(item_ids)))


def _finder(users, items, metric, search, popularity):
    """Return a function of users, k and pairs that finds their best items."""
    if search == "exact":
        return lambda rows, k, exclude: recommend(
            rows, items, k, exclude=exclude, metric=metric, popularity=popularity
        )
    index = ItemIndex.build(items, metric=metric, method="approximate", queries=users)

    def find(rows, k, exclude):
        with warnings.catch_warnings():
            if popularity is not None:
                warnings.filterwarnings("ignore", "Nothing is known of")
            found = index.query_rows(rows, k, exclude=exclude)
        if popularity is not None:
            fill_unknown(found, np.asarray(rows), popularity, items, exclude)
        return found

    return find


def _rows(user_ids, item_ids, chosen, scores, basis=None):
    """Return one row per recommendation, without places that stayed empty."""
    users, places = np.nonzero(chosen >= 0)
    columns = {
        "user": user_ids[users],
        "rank": pl.Series(places + 1, dtype=pl.Int32),
        "item": item_ids[chosen[users, places]],
        "score": pl.Series(scores[users, places], dtype=pl.Float32),
    }
    if basis is not None:
        columns["basis"] = basis[users]
    return pl.DataFrame(columns)


@contextlib.contextmanager
def _open(temporary, path, names, basis):
    """Yield a function that adds the rows of a frame; the header is written at once."""
    empty = _rows(*names, np.empty((0, 0), int), np.empty((0, 0)), basis)
    suffix = Path(path).suffix.lower()
    if suffix == ".parquet":
        schema = empty.to_arrow().schema
        with parquet_writer(temporary, schema) as file:
            yield lambda frame: file.write_table(frame.to_arrow().cast(schema))
        return
    layout = _layout(suffix, names)
    with open(temporary, "wb") as file:
        empty.write_csv(file, **layout)
        yield lambda frame: frame.write_csv(file, include_header=False, **layout)


def _layout(suffix, names):
    """Choose separator and quotes so that ``_text_tables`` reads the same ids."""
    texts = [ids for ids in names if ids.dtype == pl.String]
    if any(ids.str.contains("[\n\r\0]").any() for ids in texts):
        raise ValueError(
            "Some ids hold line breaks or NUL bytes, which no text file of "
            "recommendations can hold. Write .parquet."
        )
    if suffix == ".csv":
        return {"separator": ","}
    # In .tsv quotes are letters like any other, unless the first line begins with one.
    quoted = any(ids.str.contains('\t|""').any() for ids in texts)
    return {"separator": "\t", "quote_style": "non_numeric" if quoted else "never"}
