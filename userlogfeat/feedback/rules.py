"""Likes and dislikes: explicit, or derived from plays by rules.

Metric learning (Chen, Liang, Ma, Gu 2021) needs clips that a user disliked. Where users
say so, that is explicit feedback. Elsewhere a rule turns plays into verdicts: every
pair of user and item gets one number, which is a like from some value on, a dislike up
to a lower one, and neither in between. The rules, their numbers and the default values
for likes and dislikes (not the paper's, which does not state its own):

==============  =========================================  ========  ===========
rule            number of a pair                           liked     disliked
==============  =========================================  ========  ===========
explicit        +1 or -1, as the user said                 +1        -1
played_ratio    mean fraction of the item that was played  >= 0.8    <= 0.2
skips           fraction of plays that were not skipped    >= 0.8    <= 0.2
counts          number of plays                            >= 5      <= 1
count_ranks     fraction of the user's items played less   >= 0.75   <= 0.25
                often, those played as often counted half
played          whether it was played: no dislikes         1         never
==============  =========================================  ========  ===========

Counts are weak evidence of dislike: an item played once may be one just found. Where
nothing better is known, dislikes can be drawn from items that a user never played; the
result marks them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Literal, Self

import numpy as np
import polars as pl
from scipy import sparse

from userlogfeat._check import check_choice, check_positive
from userlogfeat._ids import positions
from userlogfeat._typing import ArrayLike, Frame, PathLike
from userlogfeat.logs.columns import read_fractions, read_skips
from userlogfeat.logs.ids import IdCodes
from userlogfeat.logs.interactions import Interactions
from userlogfeat.logs.sources import iter_chunks

# Rule -> (disliked up to, liked from).
THRESHOLDS = {
    "explicit": (-1.0, 1.0),
    "played_ratio": (0.2, 0.8),
    "skips": (0.2, 0.8),
    "counts": (1.0, 5.0),
    "count_ranks": (0.25, 0.75),
    "played": (0.0, 1.0),
}
RULES_OF_LOGS = ("explicit", "counts", "count_ranks", "played")
RULES_OF_PLAYS = ("played_ratio", "skips")

# Chen et al. 2021, experiments: the fewest clips liked, and disliked, by a user.
MIN_LIKED = MIN_DISLIKED = 10


@dataclass(frozen=True, repr=False, eq=False)
class Feedback:
    """Likes and dislikes of users.

    Made by :func:`feedback_of_logs` or :func:`read_feedback`.

    Attributes
    ----------
    user_items : csr_matrix of float32, shape (n_users, n_items)
        +1 liked, -1 disliked.
    user_ids, item_ids : ndarray
        The identifier of each row, and of each column.
    rule : str
        Origin of the verdicts, with the thresholds.
    sampled : csr_matrix of bool, shape (n_users, n_items), or None
        Dislikes that nobody expressed: drawn from items that the user never played.
    """

    user_items: sparse.csr_matrix
    user_ids: np.ndarray
    item_ids: np.ndarray
    rule: str
    sampled: sparse.csr_matrix | None = None

    def __repr__(self) -> str:
        n_liked, n_disliked = (int(n.sum()) for n in self.counts())
        text = f"{n_liked} liked, {n_disliked} disliked"
        if self.sampled is not None:
            text += f" ({self.sampled.nnz} of them sampled, not expressed)"
        n_users, n_items = self.user_items.shape
        return f"<Feedback: {n_users} users, {n_items} items, {text}; {self.rule}>"

    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """Count likes and dislikes of each user: two arrays (n_users,) of int."""
        verdicts = self.user_items
        return (verdicts > 0).getnnz(axis=1), (verdicts < 0).getnnz(axis=1)

    def keep_users(
        self, *, min_liked: int = MIN_LIKED, min_disliked: int = MIN_DISLIKED
    ) -> Self:
        """Keep the users who liked and disliked enough.

        Parameters
        ----------
        min_liked, min_disliked : int
            Minimum numbers of items; 10 each in the paper. Sampled dislikes count.

        Returns
        -------
        Feedback

        Raises
        ------
        ValueError
            Where nobody is left.
        """
        liked, disliked = self.counts()
        kept = (liked >= min_liked) & (disliked >= min_disliked)
        if not kept.any():
            raise ValueError(
                f"None of {len(kept)} users has min_liked={min_liked} likes and "
                f"min_disliked={min_disliked} dislikes (the most are {liked.max()} and "
                f"{disliked.max()}). Lower them, or draw dislikes from what users "
                "never played: sample_dislikes."
            )
        return replace(
            self,
            user_items=self.user_items[kept],
            user_ids=self.user_ids[kept],
            sampled=None if self.sampled is None else self.sampled[kept],
        )

    def of_clips(self, items: ArrayLike) -> sparse.csr_matrix:
        """Return verdicts on clips, as the y of :class:`userlogfeat.MetricEmbedder`.

        Parameters
        ----------
        items : array-like (n_clips,)
            The item of each clip, such as ``Catalogue.items``; None where unknown.
            Several clips may belong to one item.

        Returns
        -------
        csr_matrix of float32, shape (n_clips, n_users)
            +1 liked, -1 disliked; rows of clips whose item the logs do not know are
            empty.

        Raises
        ------
        ValueError
            Where no clip's item is known.
        """
        items = np.asarray(items).tolist()
        columns = positions(items, self.item_ids)
        known = np.flatnonzero(columns >= 0)
        if not len(known):
            raise ValueError(
                f"None of the items of {len(items)} clips ({items[:3]}) is among the "
                f"{len(self.item_ids)} of the logs ({self.item_ids[:3].tolist()}). Are "
                "the identifiers of the same kind and type?"
            )
        pick = sparse.csr_matrix(
            (np.ones(len(known), np.float32), (known, columns[known])),
            shape=(len(items), len(self.item_ids)),
        )
        return (pick @ self.user_items.T).tocsr()


def feedback_of_logs(
    logs: Interactions,
    rule: Literal["explicit", "counts", "count_ranks", "played"] = "explicit",
    *,
    liked_from: float | None = None,
    disliked_to: float | None = None,
) -> Feedback:
    """Derive likes and dislikes from logs of :func:`userlogfeat.read_logs`.

    Parameters
    ----------
    logs : Interactions
        With `liked` and `disliked` for ``rule="explicit"``; else its numbers of plays
        are used.
    rule : {"explicit", "counts", "count_ranks", "played"}
        See :mod:`userlogfeat.feedback`. "played" has no dislikes: draw them with
        :func:`sample_dislikes`.
    liked_from, disliked_to : float, optional
        Thresholds of the rule's number: likes from the first on, dislikes up to the
        second. Not with "played".

    Returns
    -------
    Feedback

    Raises
    ------
    ValueError
        Where the logs do not have what the rule needs, or thresholds make no sense.

    Examples
    --------
    >>> import polars as pl
    >>> from userlogfeat import read_logs
    >>> from userlogfeat.feedback.rules import feedback_of_logs
    >>> plays = pl.DataFrame({
    ...     "user": ["ann"] * 3, "item": ["a", "b", "c"], "plays": [9, 3, 1]
    ... })
    >>> feedback = feedback_of_logs(read_logs(plays, count="plays"), "counts")
    >>> feedback.user_items.toarray()
    array([[ 1.,  0., -1.]], dtype=float32)
    """
    check_choice(rule, "rule", RULES_OF_LOGS)
    bounds = _bounds(rule, liked_from, disliked_to)
    if rule == "explicit":
        if logs.liked is None:
            raise ValueError(
                'Got rule="explicit", but the logs hold no likes or dislikes. Name '
                'their columns, read_logs(..., liked="...", disliked="..."), or take '
                'the rule "counts" or "count_ranks".'
            )
        numbers = logs.liked - logs.disliked
    elif rule == "played":
        numbers = logs.user_items.astype(bool).astype(np.float32)
    else:
        numbers = logs.user_items
        if numbers.nnz and (numbers.data == numbers.data[0]).all():
            raise ValueError(
                f"Got rule={rule!r}, but every pair of the logs has the same count, "
                f"{numbers.data[0]:g}, so counts have no meaning. Name the column of "
                'counts, read_logs(..., count="..."), without weights="binary".'
            )
        if rule == "count_ranks":
            numbers = _ranks(numbers)
    return _judge(numbers, logs.user_ids, logs.item_ids, rule, bounds)


def read_feedback(
    source: PathLike | Frame,
    rule: Literal["played_ratio", "skips"],
    *,
    user: str = "user",
    item: str = "item",
    played: str | None = None,
    length: str | None = None,
    skipped: str | None = None,
    min_plays: int = 1,
    liked_from: float | None = None,
    disliked_to: float | None = None,
    separator: str | None = None,
    columns: Sequence[str] | None = None,
) -> Feedback:
    """Derive likes and dislikes from how long items were played, or from skips.

    Parameters
    ----------
    source : str, Path or frame
        One row per play: see :func:`userlogfeat.read_logs`.
    rule : {"played_ratio", "skips"}
        See :mod:`userlogfeat.feedback`.
    user, item : str
        The columns with the identifiers.
    played : str
        For rule "played_ratio": the column with the fraction that was played, 0 to 1,
        or with the time played.
    length : str, optional
        The column with the length of the item, in the unit of `played`. Longer plays
        count as the length.
    skipped : str
        For rule "skips": the column of true and false, or 1 and 0.
    min_plays : int
        A pair with fewer plays gets no verdict.
    liked_from, disliked_to : float, optional
        Thresholds of the rule's number: likes from the first on, dislikes up to the
        second.
    separator, columns
        Layout of text files: see :func:`userlogfeat.read_logs`.

    Returns
    -------
    Feedback
        Users and items in the order of their identifiers.

    Raises
    ------
    ValueError
        Where a column is missing, or values are missing or wrong (with the rows).

    Examples
    --------
    >>> import polars as pl
    >>> from userlogfeat.feedback.rules import read_feedback
    >>> plays = pl.DataFrame({
    ...     "user": ["ann", "ann", "bob"], "item": ["x", "y", "x"],
    ...     "seconds": [200, 12, 90], "duration": [200, 240, 200],
    ... })
    >>> read_feedback(plays, "played_ratio", played="seconds", length="duration")
    <Feedback: 2 users, 2 items, 1 liked, 1 disliked; played_ratio: ...>
    """
    check_choice(rule, "rule", RULES_OF_PLAYS)
    check_positive(min_plays, "min_plays", integer=True)
    bounds = _bounds(rule, liked_from, disliked_to)
    of_rule, needed = {"skipped": skipped}, "skipped"
    if rule == "played_ratio":
        of_rule, needed = {"played": played, "length": length}, "played"
    if of_rule[needed] is None:
        raise ValueError(
            f"Got rule={rule!r} without {needed}=: name the column of the plays that "
            "the rule needs."
        )
    roles = {"user": user, "item": item, **of_rule}
    roles = {role: name for role, name in roles.items() if name is not None}
    chunks = iter_chunks(source, roles, separator=separator, columns=columns)
    sums, plays, user_ids, item_ids = _add_up(chunks, rule)
    enough = plays.data >= min_plays
    plays.data[~enough] = 1
    # In a matrix of its own: a mean of 0 is a number, no missing entry.
    numbers = sums.copy()
    numbers.data = np.where(enough, sums.data / plays.data, np.nan)
    return _judge(numbers, user_ids, item_ids, rule, bounds)


def _bounds(rule, liked_from, disliked_to):
    low, high = THRESHOLDS[rule]
    if rule == "played" and not (disliked_to is None and liked_from is None):
        raise ValueError(
            f"Got disliked_to={disliked_to!r} and liked_from={liked_from!r} with "
            'rule="played", which takes no thresholds: whatever was played is liked. '
            'Leave them out, or take the rule "counts".'
        )
    low = low if disliked_to is None else disliked_to
    high = high if liked_from is None else liked_from
    numbers = all(isinstance(bound, Real) for bound in (low, high))
    if not numbers or not low < high:
        raise ValueError(
            f"Got disliked_to={low!r} and liked_from={high!r} (rule {rule!r}), "
            "expected two numbers, the first below the second: no item is both."
        )
    return low, high


def _judge(numbers, user_ids, item_ids, rule, bounds):
    """Turn the number of each stored pair into feedback; NaN is not a verdict."""
    low, high = bounds
    verdicts = sparse.csr_matrix(numbers, dtype=np.float32, copy=True)
    numbers = sparse.csr_matrix(numbers).data
    verdicts.data[:] = (numbers >= high).astype(np.float32) - (numbers <= low)
    verdicts.eliminate_zeros()
    text = rule
    if rule not in ("explicit", "played"):
        text += f": liked from {high:g}, disliked up to {low:g}"
    return Feedback(verdicts, user_ids, item_ids, text)


def _ranks(counts):
    """Rank each count: fraction of the user's items below it, equal ones by half."""
    ranks = sparse.csr_matrix(counts, dtype=np.float64, copy=True)
    n_items = np.diff(ranks.indptr)
    users = np.repeat(np.arange(ranks.shape[0]), n_items)
    of_user = pl.DataFrame({"user": users, "count": ranks.data})
    order = of_user.select(pl.col("count").rank("average").over("user")).to_series()
    ranks.data = (order.to_numpy() - 0.5) / n_items[users]
    return ranks


def _add_up(chunks, rule):
    """Add up the rule's numbers, and plays, as csr matrices; return ids as well."""
    read = {"played_ratio": read_fractions, "skips": lambda chunk: ~read_skips(chunk)}
    user_codes, item_codes = IdCodes("user"), IdCodes("item")
    values = []
    for chunk in chunks:
        user_codes.add(chunk)
        item_codes.add(chunk)
        values.append(read[rule](chunk))
    if not sum(map(len, values)):
        raise ValueError("The logs hold no rows: there is nothing to learn from.")
    values = np.concatenate(values)
    user_ids, users = user_codes.all_rows()
    item_ids, items = item_codes.all_rows()
    where, shape = (users, items), (len(user_ids), len(item_ids))
    # Built alike, so that equal places of `data` are the same pair.
    sums, plays = (
        sparse.coo_matrix((data, where), shape=shape).tocsr()
        for data in (values.astype(np.float64), np.ones(len(values)))
    )
    return sums, plays, user_ids, item_ids
