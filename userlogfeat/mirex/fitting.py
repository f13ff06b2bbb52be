"""Fitting the steps of a pipeline to features: to numbers of classes, or to tags.

Classifiers see classes as numbers, in the order of their names. Tags are an indicator
matrix; a classifier of scikit-learn that takes one label a clip is then fitted once for
each tag. A tag that all clips have teaches nothing, and is always given.
"""

import logging
from collections.abc import Collection

import numpy as np
from scipy.special import expit
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from userlogfeat._typing import ArrayLike
from userlogfeat.mirex.classifier import ArrayClassifier, Constant

logger = logging.getLogger(__name__)

_CERTAIN = 40.0  # a decision whose affinity is 1, as far as can be told
_WEIGHT = "class_weight"


class FittedPipeline:
    """Fitted steps that arrays cannot hold, as they are.

    Parameters
    ----------
    steps : Pipeline
        Fitted to numbers of classes, or to an indicator of tags.
    learned : ndarray (n_tags,) of bool, optional
        Of tags: False for those that all clips had, which the steps have not seen.
    """

    def __init__(self, steps: Pipeline, learned: np.ndarray | None = None) -> None:
        self.steps = steps
        self.learned = learned

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Numbers of classes: (n_clips,)."""
        return np.asarray(self.steps.predict(X)).astype(int)

    def affinities(self, X: np.ndarray) -> np.ndarray:
        """Affinity of each tag, from 0 to 1: (n_clips, n_tags)."""
        affinities = np.ones((len(X), len(self.learned)))
        affinities[:, self.learned] = self._scores(X)
        return affinities

    def _scores(self, X):
        """Affinities of the tags that were learned: (n_clips, n_learned)."""
        if hasattr(self.steps, "predict_proba"):
            scores = self.steps.predict_proba(X)
            if isinstance(scores, list):  # one array (n_clips, 2) a tag
                scores = np.stack([score[:, 1] for score in scores], axis=1)
            elif self.learned.sum() == 1:  # of both answers
                scores = scores[:, -1]
        elif hasattr(self.steps, "decision_function"):
            scores = expit(self.steps.decision_function(X))
        else:
            scores = self.steps.predict(X)
        scores = np.asarray(scores, dtype=float)
        return scores[:, None] if scores.ndim == 1 else scores


def fit_classes(
    pipeline: Pipeline,
    X: np.ndarray,
    y: np.ndarray,
    names: list[str],
    *,
    listed: Collection[str] = (),
) -> ArrayClassifier | FittedPipeline:
    """Fit to classes.

    Parameters
    ----------
    pipeline : Pipeline
        Not changed.
    X : ndarray (n_clips, n_features)
    y : ndarray (n_clips,) of int
        Numbers of classes.
    names : list of str
        Of these numbers.
    listed : collection of str
        Further classes that the training list has.

    Returns
    -------
    ArrayClassifier or FittedPipeline
    """
    if len(names) == 1:
        logger.warning("all training clips are of one class: every clip gets it")
        return ArrayClassifier([], [Constant(np.zeros(1))])
    pipeline = _with_numbers(pipeline, names, {*names, *listed})
    steps = fit_steps(pipeline, X, y)
    return ArrayClassifier.of(steps, X) or FittedPipeline(steps)


def fit_tags(
    pipeline: Pipeline, X: np.ndarray, y: np.ndarray
) -> ArrayClassifier | FittedPipeline:
    """Fit to tags.

    Parameters
    ----------
    pipeline : Pipeline
        Not changed.
    X : ndarray (n_clips, n_features)
    y : ndarray (n_clips, n_tags) of int
        1 where a clip has a tag, else 0; each tag is there once at least.

    Returns
    -------
    ArrayClassifier or FittedPipeline
    """
    always = Constant(np.array([_CERTAIN]))
    learned = ~y.all(axis=0).astype(bool)
    if not learned.any():
        return ArrayClassifier([], [always] * len(learned))
    pipeline = _with_tags(pipeline)
    y = y[:, learned]
    if y.shape[1] == 1 and not _wants_columns(pipeline.steps[-1][1]):
        y = y[:, 0]
    steps = fit_steps(pipeline, X, y)
    arrays = ArrayClassifier.of(steps, X)
    if arrays is None:
        return FittedPipeline(steps, learned)
    machines = iter(arrays.machines)
    machines = [next(machines) if taught else always for taught in learned]
    return ArrayClassifier(arrays.steps, machines)


def fit_steps(pipeline: Pipeline, X: np.ndarray, y: ArrayLike) -> Pipeline:
    """Fit all steps but the first on features.

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
        if isinstance(step, PCA):
            if isinstance(step.n_components, int) and step.n_components > limit:
                step.set_params(n_components=limit)
            limit = min(limit, step.n_components) if step.n_components else limit
    return steps.fit(X, y)


