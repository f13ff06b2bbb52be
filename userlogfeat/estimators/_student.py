"""The base of students: a network learns a task with the help of a teacher.

After Lee, Lee, Park, Lee (2019), "Enhancing music features by knowledge transfer from
user-item log data", section 3.2: a network for the task is the teacher's network with
an output layer on its penultimate units, and the teacher's knowledge comes into it in
one of three ways, `fix`, `init` or `kd`.
"""

from __future__ import annotations

import copy
import os
from dataclasses import KW_ONLY
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from sklearn.utils.validation import (
    check_array,
    check_consistent_length,
    check_is_fitted,
)

from userlogfeat._check import (
    check_audio,
    check_choice,
    check_features,
    check_number,
    check_positive,
    require_y,
)
from userlogfeat._spaces import feature_names
from userlogfeat._threads import limit_torch
from userlogfeat._typing import ArrayLike, Audio, Labels
from userlogfeat.audio import AudioError
from userlogfeat.estimators._designs import ClipDesign
from userlogfeat.estimators._devices import as_tensor, resolve_device, resolve_precision
from userlogfeat.estimators._distillation import (
    StudentLoss,
    choose_weight,
    epochs_of_distillation,
)
from userlogfeat.estimators._parameters import (
    TrainingParameters,
    check_network,
    check_training,
    estimator,
    resolve_loss,
)
from userlogfeat.estimators._sklearn import ClassifierMixin
from userlogfeat.estimators._teacher import embed_by, resolve_teacher
from userlogfeat.estimators._trained import TrainedTransformer
from userlogfeat.estimators._training import (
    Trainer,
    clip_duration,
    read_clips,
    standardised,
)
from userlogfeat.networks.mlp import (
    FeatureTeacher,
    expect_standardised,
    read_rows,
    standardise_input,
)
from userlogfeat.networks.se_cnn import PAPER_POOLS
from userlogfeat.networks.teacher import with_output
from userlogfeat.training import seeded
from userlogfeat.training.processes import share_rows
from userlogfeat.weights.config import ModelError

if TYPE_CHECKING:
    from torch import nn


MODES = ("base", "fix", "init", "kd")
# Minimum steps of an epoch: with fewer, training on few clips would stop too early.
MIN_STEPS = 10
N_UNITS = 40  # of the penultimate layer without a teacher: Lee et al., 3.1


