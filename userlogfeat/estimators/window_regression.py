"""The classifier of Hamel et al. 2013: linear regression of windows onto classes.

Hamel, Davies, Yoshii, Goto (2013), "Transfer learning in MIR": each window of a clip is
regressed onto the indicators of the classes, the outputs are averaged over the clip,
and the class of the largest wins: a classifier so simple that results depend on the
features.
"""

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.utils.validation import check_is_fitted

from userlogfeat._check import check_number
from userlogfeat._typing import ArrayLike
from userlogfeat.estimators._patches import (
    check_labelled_patches,
    check_patches,
    mean_of_clips,
)
from userlogfeat.estimators._sklearn import BaseEstimator, ClassifierMixin

ALPHAS = tuple(float(alpha) for alpha in np.logspace(0, 5, 11))  # candidates of "cv"


class WindowRegressionClassifier(ClassifierMixin, BaseEstimator):
    """Linear regression of the windows of clips onto classes, averaged over each clip.

    Parameters
    ----------
    alpha : float or "cv"
        Strength of a ridge penalty on standardised features. 0 is the paper's plain
        least squares; where windows are fewer than features, the solution of least
        length. ``"cv"`` chooses among 11 strengths from 1 to 100,000 by 5-fold
        cross-validation over clips.

    Attributes
    ----------
    coef_ : ndarray (n_features, n_classes)
    intercept_ : ndarray (n_classes,)
    alpha_ : float
        Regularisation strength used.
    classes_ : ndarray (n_classes,)
        Labels.
    n_features_in_ : int
        Columns of a window.

    References
    ----------
    .. [1] P. Hamel, M. E. P. Davies, K. Yoshii, M. Goto, "Transfer learning in MIR:
       sharing learned latent representations for music audio classification and
       similarity", ISMIR 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from userlogfeat import WindowRegressionClassifier
    >>> clips = [np.array([[0.0], [0.2]]), np.array([[1.0], [0.9], [0.7]])]
    >>> classifier = WindowRegressionClassifier().fit(clips, ["low", "high"])
    >>> classifier.predict([np.array([[0.9], [0.1], [0.9]])])
    array(['high'], dtype='<U4')
    """

    def __init__(self, alpha: float | Literal["cv"] = 0.0) -> None:
        self.alpha = alpha

    def fit(self, X: Sequence[np.ndarray] | np.ndarray, y: ArrayLike) -> Self:
        """Regress the windows of all clips onto the indicators of their classes.

        Parameters
        ----------
        X : list of ndarray (n_windows, n_features), or ndarray
            The windows of each clip, as ``MelStatistics(pooling=None)`` gives them. A
            3-D array has equally many windows in each clip, a 2-D array one.
        y : array-like (n_clips,)
            Labels of the clips.

        Returns
        -------
        self
        """
        self._check_alpha()
        windows, n_windows, y = check_labelled_patches(X, y, self)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"Got y with the one class {self.classes_.tolist()[0]!r}, expected two "
                "or more classes."
            )
        indicators = np.eye(len(self.classes_))[np.repeat(labels, n_windows)]
        clips = np.repeat(np.arange(len(n_windows)), n_windows)
        self._regress(windows.astype(np.float64), indicators, clips)
        return self

    def predict(self, X: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Labels (n_clips,): the class of the largest mean output.

        Parameters
        ----------
        X : list of ndarray (n_windows, n_features), or ndarray
            As in `fit`.
        """
        scores = self._scores(X)
        return self.classes_[scores.argmax(axis=1)]

    def decision_function(self, X: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Outputs of the regression, averaged over the windows of each clip.

        Parameters
        ----------
        X : list of ndarray (n_windows, n_features), or ndarray
            As in `fit`.

        Returns
        -------
        ndarray (n_clips, n_classes)
            With two classes (n_clips,), above 0 for the second, as scikit-learn has it.
        """
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def _scores(self, X):
        check_is_fitted(self)
        windows, n_windows = check_patches(X, self, reset=False)
        return mean_of_clips(windows @ self.coef_ + self.intercept_, n_windows)

    def _regress(self, windows, indicators, clips):
        """Set coefficients and intercept, for raw windows."""
        from userlogfeat.training.heads import fit_ridge_head, moments

        if self.alpha == "cv":
            head, self.alpha_ = fit_ridge_head(
                windows,
                indicators,
                alphas=ALPHAS,
                sample_weight=np.ones(len(windows)),
                groups=clips,
                seed=0,
            )
            self.coef_ = head[0].weight.numpy().T.astype(np.float64)
            self.intercept_ = head[0].bias.numpy().astype(np.float64)
            return
        self.alpha_ = float(self.alpha)
        mean, scale = moments(windows)
        standard, centre = (windows - mean) / scale, indicators.mean(axis=0)
        if self.alpha_ == 0:
            coef = np.linalg.lstsq(standard, indicators - centre, rcond=None)[0]
        else:
            coef = Ridge(self.alpha_).fit(standard, indicators).coef_.T
        self.coef_ = coef / scale[:, None]
        self.intercept_ = centre - mean @ self.coef_

    def _check_alpha(self):
        alpha = self.alpha
        check_number(alpha, "alpha", 0, also="cv")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags
