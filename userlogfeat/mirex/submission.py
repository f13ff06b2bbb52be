"""The four calls of a MIREX train/test submission.

Extract features, train, classify, or both at once. All keep what they make in a scratch
folder: the feature table (see :mod:`userlogfeat.mirex.features`), and one model for
every training list (:mod:`userlogfeat.mirex.models`), so folds may run at once. Train
and classify hear what was not extracted before.

A clip that cannot be read is left out of training, and given the commonest class of the
training list when it is to be classified (of tags: how common each is); both are logged
as warnings.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from userlogfeat._typing import PathLike
from userlogfeat.mirex.features import FEATURES, MISSING, read_features
from userlogfeat.mirex.lists import (
    read_clips,
    read_training,
    real_path,
    write_labels,
    write_tags,
)
from userlogfeat.mirex.models import MODELS, Model, choose_model, save_model
from userlogfeat.mirex.pipeline import load_pipeline
from userlogfeat.mirex.threads import threads

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


logger = logging.getLogger(__name__)


def extract_features(
    scratch: PathLike,
    clip_list: PathLike,
    *,
    pipeline: PathLike | Pipeline | None = None,
    n_threads: int | None = None,
    progress: bool | None = None,
) -> tuple[int, int]:
    """Hear the clips of a list, and keep their features in the scratch folder.

    It may be killed at any moment: the same call goes on. A kill costs what was heard
    since features were last written: ten seconds, or where that is longer, the last
    batches of clips.

    Parameters
    ----------
    scratch : str or Path
        Made where it is missing.
    clip_list : str or Path
        One path a line. A training list will do as well.
    pipeline : str, Path or Pipeline, optional
        As for :func:`~userlogfeat.mirex.load_pipeline`.
    n_threads : int, optional
        Threads that decode, and that compute; all processors by default.
    progress : bool, optional
        Whether to show a bar; by default on a terminal.

    Returns
    -------
    n_read, n_failed : int
        Clips that have features, and that have none; repeats count once.
    """
    clips = list(dict.fromkeys(read_clips(clip_list)))
    with threads(n_threads, load_pipeline(pipeline)) as pipeline:
        features = _read(scratch, clip_list, clips, pipeline, progress)
    _warn(clips, features, "cannot be read")
    n_read = int(features.found.sum())
    return n_read, len(clips) - n_read


def train(
    scratch: PathLike,
    train_list: PathLike,
    *,
    pipeline: PathLike | Pipeline | None = None,
    tags: bool = False,
    n_threads: int | None = None,
    progress: bool | None = None,
) -> Path:
    """Learn the classes of a training list; keep the model in the scratch folder.

    Parameters
    ----------
    scratch, pipeline, n_threads, progress
        As for :func:`extract_features`.
    train_list : str or Path
        ``path TAB class`` a line; with `tags`, ``path TAB tag``.
    tags : bool
        Whether clips may have several labels.

    Returns
    -------
    Path
        Folder of the model.

    Raises
    ------
    ValueError
        Where the list is at fault, or no clip of it can be read.
    """
    with threads(n_threads, load_pipeline(pipeline, tags=tags)) as pipeline:
        model = _learn(scratch, train_list, pipeline, tags, progress)
    return save_model(scratch, model)


def classify(
    scratch: PathLike,
    test_list: PathLike,
    output: PathLike,
    binary_output: PathLike | None = None,
    *,
    train_list: PathLike | None = None,
    pipeline: PathLike | Pipeline | None = None,
    n_threads: int | None = None,
    progress: bool | None = None,
) -> None:
    """Give every clip of a test list a class, or affinities and answers for all tags.

    Of several models in the scratch folder, that is taken which learned from no clip of
    the test list; of several such, the newest.

    Parameters
    ----------
    scratch, pipeline, n_threads, progress
        As for :func:`extract_features`; the pipeline is the one that was trained.
    test_list : str or Path
        One path a line.
    output : str or Path
        Gets ``path TAB class``, or with `binary_output` ``path TAB tag TAB affinity``.
    binary_output : str or Path, optional
        For tags: gets ``path TAB tag TAB 0|1``.
    train_list : str or Path, optional
        Says which model: the one that learned this list.

    Raises
    ------
    ValueError
        Where there is no model, or an output is one of the lists or in the place of
        what the scratch folder keeps.
    """
    tags = binary_output is not None
    lists = [test_list] if train_list is None else [test_list, train_list]
    _check_outputs([output, binary_output], lists, scratch)
    clips = read_clips(test_list)
    with threads(n_threads, load_pipeline(pipeline, tags=tags)) as pipeline:
        features = _read(scratch, test_list, clips, pipeline, progress)
        model = choose_model(
            scratch, features, pipeline, tags=tags, train_list=train_list
        )
        _answer(model, clips, features, output, binary_output)


def train_and_classify(
    scratch: PathLike,
    train_list: PathLike,
    test_list: PathLike,
    output: PathLike,
    binary_output: PathLike | None = None,
    *,
    pipeline: PathLike | Pipeline | None = None,
    n_threads: int | None = None,
    progress: bool | None = None,
) -> None:
    """Learn from one list and classify another; no model is kept.

    Parameters
    ----------
    scratch, train_list, test_list, output, binary_output
        As for :func:`train` and :func:`classify`.
    pipeline, n_threads, progress
        As for :func:`extract_features`.

    Raises
    ------
    ValueError
        As by :func:`train` and :func:`classify`.
    """
    tags = binary_output is not None
    _check_outputs([output, binary_output], [train_list, test_list], scratch)
    clips = read_clips(test_list)
    with threads(n_threads, load_pipeline(pipeline, tags=tags)) as pipeline:
        model = _learn(scratch, train_list, pipeline, tags, progress)
        features = _read(scratch, test_list, clips, pipeline, progress)
        _answer(model, clips, features, output, binary_output)


def _check_outputs(outputs, lists, scratch):
    """Refuse outputs that would overwrite what we read, before any work is done."""
    outputs = [path for path in outputs if path is not None]
    if len({real_path(path) for path in outputs}) < len(outputs):
        raise ValueError(
            f"Got {outputs[0]} for affinities and for the 0|1 answers, expected two "
            "files."
        )
    kept = [real_path(Path(scratch) / name) for name in (FEATURES, MODELS)]
    for path in outputs:
        for read in lists:
            if _is_same(path, read):
                raise ValueError(
                    f"Got the output {path}, which is the list {read} and would "
                    "overwrite it. The order is: scratch folder, lists, outputs."
                )
        if Path(path).is_dir():
            raise ValueError(
                f"Got the output {path}, which is a folder, expected a file."
            )
        if any(Path(real_path(path)).is_relative_to(folder) for folder in kept):
            raise ValueError(
                f"Got the output {path}, where the scratch folder keeps features or "
                "models, expected a file elsewhere."
            )


def _is_same(path, other):
    """Whether two paths are of one file, by whatever links."""
    if real_path(path) == real_path(other):
        return True
    return os.path.exists(path) and os.path.samefile(path, other)


def _read(scratch, path, clips, pipeline, progress):
    """Features of the clips of a list, each heard once."""
    embedder, folder = pipeline.steps[0][1], Path(path).parent
    return read_features(embedder, scratch, clips, folder, progress=progress)


def _learn(scratch, train_list, pipeline, tags, progress):
    """A model of a training list."""
    labels = read_training(train_list, tags=tags)
    clips = list(labels)
    features = _read(scratch, train_list, clips, pipeline, progress)
    found = features.found
    _warn(clips, features, "is left out of training")
    if features.statuses[0] == MISSING:
        _hint_at_header(clips[0], list(labels.values()), train_list)
    if not found.any():
        raise ValueError(
            f"None of the {len(clips)} clips of {train_list} can be read, such as "
            f"{clips[0]!r}. Relative paths are taken from the present folder, or else "
            "from that of the list."
        )
    known = [label for label, ok in zip(labels.values(), found, strict=True) if ok]
    lost = _all_labels(labels.values()) - _all_labels(known)
    if lost:
        logger.warning(
            "no clip can be read of %s: never given", ", ".join(sorted(lost))
        )
    return Model.learn(pipeline, features, list(labels.values()), tags=tags)


def _warn(clips, features, consequence):
    """Of each clip without features: why, and what becomes of it."""
    rows = zip(clips, features.statuses, features.reasons, strict=True)
    for clip, status, reason in rows:
        if status != "ok":
            logger.warning("%s: %r %s: %s", status, clip, consequence, reason)


def _hint_at_header(clip, labels, train_list):
    """A first line that names no file, and a label that no other line has."""
    if labels[0] not in labels[1:]:
        logger.warning(
            "the first line of %s names no file, %r, and no other line has its label: "
            "if it is a header, delete it, for no list has one",
            train_list,
            clip,
        )


def _all_labels(labels):
    return {
        name for label in labels for name in ({label} if type(label) is str else label)
    }


def _answer(model, clips, features, output, binary_output):
    """Classify and write; unreadable clips get what is commonest."""
    found = features.found
    if model.tags:
        affinities = np.tile(model.shares, (len(clips), 1))
        if found.any():
            affinities[found] = model.classifier.affinities(features.X[found])
    else:
        numbers = np.full(len(clips), model.majority)
        if found.any():
            numbers[found] = model.classifier.predict(features.X[found])
    commonest = "the shares of the tags" if model.tags else model.names[model.majority]
    _warn(clips, features, f"cannot be read, gets {commonest}")
    if model.tags:
        relevant = affinities >= 0.5
        write_tags(output, binary_output, clips, model.names, affinities, relevant)
    else:
        write_labels(output, clips, [model.names[number] for number in numbers])
