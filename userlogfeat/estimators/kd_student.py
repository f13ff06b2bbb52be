"""Students: small task models that a teacher of listening logs helps to learn.

After Lee, Lee, Park, Lee (2019), "Enhancing music features by knowledge transfer from
user-item log data", section 3.2: a network for the task is the teacher's network with
an output layer on its penultimate units, and the teacher's knowledge comes into it in
one of three ways, `fix`, `init` or `kd`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch.nn.functional as F
from scipy.special import softmax
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import assert_all_finite, compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_array, column_or_1d

from userlogfeat._labels import is_null
from userlogfeat._typing import Audio, Device, PathLike, RandomState
from userlogfeat.estimators._student import StudentEstimator

if TYPE_CHECKING:
    from torch import nn

    from userlogfeat.frontends import FrontEnd


def _check_labels(y):
    """Raise where labels of any type are missing."""
    missing = [row for row, label in enumerate(y) if is_null(label)]
    if missing:
        raise ValueError(
            f"y has no label in {len(missing)} rows (first: row {missing[0]}). Drop "
            "these clips, or give the class a name."
        )


class KDStudentClassifier(ClassifierMixin, StudentEstimator):
    """Classify clips with a network that a teacher of listening logs helps to learn.

    Parameters
    ----------
    teacher : str, Path, UserLogEmbedder, FrozenEstimator, dict or None
        Who teaches, with its embedding: the name of a bundled model or the folder of
        a saved one; a :class:`UserLogEmbedder` (its `cache` is used, its `layer` is
        not); ``sklearn.frozen.FrozenEstimator(fitted)`` of a :class:`CFRegressor` or
        anything that predicts; or a dict from `channels` to one of these, for a grid
        over channels. What it says of a clip is remembered, so that a search asks it
        once a clip.
    mode : {None, "base", "fix", "init", "kd"}
        ``"base"``: from scratch, without the teacher. ``"fix"``: the teacher's
        embedding as it is, and only an output layer learns; works with any teacher.
        ``"init"``: from the teacher's weights, all of which learn; needs a teacher of
        the same architecture. ``"kd"``: from scratch, while the penultimate units
        learn to be the teacher's embedding. None is ``"kd"`` where there is a teacher
        and ``"base"`` elsewhere.
    kd_weight : float
        Weight of the distillation loss beside that of the task; 1 in the paper.
    kd_epochs : int, "auto" or None
        Epochs over which that weight falls to 0, in a straight line, fewer than
        `max_epochs`. ``"auto"``: 50, or a quarter of `max_epochs` where that is less (a
        single epoch is all distillation). None keeps the weight, as the paper does. See
        the notes.
    network : {"se_cnn", "mlp"} or class
        ``"se_cnn"``: the paper's network on log-mel spectrograms. ``"mlp"``: fully
        connected, on precomputed features (2-D X). A class of ``torch.nn.Module`` is
        built as ``network((bands, frames), n_units, n_outputs)`` and has
        ``penultimate(x)`` and ``output(h)``.
    channels : int
        Maps of every convolution of the paper's network: 32, 64, 128 or 256 there.
    pools : sequence of (int, int) or None
        Bands and frames of its max-pooling; None is the paper's, which needs 48 bands
        and 320 frames.
    hidden : sequence of int
        Units of the layers below the penultimate one, with ``network="mlp"``.
    class_weight : dict, "balanced" or None
        Weights of the classes in the loss of the task.
    frontend : str or FrontEnd
        Spectrograms of clips: see :class:`LogMel`.
    duration : float or None
        Seconds to hear of each clip; None is the front end's (30 s).
    crop : {"middle", "start", "random"}
        Which part, where a clip is longer. ``"random"``: another one in every epoch,
        and the middle when it predicts.
    short : {"repeat", "pad"}
        What to do where a clip is shorter than `duration`.
    sample_rate : int or None
        Rate of waveforms in X, in Hz, from which they are resampled. None takes it
        for that of `frontend` (with ``mode="fix"`` of
        the teacher). Files know theirs.
    freq_mask, time_mask : int
        SpecAugment while training: the widest masks, in bands and frames; 0 for none.
    max_epochs, patience : int
        At most so many epochs, stopping after so many without a lower validation loss
        *of the task*; the epoch of the least is kept.
    batch_size : int
        Clips per step of the training, and per pass through the network.
    lr : float
        Step of Adam.
    validation_fraction : float
        Share of the clips that the epochs are validated on; every class
        of two clips or more gives at least one.
    n_jobs : int
        Threads that decode files ahead of the network.
    device : str or torch.device
        ``"auto"`` is the GPU where there is one.
    precision : {"auto", "fp32", "bf16"}
        Of the network's matrix products, in training as well; ``"auto"`` is bf16 on a
        GPU only.
    checkpoint : str, Path or None
        A folder in which the training is kept after every epoch. The same fit goes on
        from there when it was killed, and ends the same.
    random_state : int, RandomState or None
        Of initial weights, batches, crops and validation clips.
    verbose : int
        1 shows a progress bar of the epochs.

    Attributes
    ----------
    classes_ : ndarray (n_classes,)
        The labels.
    mode_ : str
        What `mode` meant.
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
    penultimate units, but where the teacher knows little of the task it holds them in
    the wrong place. So it starts at 10 and falls to 0 within 50 epochs: the teacher
    says where to start, and the labels decide where it ends. An epoch has ten steps at
    least, or students of a few labels would be stopped before they have moved.
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

    def __init__(
        self,
        teacher: Any = None,
        mode: Literal["base", "fix", "init", "kd"] | None = None,
        kd_weight: float = 10.0,
        *,
        kd_epochs: int | str | None = "auto",
        network: Literal["se_cnn", "mlp"] | type[nn.Module] = "se_cnn",
        channels: int = 64,
        pools: Sequence[tuple[int, int]] | None = None,
        hidden: Sequence[int] = (256,),
        class_weight: dict[Any, float] | Literal["balanced"] | None = None,
        frontend: str | FrontEnd = "lee2019",
        duration: float | None = None,
        crop: Literal["middle", "start", "random"] = "middle",
        short: Literal["repeat", "pad"] = "repeat",
        sample_rate: int | None = None,
        freq_mask: int = 0,
        time_mask: int = 0,
        max_epochs: int = 200,
        patience: int = 20,
        batch_size: int = 32,
        lr: float = 1e-3,
        validation_fraction: float = 0.2,
        n_jobs: int = 2,
        device: Device = "auto",
        precision: Literal["auto", "fp32", "bf16"] = "auto",
        checkpoint: PathLike | None = None,
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            teacher,
            mode,
            kd_weight,
            kd_epochs=kd_epochs,
            network=network,
            channels=channels,
            pools=pools,
            hidden=hidden,
            frontend=frontend,
            duration=duration,
            crop=crop,
            short=short,
            sample_rate=sample_rate,
            freq_mask=freq_mask,
            time_mask=time_mask,
            max_epochs=max_epochs,
            patience=patience,
            batch_size=batch_size,
            lr=lr,
            validation_fraction=validation_fraction,
            n_jobs=n_jobs,
            device=device,
            precision=precision,
            checkpoint=checkpoint,
            random_state=random_state,
            verbose=verbose,
        )
        self.class_weight = class_weight

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
        weight = _check_sample_weight(
            sample_weight, codes[:, None], dtype=np.float32, ensure_non_negative=True
        )
        if self.class_weight is not None:
            of_class = compute_sample_weight(self.class_weight, y)
            weight = (weight * of_class).astype(np.float32)
        if (weight < 0).any() or not weight.any():
            raise ValueError(
                "The weights of the clips (sample_weight times class_weight) are "
                "negative or all 0: nothing can be learned. Give positive weights."
            )
        return codes.astype(np.int64), weight

    def _split(self, y, seed, groups):
        from userlogfeat.training import validation_split

        return validation_split(
            len(y), self.validation_fraction, seed=seed, y=y, groups=groups
        )

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


