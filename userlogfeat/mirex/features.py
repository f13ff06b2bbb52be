"""Features of a task's clips, in a feature table of the scratch folder.

The table is keyed by absolute path and has a folder of its own for each model and
choice of layers, so folds, runs and submissions can share a scratch folder. What is
there is not heard again. Only one process writes; others wait, and then find there what
they need.
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
_REASONS = {MISSING: "the table does not have it.", FOLDER: "it is a folder, no audio."}


@dataclass(frozen=True)
class Features:
    """Features of clips, and which could be read.

    Attributes
    ----------
    X : ndarray (n_clips, n_features), float64
        NaN in the rows of clips that could not be read.
    statuses : list of str (n_clips,)
        "ok", or the class of the error.
    reasons : list of str (n_clips,)
        What the error says; empty where there is none.
    paths : list of str (n_clips,)
        Absolute paths.
    fingerprint : str
        Of the model that heard them, with the layers that X has and whether they are
        scaled: what is equal here is equal there.
    """

    X: np.ndarray
    statuses: list
    reasons: list
    paths: list
    fingerprint: str

    @property
    def found(self) -> np.ndarray:
        """Which clips have features: ndarray (n_clips,), bool."""
        return np.array([status == OK for status in self.statuses], dtype=bool)


def read_features(
    embedder: Any,
    scratch: PathLike,
    clips: list[str],
    folder: PathLike,
    *,
    progress: bool | None = None,
) -> Features:
    """Features of clips, hearing those that the scratch folder does not have.

    Parameters
    ----------
    embedder : estimator
        The first step of a pipeline: an embedder, or a `FeatureLookup`, whose table is
        then read, by the paths as the list has them, else by the absolute ones.
    scratch : str or Path
        Made where it is missing.
    clips : list of str
        As a list has them.
    folder : str or Path
        Of the list.
    progress : bool, optional
        Whether to show a bar; by default on a terminal.

    Returns
    -------
    Features
    """
    paths = [find_clip(clip, folder) for clip in clips]
    if hasattr(embedder, "iter_features"):
        table = _hear(embedder, scratch, paths, progress)
        names, layers = paths, list(embedder.layer_sizes)
        if not table.exists():  # a list of folders: nothing was heard
            return _nothing(embedder, paths)
        scales = getattr(embedder, "layer_scales", None)
    else:
        table = _open(embedder)
        names = _as_in_table(table, clips, paths)
        layer = embedder.layer
        layers = [layer] if isinstance(layer, str) else layer
        layers = list(layers or table.layer_sizes)
        scales = table.layer_scales
    if not getattr(embedder, "scale", True):
        scales = None
    found = table.lookup(names, layers)
    columns = [found.layers[name] * (scales[name] if scales else 1) for name in layers]
    X = np.concatenate(columns, axis=1).astype(np.float64)
    statuses = [
        status or (FOLDER if _is_folder(path) else MISSING)
        for status, path in zip(found.statuses, paths, strict=True)
    ]
    reasons = _reasons(table, names, statuses)
    fingerprint = _fingerprint(table.fingerprint, layers, scales)
    return Features(X, statuses, reasons, paths, fingerprint)


def _fingerprint(model, layers, scales):
    return " ".join([model, *layers, *(["scaled"] if scales else [])])


def _nothing(embedder, paths):
    """Features of clips none of which is a file."""
    X = np.full((len(paths), sum(embedder.layer_sizes.values())), np.nan)
    statuses, reasons = [FOLDER] * len(paths), [_REASONS[FOLDER]] * len(paths)
    scales = getattr(embedder, "scale", True) and hasattr(embedder, "layer_scales")
    fingerprint = _fingerprint(embedder.fingerprint, embedder.layer_sizes, scales)
    return Features(X, statuses, reasons, paths, fingerprint)


def _reasons(table, names, statuses):
    """What the table says of clips that failed, without their paths."""
    if all(status == OK for status in statuses):
        return [""] * len(names)
    rows = table.read(["clip", "clip_bytes", "message"])
    said = dict(zip(row_names(rows), rows["message"].to_pylist(), strict=True))
    reasons = []
    for name, status in zip(map(clip_name, names), statuses, strict=True):
        reason = said.get(name) or _REASONS.get(status, "")
        reasons.append(reason.removeprefix(f"{name!r}: ") if status != OK else "")
    return reasons


def _hear(embedder, scratch, paths, progress):
    """Extract what the table lacks."""
    from userlogfeat.extraction import extract

    folder = _folder_of(embedder, Path(scratch) / FEATURES)
    make_below(scratch, FEATURES, folder.name)
    files = [path for path in dict.fromkeys(paths) if not _is_folder(path)]
    table = FeatureTable(folder)
    if not files:
        return table
    try:
        summary = extract(
            files, table, embedder=embedder, on_locked="wait", progress=progress
        )
    except BaseException:
        _tell_kept(table, files)
        raise
    logger.info("%s: %s", folder, summary)
    return table


def _folder_of(embedder, features):
    """Its table; a table of other layers of the same model is left alone."""
    folder, layers = features / embedder.fingerprint, dict(embedder.layer_sizes)
    table = FeatureTable(folder)
    if not table.exists() or table.layer_sizes == layers:
        return folder
    return features / "-".join([embedder.fingerprint, *sorted(layers)])


def _tell_kept(table, files):
    """Say what a run that was stopped has kept: not all that it heard, perhaps."""
    with contextlib.suppress(Exception):  # the error that stopped it says more
        kept = sum(status == OK for status in table.lookup(files, []).statuses)
        logger.warning("stopped: %d of %d clips have features", kept, len(files))


def _is_folder(path):
    try:
        return os.path.isdir(path)
    except ValueError:  # a NUL in the path
        return False


def _as_in_table(table, clips, paths):
    """Clips as the table spells them: as the list does, or with another path there."""
    known = table.clips()
    spelled = {os.path.abspath(name): name for name in known}
    known = set(known)
    return [
        clip if clip in known else spelled.get(path, path)
        for clip, path in zip(clips, paths, strict=True)
    ]


def _open(lookup):
    table = lookup.table
    return table if isinstance(table, FeatureTable) else FeatureTable(table)
