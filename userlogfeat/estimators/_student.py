"""What students share: how a teacher's knowledge comes into a network for a task.

After Lee, Lee, Park, Lee (2019), "Enhancing music features by knowledge transfer from
user-item log data", section 3.2. A subclass says what the task is: its targets, its
loss, and what the outputs of the network mean.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from sklearn.utils.validation import (
    check_array,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from userlogfeat._check import check_audio, check_choice, check_positive
from userlogfeat._typing import ArrayLike, Audio, Device, Labels, PathLike, RandomState
from userlogfeat.audio import AudioError
from userlogfeat.estimators._base import (
    AudioTransformer,
    as_tensor,
    feature_names,
    resolve_device,
    resolve_precision,
)
from userlogfeat.estimators._network import (
    NetworkEstimator,
    check_groups,
    warn_of_no_validation,
)
from userlogfeat.estimators._teacher import resolve_teacher, teach
from userlogfeat.losses import distillation, weighted_mean
from userlogfeat.networks.mlp import read_rows
from userlogfeat.networks.shares import whole
from userlogfeat.weights.config import ModelError

if TYPE_CHECKING:
    from torch import nn

    from userlogfeat.frontends import FrontEnd


MODES = ("base", "fix", "init", "kd")
# Steps of an epoch: with fewer, a few clips would wait in vain for their best epoch.
MIN_STEPS = 10
# Epochs over which the weight of the distillation falls, and at most so much of all.
KD_EPOCHS, KD_SHARE = 50, 0.25
N_UNITS = 40  # of the penultimate layer, where no teacher says it: Lee et al., 3.1


class StudentEstimator(NetworkEstimator):
    """Base of the classifier and the regressor that learn from a teacher.

    A subclass supplies `_check_task`, `_split`, `_task_loss`, `_fitted_task` and
    `_restore_task`.
    """

    layer = "embedding"

    def __init__(
        self,
        teacher: Any = None,
        mode: Literal["base", "fix", "init", "kd"] | None = None,
        kd_weight: float = 1.0,
        *,
        kd_epochs: int | str | None = "auto",
        network: Literal["se_cnn", "mlp"] | type[nn.Module] = "se_cnn",
        channels: int = 64,
        pools: Sequence[tuple[int, int]] | None = None,
        hidden: Sequence[int] = (256,),
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
        self.teacher = teacher
        self.mode = mode
        self.kd_weight = kd_weight
        self.kd_epochs = kd_epochs
        self.network = network
        self.channels = channels
        self.pools = pools
        self.hidden = hidden
        self.frontend = frontend
        self.duration = duration
        self.crop = crop
        self.short = short
        self.sample_rate = sample_rate
        self.freq_mask = freq_mask
        self.time_mask = time_mask
        self.max_epochs = max_epochs
        self.patience = patience
        self.batch_size = batch_size
        self.lr = lr
        self.validation_fraction = validation_fraction
        self.n_jobs = n_jobs
        self.device = device
        self.precision = precision
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.verbose = verbose

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
            What the teacher says of each clip, instead of asking it: needed where it
            cannot hear X, and where its estimates for clips that taught it are to be
            out of fold. Not looked at by ``mode="base"`` and ``"init"``. To pass it
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
        self._forget()
        if mode == "fix":
            inputs, targets = self._hear_fixed(X, teacher_targets)
        else:
            inputs, shape, clips = self._hear_training(X)
            targets = {}
        if mode == "kd":
            targets["teacher"] = self._ask_teacher(clips, teacher_targets)
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is "
                "None: it learns to predict y."
            )
        check_consistent_length(np.empty((len(inputs), 1)), y)
        targets["y"], weight = self._check_task(y, sample_weight)
        targets["weight"] = weight
        seed, groups = self._seed(), check_groups(groups, targets["y"])
        split = self._split(targets["y"], seed, groups)
        warn_of_no_validation(split, groups)
        if mode == "fix":
            self._fit_output(inputs, targets, split, seed)
        else:
            self._fit_network(mode, inputs, shape, targets, split, seed)
        self.mode_ = mode
        return self

    def transform(self, X: Audio) -> np.ndarray:
        """Penultimate units (n_clips, n_units) of clips, float32.

        Parameters
        ----------
        X : array-like of n_clips
            As in `fit`.
        """
        check_is_fitted(self)
        return self._embed(X)

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> np.ndarray:
        """Names of the columns of `transform`: ``embedding_0``, ``embedding_1``, ..."""
        check_is_fitted(self)
        return feature_names({"embedding": self._n_units_})

    def save(self, folder: PathLike, *, training_data: dict[str, Any]) -> None:
        """Write the model to a folder that `load` and `UserLogEmbedder` read.

        A teacher that is given as an object is not named in it: a loaded student
        predicts, but to fit it again it needs its teacher again.

        Parameters
        ----------
        folder : str or Path
            Made where it is missing.
        training_data : dict
            What it learned from, its teacher's data included: ``description`` (str),
            ``licence`` (str) and ``non_commercial`` (bool); loading warns where the
            last is true.
        """
        from userlogfeat.weights import save_model

        check_is_fitted(self)
        network, spec = self._teacher_network()
        save_model(
            folder,
            network.eval(),
            estimator={
                "class": type(self).__name__,
                "parameters": self._plain_parameters(),
                "fitted": {"mode": self.mode_, **self._fitted_task()},
            },
            spec=spec,
            layer_scales=dict.fromkeys(network.layer_sizes, 1.0),
            training_data=training_data,
        )

    @classmethod
    def load(cls, folder: PathLike, *, network: type[nn.Module] | None = None) -> Self:
        """The fitted estimator that `save` wrote to a folder.

        Parameters
        ----------
        folder : str or Path
            Of the model.
        network : type, optional
            The class of the network, where it is one of your own.

        Raises
        ------
        ModelError
            Where the folder is damaged, foreign or changed.
        """
        from userlogfeat.weights import explained, load_fitted

        saved, parameters = load_fitted(folder, cls.__name__, network=network)
        with explained(folder):
            student = cls(**parameters)
            student.network_ = copy.deepcopy(saved.network)
            student._spec_ = saved.config["network"]
            student._n_units_ = saved.layer_sizes["embedding"]
            student.mode_ = saved.config["fitted"]["mode"]
            student._restore_task(saved.config["fitted"])
            if student._spec_["name"] == "mlp":
                student.n_features_in_ = student.network_.head[0].in_features
            return student

    def _resolve_mode(self, teacher_targets):
        """The mode that None means, after checking that it has the teacher it needs."""
        taught = self.teacher is not None
        if self.mode is None:
            return "kd" if taught or teacher_targets is not None else "base"
        if self.mode in ("fix", "init") and not taught:
            raise ValueError(
                f"Got mode={self.mode!r} and teacher=None: pass the name or folder of "
                'a saved model as teacher, or mode="base".'
            )
        if self.mode == "kd" and not taught and teacher_targets is None:
            raise ValueError(
                'Got mode="kd" and neither teacher nor teacher_targets: there is '
                'nothing to distil. Pass one of them, or mode="base".'
            )
        return self.mode

    def _forget(self):
        """Drop what an earlier fit in another mode learned."""
        for name in ("network_", "output_", "teacher_", "_spec_"):
            if hasattr(self, name):
                delattr(self, name)

    def _hear_fixed(self, X, teacher_targets):
        """The teacher's embedding, standardised, as what an output layer is learned on.

        Estimates of unit length are small numbers; with them as they are, the output
        layer would hardly move in the steps that few labels give it.
        """
        from userlogfeat.training.batches import ArrayInputs
        from userlogfeat.training.heads import moments

        if self._reads_features:
            clips = validate_data(self, X, dtype=np.float32)
        else:
            clips = check_audio(X, self, reset=True).rows
        embedding = self._ask_teacher(clips, teacher_targets)
        self.teacher_ = self._teacher()
        n_units = self._ask_teacher(clips[:1], None).shape[1]
        if embedding.shape[1] != n_units:
            raise ValueError(
                f"Got teacher_targets of {embedding.shape[1]} columns, but the teacher "
                f'gives {n_units} units, on which mode="fix" will predict.'
            )
        self._n_units_ = embedding.shape[1]
        self._mean, self._scale = moments(embedding)
        return ArrayInputs((embedding - self._mean) / self._scale), {}

    def _fit_output(self, inputs, targets, split, seed):
        """mode="fix": learn the output layer alone."""
        from userlogfeat.networks.mlp import FeatureTeacher, standardise_input
        from userlogfeat.training import seeded

        with seeded(seed):
            output = torch.nn.Sequential(
                torch.nn.Linear(self._n_units_, self._n_outputs_)
            )
        network = FeatureTeacher(torch.nn.Identity(), output)
        self.history_ = self._train_task(network, inputs, targets, split, seed)
        output = output.cpu().requires_grad_(False)
        mean, scale = torch.from_numpy(self._mean), torch.from_numpy(self._scale)
        standardise_input(output, mean, scale)
        self.output_ = output[0]

    def _fit_network(self, mode, inputs, shape, targets, split, seed):
        """All other modes: train a network."""
        self._n_units_ = self._choose_n_units(mode, targets)
        sizes = {"n_units": self._n_units_, "n_outputs": self._n_outputs_}
        network = self._make_network(shape, seed=seed, **sizes)
        if mode == "init":
            self._start_from_teacher(network)
        self.history_ = self._train_task(network, inputs, targets, split, seed)
        self.network_ = self._as_teacher(network, shape, self._n_units_)
        self._spec_ = self._network_spec(shape, **sizes)

    def _choose_n_units(self, mode, targets):
        if mode == "kd":
            return targets["teacher"].shape[1]
        if mode == "init":
            return self._teacher().network.layer_sizes["embedding"]
        return N_UNITS

    def _train_task(self, network, inputs, targets, split, seed):
        def objective(net, x, batch, epoch):
            hidden = whole(net.penultimate(x))
            task = self._task_loss(net.output(hidden).float(), batch["y"])
            task = weighted_mean(task, batch["weight"])
            loss = task
            if "teacher" in batch:
                weight = self._kd_weight(epoch)
                loss = distillation(task, hidden.float(), batch["teacher"], weight)
            return {"loss": loss, "task_loss": task}

        return self._train(
            network,
            inputs,
            targets,
            objective=objective,
            split=split,
            seed=seed,
            monitor="task_loss",
            min_steps=MIN_STEPS,
            # While the teacher leads, the loss of the task may rise.
            min_epochs=(self._fall() or 0) if "teacher" in targets else 0,
        )

    def _kd_weight(self, epoch):
        """The weight of the distillation in an epoch, counted from 0."""
        fall = self._fall()
        if fall is None:
            return self.kd_weight
        return self.kd_weight * max(0.0, 1 - epoch / fall)

    def _fall(self):
        """Epochs until the weight of the distillation is 0; None where it stays."""
        if self.kd_epochs != "auto":
            return self.kd_epochs
        return max(1, min(KD_EPOCHS, int(self.max_epochs * KD_SHARE)))

    def _start_from_teacher(self, network):
        """mode="init": copy the teacher's weights, all but the output layer's."""
        from userlogfeat.networks.mlp import expect_standardised

        teacher = self._teacher().network
        teacher = copy.deepcopy(getattr(teacher, "network", teacher)).cpu()
        if self._reads_features and hasattr(teacher, "head"):
            mean, scale = torch.from_numpy(self._mean), torch.from_numpy(self._scale)
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

    def _ask_teacher(self, clips, teacher_targets):
        """What the teacher says of every clip (n_clips, n_units), float32."""
        if teacher_targets is None:
            from userlogfeat.training.processes import share_rows

            teacher = self._teacher()
            if self._reads_features and teacher.hears_audio:
                raise ValueError(
                    f"The teacher reads audio, and X of shape {np.shape(clips)} has "
                    "features of clips (network='mlp'). Pass fit(..., "
                    "teacher_targets=) with what the teacher says of each clip, or a "
                    "teacher that was trained on such features."
                )
            try:
                targets = share_rows(clips, partial(teach, teacher))
            except (AudioError, ModelError):
                raise  # of a file, which the student cannot hear either; of a folder
            except ValueError as error:
                raise ValueError(
                    f"The teacher cannot hear X: {error} If X is of another kind than "
                    "what the teacher learned from, pass fit(..., teacher_targets=) "
                    "with what it says of each clip."
                ) from error
        else:
            targets = teacher_targets
        targets = check_array(targets, dtype=np.float32, input_name="teacher_targets")
        if len(targets) != len(clips):
            raise ValueError(
                f"Got teacher_targets of {len(targets)} rows for {len(clips)} clips, "
                "expected one row a clip."
            )
        return targets

    def _embed(self, X):
        """Penultimate units (n_clips, n_units), float32."""
        if not hasattr(self, "network_"):
            teacher = copy.copy(self.teacher_)
            teacher.sample_rate = self._rate_for_teacher()
            return teach(teacher, self._rows_of(X))
        if self._from_features:
            X = validate_data(self, X, dtype=np.float32, reset=False)
            return read_rows(self.network_.head, as_tensor(X)).numpy()
        clips = self.iter_features(X, layers=("embedding",))
        return np.stack([clip.layers["embedding"] for clip in clips])

    def _outputs(self, X):
        """What the output layer gives (n_clips, n_outputs), float64."""
        check_is_fitted(self)
        if not hasattr(self, "network_") or self._from_features:
            output = getattr(self, "output_", None) or self.network_.output
            outputs = read_rows(output, as_tensor(self._embed(X))).numpy()
        else:
            clips = self.iter_features(X, layers=("output",))
            outputs = np.stack([clip.layers["output"] for clip in clips])
        return outputs.astype(np.float64)

    @property
    def _from_features(self):
        return self._spec_["name"] == "mlp"

    def _rows_of(self, X):
        if self._reads_features:
            return validate_data(self, X, dtype=np.float32, reset=False)
        return check_audio(X, self).rows

    def _teacher_network(self):
        """The torch module that is saved, and how `weights` builds it."""
        from userlogfeat.networks.teacher import with_output

        if hasattr(self, "network_"):
            return self.network_, self._spec_
        teacher = self.teacher_
        spec = {**teacher.spec, "n_outputs": self._n_outputs_}
        return with_output(teacher.network, self.output_), spec

    def _check_parameters(self):
        AudioTransformer._check_parameters(self)
        self._check_network(("se_cnn", "mlp"))
        self._check_training_parameters()
        check_choice(self.mode, "mode", (None, *MODES))
        weight = self.kd_weight
        number = isinstance(weight, Real) and not isinstance(weight, bool)
        if not (number and 0 <= weight < float("inf")):
            raise ValueError(
                f"Got kd_weight={weight!r}, expected a finite number of 0 or more."
            )
        self._check_kd_epochs()

    def _check_kd_epochs(self):
        if self.kd_epochs is None or self.kd_epochs == "auto":
            return
        check_positive(self.kd_epochs, "kd_epochs", integer=True)
        if self.kd_epochs >= self.max_epochs:
            raise ValueError(
                f"Got kd_epochs={self.kd_epochs} and max_epochs={self.max_epochs}: the "
                "weight of the distillation would never reach 0, and where the teacher "
                "knows little it would hold the student down. Pass "
                'kd_epochs="auto" or fewer, or train for longer; kd_epochs=None keeps '
                "the weight on purpose, as the paper does."
            )

    def _plain_parameters(self):
        parameters = super()._plain_parameters()
        if not isinstance(self.teacher, str | os.PathLike):
            parameters["teacher"] = None
        elif self.teacher is not None:
            parameters["teacher"] = str(self.teacher)
        if isinstance(parameters.get("class_weight"), dict):
            parameters["class_weight"] = None  # of the fit, not of the model
        return parameters

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "mode_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        tags.target_tags.required = True
        return tags


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
