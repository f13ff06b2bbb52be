"""Fit the steps after the embedder: to names of classes, or to tags.

Tags are an indicator matrix. A classifier of scikit-learn that takes one label a clip
is fitted once for each tag. A tag that all training clips have leaves nothing to learn,
and is always given.
"""

import logging
from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from userlogfeat._typing import ArrayLike

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedSteps:
    """Fitted steps, which predict from features.

    Attributes
    ----------
    steps : Pipeline or None
        Fitted to names of classes, or to an indicator of tags. None where all training
        clips have all tags.
    learned : ndarray (n_tags,) of bool, or None
        For tags: which columns the steps were fitted to.
    """

    steps: Pipeline | None
    learned: np.ndarray | None = None

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the class of each clip: (n_clips,)."""
        return self.steps.predict(X)

    def affinities(self, X: np.ndarray) -> np.ndarray:
        """Return the affinity of each tag, from 0 to 1: (n_clips, n_tags)."""
        affinities = np.ones((len(X), len(self.learned)))
        if self.steps is not None:
            affinities[:, self.learned] = self._scores(X)[:, : self.learned.sum()]
        return affinities

    def _scores(self, X):
        """Return what the steps say of each of their tags, from 0 to 1."""
        if hasattr(self.steps, "predict_proba"):
            scores = self.steps.predict_proba(X)
            if isinstance(scores, list):  # one array (n_clips, 2) a tag
                return np.stack([score[:, 1] for score in scores], axis=1)
            return scores
        if hasattr(self.steps, "decision_function"):
            return expit(self.steps.decision_function(X))
        return np.asarray(self.steps.predict(X), dtype=float)


def fit_classes(pipeline: Pipeline, X: np.ndarray, labels: list[str]) -> TrainedSteps:
    """Fit to classes, by their names.

    Parameters
    ----------
    pipeline : Pipeline
        Not changed. Its first step, the embedder, is left out.
    X : ndarray (n_clips, n_features)
    labels : list of str (n_clips,)

    Returns
    -------
    TrainedSteps
    """
    from sklearn.dummy import DummyClassifier

    if len(set(labels)) > 1:
        return TrainedSteps(fit_steps(pipeline, X, np.array(labels)))
    logger.warning("all training clips are of one class: every clip gets it")
    return TrainedSteps(DummyClassifier().fit(X, np.array(labels)))


def fit_tags(pipeline: Pipeline, X: np.ndarray, y: np.ndarray) -> TrainedSteps:
    """Fit to tags.

    Parameters
    ----------
    pipeline : Pipeline
        Not changed. Its first step, the embedder, is left out.
    X : ndarray (n_clips, n_features)
    y : ndarray (n_clips, n_tags) of int
        1 where a clip has a tag, else 0. Each tag has one clip at least.

    Returns
    -------
    TrainedSteps
    """
    from sklearn.multiclass import OneVsRestClassifier

    learned = ~y.all(axis=0)
    if not learned.any():
        return TrainedSteps(None, learned)
    y = y[:, learned]
    if y.shape[1] == 1:  # scikit-learn takes one column for classes, two for tags
        y = np.repeat(y, 2, axis=1)
    name, last = pipeline.steps[-1]
    if not _takes_tags(last):
        last = OneVsRestClassifier(last)
    pipeline = Pipeline([*pipeline.steps[:-1], (name, last)])
    return TrainedSteps(fit_steps(pipeline, X, y), learned)


def fit_steps(pipeline: Pipeline, X: np.ndarray, y: ArrayLike) -> Pipeline:
    """Fit copies of all steps but the first on features.

    A PCA with more components than there are clips or columns gets fewer: folds differ
    in size.

    Parameters
    ----------
    pipeline : Pipeline
        Not changed.
    X : ndarray (n_clips, n_features)
    y : array-like (n_clips,) or (n_clips, n_tags)

    Returns
    -------
    Pipeline
    """
    from sklearn.decomposition import PCA

    steps = Pipeline([(name, clone(step)) for name, step in pipeline.steps[1:]])
    limit = min(X.shape)
    for _, step in steps.steps:
        if isinstance(step, PCA) and isinstance(step.n_components, int):
            limit = min(limit, step.n_components)
            step.set_params(n_components=limit)
    return steps.fit(X, y)


def _takes_tags(step):
    """Whether a classifier takes several labels a clip; one's own is trusted to."""
    from sklearn.model_selection import GridSearchCV, RandomizedSearchCV

    while isinstance(step, Pipeline | GridSearchCV | RandomizedSearchCV):
        step = step.steps[-1][1] if isinstance(step, Pipeline) else step.estimator
    if not type(step).__module__.startswith("sklearn."):
        return True
    tags = step.__sklearn_tags__()
    return tags.classifier_tags.multi_label or tags.target_tags.multi_output
