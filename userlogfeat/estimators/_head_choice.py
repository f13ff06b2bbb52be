"""`CFRegressor(head="auto")`: does an MLP estimate unseen artists better?

A ridge regression and MLPs of several losses are fitted without some of the artists,
and estimate theirs. Two errors count: what the rank of a clip's own artist
(:func:`userlogfeat.evaluation.factors.own_artist_percentile`) and the cosine of the
estimate lack of 1. The gain of an MLP is the sum of the shares of these two by which it
is below the ridge; the MLP with the largest gain is taken, where that is above its
standard error.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.model_selection import GroupKFold, GroupShuffleSplit

from userlogfeat._groups import artist_groups
from userlogfeat.evaluation.ranking import unit_rows

# A head and, for MLPs, its loss; the first is the simplest.
CANDIDATES = (
    ("ridge", None),
    ("mlp", "mse_cosine"),
    ("mlp", "info_nce"),
)
N_FOLDS = 3
# Share of the teaching artists of a fold on which an MLP ends: never on those held out.
ENDING_SHARE = 0.2
MIN_ARTISTS = 30  # fewer cannot distinguish heads: they get the simplest
LEAST_ERROR = 0.001  # of the ridge: below it nothing is left to gain
MAX_CLIPS = 2_000  # for the choice, drawn from all artists alike: it costs seconds


def choose_head(
    estimate: Callable[..., np.ndarray],
    factors: np.ndarray,
    *,
    candidates: tuple[tuple[str, Any], ...],
    groups: np.ndarray | None,
    seed: int,
) -> tuple[tuple[str, Any], list[dict[str, Any]]]:
    """Choose a head by cross-validation over artists.

    A head that is clearly behind the first one, by more than a standard error, has no
    further fold.

    Parameters
    ----------
    estimate : callable
        ``estimate(candidate, train, ending, held)`` fits a head on rows `train`, ends
        by what it does on rows `ending`, and returns its estimates for rows `held`. No
        artist is in two of these.
    factors : ndarray (n_clips, n_factors)
        Targets of the head.
    candidates : tuple of (str, loss)
        Heads to choose from; the first is the simplest.
    groups : ndarray (n_clips,) or None
        Artists. None: clips of equal factors are by one artist; where no two clips have
        the same, artists are unknown, and there is nothing to choose by.
    seed : int
        Seed of the clips that are drawn where there are many.

    Returns
    -------
    chosen : (str, loss)
    results : list of dict
        For each candidate `head`, `loss`, `own_artist` and `cosine` over the artists
        that it estimated, `gain` over the first, its standard `error`, and `seconds`;
        empty where there is nothing to choose by.
    """
    _, item = np.unique(factors, axis=0, return_inverse=True)
    item = item.ravel()
    artist = item if groups is None else artist_groups(groups)
    usable = np.flatnonzero(factors.any(axis=1))
    n_artists = len(np.unique(artist[usable]))
    unknown = groups is None and n_artists == len(usable)
    if unknown or factors.shape[1] < 2 or n_artists < MIN_ARTISTS:
        return candidates[0], []
    rows = _draw(usable, artist, seed)
    found: list[list[np.ndarray]] = [[] for _ in candidates]  # errors, fold by fold
    seconds, compared = np.zeros(len(candidates)), set(range(len(candidates)))
    inner = GroupShuffleSplit(1, test_size=ENDING_SHARE, random_state=seed)
    for teaching, held in GroupKFold(N_FOLDS).split(rows, groups=artist[rows]):
        rest, held = rows[teaching], rows[held]
        [(train, ending)] = inner.split(rest, groups=artist[rest])
        for i in sorted(compared):
            start = time.perf_counter()
            estimates = estimate(candidates[i], rest[train], rest[ending], held)
            seconds[i] += time.perf_counter() - start
            found[i].append(_errors(estimates, factors, item, artist, rows, held))
        gains = [_gain(found[0], errors) for errors in found]
        compared -= {i for i, (gain, error) in enumerate(gains) if gain < -error}
    results = [
        {
            "head": head,
            "loss": loss,
            "own_artist": 1 - float(np.hstack(found[i])[0].mean()),
            "cosine": 1 - float(np.hstack(found[i])[1].mean()),
            "gain": gains[i][0],
            "error": gains[i][1],
            "seconds": float(seconds[i]),
        }
        for i, (head, loss) in enumerate(candidates)
    ]
    best = max(range(len(gains)), key=lambda i: gains[i][0])
    gain, error = gains[best]
    return candidates[best if gain > error else 0], results


def _draw(rows, artist, seed):
    """Draw at most MAX_CLIPS rows: a clip of every artist, then a second one, ..."""
    if len(rows) <= MAX_CLIPS:
        return rows
    rows = np.random.default_rng(seed).permutation(rows)
    order = np.argsort(artist[rows], kind="stable")
    _, counts = np.unique(artist[rows], return_counts=True)
    turn = np.empty(len(rows), dtype=int)  # how many of the artist's come before
    turn[order] = np.concatenate([np.arange(n) for n in counts])
    return np.sort(rows[np.argsort(turn, kind="stable")[:MAX_CLIPS]])


def _errors(estimates, factors, item, artist, rows, held):
    """Distance of each item's own rank, and of the cosine, from 1: (2, n_artists).

    The rank is among the items of all `rows`: 1 where its own is always the nearest.
    """
    names, first = np.unique(item[rows], return_index=True)
    items = unit_rows(factors[rows[first]].astype(np.float64))
    scores = unit_rows(estimates.astype(np.float64)) @ items.T
    own = np.searchsorted(names, item[held])
    right = np.take_along_axis(scores, own[:, None], axis=1)
    above = (scores > right).sum(axis=1) + ((scores == right).sum(axis=1) - 1) / 2
    _, artist = np.unique(artist[held], return_inverse=True)
    errors = above / max(len(names) - 1, 1), 1 - right[:, 0]
    return np.stack([np.bincount(artist, e) for e in errors]) / np.bincount(artist)


def _gain(base, other):
    """Gain over `base` in the folds of `other`, and its standard error over artists."""
    base, other = np.hstack(base[: len(other)]), np.hstack(other)
    shares = (base - other) / np.maximum(base.mean(axis=1), LEAST_ERROR)[:, None]
    gains = shares.sum(axis=0)
    return float(gains.mean()), float(gains.std() / np.sqrt(len(gains)))
