"""Trained models in the scratch folder, one for every training list.

A model is one file: the fitted steps as `skops.io` writes them, and beside them in the
same zip ``training.json``, which says what they were trained on. Loading runs no code
of the file: it may hold scikit-learn's estimators and the types that the caller's own
pipeline has, and nothing else. Arrays inside are not checked against each other:
scikit-learn believes them.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from userlogfeat._digests import json_digest
from userlogfeat._files import make_below, replace_file
from userlogfeat._typing import PathLike
from userlogfeat._untrusted import parse_json
from userlogfeat.mirex.features import Features
from userlogfeat.mirex.lists import find_clip, read_training
from userlogfeat.mirex.training import TrainedSteps, fit_classes, fit_tags

logger = logging.getLogger(__name__)

FORMAT = "userlogfeat mirex model 3"
MODELS, SUFFIX, TRAINING = "models", ".skops", "training.json"
MAX_MODEL_BYTES = 1 << 32
# Parts of scikit-learn's fitted classifiers that skops does not trust by itself.
TRUSTED = (
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    "sklearn.gaussian_process.kernels.ConstantKernel",
    "sklearn.gaussian_process.kernels.Product",
    "sklearn.gaussian_process.kernels.RBF",
    "sklearn.metrics._classification.accuracy_score",
    "sklearn.metrics._classification.balanced_accuracy_score",
    "sklearn.metrics._classification.f1_score",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.metrics._dist_metrics.MinkowskiDistance64",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.metrics._scorer._Scorer",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.multiclass._ConstantPredictor",
    "sklearn.multioutput._ConstantPredictor",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
)


@dataclass(frozen=True)
class Model:
    """Trained steps, and what they were trained on.

    Attributes
    ----------
    trained : TrainedSteps
    names : list of str
        Classes or tags, sorted.
    shares : list of float (n_names,)
        Part of the training clips that have each, unreadable ones included.
    tags : bool
        Whether clips may have several labels.
    labels : dict of str to list of str
        Class, or tags, of each training clip, by absolute path.
    fingerprint : str
        Which features the steps were fitted to.
    pipeline : str
        The steps before they were fitted, as text, to distinguish pipelines.
    """

    trained: TrainedSteps
    names: list[str]
    shares: list[float]
    tags: bool
    labels: dict[str, list[str]]
    fingerprint: str
    pipeline: str

    @property
    def commonest(self) -> str:
        """Most frequent class, the first by name of equals."""
        return self.names[np.argmax(self.shares)]

    @classmethod
    def learn(
        cls, pipeline: Pipeline, features: Features, labels: list[Any], *, tags: bool
    ) -> Model:
        """Fit the pipeline's steps to the clips whose features were found.

        Parameters
        ----------
        pipeline : Pipeline
        features : Features
            Features of the training clips.
        labels : list of str, or of set of str
            Class or tags of each clip.
        tags : bool

        Returns
        -------
        Model

        Raises
        ------
        ValueError
            Where no clip with features has a tag.
        """
        lists = [sorted(label) if tags else [label] for label in labels]
        found = features.found
        readable = [own for own, ok in zip(lists, found, strict=True) if ok]
        names = sorted(set().union(*readable))
        if not names:
            raise ValueError("None of the training clips that can be read has a tag.")
        X = features.X[found]
        if tags:
            y = np.array([[name in own for name in names] for own in readable])
            trained = fit_tags(pipeline, X, y.astype(int))
        else:
            classes, listed = (
                [label for (label,) in part] for part in (readable, lists)
            )
            trained = fit_classes(pipeline, X, classes, listed=listed)
        counts = [sum(name in own for own in lists) for name in names]
        shares = [count / len(lists) for count in counts]
        labels = dict(zip(features.paths, lists, strict=True))
        text = _as_text(pipeline)
        return cls(trained, names, shares, tags, labels, features.fingerprint, text)


def save_model(scratch: PathLike, model: Model, pipeline: Pipeline) -> Path:
    """Write a model into the scratch folder, in place of one of the same list.

    Parameters
    ----------
    scratch : str or Path
    model : Model
    pipeline : Pipeline
        The pipeline that was trained: types in it are trusted.

    Returns
    -------
    Path
        The model's file.

    Raises
    ------
    ValueError
        Where the fitted steps hold types that loading would not trust.
    """
    import skops.io

    data, learned = skops.io.dumps(model.trained.steps), model.trained.learned
    _load_steps(data, pipeline, "The trained pipeline")
    entries = {**vars(model), "format": FORMAT}
    entries["trained"] = None if learned is None else learned.tolist()
    key = [entries[part] for part in ("labels", "fingerprint", "pipeline", "tags")]
    key = json_digest(key)[:16]
    folder = make_below(scratch, MODELS)
    path = folder / f"{key}{SUFFIX}"
    # It is the newest by its time, also where the clock was set back.
    times = [other.stat().st_mtime_ns for other in folder.glob(f"*{SUFFIX}")]
    made = max([time.time_ns(), *(time_ns + 1000 for time_ns in times)])
    with replace_file(path) as temporary:
        temporary.write_bytes(data)
        with ZipFile(temporary, "a") as file:
            file.writestr(TRAINING, json.dumps(entries))  # paths not in UTF-8: escaped
        os.utime(temporary, ns=(made, made))
    return path


def choose_model(
    scratch: PathLike,
    features: Features,
    pipeline: Pipeline,
    *,
    tags: bool,
    train_list: PathLike | None = None,
) -> Model:
    """Load the model for some test clips.

    Parameters
    ----------
    scratch : str or Path
    features : Features
        Features of the test clips.
    pipeline : Pipeline
        Only models of this pipeline count.
    tags : bool
    train_list : str or Path, optional
        Only the model of this list counts.

    Returns
    -------
    Model
        The one that was trained on none of the test clips; of several, or where all
        were trained on some, the newest.

    Raises
    ------
    ValueError
        Where there is none, or it is damaged or holds types that are not trusted.
    """
    models = _read_models(scratch, features.fingerprint, _as_text(pipeline), tags)
    if train_list is not None:
        labels = _labels_of(train_list, tags)
        models = {path: own for path, own in models.items() if own["labels"] == labels}
    if not models:
        of_list = f" of {train_list}" if train_list else ""
        raise ValueError(
            f"There is no model{of_list} of this pipeline{' for tags' if tags else ''} "
            f"in {Path(scratch) / MODELS}. Run `userlogfeat mirex train {scratch} "
            f"TRAINLIST{' --tags' if tags else ''}` with the same --pipeline first."
        )
    tested = set(features.paths)
    apart = [path for path, own in models.items() if tested.isdisjoint(own["labels"])]
    chosen = max(apart or models, key=lambda path: path.stat().st_mtime_ns)
    if not apart:
        n_shared = len(tested & set(models[chosen]["labels"]))
        logger.warning("%d of %d test clips were trained on", n_shared, len(tested))
    elif len(apart) > 1 and train_list is None:
        logger.warning(
            "%d models were trained on none of the test clips: the newest, %s, is used",
            len(apart),
            chosen.name,
        )
    steps = _load_steps(chosen.read_bytes(), pipeline, str(chosen))
    entries = {name: models[chosen][name] for name in Model.__dataclass_fields__}
    learned = entries.pop("trained")
    learned = None if learned is None else np.array(learned, bool)
    return Model(TrainedSteps(steps, learned), **entries)


def _load_steps(data, pipeline, name):
    """Load fitted steps; what they hold is of trusted types only."""
    import skops.io

    try:
        # Classes of the caller's own pipeline may run: they have done so already.
        own = skops.io.get_untrusted_types(data=skops.io.dumps(pipeline.steps[1:]))
        return skops.io.loads(data, trusted=[*TRUSTED, *own])
    except Exception as error:  # skops raises whatever a damaged file makes it meet
        raise ValueError(
            f"{name} cannot be loaded: {str(error).rstrip('.')}. A model holds "
            "scikit-learn's estimators and importable classes of your own pipeline: "
            "for others run `userlogfeat mirex train-and-classify`, which keeps none. "
            "Or was the file damaged? Then train again."
        ) from error


def _read_models(scratch, *expected):
    """Read training.json of the models of a fingerprint and pipeline, by path."""
    keys = ("format", "fingerprint", "pipeline", "tags")
    paths = sorted((Path(scratch) / MODELS).glob(f"*{SUFFIX}"))
    found = {path: _read_training(path) for path in paths}
    wanted = [FORMAT, *expected]
    return {p: own for p, own in found.items() if [*map(own.get, keys)] == wanted}


def _read_training(path):
    """Read training.json of a model, checked; another format's comes as it is."""
    try:
        if not path.is_file():  # a pipe would be waited for
            raise ValueError("it is not a regular file")
        with ZipFile(path) as file:
            if sum(info.file_size for info in file.infolist()) > MAX_MODEL_BYTES:
                raise ValueError(f"it has more than {MAX_MODEL_BYTES} bytes")
            entries = parse_json(file.read(TRAINING))
        if entries["format"] == FORMAT:
            for name, fits in _CHECKS.items():
                if not fits(entries[name], entries):
                    raise ValueError(f"its entry {name!r} does not fit")
    except Exception as error:
        raise ValueError(
            f"{path} is damaged ({error}). Delete it and train again."
        ) from error
    return entries


_CHECKS = {
    "tags": lambda tags, _: isinstance(tags, bool),
    "names": lambda names, _: names and names == sorted(set(names)),
    "shares": lambda shares, all_: (
        len(shares) == len(all_["names"]) and all(0 <= share <= 1 for share in shares)
    ),
    "labels": lambda labels, _: all(isinstance(own, list) for own in labels.values()),
    "trained": lambda learned, all_: (  # of tags, to which the steps were fitted
        len(learned) == len(all_["names"]) if all_["tags"] else learned is None
    ),
}


def _labels_of(train_list, tags):
    """Labels of a training list as a model has them."""
    folder = Path(train_list).parent
    return {
        find_clip(clip, folder): sorted(label) if tags else [label]
        for clip, label in read_training(train_list, tags=tags).items()
    }


def _as_text(pipeline):
    """The steps after the embedder as text, without addresses in memory."""
    texts = [
        step.__repr__(10**9) if isinstance(step, BaseEstimator) else repr(step)
        for _, step in pipeline.steps[1:]
    ]
    return re.sub(r" at 0x[0-9a-f]+", "", " ".join(", ".join(texts).split()))
