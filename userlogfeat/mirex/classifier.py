"""What a training run learned, as arrays on disk: no pickles.

Steps that are affine (scaling, PCA) become a matrix and a vector, and support vector
machines their support vectors and coefficients; safetensors holds these, JSON the rest.
Loading runs no code of the folder, and another version of scikit-learn predicts the
same. Steps of other kinds are not stored: the model is then the training list itself,
and classifying fits the pipeline again, from features that are in the scratch folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy.special import expit

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


_BLOCK = 4096  # clips whose kernel is computed at once


class Affine:
    """x -> x @ matrix + offset: what scaling and PCA do."""

    kind = "affine"

    def __init__(self, matrix: np.ndarray, offset: np.ndarray) -> None:
        self.matrix, self.offset = matrix, offset

    @classmethod
    def of(cls, step: Any) -> Self:
        """From a fitted StandardScaler or PCA."""
        if type(step).__name__ == "StandardScaler":
            n = step.n_features_in_
            mean = step.mean_ if step.with_mean else np.zeros(n)
            scale = step.scale_ if step.with_std else np.ones(n)
            return cls(np.diag(1 / scale), -mean / scale)
        matrix = step.components_.T.astype(np.float64)
        if step.whiten:
            matrix = matrix / np.sqrt(step.explained_variance_)
        return cls(matrix, -step.mean_ @ matrix)

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Apply it to (n_clips, n_features)."""
        return X @ self.matrix + self.offset

    def arrays(self) -> dict[str, np.ndarray]:
        """What to store."""
        return {"matrix": self.matrix, "offset": self.offset}