@estimator
class Student(TrainingParameters, TrainedTransformer):
    """Everything but the task, for the classifier and the regressor.

    A subclass supplies `_check_task`, `_task_loss`, `_fitted_task` and `_restore_task`.

    Parameters
    ----------
    teacher : str, Path, UserLogEmbedder, FrozenEstimator, dict or None
        The name of a bundled model or the folder of a saved one; a
        :class:`UserLogEmbedder` (its `cache` is used, its `layer` ignored);
        ``sklearn.frozen.FrozenEstimator(fitted)`` of a :class:`CFRegressor` or anything
        that predicts; or a dict from `channels` to one of these, for a grid over
        channels. Only its embedding is used. Embeddings are remembered, so that a
        search computes them once per clip.
    mode : {None, "base", "fix", "init", "kd"}
        ``"base"``: from scratch, without the teacher. ``"fix"``: the teacher's
        embedding as it is, and only an output layer is trained; works with any teacher.
        ``"init"``: from the teacher's weights, all of which are trained; needs a
        teacher of the same architecture. ``"kd"``: from scratch, while the penultimate
        units are trained to match the teacher's embedding. None is ``"kd"`` where there
        is a teacher and ``"base"`` elsewhere.
    kd_weight : float or "auto"
        Weight of the distillation loss beside that of the task; 1 in the paper.
        ``"auto"``: the default weight, or 0 (as with ``mode="base"``), whichever is
        better by cross-validation inside the training clips. So a teacher that knows
        nothing of the task does no harm, at the price of 6 further fits, or 18 under
        300 clips. The choice is `kd_weight_`.
    kd_epochs : int, "auto" or None
        Epochs over which that weight falls to 0, in a straight line, fewer than
        `max_epochs`. ``"auto"``: 50, or a quarter of `max_epochs` where that is less (a
        single epoch is all distillation). None keeps the weight, as the paper does. See
        the notes.
    kd_loss : str or (str, dict)
        Distillation loss between the penultimate units and the teacher's embedding,
        registered in :mod:`userlogfeat.losses`; the default is the paper's. With a
        dict, parameters of that loss. All parameters of distillation (``kd_...``) are
        used with ``mode="kd"`` alone.
    network : {"se_cnn", "mlp"} or class
        ``"se_cnn"``: the paper's network on log-mel spectrograms. ``"mlp"``: fully
        connected, on precomputed features (2-D X). A class of ``torch.nn.Module`` is
        built as ``network((bands, frames), n_units, n_outputs)`` and has
        ``penultimate(x)`` and ``output(h)``.
    channels : int
        Feature maps of every convolution of the paper's network: 32, 64, 128 or 256
        there.
    pools : sequence of (int, int) or None
        Bands and frames of its max-pooling; None is the paper's, which needs 48 bands
        and 320 frames.
    hidden : sequence of int
        Units of the layers below the penultimate one, with ``network="mlp"``.
    duration : float or None
        Seconds to read of each clip; None is the front end's (30 s).
    crop : {"middle", "start", "random"}
        Which part of a clip that is longer. ``"random"``: another one in every epoch,
        and the middle in `predict`.
    sample_rate : int or None
        Sample rate of waveforms in X, in Hz, from which they are resampled. None is
        the rate of `frontend` (with ``mode="fix"``, of the teacher). Files carry their
        own.
    max_epochs, patience : int
        Maximum number of epochs, and the number without a lower validation loss *of
        the task* after which training stops early. The weights of the best epoch are
        kept.
    validation_fraction : float
        Share of the clips that validate each epoch. Every class of two clips or more
        gives at least one.
    """

    teacher: Any = None
    mode: Literal["base", "fix", "init", "kd"] | None = None
    kd_weight: float | Literal["auto"] = 1.0
    _: KW_ONLY
    kd_epochs: int | str | None = "auto"
    kd_loss: str | tuple[str, dict[str, Any]] = "mse_cosine"
    network: Literal["se_cnn", "mlp"] | type[nn.Module] = "se_cnn"
    crop: Literal["middle", "start", "random"] = "middle"
    max_epochs: int = 200
    patience: int = 20
    validation_fraction: float = 0.2

    layer = "embedding"

    def fit(
        self,
        X: Audio,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        groups: Labels | None = None,
        teacher_targets: ArrayLike | None = None,
    ) -> Self:
        """Learn the task.

        Parameters
        ----------
        X : array-like of n_clips
            Paths, waveforms or log-mel spectrograms; features with ``network="mlp"``.
        y : array-like (n_clips,) or (n_clips, n_targets)
            Labels, or the targets of a regression.
        sample_weight : array-like (n_clips,), optional
            Weights of the clips in the loss of the task.
        groups : array-like (n_clips,), optional
            Artist of each clip: clips of one artist are on one side of the split that
            validates the epochs.
        teacher_targets : array-like (n_clips, n_units), optional
            Embedding of each clip by the teacher, precomputed: needed where the teacher
            cannot read X, and for out-of-fold estimates of clips that the teacher was
            trained on. Ignored by ``mode="base"`` and ``"init"``. To pass it
            through a search or a pipeline, enable scikit-learn's metadata routing and
            call ``set_fit_request(teacher_targets=True)``.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Where X, y or teacher_targets are NaN or differ in length, the mode needs a
            teacher and there is none, or the teacher does not fit the student.
        AudioError
            Where a file cannot be read.
        """
        self._check_parameters()
        mode = self._resolve_mode(teacher_targets)
        self._check_teacher(mode, teacher_targets)
        self._forget()
        if mode == "fix":
            data = self._embed_fixed(X, teacher_targets)
        else:
            data = read_clips(self, X, ClipDesign(self))
        targets = {}
        if mode == "kd":
            targets["teacher"] = self._teacher_targets(data.rows, teacher_targets)
        require_y(y, type(self).__name__, "it learns to predict y")
        check_consistent_length(np.empty((len(data), 1)), y)
        targets["y"], targets["weight"] = self._check_task(y, sample_weight)
        trainer = Trainer(self, min_steps=MIN_STEPS)
        classes = targets["y"] if isinstance(self, ClassifierMixin) else None
        split = trainer.split(len(data), groups, classes)
        if mode == "kd":
            self.kd_weight_ = self.kd_weight
            if self.kd_weight == "auto":
                given = (data, targets, trainer, groups, classes)
                self.kd_weight_ = choose_weight(self, *given)
                if self.kd_weight_ == 0:
                    mode = "base"
                    del targets["teacher"]
        if mode == "fix":
            self._fit_output(data, targets, trainer, split)
        else:
            self._fit_network(mode, data, targets, trainer, split)
        self.mode_ = mode
        return self

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> np.ndarray:
        """Names of the columns of `transform`: ``embedding_0``, ``embedding_1``, ..."""
        check_is_fitted(self)
        return feature_names({"embedding": self._n_units_})

    def transform(self, X: Audio) -> np.ndarray:
        """Embed clips: the penultimate units (n_clips, n_units), float32.

        Parameters
        ----------
        X : array-like of n_clips
            As in `fit`.
        """
        check_is_fitted(self)
        return self._embed(X)

    def _resolve_mode(self, teacher_targets):
        """Return the mode, after checking that it has the teacher it needs."""
        has_teacher = self.teacher is not None
        if self.mode is None:
            return "kd" if has_teacher or teacher_targets is not None else "base"
        if self.mode in ("fix", "init") and not has_teacher:
            raise ValueError(
                f"Got mode={self.mode!r} and teacher=None: pass the name or folder of "
                'a saved model as teacher, or mode="base".'
            )
        if self.mode == "kd" and not has_teacher and teacher_targets is None:
            raise ValueError(
                'Got mode="kd" and neither teacher nor teacher_targets: there is '
                'nothing to distil. Pass one of them, or mode="base".'
            )
        return self.mode

    def _check_teacher(self, mode, teacher_targets):
        """Refuse a teacher that cannot serve, before any clip is read."""
        if mode == "init":
            teacher, expected = self._teacher(), network_of(self)
            _ = teacher.network  # raises where it has none
            found = network_of_spec(teacher.spec)
            differs = [n for n, v in expected.items() if found.get(n, v) != v]
            if differs:
                name = differs[0]
                raise ValueError(
                    'mode="init" starts from the teacher\'s weights, but the teacher '
                    f"has {name}={found[name]!r}, and the student "
                    f"{name}={expected[name]!r}. Give the student the teacher's "
                    'network, channels, pools and hidden, or use mode="kd" or "fix".'
                )
        elif mode == "kd" and teacher_targets is None:
            teacher = self._teacher()
            if teacher.reads_features and not self._reads_features:
                raise ValueError(
                    "The teacher reads precomputed features, and the student audio. "
                    'Pass network="mlp" and such features as X, or fit(..., '
                    "teacher_targets=) with the teacher's embedding of each clip, or a "
                    "teacher that reads audio."
                )

    def _embed_fixed(self, X, teacher_targets):
        """The teacher's embedding, standardised, as input of an output layer.

        Estimates of unit length are small numbers; with them as they are, the output
        layer would hardly move in the steps that few labels give it.
        """
        if self._reads_features:
            clips = check_features(self, X)
        else:
            clips = check_audio(X, self, reset=True).rows
        embedding = self._teacher_targets(clips, teacher_targets)
        self.teacher_ = self._teacher()
        self._n_units_ = self._teacher_targets(clips[:1], None).shape[1]
        if embedding.shape[1] != self._n_units_:
            raise ValueError(
                f"Got teacher_targets of {embedding.shape[1]} columns, but the teacher "
                f'gives {self._n_units_} units, on which mode="fix" will predict.'
            )
        return standardised(embedding)

    def _fit_output(self, data, targets, trainer, split):
        """mode="fix": train the output layer alone."""
        with seeded(trainer.seed):
            output = torch.nn.Sequential(
                torch.nn.Linear(self._n_units_, self._n_outputs_)
            )
        network = FeatureTeacher(torch.nn.Identity(), output)
        self.history_ = self._loss().train(network, data, targets, trainer, split)
        output = output.cpu().requires_grad_(False)
        mean, scale = torch.from_numpy(data.mean), torch.from_numpy(data.scale)
        standardise_input(output, mean, scale)
        self.output_ = output[0]

    def _fit_network(self, mode, data, targets, trainer, split):
        """All other modes: train a network."""
        self._n_units_ = N_UNITS
        if mode == "kd":
            self._n_units_ = targets["teacher"].shape[1]
        elif mode == "init":
            self._n_units_ = self._teacher().network.layer_sizes["embedding"]
        sizes = {"n_units": self._n_units_, "n_outputs": self._n_outputs_}
        design = ClipDesign(self)
        network = design.build(data, seed=trainer.seed, **sizes)
        if mode == "init":
            self._start_from_teacher(network, data)
        weight = getattr(self, "kd_weight_", 0.0)
        given = (network, data, targets, trainer, split)
        self.history_ = self._loss().train(*given, weight)
        self.network_ = data.for_raw_input(network, self._n_units_)
        self._spec = design.spec(data, **sizes)

    def _goodness(self, weight, data, targets, trainer, split, held):
        """Sum over `held` of what a student of this weight gets right."""
        targets = dict(targets)
        n_units = targets["teacher"].shape[1] if weight else N_UNITS
        if not weight:
            del targets["teacher"]
        sizes = {"n_units": n_units, "n_outputs": self._n_outputs_}
        network = ClipDesign(self).build(data, seed=trainer.seed, **sizes)
        alone = copy.copy(trainer)  # one that shows and keeps no epochs
        alone.estimator = copy.copy(self)
        alone.estimator.checkpoint, alone.estimator.verbose = None, 0
        self._loss().train(network, data, targets, alone, split, weight)
        total, device = 0.0, next(network.parameters()).device
        with torch.inference_mode(), limit_torch(1):
            for rows in torch.from_numpy(held).split(self.batch_size):
                x = data.inputs.batch(rows).to(device)
                outputs = network.output(network.penultimate(x)).float().cpu()
                total += self._count_right(outputs, targets["y"][rows.numpy()])
        return total

    def _loss(self):
        epochs = epochs_of_distillation(self.kd_epochs, self.max_epochs)
        kd_loss = resolve_loss(self.kd_loss, "kd_loss")
        return StudentLoss(self._task_loss, kd_loss, epochs)

    def _start_from_teacher(self, network, data):
        """mode="init": copy the teacher's weights, all but the output layer's."""
        teacher = self._teacher().network
        teacher = copy.deepcopy(getattr(teacher, "network", teacher)).cpu()
        if self._reads_features and hasattr(teacher, "head"):
            mean, scale = torch.from_numpy(data.mean), torch.from_numpy(data.scale)
            _check_same(teacher, network)
            expect_standardised(teacher.head, mean, scale)
        state = _check_same(teacher, network)
        network.load_state_dict(state, strict=False)

    def _teacher(self):
        device = resolve_device(self.device)
        return resolve_teacher(
            self.teacher,
            channels=self.channels,
            sample_rate=self._rate_for_teacher(),
            settings={
                "short": self.short,
                "batch_size": self.batch_size,
                "n_jobs": self.n_jobs,
                "device": str(device),
                "precision": resolve_precision(self.precision, device),
            },
        )

    def _rate_for_teacher(self):
        """Rate at which the teacher takes waveforms, in Hz; None for its own."""
        if self.sample_rate is not None:
            return self.sample_rate
        fixed = self._reads_features or self.mode == "fix"
        return None if fixed else self._front_end().sample_rate

    def _teacher_targets(self, clips, teacher_targets):
        """Embed every clip by the teacher (n_clips, n_units), float32."""
        if teacher_targets is None:
            teacher = self._teacher()
            if self._reads_features and teacher.reads_audio:
                raise ValueError(
                    f"The teacher reads audio, and X of shape {np.shape(clips)} has "
                    "features of clips (network='mlp'). Pass fit(..., "
                    "teacher_targets=) with the teacher's embedding of each clip "
                    "(UserLogEmbedder(..., layer='embedding', scale=False)), or a "
                    "teacher that was trained on such features."
                )
            try:
                targets = share_rows(clips, partial(embed_by, teacher))
            except (AudioError, ModelError):
                raise  # of a file, which the student cannot read either; of a folder
            except ValueError as error:
                raise ValueError(
                    f"The teacher cannot read X: {error} If X is another kind of input "
                    "than the teacher was trained on, pass fit(..., teacher_targets=) "
                    "with its embedding of each clip."
                ) from error
        else:
            targets = teacher_targets
        targets = check_array(targets, dtype=np.float32, input_name="teacher_targets")
        if len(targets) != len(clips):
            raise ValueError(
                f"Got teacher_targets of {len(targets)} rows for {len(clips)} clips, "
                "expected one row per clip."
            )
        return targets

    def _embed(self, X):
        """Penultimate units (n_clips, n_units), float32."""
        if hasattr(self, "network_"):
            return super()._embed(X)
        teacher = copy.copy(self.teacher_)
        teacher.sample_rate = self._rate_for_teacher()
        if self._reads_features:
            X = check_features(self, X, reset=False)
        else:
            X = check_audio(X, self).rows
        return embed_by(teacher, X)

    def _outputs(self, X):
        """Outputs (n_clips, n_outputs), float64, of the output layer."""
        check_is_fitted(self)
        if not hasattr(self, "network_") or self._reads_features:
            output = getattr(self, "output_", None) or self.network_.output
            outputs = read_rows(output, as_tensor(self._embed(X))).numpy()
        else:
            clips = self.iter_features(X, layers=("output",))
            outputs = np.stack([clip.layers["output"] for clip in clips])
        return outputs.astype(np.float64)

    def _read_duration(self):
        return clip_duration(self)

    def _teacher_network(self):
        """The torch module that is saved, and how `weights` builds it."""
        if hasattr(self, "network_"):
            return self.network_, self._spec
        spec = {**self.teacher_.spec, "n_outputs": self._n_outputs_}
        return with_output(self.teacher_.network, self.output_), spec

    def _saved_scales(self, network):
        return dict.fromkeys(network.layer_sizes, 1.0)

    def _json_parameters(self):
        parameters = super()._json_parameters()
        # A teacher that is an object is not part of the model.
        named = isinstance(self.teacher, str | os.PathLike)
        parameters["teacher"] = str(self.teacher) if named else None
        if self.teacher is not None and not named:
            # Without its teacher, mode=None would fit the loaded student as "base".
            parameters["mode"] = self.mode_
        if isinstance(parameters.get("class_weight"), dict):
            parameters["class_weight"] = None  # of the fit, not of the model
        return parameters

    def _fitted(self, folder):
        return {"mode": self.mode_, **self._fitted_task()}

    def _restore(self, saved, folder):
        super()._restore(saved, folder)
        self._n_units_ = saved.layer_sizes["embedding"]
        self.mode_ = saved.config["fitted"]["mode"]
        self._restore_task(saved.config["fitted"])

    def _check_parameters(self):
        super()._check_parameters()
        check_network(self.network, ("se_cnn", "mlp"))
        check_training(self)
        check_choice(self.mode, "mode", (None, *MODES))
        check_number(self.kd_weight, "kd_weight", 0, also="auto")
        self._check_kd_epochs()
        resolve_loss(self.kd_loss, "kd_loss")

    def _check_kd_epochs(self):
        if self.kd_epochs is None or self.kd_epochs == "auto":
            return
        check_positive(self.kd_epochs, "kd_epochs", integer=True)
        if self.kd_epochs >= self.max_epochs:
            raise ValueError(
                f"Got kd_epochs={self.kd_epochs} and max_epochs={self.max_epochs}: the "
                "weight of the distillation would never reach 0, and a teacher that "
                "knows little of the task would do harm. Pass "
                'kd_epochs="auto" or fewer, or train for longer; kd_epochs=None keeps '
                "the weight on purpose, as the paper does."
            )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "mode_")


