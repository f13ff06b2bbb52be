"""Students: small task models that learn with the help of a teacher.

How they learn is in `_student.py`; here is what a classifier and a regressor add to it.
"""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Any, Literal

import numpy as np
import torch.nn.functional as F
from scipy.special import softmax
from sklearn.utils import assert_all_finite, compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, column_or_1d

from userlogfeat._check import check_weights
from userlogfeat._groups import warn_of_odd_ids
from userlogfeat._labels import is_null
from userlogfeat._typing import Audio
from userlogfeat.estimators._parameters import estimator
from userlogfeat.estimators._sklearn import ClassifierMixin, RegressorMixin
from userlogfeat.estimators._student import Student


def _check_labels(y):
    """Raise where labels of any type are missing."""
    missing = [row for row, label in enumerate(y) if is_null(label)]
    if missing:
        raise ValueError(
            f"y has no label in {len(missing)} rows (first: row {missing[0]}). Drop "
            "these clips, or give the class a name."
        )
    fate = "it is a class like others"
    warn_of_odd_ids(y, "label", fate, "Leave these clips out")


@estimator
class KDStudentClassifier(ClassifierMixin, Student):
    """Classify clips with a network that is trained with the help of a teacher.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
        Weights of the classes in the loss of the task.

    Attributes
    ----------
    classes_ : ndarray (n_classes,)
        The labels.
    mode_ : str
        The mode that was used: ``"base"`` where ``kd_weight="auto"`` chose 0.
    kd_weight_ : float
        Weight of the distillation, with ``mode="kd"``; 0 where ``"auto"`` did without.
    network_ : torch.nn.Module
        The trained network, front end or standardisation included; all modes but
        ``"fix"``.
    output_ : torch.nn.Linear
        The output layer of ``mode="fix"``.
    history_ : list of dict
        Losses of every epoch: ``train_loss``, ``train_task_loss``, ``valid_task_loss``.

    Notes
    -----
    The paper's distillation loss has weight 1 throughout. That is too weak: estimates
    of unit length make it small beside the loss of the task. A weight of 10 moves the
    penultimate units, but if the teacher knows little of the task it keeps them in the
    wrong place. So the weight starts at 10 and falls to 0 within 50 epochs, or a
    quarter of `max_epochs` where that is less: the teacher decides where training
    starts, and the labels where it ends. An epoch has at least ten steps, or training
    on few labels would stop too early.
    ``benchmarks/transfer_rule.py`` compares such weights on artists that are tested
    nowhere else, and ``benchmarks/transfer_lee2019.py`` has what the defaults do.

    References
    ----------
    .. [1] D. Lee, J. Lee, J. Park, K. Lee, "Enhancing music features by knowledge
       transfer from user-item log data", ICASSP 2019, section 3.2.

    Examples
    --------
    Clips of three classes that differ in what a teacher knows; few have a label:

    >>> import numpy as np
    >>> from sklearn.frozen import FrozenEstimator
    >>> from userlogfeat import CFRegressor, KDStudentClassifier
    >>> rng = np.random.default_rng(0)
    >>> features, taste = rng.normal(size=(600, 20)), rng.normal(size=(20, 4))
    >>> factors = features @ taste
    >>> y = np.array(["calm", "loud", "odd"])[factors[:, :3].argmax(axis=1)]
    >>> teacher = CFRegressor("mlp", random_state=0).fit(features, factors)
    >>> few, many = slice(60), slice(60, None)
    >>> scores = {
    ...     mode: KDStudentClassifier(
    ...         FrozenEstimator(teacher), mode, network="mlp", random_state=0
    ...     )
    ...     .fit(features[few], y[few])
    ...     .score(features[many], y[many])
    ...     for mode in ("base", "fix", "kd")
    ... }
    >>> sorted(scores, key=scores.get)
    ['base', 'kd', 'fix']
    """

    kd_weight: float | Literal["auto"] = 10.0
    _: KW_ONLY
    class_weight: dict[Any, float] | Literal["balanced"] | None = None

    def predict(self, X: Audio) -> np.ndarray:
        """Labels (n_clips,) of clips.

        Parameters
        ----------
        X : array-like of n_clips
            As in `fit`.
        """
        outputs = self._outputs(X)
        return self.classes_[outputs.argmax(axis=1)]

    def predict_proba(self, X: Audio) -> np.ndarray:
        """Probabilities (n_clips, n_classes) of the labels, in the order of `classes_`.

        Parameters
        ----------
        X : array-like of n_clips
            As in `fit`.
        """
        return softmax(self._outputs(X), axis=1)

    def _check_task(self, y, sample_weight):
        y = column_or_1d(y, warn=True)
        if y.dtype == object:
            _check_labels(y)
        assert_all_finite(y, input_name="y")
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        self._n_outputs_ = len(self.classes_)
        weight = check_weights(sample_weight, len(codes))
        if self.class_weight is not None:
            of_class = compute_sample_weight(self.class_weight, y)
            weight = (weight * of_class).astype(np.float32)
        if (weight < 0).any() or not weight.any():
            raise ValueError(
                "The weights of the clips (sample_weight times class_weight) are "
                "negative or all 0: nothing can be learned. Give positive weights."
            )
        return codes.astype(np.int64), weight

    def _count_right(self, outputs, y):
        """Number of clips whose label is right."""
        return float((outputs.argmax(dim=1).numpy() == y).sum())

    def _task_loss(self, outputs, y):
        return F.cross_entropy(outputs, y, reduction="none")

    def _fitted_task(self):
        kind = self.classes_.dtype.kind
        if kind not in "biufUO":
            raise TypeError(
                f"Got labels of dtype {self.classes_.dtype}, which no saved model can "
                "hold. Fit with labels that are strings or numbers."
            )
        return {"classes": self.classes_.tolist(), "dtype": self.classes_.dtype.str}

    def _restore_task(self, fitted):
        self.classes_ = np.array(fitted["classes"], dtype=fitted["dtype"])
        self._n_outputs_ = len(self.classes_)


