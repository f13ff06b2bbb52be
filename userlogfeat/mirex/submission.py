"""The four calls of a MIREX train/test submission.

Extract features, train, classify, or both at once. All keep what they make in a scratch
folder: the feature table (see :mod:`userlogfeat.mirex.features`), and one model for
every training list (:mod:`userlogfeat.mirex.models`), so folds may run at once. Train
and classify hear what was not extracted before.

A clip that cannot be read is left out of training, and given the commonest class of the
training list when it is to be classified (of tags: how common each is); both are logged
as warnings.
"""

import logging
from pathlib import Path

import numpy as np

from userlogfeat.mirex.features import read_features
from userlogfeat.mirex.lists import (
    read_clips,
    read_labels,
    read_tags,
    write_labels,
    write_tags,
)
from userlogfeat.mirex.models import Model, choose_model, save_model
from userlogfeat.mirex.pipeline import load_pipeline
from userlogfeat.mirex.threads import threads

logger = logging.getLogger(__name__)


def extract_features(
    scratch, clip_list, *, pipeline=None, n_threads=None, progress=None
):
    """Hear the clips of a list, and keep their features in the scratch folder.

    It may be killed at any moment: the same call goes on where it ended.

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
        found = read_features(
            pipeline.steps[0][1],
            scratch,
            clips,
            Path(clip_list).parent,
            progress=progress,
        ).found
    return int(found.sum()), int((~found).sum())


def train(
    scratch, train_list, *, pipeline=None, tags=False, n_threads=None, progress=None
):
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
    scratch,
    test_list,
    output,
    binary_output=None,
    *,
    train_list=None,
    pipeline=None,
    n_threads=None,
    progress=None,
):
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
        Where there is no model.
    """
    tags = binary_output is not None
    clips = read_clips(test_list)
    with threads(n_threads, load_pipeline(pipeline, tags=tags)) as pipeline:
        features = _read(scratch, test_list, clips, pipeline, progress)
        model = choose_model(
            scratch, features, pipeline, tags=tags, train_list=train_list
        )
        _answer(model, clips, features, output, binary_output)


def train_and_classify(
    scratch,
    train_list,
    test_list,
    output,
    binary_output=None,
    *,
    pipeline=None,
    n_threads=None,
    progress=None,
):
    """Learn from one list and classify another; no model is kept.

    Parameters
    ----------
    scratch, train_list, test_list, output, binary_output
        As for :func:`train` and :func:`classify`.
    pipeline, n_threads, progress
        As for :func:`extract_features`.
    """
    tags = binary_output is not None
    clips = read_clips(test_list)
    with threads(n_threads, load_pipeline(pipeline, tags=tags)) as pipeline:
        model = _learn(scratch, train_list, pipeline, tags, progress)
        features = _read(scratch, test_list, clips, pipeline, progress)
        _answer(model, clips, features, output, binary_output)


def _read(scratch, path, clips, pipeline, progress):
    """Features of the clips of a list, each heard once."""
    embedder, folder = pipeline.steps[0][1], Path(path).parent
    return read_features(embedder, scratch, clips, folder, progress=progress)


def _learn(scratch, train_list, pipeline, tags, progress):
    """A model of a training list."""
    labels = read_tags(train_list) if tags else read_labels(train_list)
    clips = list(labels)
    features = _read(scratch, train_list, clips, pipeline, progress)
    found = features.found
    for clip, status in zip(clips, features.statuses, strict=True):
        if status != "ok":
            logger.warning("%s: %r is left out of training", status, clip)
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
    for clip, status in zip(clips, features.statuses, strict=True):
        if status != "ok":
            logger.warning("%s: %r cannot be read, gets %s", status, clip, commonest)
    if model.tags:
        relevant = affinities >= 0.5
        write_tags(output, binary_output, clips, model.names, affinities, relevant)
    else:
        write_labels(output, clips, [model.names[number] for number in numbers])
