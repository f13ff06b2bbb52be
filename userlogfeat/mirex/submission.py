"""The four calls of a MIREX train/test submission.

Extract features, train, classify, or the last two at once. All keep their results in a
scratch folder: the feature table (see :mod:`userlogfeat.mirex.features`), and one model
for every training list (:mod:`userlogfeat.mirex.models`), so folds may run at once.
Train and classify extract the features that are missing.

A clip that cannot be read is left out of training. When it is to be classified, it gets
the commonest class of the training list, or for each tag the share of training clips
that have it. Both are logged as warnings.
"""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from userlogfeat._check import check_positive
from userlogfeat._typing import PathLike
from userlogfeat.mirex.features import FEATURES, MISSING, read_features
from userlogfeat.mirex.lists import (
    check_outputs,
    read_clips,
    read_training,
    write_labels,
    write_tags,
)
from userlogfeat.mirex.models import MODELS, Model, choose_model, save_model
from userlogfeat.mirex.pipeline import load_pipeline

logger = logging.getLogger(__name__)


def extract_features(
    scratch: PathLike,
    clip_list: PathLike,
    *,
    pipeline: PathLike | Pipeline | None = None,
    n_threads: int | None = None,
    progress: bool | None = None,
) -> tuple[int, int]:
    """Extract features of the clips of a list, and keep them in the scratch folder.

    It may be killed at any moment: the same call goes on. A kill costs the work since
    features were last written: ten seconds, or where that is longer, the last batches
    of clips.

    Parameters
    ----------
    scratch : str or Path
        Made where it is missing.
    clip_list : str or Path
        One path per line. A training list will do as well.
    pipeline : str, Path or Pipeline, optional
        As for :func:`~userlogfeat.mirex.load_pipeline`.
    n_threads : int, optional
        Number of threads that decode, and that compute; by default one for each
        processor that this process may use.
    progress : bool, optional
        Whether to show a bar; by default on a terminal.

    Returns
    -------
    n_read, n_failed : int
        Number of clips that have features, and that have none; repeats count once.
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
    """Train on a list; keep the model in the scratch folder.

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
        The model's file.

    Raises
    ------
    ValueError
        Where the list is at fault, no clip of it can be read, or the trained pipeline
        cannot be kept.
    """
    with threads(n_threads, load_pipeline(pipeline, tags=tags)) as pipeline:
        model = _train(scratch, train_list, pipeline, tags, progress)
        return save_model(scratch, model, pipeline)


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

    If the scratch folder has several models, the one that was trained on no clip of the
    test list is used; of several such, the newest.

    Parameters
    ----------
    scratch, pipeline, n_threads, progress
        As for :func:`extract_features`; the pipeline is the one that was trained.
    test_list : str or Path
        One path per line.
    output : str or Path
        File for ``path TAB class``, or with `binary_output` ``path TAB tag TAB
        affinity``.
    binary_output : str or Path, optional
        For tags: file for ``path TAB tag TAB 0|1``.
    train_list : str or Path, optional
        Names the model: the one that was trained on this list.

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
    """Train on one list and classify another; no model is kept.

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
        model = _train(scratch, train_list, pipeline, tags, progress)
        features = _read(scratch, test_list, clips, pipeline, progress)
        _answer(model, clips, features, output, binary_output)


@contextlib.contextmanager
def threads(n_threads: int | None, pipeline: Pipeline) -> Iterator[Pipeline]:
    """Hold torch and the linear algebra to a number of threads inside the block.

    Parameters
    ----------
    n_threads : int or None
        None: one for each processor that this process may use.
    pipeline : Pipeline
        Not changed.

    Yields
    ------
    Pipeline
        A copy whose embedder decodes with as many threads.
    """
    import joblib
    import torch
    from threadpoolctl import threadpool_limits

    if n_threads is None:
        n_threads = joblib.cpu_count()
    check_positive(n_threads, "n_threads", integer=True)
    pipeline = clone(pipeline)
    embedder = pipeline.steps[0][1]
    if "n_jobs" in embedder.get_params():
        embedder.set_params(n_jobs=n_threads)
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        with threadpool_limits(n_threads):
            yield pipeline
    finally:
        torch.set_num_threads(before)


def _check_outputs(outputs, lists, scratch):
    """Refuse outputs that would overwrite what is read, before any work is done."""
    outputs = [path for path in outputs if path is not None]
    check_outputs(*outputs)
    kept = [Path(scratch, name).resolve() for name in (FEATURES, MODELS)]
    for path in outputs:
        for read in lists:
            if _is_same(path, read):
                raise ValueError(
                    f"Got the output {path}, which is the list {read} and would "
                    "overwrite it. The order is: scratch folder, lists, outputs."
                )
        if any(Path(path).resolve().is_relative_to(folder) for folder in kept):
            raise ValueError(
                f"Got the output {path}, where the scratch folder keeps features or "
                "models, expected a file elsewhere."
            )


def _is_same(path, other):
    """Whether two paths lead to one file, by whatever links."""
    if os.path.exists(path):
        return os.path.samefile(path, other)
    return os.path.realpath(path) == os.path.realpath(other)


def _read(scratch, path, clips, pipeline, progress):
    """Read or extract features of the clips of a list."""
    embedder, folder = pipeline.steps[0][1], Path(path).parent
    return read_features(embedder, scratch, clips, folder, progress=progress)


def _train(scratch, train_list, pipeline, tags, progress):
    """Train on a list, and warn of what it loses."""
    labels = read_training(train_list, tags=tags)
    clips, values = list(labels), list(labels.values())
    features = _read(scratch, train_list, clips, pipeline, progress)
    _warn(clips, features, "is left out of training")
    if features.statuses[0] == MISSING and values[0] not in values[1:]:
        logger.warning(
            "the first line of %s names no file, %r, and no other line has its label: "
            "if it is a header, delete it, for no list has one",
            train_list,
            clips[0],
        )
    if not features.found.any():
        raise ValueError(
            f"None of the {len(clips)} clips of {train_list} can be read, such as "
            f"{clips[0]!r}. Relative paths are taken from the present folder, or else "
            "from that of the list."
        )
    model = Model.learn(pipeline, features, values, tags=tags)
    lost = set().union(*model.labels.values()) - set(model.names)
    if lost:
        logger.warning(
            "no clip can be read of %s: never given", ", ".join(sorted(lost))
        )
    return model


def _warn(clips, features, consequence):
    """Warn of each clip without features: why, and what becomes of it."""
    rows = zip(clips, features.statuses, features.reasons, strict=True)
    for clip, status, reason in rows:
        if status != "ok":
            logger.warning("%s: %r %s: %s", status, clip, consequence, reason)


def _answer(model, clips, features, output, binary_output):
    """Classify and write; unreadable clips get the commonest answer."""
    found = features.found
    default = "the shares of the tags" if model.tags else model.commonest
    _warn(clips, features, f"cannot be read, gets {default}")
    if model.tags:
        affinities = np.tile(model.shares, (len(clips), 1))
        if found.any():
            affinities[found] = model.trained.affinities(features.X[found])
        relevant = affinities >= 0.5
        write_tags(output, binary_output, clips, model.names, affinities, relevant)
    else:
        labels = np.full(len(clips), default, dtype=object)
        if found.any():
            labels[found] = model.trained.predict(features.X[found])
        write_labels(output, clips, labels.tolist())
