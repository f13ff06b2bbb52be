"""Fit the steps after the embedder: to names of classes, or to tags.

Tags are an indicator matrix. A classifier of scikit-learn that takes one label per clip
is fitted once for each tag. A tag that all training clips have leaves nothing to learn,
and is always given.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from userlogfeat._typing import ArrayLike

logger = logging.getLogger(__name__)

_WEIGHT = "class_weight"


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


def fit_classes(
    pipeline: Pipeline,
    X: np.ndarray,
    labels: list[str],
    *,
    listed: Collection[str] = (),
) -> TrainedSteps:
    """Fit to classes, by their names.

    Parameters
    ----------
    pipeline : Pipeline
        Not changed. Its first step, the embedder, is left out.
    X : ndarray (n_clips, n_features)
    labels : list of str (n_clips,)
    listed : collection of str
        Further classes of the training list, none of whose clips could be read. They
        may have a weight, too.

    Returns
    -------
    TrainedSteps

    Raises
    ------
    ValueError
        Where `class_weight` names a class that the training list has not.
    """
    from sklearn.dummy import DummyClassifier

    if len(set(labels)) > 1:
        pipeline = _weigh_by_name(pipeline, set(labels), {*labels, *listed})
        return TrainedSteps(fit_steps(pipeline, X, np.array(labels)))
    logger.warning("all training clips have one class: every clip gets it")
    return TrainedSteps(DummyClassifier().fit(X, np.array(labels)))


def fit_tags(pipeline: Pipeline, X: np.ndarray, y: np.ndarray) -> TrainedSteps:
    """Fit to tags.

    Parameters
    ----------
    pipeline : Pipeline
        Not changed. Its first step, the embedder, is left out.
    X : ndarray (n_clips, n_features)
    y : ndarray (n_clips, n_tags) of int
        1 where a clip has a tag, else 0. Each tag has at least one clip.

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


def _innermost(step):
    """Find what a pipeline or a search fits in the end."""
    from sklearn.model_selection import GridSearchCV, RandomizedSearchCV

    while isinstance(step, Pipeline | GridSearchCV | RandomizedSearchCV):
        step = step.steps[-1][1] if isinstance(step, Pipeline) else step.estimator
    return step


def _weigh_by_name(pipeline, names, listed):
    """Return the pipeline with every `class_weight` for the classes it will see."""
    steps = Pipeline([(name, clone(step)) for name, step in pipeline.steps])
    parameters = steps.get_params()
    for key, weights in parameters.items():
        owner, _, parameter = key.rpartition("__")
        if parameter != _WEIGHT or not isinstance(weights, dict):
            continue
        if parameters[owner] is _innermost(steps.steps[-1][1]):
            steps.set_params(**{key: _weights(weights, names, listed)})
        elif not set(weights) <= {0, 1}:
            raise ValueError(
                f"Got class_weight={weights!r} of {parameters[owner]!r}, which sees "
                "other classes. Name classes in the last step of the pipeline."
            )
    last = steps.steps[-1][1]
    for name in ("param_grid", "param_distributions"):
        if hasattr(last, name):
            last.set_params(**{name: _grid(getattr(last, name), names, listed)})
    return steps


def _grid(grid, names, listed):
    """Return the candidates of a search, with their weights by name."""
    if isinstance(grid, list | tuple):
        return [_grid(part, names, listed) for part in grid]
    return {
        key: [_weights(v, names, listed) if isinstance(v, dict) else v for v in values]
        if key.rpartition("__")[2] == _WEIGHT and isinstance(values, list | tuple)
        else values
        for key, values in grid.items()
    }


def _weights(weights, names, listed):
    """Return weights by name, of the classes that can be learned."""
    unknown = [name for name in weights if str(name) not in listed]
    if unknown:
        raise ValueError(
            f"Got class_weight={weights!r}, but the training list has no class "
            f"{unknown[0]!r}: it has {', '.join(sorted(listed))}."
        )
    weights = {str(name): weight for name, weight in weights.items()}
    weights = {name: weights.get(name, 1) for name in names}
    # scikit-learn 1.9 looks a class "7" up as the number 7, earlier ones as it is.
    numbers = {int(name): w for name, w in weights.items() if name.isdecimal()}
    return weights | numbers


def _takes_tags(step):
    """Whether a classifier takes several labels per clip; one's own is trusted to."""
    step = _innermost(step)
    if not type(step).__module__.startswith("sklearn."):
        return True
    tags = step.__sklearn_tags__()
    return tags.classifier_tags.multi_label or tags.target_tags.multi_output