class KDStudentRegressor(RegressorMixin, StudentEstimator):
    """Estimate numbers, such as valence, with the help of a teacher of listening logs.

    One target or several; its `score` is R2. The paper's "correlation coefficient
    (r2)" is :func:`userlogfeat.evaluation.regression.squared_correlation`.

    Parameters
    ----------
    teacher : str, Path, UserLogEmbedder, FrozenEstimator, dict or None
        Who teaches, with its embedding: the name of a bundled model or the folder of
        a saved one; a :class:`UserLogEmbedder` (its `cache` is used, its `layer` is
        not); ``sklearn.frozen.FrozenEstimator(fitted)`` of a :class:`CFRegressor` or
        anything that predicts; or a dict from `channels` to one of these, for a grid
        over channels. What it says of a clip is remembered, so that a search asks it
        once a clip.
    mode : {None, "base", "fix", "init", "kd"}
        ``"base"``: from scratch, without the teacher. ``"fix"``: the teacher's
        embedding as it is, and only an output layer learns; works with any teacher.
        ``"init"``: from the teacher's weights, all of which learn; needs a teacher of
        the same architecture. ``"kd"``: from scratch, while the penultimate units
        learn to be the teacher's embedding. None is ``"kd"`` where there is a teacher
        and ``"base"`` elsewhere.
    kd_weight : float
        Weight of the distillation loss beside that of the task; 1 in the paper.
    kd_epochs : int, "auto" or None
        Epochs over which that weight falls to 0, in a straight line, fewer than
        `max_epochs`. ``"auto"``: 50, or a quarter of `max_epochs` where that is less (a
        single epoch is all distillation). None keeps the weight, as the paper does. See
        the notes.
    network : {"se_cnn", "mlp"} or class
        ``"se_cnn"``: the paper's network on log-mel spectrograms. ``"mlp"``: fully
        connected, on precomputed features (2-D X). A class of ``torch.nn.Module`` is
        built as ``network((bands, frames), n_units, n_outputs)`` and has
        ``penultimate(x)`` and ``output(h)``.
    channels : int
        Maps of every convolution of the paper's network: 32, 64, 128 or 256 there.
    pools : sequence of (int, int) or None
        Bands and frames of its max-pooling; None is the paper's, which needs 48 bands
        and 320 frames.
    hidden : sequence of int
        Units of the layers below the penultimate one, with ``network="mlp"``.
    frontend : str or FrontEnd
        Spectrograms of clips: see :class:`LogMel`.
    duration : float or None
        Seconds to hear of each clip; None is the front end's (30 s).
    crop : {"middle", "start", "random"}
        Which part, where a clip is longer. ``"random"``: another one in every epoch,
        and the middle when it predicts.
    short : {"repeat", "pad"}
        What to do where a clip is shorter than `duration`.
    sample_rate : int or None
        Rate of waveforms in X, in Hz, from which they are resampled. None takes it
        for that of `frontend` (with ``mode="fix"`` of
        the teacher). Files know theirs.
    freq_mask, time_mask : int
        SpecAugment while training: the widest masks, in bands and frames; 0 for none.
    max_epochs, patience : int
        At most so many epochs, stopping after so many without a lower validation loss
        *of the task*; the epoch of the least is kept.
    batch_size : int
        Clips per step of the training, and per pass through the network.
    lr : float
        Step of Adam.
    validation_fraction : float
        Share of the clips that the epochs are validated on.
    n_jobs : int
        Threads that decode files ahead of the network.
    device : str or torch.device
        ``"auto"`` is the GPU where there is one.
    precision : {"auto", "fp32", "bf16"}
        Of the network's matrix products, in training as well; ``"auto"`` is bf16 on a
        GPU only.
    checkpoint : str, Path or None
        A folder in which the training is kept after every epoch. The same fit goes on
        from there when it was killed, and ends the same.
    random_state : int, RandomState or None
        Of initial weights, batches, crops and validation clips.
    verbose : int
        1 shows a progress bar of the epochs.

    Attributes
    ----------
    mode_ : str
        What `mode` meant.
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
        weight = _check_sample_weight(
            sample_weight, y, dtype=np.float32, ensure_non_negative=True
        )
        return y.astype(np.float32), weight

    def _split(self, y, seed, groups):
        from userlogfeat.training import validation_split

        return validation_split(
            len(y), self.validation_fraction, seed=seed, groups=groups
        )

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
