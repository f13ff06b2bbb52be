"""Near-duplicate audio: clips that are much closer than usual neighbours.

Distances are cosine distances of standardised features, in [0, 2], taken in blocks:
100,000 clips of 793 features need 0.3 GB for the scores and 0.1 GB for a block.
"""

from collections.abc import Iterable

import numpy as np

from userlogfeat._typing import ArrayLike

# Clips closer than this part of the usual distance to the nearest neighbour are copies.
# A distinct clip gets there with chance ~ log(2) * 0.1^(d/2): where half of the clips
# have no neighbour within r, neighbours scattered at random in d dimensions have none
# within q*r with chance 2^-(q^d), and cosine distance grows as the square of the angle.
# d = 10 effective dimensions: 7 in a million. On GTZAN (convnet features, MFCC or both)
# exact copies are at 0.00 to 0.02 times the usual distance; the next pairs, excerpts of
# one recording, at 0.04 and more; the first distinct clips at 0.1 to 0.3.
COPY_RATIO = 0.1
# float32 products of unit vectors err by about 1e-6: exact copies are always found.
MIN_THRESHOLD = 1e-5
_N_PROBES = 1000  # clips of each set whose nearest neighbours define the usual distance
_BLOCK = 2048, 8192  # clips x clips compared at once: 64 MiB of float32


def unit_scores(features: ArrayLike, clips: np.ndarray) -> np.ndarray:
    """Return features as unit vectors of standard scores over `clips`, float32."""
    features = np.asarray(features)
    if features.ndim != 2 or features.dtype.kind not in "fiu":
        raise ValueError(
            f"Got features of shape {features.shape} and type {features.dtype}, "
            "expected numbers (n_clips, n_features)."
        )
    units = np.zeros(features.shape, np.float32)
    blocks = list(_blocks(clips, _BLOCK[1]))
    mean = sum(features[rows].sum(0, dtype=np.float64) for rows in blocks) / len(clips)
    if not np.isfinite(mean).all():
        raise ValueError("Got features with NaN or infinity. Leave these clips out.")
    squares = sum(((features[rows] - mean) ** 2).sum(0) for rows in blocks)
    scale = np.sqrt(squares / len(clips))
    varies = scale > 1e-6 * np.abs(mean)
    if not varies.any():
        raise ValueError("Got features that are the same for all clips.")
    scale[~varies] = np.inf  # constant columns become 0
    for rows in blocks:
        scores = (features[rows] - mean) / scale
        length = np.linalg.norm(scores, axis=1, keepdims=True)
        units[rows] = scores / np.where(length > 0, length, 1)
    return units


def usual_distance(units: np.ndarray, sets: Iterable[np.ndarray]) -> float:
    """Return the median distance of clips to the nearest other clip of their set.

    Exact copies within a set do not count as neighbours, and so do not lower it.
    """
    nearest = []
    for rows in sets:
        step = -(-len(rows) // _N_PROBES)
        probes = rows[::step]
        best = np.full(len(probes), np.inf, np.float32)
        for others in _blocks(rows, _BLOCK[1]):
            distance = 1 - units[probes] @ units[others].T
            distance[distance <= MIN_THRESHOLD] = np.inf
            best = np.minimum(best, distance.min(axis=1))
        nearest.append(best[np.isfinite(best)])
    nearest = np.concatenate(nearest)
    if len(nearest) == 0:
        raise ValueError(
            "No set has two different clips to measure the usual distance. Pass "
            "threshold."
        )
    return float(np.median(nearest))


def near_copies(
    first: np.ndarray, second: np.ndarray, units: np.ndarray, threshold: float
) -> tuple[tuple[np.ndarray, np.ndarray], list[tuple[int, int, float]]]:
    """Find rows of two sets at most `threshold` apart, and the nearest for each."""
    is_copy = np.zeros(len(first), dtype=bool)
    pairs = []
    for tested in _blocks(second, _BLOCK[0]):
        best = np.full(len(tested), np.inf, np.float32)
        nearest = np.zeros(len(tested), np.int64)
        for start in range(0, len(first), _BLOCK[1]):
            known = first[start : start + _BLOCK[1]]
            distance = 1 - units[tested] @ units[known].T
            is_copy[start : start + len(known)] |= (distance <= threshold).any(axis=0)
            closest = distance.argmin(axis=1)
            value = distance[np.arange(len(tested)), closest]
            nearest[value < best] = known[closest[value < best]]
            best = np.minimum(best, value)
        pairs += [
            (int(nearest[i]), int(tested[i]), max(float(best[i]), 0.0))
            for i in np.flatnonzero(best <= threshold)
        ]
    concerned = np.array([row for _, row, _ in pairs], dtype=np.int64)
    return (first[is_copy], concerned), pairs


def _blocks(rows, size):
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
