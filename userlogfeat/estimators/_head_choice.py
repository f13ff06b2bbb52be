"""`CFRegressor(head="auto")`: which head estimates the factors of unseen artists best?

A ridge regression and MLPs of several losses are fitted without some of the artists,
and estimate theirs. What counts is the rank of the own artist
(:func:`userlogfeat.evaluation.factors.own_artist_percentile`); among heads that it does
not distinguish, the cosine decides.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.model_selection import GroupKFold

from userlogfeat._groups import artist_groups
from userlogfeat.evaluation.ranking import unit_rows

# A head and, for MLPs, its loss; the first is the simplest.
CANDIDATES = (
    ("ridge", None),
    ("mlp", "mse_cosine"),
    ("mlp", "info_nce"),
)
N_FOLDS = 3
MIN_ARTISTS = 30  # fewer cannot distinguish heads: they get the simplest
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

    Parameters
    ----------
    estimate : callable
        ``estimate(candidate, train, held)`` fits a head on rows `train` and returns its
        estimates for rows `held`.
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
        For each candidate `head`, `loss`, `own_artist`, `cosine` and `seconds`; empty
        where there is nothing to choose by.
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
    estimates = np.empty((len(candidates), len(rows), factors.shape[1]), np.float32)
    seconds = np.zeros(len(candidates))
    for train, held in GroupKFold(N_FOLDS).split(rows, groups=artist[rows]):
        for i, candidate in enumerate(candidates):
            start = time.perf_counter()
            estimates[i, held] = estimate(candidate, rows[train], rows[held])
            seconds[i] += time.perf_counter() - start
    ranks, cosines = _evaluate(estimates, factors[rows], item[rows], artist[rows])
    results = [
        {
            "head": head,
            "loss": loss,
            "own_artist": float(ranks[i].mean()),
            "cosine": float(cosines[i].mean()),
            "seconds": float(seconds[i]),
        }
        for i, (head, loss) in enumerate(candidates)
    ]
    return candidates[_best(ranks, cosines)], results


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


def _evaluate(estimates, factors, item, artist):
    """Rank of the own item and cosine, means of each artist (n_candidates, n_artists).

    The rank is among the items of all clips: 1 where the own is always the nearest.
    """
    factors = unit_rows(factors.astype(np.float64))
    _, first, own = np.unique(item, return_index=True, return_inverse=True)
    _, artist = np.unique(artist, return_inverse=True)
    clips, others = np.bincount(artist), max(len(first) - 1, 1)
    ranks, cosines = [], []
    for estimate in estimates:
        scores = unit_rows(estimate.astype(np.float64)) @ factors[first].T
        right = np.take_along_axis(scores, own[:, None], axis=1)
        below = (scores < right).sum(axis=1) + ((scores == right).sum(axis=1) - 1) / 2
        ranks.append(np.bincount(artist, below / others) / clips)
        cosines.append(np.bincount(artist, right[:, 0]) / clips)
    return np.stack(ranks), np.stack(cosines)


def _best(ranks, cosines):
    """Index of the candidate with the best rank, or of one as good and closer.

    One is as good where the mean difference over artists is within its standard error.
    """
    best = int(np.argmax(ranks.mean(axis=1)))
    behind = ranks[best] - ranks
    error = behind.std(axis=1) / np.sqrt(behind.shape[1])
    alike = behind.mean(axis=1) <= error
    return int(np.argmax(np.where(alike, cosines.mean(axis=1), -np.inf)))
