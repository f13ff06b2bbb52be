"""Artists (or tracks) whose listeners would like a clip, by a model's estimate.

The estimate of a clip's factor is compared with the factors of the items of the logs.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from userlogfeat._typing import PathLike
from userlogfeat.evaluation.ranking import iter_rows, top_items, unit_rows
from userlogfeat.exploration.clips import ESTIMATE, Model
from userlogfeat.factor_files import DIGEST, ITEMS, read_side

N_ITEMS = 8
_INSIDE = ("", "users")  # where a saved model may carry factors


def find_factors(source: Any, factors: PathLike | None) -> Path | None:
    """Return the folder of factors: the one named, or one that a model carries."""
    if factors is not None:
        return Path(factors)
    folder = getattr(source, "folder", source)
    folders = [Path(folder) / inside for inside in _INSIDE]
    return next((f for f in folders if (f / ITEMS).exists()), None)


def liked_by_listeners(
    model: Model, folder: Path, names: Mapping[Any, str] | None
) -> tuple[list[str], np.ndarray] | None:
    """Return the items whose listeners would like each clip.

    Parameters
    ----------
    model : Model
    folder : Path
        Factors of items: of ``userlogfeat fit-cf``, or the users of ``fit-metric``.
    names : mapping of id to str, optional
        Names to show; by default the ids.

    Returns
    -------
    items : list of str
        Names of the items that are best for some clip.
    best : ndarray (n_clips, n_items), int64
        Places in `items`, best first. None in place of both where the model has no
        estimates of factors.

    Raises
    ------
    ValueError
        Where the factors are known to come from another training than the model's.
    """
    if ESTIMATE not in model.layers:
        return None
    estimates = model.layers[ESTIMATE]
    ids, items, made_by = read_side(folder, ITEMS)
    digest = made_by.get(DIGEST)
    if items.shape[1] != estimates.shape[1] or (
        digest and model.users_digest and digest != model.users_digest
    ):
        raise ValueError(
            f"Got the factors in {folder} ({items.shape[1]} columns) for the estimates "
            f"of {model.name} ({estimates.shape[1]}), which come from another "
            "training: they cannot be compared. Pass the factors that the model was "
            "trained on."
        )
    if not (digest and model.users_digest):
        warnings.warn(
            f"{model.name} does not record which factors it was trained on. Unless "
            f"they are those in {folder}, the artists whose listeners would like a "
            "clip mean nothing.",
            stacklevel=2,
        )
    known = items.any(axis=1)
    ids, units = ids[known], unit_rows(items[known])
    k = min(N_ITEMS, len(ids))
    best = np.empty((len(estimates), k), np.int64)
    for rows in iter_rows(len(estimates), len(ids)):
        best[rows], _ = top_items(unit_rows(estimates[rows]) @ units.T, k)
    used, places = np.unique(best, return_inverse=True)
    names = {str(key): name for key, name in (names or {}).items()}
    texts = [names.get(str(id), str(id)) for id in ids[used].tolist()]
    return texts, places.reshape(len(estimates), k)
