"""Splits of plays: per user, by time, with users or items apart.

Each split answers another question. *Per user* (60/20/20 in Chen, Liang, Ma, Gu 2021):
which other known items will a known user like? *By time*: the same, without a look into
the future. *Users apart*: which items will a new user like, after a few plays? *Items
apart*: who will like an item that nobody has played (cold start)? Keep artists together
here, or models that know an artist's other tracks get too high scores.

The first two split pairs and return matrices of the full shape; the others split rows
or columns and return their numbers.
"""

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from userlogfeat._check import check_positive
from userlogfeat._groups import artist_groups
from userlogfeat._typing import Labels, Matrix
from userlogfeat.evaluation.ranking import check_pairs, keep_pairs

# Training, validation, test: 60/20/20 per user in Chen et al. (2021).
PARTS = (0.6, 0.2, 0.2)


def split_per_user(
    user_items: Matrix, parts: Sequence[float] = PARTS, *, seed: int = 0
) -> tuple[sparse.csr_matrix, ...]:
    """Split the items of each user at random.

    Of n items, those up to n times the running sum of `parts`, rounded, go to each
    part; the first part has at least one: a user with one item is in the first alone.

    Parameters
    ----------
    user_items : csr matrix, shape (n_users, n_items)
        Plays, or likes. Likes and dislikes are split separately, or together as
        ``liked - disliked``.
    parts : sequence of float
        Sizes of the parts, positive, of sum 1.
    seed : int
        Seed of the draw.

    Returns
    -------
    tuple of csr_matrix, shape (n_users, n_items)
        One for each part; their sum is `user_items`.

    Raises
    ------
    ValueError
        If user_items has NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from userlogfeat.evaluation.recommendation_splits import split_per_user
    >>> train, valid, test = split_per_user(np.ones((2, 10)))
    >>> [part.sum(axis=1).A1.tolist() for part in (train, valid, test)]
    [[6.0, 6.0], [2.0, 2.0], [2.0, 2.0]]
    """
    user_items = check_pairs(user_items, "user_items", None)
    _refuse_nan(user_items)
    keys = np.random.default_rng(seed).random(user_items.nnz)
    return _split_pairs(user_items, keys, _check_parts(parts))


def split_by_time(
    user_items: Matrix,
    times: Matrix,
    parts: Sequence[float] = PARTS,
    *,
    cuts: Sequence[float] | None = None,
    per_user: bool = False,
) -> tuple[sparse.csr_matrix, ...]:
    """Split pairs by their time: the past for training, later plays for testing.

    Parameters
    ----------
    user_items : csr matrix, shape (n_users, n_items)
        Plays of users.
    times : sparse matrix (n_users, n_items), or ndarray (nnz,)
        Time at which each user played each item, the first (for discoveries) or the
        last. A matrix with an entry (0 too) where `user_items` has one, or an array in
        the order of ``user_items.data``. Keep seconds since 1970 in float64 or int64:
        float32 rounds them to two minutes.
    parts : sequence of float
        Sizes of the parts, positive, of sum 1.
    cuts : sequence of float, optional
        In place of `parts`, the times at which each part but the first begins,
        ascending.
    per_user : bool
        Whether to hold out each user's own latest plays: every user is tested, but
        others' plays of that time are in training. Of equal times the lower item is
        first. Otherwise the cuts are the same for everybody, and equal times stay
        together.

    Returns
    -------
    tuple of csr_matrix, shape (n_users, n_items)
        One for each part; their sum is `user_items`. Users may have nothing in some.

    Raises
    ------
    ValueError
        If plays or times are NaN, times are missing, or a part has no pair.

    Examples
    --------
    >>> import numpy as np
    >>> from userlogfeat.evaluation.recommendation_splits import split_by_time
    >>> plays, times = np.ones((2, 2)), np.array([2001, 2004, 2003, 2002])
    >>> past, future = split_by_time(plays, times, cuts=[2003])
    >>> future.toarray()
    array([[0., 1.],
           [1., 0.]])
    """
    user_items, times = _check_times(user_items, times)
    if per_user:
        if cuts is not None:
            raise ValueError("Got cuts and per_user=True: cuts hold for everybody.")
        return _split_pairs(user_items, times, _check_parts(parts))
    if cuts is None:
        first = np.rint(_check_parts(parts)[:-1] * user_items.nnz).astype(np.int64)
        cuts = np.sort(times)[first.clip(0, user_items.nnz - 1)]
    cuts = np.asarray(cuts)
    if cuts.ndim != 1 or not (np.diff(cuts) >= 0).all():
        raise ValueError(f"Got cuts={cuts.tolist()}, expected times, ascending.")
    part_of = np.searchsorted(cuts, times, side="right")
    empty = np.bincount(part_of, minlength=len(cuts) + 1) == 0
    if empty.any():
        raise ValueError(
            f"Part {empty.argmax()} has no pair: times run from {times.min()} to "
            f"{times.max()}, and parts begin at {cuts.tolist()}. Choose other cuts."
        )
    return _parts(user_items, part_of, len(cuts) + 1)


def split_users(
    n_users: int, parts: Sequence[float] = PARTS, *, seed: int = 0
) -> tuple[np.ndarray, ...]:
    """Split users: those of one part are unknown to the others.

    A test user needs a history to be embedded by, and items held out from it:
    ``history, held_out = split_per_user(user_items[test], (0.8, 0.2))``.

    Parameters
    ----------
    n_users : int
    parts : sequence of float
        Sizes of the parts, positive, of sum 1.
    seed : int
        Seed of the draw.

    Returns
    -------
    tuple of ndarray of int64
        Rows of each part, ascending.

    Raises
    ------
    ValueError
        If a part would be empty.

    Examples
    --------
    >>> from userlogfeat.evaluation.recommendation_splits import split_users
    >>> [len(part) for part in split_users(50)]
    [30, 10, 10]
    """
    check_positive(n_users, "n_users", integer=True)
    return _split_groups(np.arange(n_users), parts, seed)