class SupportVectors:
    r"""A support vector machine: the RBF or linear kernel, every pair of classes.

    For the pair (i, j), i < j, libsvm sums the kernel with the support vectors of both
    classes, with the coefficients that i has against j and j against i; a positive sum
    is a vote for i. The class with most votes wins, the first one of equals. Chang and
    Lin (2011), "LIBSVM: a library for support vector machines", section 7.

    Parameters
    ----------
    vectors : ndarray (n_vectors, n_features)
        Sorted by class.
    coefficients : ndarray (n_classes - 1, n_vectors)
    intercepts : ndarray (n_pairs,)
    counts : ndarray (n_classes,)
        Support vectors of each class.
    gamma : ndarray (1,)
        Of the RBF kernel; 0 stands for the linear one.
    """

    kind = "svm"

    def __init__(
        self,
        vectors: np.ndarray,
        coefficients: np.ndarray,
        intercepts: np.ndarray,
        counts: np.ndarray,
        gamma: np.ndarray,
    ) -> None:
        self.vectors = vectors
        self.coefficients = coefficients
        self.intercepts = intercepts
        self.counts = counts
        self.gamma = gamma

    @classmethod
    def of(cls, svc: Any, X: np.ndarray) -> Self:
        """From a fitted SVC and what it was fitted on (for ``gamma="scale"``)."""
        gamma, n_features, variance = svc.gamma, X.shape[1], X.var()
        if svc.kernel == "linear":
            gamma = 0.0
        elif gamma == "scale":
            gamma = 1 / (n_features * variance) if variance else 1.0
        elif gamma == "auto":
            gamma = 1 / n_features
        return cls(
            np.asarray(svc.support_vectors_, np.float64),
            np.asarray(svc.dual_coef_, np.float64),
            np.asarray(svc.intercept_, np.float64),
            np.asarray(svc.n_support_, np.int64),
            np.array([gamma], np.float64),
        )

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Numbers of the classes of clips: (n_clips,)."""
        decisions = self.decide(X)
        n = len(self.counts)
        if n == 2:
            return (decisions[:, 0] > 0).astype(int)  # positive: the second class
        votes = np.zeros((len(X), n), dtype=int)
        rows = np.arange(len(X))
        for pair, (i, j) in enumerate(zip(*np.triu_indices(n, 1), strict=True)):
            votes[rows, np.where(decisions[:, pair] > 0, i, j)] += 1
        return votes.argmax(axis=1)

    def decide(self, X: np.ndarray) -> np.ndarray:
        """Decision of each pair of classes: (n_clips, n_pairs)."""
        blocks = range(0, len(X), _BLOCK)
        return np.concatenate([self._decide(X[i : i + _BLOCK]) for i in blocks])

    def _decide(self, X):
        kernel = self._kernel(X)
        if len(self.counts) == 2:
            return kernel @ self.coefficients[0][:, None] + self.intercepts
        ends = np.concatenate([[0], np.cumsum(self.counts)])
        parts = [slice(*ends[i : i + 2]) for i in range(len(self.counts))]
        pairs = zip(*np.triu_indices(len(self.counts), 1), strict=True)
        return np.stack(
            [
                kernel[:, parts[i]] @ self.coefficients[j - 1, parts[i]]
                + kernel[:, parts[j]] @ self.coefficients[i, parts[j]]
                + self.intercepts[pair]
                for pair, (i, j) in enumerate(pairs)
            ],
            axis=1,
        )

    def _kernel(self, X):
        products = X @ self.vectors.T
        if self.gamma[0] == 0:
            return products
        squares = np.square(X).sum(1)[:, None] + np.square(self.vectors).sum(1)
        return np.exp(-self.gamma[0] * np.maximum(squares - 2 * products, 0))

    def arrays(self) -> dict[str, np.ndarray]:
        """What to store."""
        return dict(vars(self))

    def check(self, n_features: int) -> int:
        """The number of classes; raise a ValueError where arrays do not fit."""
        n, n_vectors = len(self.counts), len(self.vectors)
        expected = {
            "vectors": (n_vectors, n_features or self.vectors.shape[-1]),
            "coefficients": (n - 1, n_vectors),
            "intercepts": (n * (n - 1) // 2,),
            "counts": (n,),
            "gamma": (1,),
        }
        found = {name: array.shape for name, array in self.arrays().items()}
        whole = self.counts.dtype.kind == "i" and (self.counts >= 0).all()
        if found != expected or n < 2 or not whole or self.counts.sum() != n_vectors:
            raise ValueError(f"arrays of shapes {found}, expected {expected}")
        return n


class Constant:
    """One answer for every clip: where the training clips are all of one class.

    Parameters
    ----------
    value : ndarray (1,)
        Decision: positive or negative.
    """

    kind = "constant"

    def __init__(self, value: np.ndarray) -> None:
        self.value = value

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The first class."""
        return np.zeros(len(X), dtype=int)

    def decide(self, X: np.ndarray) -> np.ndarray:
        """The same decision for all clips: (n_clips, 1)."""
        return np.full((len(X), 1), self.value[0])

    def arrays(self) -> dict[str, np.ndarray]:
        """What to store."""
        return {"value": self.value}

    def check(self, n_features: int) -> int:
        """The number of classes; raise a ValueError where it is no number."""
        if self.value.shape != (1,):
            raise ValueError(f"a constant of shape {self.value.shape}, expected (1,)")
        return 1


_KINDS = {kind.kind: kind for kind in (Affine, SupportVectors, Constant)}