@estimator
class KDStudentRegressor(RegressorMixin, Student):
    """Estimate numbers, such as valence, with the help of a teacher.

    One target or several; its `score` is R2. The paper's "correlation coefficient
    (r2)" may be that, or the square of Pearson's correlation.

    Parameters
    ----------
    validation_fraction : float
        Share of the clips (or groups) that validate each epoch.

    Attributes
    ----------
    mode_ : str
        The mode that was used: ``"base"`` where ``kd_weight="auto"`` chose 0.
    kd_weight_ : float
        Weight of the distillation, with ``mode="kd"``; 0 where ``"auto"`` did without.
    network_ : torch.nn.Module
        The trained network, front end or standardisation included; all modes but
        ``"fix"``.
    output_ : torch.nn.Linear
        The output layer of ``mode="fix"``.
    history_ : list of dict
        Losses of every epoch: ``train_loss``, ``train_task_loss``, ``valid_task_loss``.

    See Also
    --------
    KDStudentClassifier : The same for labels, with notes on the distillation's weight.

    Notes
    -----
    `kd_weight` is 1 here, as in the paper, and not the classifier's 10: with 10, R2 of
    valence and arousal fell below that of ``"base"``. Targets are standardised, so the
    weight means the same for any unit.

    References
    ----------
    .. [1] D. Lee, J. Lee, J. Park, K. Lee, "Enhancing music features by knowledge
       transfer from user-item log data", ICASSP 2019, section 3.2.

    Examples
    --------
    >>> import numpy as np
    >>> from userlogfeat import KDStudentRegressor
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(300, 8))
    >>> y = features @ rng.normal(size=(8, 2))
    >>> student = KDStudentRegressor(network="mlp", lr=1e-2, random_state=0)
    >>> student.fit(features[:200], y[:200]).predict(features[200:]).shape
    (100, 2)
    >>> student.score(features[200:], y[200:]) > 0.9
    True
    """

    def predict(self, X: Audio) -> np.ndarray:
        """Estimates (n_clips,) or (n_clips, n_targets), float64, of clips.

        Parameters
        ----------
        X : array-like of n_clips
            As in `fit`.
        """
        estimates = self._outputs(X) * self._target_scale_ + self._target_mean_
        return estimates[:, 0] if self._single_output_ else estimates

    def _check_task(self, y, sample_weight):
        """Targets standardised, so that lr and kd_weight mean the same for any unit."""
        y = check_array(y, dtype=np.float64, ensure_2d=False, input_name="y")
        self._single_output_ = y.ndim == 1
        y = y.reshape(len(y), -1)
        self._n_outputs_ = y.shape[1]
        self._target_mean_, scale = y.mean(axis=0), y.std(axis=0)
        self._target_scale_ = np.where(scale > 0, scale, 1.0)
        y = (y - self._target_mean_) / self._target_scale_
        return y.astype(np.float32), check_weights(sample_weight, len(y))

    def _count_right(self, outputs, y):
        """Sum over clips of the negative squared error."""
        return -float(np.square(outputs.numpy() - y).sum())

    def _task_loss(self, outputs, y):
        return (outputs - y).square().mean(dim=1)

    def _fitted_task(self):
        return {
            "single_output": self._single_output_,
            "target_mean": self._target_mean_.tolist(),
            "target_scale": self._target_scale_.tolist(),
        }

    def _restore_task(self, fitted):
        self._single_output_ = fitted["single_output"]
        self._target_mean_ = np.array(fitted["target_mean"])
        self._target_scale_ = np.array(fitted["target_scale"])
        self._n_outputs_ = len(self._target_mean_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