def _with_tags(pipeline):
    """The pipeline, its last step one that several labels a clip can be taught."""
    from sklearn.multiclass import OneVsRestClassifier

    name, last = pipeline.steps[-1]
    if _takes_tags(last):
        return pipeline
    return Pipeline([*pipeline.steps[:-1], (name, OneVsRestClassifier(last))])


def _takes_tags(step):
    """Whether it learns several labels; classifiers of one's own are believed to."""
    step = _innermost(step)
    if not type(step).__module__.startswith("sklearn."):
        return True
    tags = step.__sklearn_tags__()
    return tags.classifier_tags.multi_label or tags.target_tags.multi_output


def _wants_columns(step):
    """Whether it takes a single tag as a matrix with one column only."""
    return type(_innermost(step)).__name__ in (
        "MultiOutputClassifier",
        "ClassifierChain",
    )


def _innermost(step):
    """What a pipeline or a search fits in the end."""
    from sklearn.model_selection import GridSearchCV, RandomizedSearchCV

    while isinstance(step, Pipeline | GridSearchCV | RandomizedSearchCV):
        step = step.steps[-1][1] if isinstance(step, Pipeline) else step.estimator
    return step


def _with_numbers(pipeline, names, listed):
    """The pipeline, with classes of `class_weight` as the numbers that it learns."""
    steps = Pipeline([(name, clone(step)) for name, step in pipeline.steps])
    for key, weights in steps.get_params().items():
        owner, _, parameter = key.rpartition("__")
        if parameter != _WEIGHT or not isinstance(weights, dict):
            continue
        owner = steps.get_params()[owner]
        if owner is _innermost(steps.steps[-1][1]):
            steps.set_params(**{key: _numbers(weights, names, listed)})
        elif not set(weights) <= {0, 1}:
            raise ValueError(
                f"Got class_weight={weights!r} of {owner!r}, which is not told the "
                "classes themselves. Name classes in the last step of the pipeline."
            )
    for name in ("param_grid", "param_distributions"):
        last = steps.steps[-1][1]
        if getattr(last, name, None) is not None:
            grid = _searched(getattr(last, name), names, listed)
            last.set_params(**{name: grid})
    return steps


def _searched(grid, names, listed):
    """The candidates of a search, their weights by number."""
    if isinstance(grid, list | tuple):
        return [_searched(part, names, listed) for part in grid]
    return {
        key: [_numbers(v, names, listed) if isinstance(v, dict) else v for v in values]
        if key.rpartition("__")[2] == _WEIGHT and isinstance(values, list | tuple)
        else values
        for key, values in grid.items()
    }


def _numbers(weights, names, listed):
    """Weights by number, of the classes that can be learned."""
    unknown = [name for name in weights if str(name) not in listed]
    if unknown:
        raise ValueError(
            f"Got class_weight={weights!r}, but the training list has no class "
            f"{unknown[0]!r}: it has {', '.join(sorted(listed))}."
        )
    weights = {str(name): weight for name, weight in weights.items()}
    return {i: weights[name] for i, name in enumerate(names) if name in weights}