def network_of(estimator):
    """Return the kind and sizes of a student's network, which decide its tensors."""
    network = estimator.network
    if network == "se_cnn":
        pools = PAPER_POOLS if estimator.pools is None else estimator.pools
        return {
            "network": network,
            "channels": estimator.channels,
            "pools": pairs(pools),
        }
    if network == "mlp":
        hidden = np.atleast_1d(estimator.hidden).astype(int).tolist()
        return {"network": network, "hidden": tuple(hidden)}
    return {}


def network_of_spec(spec):
    """Return the same of a saved network; nothing of a class of the user's own."""
    if spec["name"] == "mlp":
        return {"network": "mlp", "hidden": tuple(spec["head"][1:-1])}
    if spec["name"] == "se_cnn":
        sizes = {"channels": spec["channels"], "pools": pairs(spec["pools"])}
        return {"network": "se_cnn", **sizes}
    return {} if spec["name"] == "custom" else {"network": spec["name"]}


def pairs(pools):
    """Pools as tuples of numbers, which can be compared."""
    return tuple((int(bands), int(frames)) for bands, frames in pools)


def _check_same(teacher, network):
    """The teacher's tensors without its output layer, which must be the student's."""

    def shapes(module):
        return {
            name: tuple(tensor.shape)
            for name, tensor in module.state_dict().items()
            if not name.startswith("output.")
        }

    expected, found = shapes(network), shapes(teacher)
    if expected != found:
        name = next(n for n in (*expected, *found) if expected.get(n) != found.get(n))
        raise ValueError(
            'mode="init" starts from the teacher\'s weights, but it has another '
            f"architecture: {name!r} has shape {found.get(name)} in the teacher and "
            f"{expected.get(name)} in the student. Give the student the teacher's "
            'network, channels, pools and hidden, or use mode="kd" or "fix".'
        )
    state = teacher.state_dict()
    return {name: state[name] for name in found}