def split_items(
    n_items: int,
    parts: Sequence[float] = PARTS,
    *,
    artists: Labels | None = None,
    seed: int = 0,
) -> tuple[np.ndarray, ...]:
    """Split items: those of one part are unknown to the others (cold start).

    Train on ``user_items[:, train]``, test on ``user_items[:, test]``.

    Parameters
    ----------
    n_items : int
    parts : sequence of float
        Sizes of the parts, positive, of sum 1.
    artists : array-like (n_items,), optional
        Artists to keep together; sizes are then only near `parts`. A missing artist is
        one of its own.
    seed : int
        Seed of the draw.

    Returns
    -------
    tuple of ndarray of int64
        Columns of each part, ascending.

    Raises
    ------
    ValueError
        If a part would be empty.

    Examples
    --------
    >>> from userlogfeat.evaluation.recommendation_splits import split_items
    >>> train, test = split_items(4, (0.5, 0.5), artists=["Can", "Neu!", "Can", "Neu!"])
    >>> sorted([train.tolist(), test.tolist()])
    [[0, 2], [1, 3]]
    """
    check_positive(n_items, "n_items", integer=True)
    groups = np.arange(n_items)
    if artists is not None:
        groups = artist_groups(artists)
        if len(groups) != n_items:
            raise ValueError(f"Got {len(groups)} artists for n_items={n_items}.")
    return _split_groups(groups, parts, seed)


def _split_pairs(user_items, keys, ends):
    """Order each user's pairs by `keys`, and cut them at the proportions `ends`."""
    sizes = np.diff(user_items.indptr)
    users = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((keys, users))
    place = np.empty(len(users), dtype=np.int64)
    place[order] = np.arange(len(users)) - user_items.indptr[users]
    part_of = np.zeros(len(users), dtype=np.int64)
    for end in ends[:-1]:
        # Half up, not to even; a little less than exact, 0.6 + 0.2 being 0.8 at heart.
        last = np.floor(sizes * end + 0.5 + 1e-9)
        part_of += place >= np.maximum(last, 1)[users]
    return _parts(user_items, part_of, len(ends))


def _parts(user_items, part_of, n_parts):
    """Return one matrix for each part."""
    return tuple(keep_pairs(user_items, part_of == part) for part in range(n_parts))


def _split_groups(groups, parts, seed):
    """Return rows of each part; a group goes where its middle falls on the sizes."""
    ends = _check_parts(parts)
    sizes = np.bincount(groups)
    order = np.random.default_rng(seed).permutation(len(sizes))
    middles = np.cumsum(sizes[order]) - sizes[order] / 2
    part_of = np.empty(len(sizes), dtype=np.int64)
    part_of[order] = np.searchsorted(ends[:-1] * len(groups), middles)
    split = tuple(np.flatnonzero(part_of[groups] == p) for p in range(len(ends)))
    for part, rows in enumerate(split):
        if len(rows) == 0:
            raise ValueError(
                f"Part {part} of {list(parts)} would be empty: there are "
                f"{len(sizes)} to split. Ask for fewer or larger parts."
            )
    return split


def _check_parts(parts):
    """Return the running sum of the sizes."""
    sizes = np.asarray(parts, dtype=np.float64)
    good = sizes.ndim == 1 and len(sizes) > 1 and (sizes > 0).all()
    if not good or abs(sizes.sum() - 1) > 1e-6:
        raise ValueError(
            f"Got parts={parts!r}, expected two or more positive sizes of sum 1."
        )
    return np.cumsum(sizes)


def _check_times(user_items, times):
    """Return plays as csr without stored zeros, and the times in their order."""
    plays = sparse.csr_matrix(user_items)
    _refuse_nan(plays)
    if sparse.issparse(times):
        times = sparse.csr_matrix(times)
        plays, times = (m.sorted_indices() for m in (plays, times))
        same = plays.shape == times.shape and plays.nnz == times.nnz
        same = same and (plays.indptr == times.indptr).all()
        if not (same and (plays.indices == times.indices).all()):
            raise ValueError(
                f"Got times with {times.nnz} entries, expected one where user_items "
                f"has one ({plays.nnz}), and nowhere else."
            )
        times = times.data
    times = np.asarray(times)
    if times.shape != (plays.nnz,):
        raise ValueError(
            f"Got times of shape {times.shape} for {plays.nnz} pairs, expected one "
            "each, in the order of user_items.data."
        )
    if times.dtype.kind == "f" and np.isnan(times).any():
        raise ValueError(
            f"{np.isnan(times).sum()} times are NaN. Leave these pairs out."
        )
    pairs = plays.tocoo()
    order = np.lexsort((pairs.col, pairs.row))
    order = order[pairs.data[order] != 0]
    if len(order) == 0:
        raise ValueError("user_items holds no play: there is nothing to split.")
    pairs = keep_pairs(plays, order)
    if pairs.nnz < len(order):
        raise ValueError(
            "user_items stores some pairs more than once, so their time is ambiguous. "
            "Keep the first or the last time of each, and user_items.sum_duplicates()."
        )
    return pairs, times[order]


def _refuse_nan(user_items):
    n_nan = np.isnan(user_items.data).sum() if user_items.dtype.kind == "f" else 0
    if n_nan:
        raise ValueError(
            f"{n_nan} entries of user_items are NaN, expected what users played or "
            "liked, and 0 elsewhere. Where NaN means unknown: numpy.nan_to_num."
        )
