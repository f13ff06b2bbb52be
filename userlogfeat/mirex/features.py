"""Features of a task's clips, in a feature table of the scratch folder.

The table is keyed by absolute path and has a folder of its own for each model and
choice of layers, so folds, runs and submissions can share a scratch folder. Clips that
it has are not encoded again. Only one process writes; others wait, and then find there
what they need.
"""

import contextlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from userlogfeat._files import make_below
from userlogfeat._typing import PathLike
from userlogfeat.mirex.lists import find_clip
from userlogfeat.tables import OK, FeatureTable, clip_name
from userlogfeat.tables.parts import row_names

logger = logging.getLogger(__name__)

FEATURES = "features"  # folder in the scratch folder
MISSING, FOLDER = "MissingAudioError", "FolderError"
_REASONS = {
    MISSING: "the table does not have it.",
    FOLDER: "it is a folder, not audio.",
}


@dataclass(frozen=True)
class Features:
    """Features of clips, and which clips could be read.

    Attributes
    ----------
    X : ndarray (n_clips, n_features), float64
        NaN in the rows of clips that could not be read.
    statuses : list of str (n_clips,)
        "ok", or the class of the error.
    reasons : list of str (n_clips,)
        Message of the error; empty where there is none.
    paths : list of str (n_clips,)
        Absolute paths.
    fingerprint : str
        Fingerprint of the embedder's model, with the layers that X has and whether
        they are scaled: equal ones stand for equal features.
    """

    X: np.ndarray
    statuses: list
    reasons: list
    paths: list
    fingerprint: str

    @property
    def found(self) -> np.ndarray:
        """Clips that have features: ndarray (n_clips,), bool."""
        return np.array([status == OK for status in self.statuses], dtype=bool)


def read_features(
    embedder: Any,
    scratch: PathLike,
    clips: list[str],
    folder: PathLike,
    *,
    progress: bool | None = None,
) -> Features:
    """Read features of clips; those that the scratch folder lacks are extracted first.

    Parameters
    ----------
    embedder : estimator
        The first step of a pipeline: an embedder, or a `FeatureLookup`, whose table is
        then read, by the paths in the list, else by the absolute ones.
    scratch : str or Path
        Made where it is missing.
    clips : list of str
        Paths as a list has them.
    folder : str or Path
        Folder of the list.
    progress : bool, optional
        Whether to show a bar; by default on a terminal.

    Returns
    -------
    Features
    """
    paths = [find_clip(clip, folder) for clip in clips]
    if hasattr(embedder, "iter_features"):
        table = _extract(embedder, scratch, paths, progress)
        names, layers = paths, list(embedder.layer_sizes)
        sizes, model = embedder.layer_sizes, embedder.fingerprint
        scales = getattr(embedder, "layer_scales", None)
    else:
        table = FeatureTable(getattr(embedder.table, "folder", embedder.table))
        names = _as_in_table(table, clips, paths)
        layers = [embedder.layer] if isinstance(embedder.layer, str) else embedder.layer
        layers = list(layers or table.layer_sizes)
        sizes, model, scales = table.layer_sizes, table.fingerprint, table.layer_scales
    if not getattr(embedder, "scale", True):
        scales = None
    if table.exists():
        found = table.lookup(names, layers)
        parts = [
            found.layers[part] * (scales[part] if scales else 1) for part in layers
        ]
        X, statuses = np.concatenate(parts, axis=1).astype(np.float64), found.statuses
    else:  # a list of folders: there was nothing to extract
        X = np.full((len(paths), sum(sizes[p] for p in layers)), np.nan)
        statuses = [None] * len(paths)
    statuses = [
        status or (FOLDER if os.path.isdir(path) else MISSING)
        for status, path in zip(statuses, paths, strict=True)
    ]
    fingerprint = " ".join([model, *layers, *(["scaled"] if scales else [])])
    return Features(X, statuses, _reasons(table, names, statuses), paths, fingerprint)


def _reasons(table, names, statuses):
    """Messages of the table about clips that failed, without their paths."""
    messages = {}
    if set(statuses) != {OK} and table.exists():
        rows = table.read(["clip", "clip_bytes", "message"])
        messages = dict(zip(row_names(rows), rows["message"].to_pylist(), strict=True))
    reasons = []
    for name, status in zip(map(clip_name, names), statuses, strict=True):
        reason = messages.get(name) or _REASONS.get(status, "")
        reasons.append(reason.removeprefix(f"{name!r}: ") if status != OK else "")
    return reasons


def _extract(embedder, scratch, paths, progress):
    """Extract what the table of the scratch folder lacks; return the table."""
    from userlogfeat.extraction import extract

    layers = dict(embedder.layer_sizes)
    table = FeatureTable(Path(scratch) / FEATURES / embedder.fingerprint)
    if table.exists() and table.layer_sizes != layers:  # of another choice of layers
        name = "-".join([embedder.fingerprint, *sorted(layers)])
        table = FeatureTable(Path(scratch) / FEATURES / name)
    make_below(scratch, FEATURES, Path(table.folder).name)
    files = [path for path in dict.fromkeys(paths) if not os.path.isdir(path)]
    if not files:
        return table
    try:
        summary = extract(
            files, table, embedder=embedder, on_locked="wait", progress=progress
        )
    except BaseException:
        with contextlib.suppress(Exception):  # the error that stopped it says more
            n_kept = table.lookup(files, []).statuses.count(OK)
            logger.warning("stopped: %d of %d clips have features", n_kept, len(files))
        raise
    logger.info("%s: %s", table.folder, summary)
    return table


def _as_in_table(table, clips, paths):
    """Clips as the table spells them: as the list does, or with another path there."""
    known = table.clips()
    spelled = {os.path.abspath(name): name for name in known}
    known = set(known)
    return [
        clip if clip in known else spelled.get(path, path)
        for clip, path in zip(clips, paths, strict=True)
    ]