class ArrayClassifier:
    """Affine steps, and one machine for classes or one machine a tag.

    Parameters
    ----------
    steps : list of Affine
    machines : list
        :class:`SupportVectors` or :class:`Constant`: one, or one a tag.
    """

    def __init__(self, steps: list[Affine], machines: list[Any]) -> None:
        self.steps, self.machines = steps, machines

    @classmethod
    def of(cls, pipeline: Pipeline, X: np.ndarray) -> Self | None:
        """From fitted steps, or None where some are of other kinds.

        Parameters
        ----------
        pipeline : Pipeline
            Fitted; the first step hears features.
        X : ndarray (n_clips, n_features)
            What it was fitted on.
        """
        *first, last = [step for _, step in pipeline.steps]
        if not all(_is_affine(step) for step in first):
            return None
        machines = [last]
        if _is(last, "OneVsRestClassifier"):
            if not last.multilabel_ and len(last.estimators_) > 1:
                return None
            machines = last.estimators_
        if not all(_is(m, "SVC", "_ConstantPredictor") for m in machines):
            return None
        if any(_is(m, "SVC") and not _is_plain(m) for m in machines):
            return None
        Z = np.asarray(X)
        for step in first:
            Z = step.transform(Z)
        found = [
            SupportVectors.of(m, Z) if _is(m, "SVC") else _constant_of(m)
            for m in machines
        ]
        return cls([Affine.of(step) for step in first], found)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Numbers of classes: (n_clips,)."""
        return self.machines[0].predict(self._transform(X))

    def affinities(self, X: np.ndarray) -> np.ndarray:
        """Affinity of each tag, from 0 to 1; 0.5 is the border: (n_clips, n_tags)."""
        Z = self._transform(X)
        return expit(np.stack([m.decide(Z)[:, 0] for m in self.machines], axis=1))

    def state(self) -> tuple[dict[str, np.ndarray], list[str]]:
        """Arrays to store, and the kinds of their owners."""
        owners = [*self.steps, *self.machines]
        arrays = {
            f"{i}.{name}": np.ascontiguousarray(array)
            for i, owner in enumerate(owners)
            for name, array in owner.arrays().items()
        }
        return arrays, [owner.kind for owner in owners]

    @classmethod
    def from_state(cls, arrays: dict[str, np.ndarray], kinds: list[str]) -> Self:
        """From what :meth:`state` gave."""
        owners = []
        for i, kind in enumerate(kinds):
            mine = {
                name.partition(".")[2]: array
                for name, array in arrays.items()
                if name.partition(".")[0] == str(i)
            }
            owners.append(_KINDS[kind](**mine))
        steps = [owner for owner in owners if isinstance(owner, Affine)]
        if any(isinstance(owner, Affine) for owner in owners[len(steps) :]):
            raise ValueError(f"kinds in the order {kinds}")
        return cls(steps, owners[len(steps) :])

    def check(self, *, n_tags: int = 0) -> int:
        """Raise a ValueError where arrays do not fit each other.

        Parameters
        ----------
        n_tags : int
            Of a model of tags: one machine each; 0 for classes.

        Returns
        -------
        int
            Classes that are told apart.
        """
        n = None
        for step in self.steps:
            if step.matrix.ndim != 2 or n not in (None, len(step.matrix)):
                raise ValueError(f"a matrix of shape {step.matrix.shape} after {n}")
            n = step.matrix.shape[1]
            if step.offset.shape != (n,):
                raise ValueError(f"an offset of shape {step.offset.shape}, not {(n,)}")
        if len(self.machines) != (n_tags or 1):
            raise ValueError(f"{len(self.machines)} machines for {n_tags or 1}")
        owners = [*self.steps, *self.machines]
        arrays = [array for owner in owners for array in owner.arrays().values()]
        if not all(a.dtype.kind in "fi" and np.isfinite(a).all() for a in arrays):
            raise ValueError("arrays that are no finite numbers")
        return max(machine.check(n) for machine in self.machines)

    def _transform(self, X):
        Z = np.asarray(X, dtype=np.float64)
        for step in self.steps:
            Z = step(Z)
        return Z


def _is(estimator, *names):
    module = type(estimator).__module__
    return type(estimator).__name__ in names and module.startswith("sklearn.")


def _is_affine(step):
    return _is(step, "StandardScaler", "PCA")


def _is_plain(svc):
    """Whether it is an SVC whose answer is the vote of its pairs."""
    return svc.kernel in ("rbf", "linear") and not svc.break_ties


def _constant_of(predictor):
    """scikit-learn's stand-in for a tag that all clips have, or none."""
    return Constant(np.array([1.0 if predictor.y_[0] else -1.0]))
