"""Classify patches, then let the patches of a clip vote.

For the pipeline of Chen & Liang (2020), "Do user preference data benefit music genre
classification tasks?", who classify patches: a clip gets the class that most of its
patches are given. The paper does not state the vote; it is our reading.
"""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import MetaEstimatorMixin, clone, is_classifier
from sklearn.utils.validation import check_is_fitted

from userlogfeat._check import check_weights
from userlogfeat._typing import ArrayLike
from userlogfeat.estimators._patches import (
    check_labelled_patches,
    check_patches,
    mean_of_clips,
)
from userlogfeat.estimators._sklearn import BaseEstimator, ClassifierMixin


class PatchVotingClassifier(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """Fit a classifier on the patches of all clips; predict clips by majority vote.

    Parameters
    ----------
    estimator : classifier
        Fitted on one patch per row, with the label of its clip.

    Attributes
    ----------
    estimator_ : classifier
        The fitted clone.
    classes_ : ndarray (n_classes,)
        Labels.
    n_features_in_ : int
        Columns of a patch.

    Notes
    -----
    A tie goes to the class of the higher mean score over the clip's patches:
    ``predict_proba`` where the estimator has it, else ``decision_function``; without
    either, to the class first in `classes_`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from userlogfeat import PatchVotingClassifier
    >>> clips = [np.array([[0.0], [0.2]]), np.array([[1.0], [0.9], [0.1]])]
    >>> voting = PatchVotingClassifier(KNeighborsClassifier(1))
    >>> voting.fit(clips, ["low", "high"]).predict([np.array([[0.8], [1.1], [0.1]])])
    array(['high'], dtype='<U4')
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(
        self,
        X: Sequence[np.ndarray] | np.ndarray,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Fit the estimator on all patches.

        Parameters
        ----------
        X : list of ndarray (n_patches, n_features), or ndarray
            The patches of each clip, as ``MusicnnEmbedder(pooling=None)`` gives them.
            A 3-D array has equally many patches in each clip, a 2-D array one.
        y : array-like (n_clips,)
            Labels of the clips.
        sample_weight : array-like (n_clips,), optional
            Weights of the clips; a clip's patches each have its weight.

        Returns
        -------
        self
        """
        patches, n_patches, y = check_labelled_patches(X, y, self)
        if not is_classifier(self.estimator):
            raise ValueError(
                f"Got estimator={self.estimator!r}, expected a classifier: its patches "
                "vote for labels."
            )
        labels = np.repeat(y, n_patches)
        self.estimator_ = clone(self.estimator)
        if sample_weight is None:
            self.estimator_.fit(patches, labels)
        else:
            weight = check_weights(sample_weight, len(n_patches), dtype=np.float64)
            self.estimator_.fit(
                patches, labels, sample_weight=np.repeat(weight, n_patches)
            )
        self.classes_ = self.estimator_.classes_
        return self

    def predict(self, X: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Labels (n_clips,) by majority vote.

        Parameters
        ----------
        X : list of ndarray (n_patches, n_features), or ndarray
            As in `fit`.
        """
        check_is_fitted(self)
        patches, n_patches = check_patches(X, self, reset=False)
        votes = self._count_votes(patches, n_patches)
        most = votes == votes.max(axis=1, keepdims=True)
        scores = np.where(most, self._mean_scores(patches, n_patches), -np.inf)
        return self.classes_[scores.argmax(axis=1)]

    def predict_proba(self, X: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Share of votes (n_clips, n_classes) that each class has of a clip's patches.

        Parameters
        ----------
        X : list of ndarray (n_patches, n_features), or ndarray
            As in `fit`.
        """
        check_is_fitted(self)
        votes = self._count_votes(*check_patches(X, self, reset=False))
        return votes / votes.sum(axis=1, keepdims=True)

    def _count_votes(self, patches, n_patches):
        """Votes (n_clips, n_classes)."""
        classes = np.searchsorted(self.classes_, self.estimator_.predict(patches))
        votes = np.zeros((len(n_patches), len(self.classes_)))
        np.add.at(votes, (np.repeat(np.arange(len(n_patches)), n_patches), classes), 1)
        return votes

    def _mean_scores(self, patches, n_patches):
        """Mean score (n_clips, n_classes) over the patches of each clip."""
        if hasattr(self.estimator_, "predict_proba"):
            scores = self.estimator_.predict_proba(patches)
        elif hasattr(self.estimator_, "decision_function") and not self._scores_pairs():
            scores = self.estimator_.decision_function(patches)
            if scores.ndim == 1:  # two classes: one score, of the second
                scores = np.column_stack([-scores, scores])
        else:
            return np.zeros((len(n_patches), len(self.classes_)))
        return mean_of_clips(scores, n_patches)

    def _scores_pairs(self):
        """Whether the scores are of pairs of classes, as an SVC can be asked for."""
        last = self.estimator_
        while hasattr(last, "steps"):
            last = last.steps[-1][1]
        return getattr(last, "decision_function_shape", "ovr") == "ovo"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags
