"""How estimators train a network: the clips, read once, and the trainer.

A `fit` that trains a network is this story::

    data = read_clips(self, X, design)  # TrainingData
    trainer = Trainer(self)
    split = trainer.split(len(data), groups)
    network = design.build(data, n_units=..., seed=trainer.seed)
    self.history_ = trainer.fit(network, data.inputs, targets, objective=..., split=...)
    self.network_ = data.for_raw_input(network, n_units)
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length

from userlogfeat._check import check_features
from userlogfeat._groups import artist_groups, as_column
from userlogfeat._progress import progress_bar
from userlogfeat._threads import limit_torch
from userlogfeat.estimators._audio_transformer import AudioTransformer
from userlogfeat.estimators._devices import (
    as_tensor,
    resolve_device,
    resolve_precision,
    to_device,
)
from userlogfeat.networks.masks import SpecAugment
from userlogfeat.networks.mel import LogMelSpectrogram
from userlogfeat.networks.mlp import standardise_input
from userlogfeat.networks.teacher import SpectrogramTeacher
from userlogfeat.training import fit_network, validation_split
from userlogfeat.training.batches import ArrayInputs, FrameStore
from userlogfeat.training.checkpoints import Checkpoint
from userlogfeat.training.heads import moments
from userlogfeat.training.processes import join, on_first, share_each

if TYPE_CHECKING:
    from torch import nn

    from userlogfeat.frontends import FrontEnd

logger = logging.getLogger(__name__)
# Parameters that do not decide what a fit ends with.
NOT_IN_CHECKPOINTS = ("device", "n_jobs", "verbose", "checkpoint", "teacher")


@dataclass(frozen=True)
class TrainingData:
    """The clips that a network is trained on.

    Attributes
    ----------
    inputs : ArrayInputs or FrameStore
        Spectrograms, or standardised features.
    shape : tuple of int
        Shape of one input: (features,), or (bands, frames).
    rows : ndarray or list
        X as it was understood.
    mean, scale : ndarray or None
        Mean and standard deviation of each feature, or of each band of contexts.
    front_end : FrontEnd or None
        Settings of the spectrograms; None where X has spectrograms of other settings.
    """

    inputs: Any
    shape: tuple[int, ...]
    rows: Any
    mean: np.ndarray | None = None
    scale: np.ndarray | None = None
    front_end: FrontEnd | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def reads_features(self) -> bool:
        """Whether a clip is a row of features."""
        return len(self.shape) == 1

    def for_raw_input(self, network: nn.Module, n_units: int) -> nn.Module:
        """Turn a trained network into the module that is saved, which reads raw X.

        Parameters
        ----------
        network : Module
            Changed in place where it reads features.
        n_units : int
            Size of the embedding.
        """
        network = network.cpu().eval().requires_grad_(False)
        if self.reads_features:
            mean, scale = torch.from_numpy(self.mean), torch.from_numpy(self.scale)
            standardise_input(network.head, mean, scale)
            return network
        return SpectrogramTeacher(
            network,
            front_end=self.front_end and LogMelSpectrogram(self.front_end),
            n_bands=self.shape[0],
            n_frames=self.shape[1],
            n_units=n_units,
        )


def read_clips(estimator: AudioTransformer, X: Any, design: Any) -> TrainingData:
    """Read the clips that a network is trained on, each once.

    Parameters
    ----------
    estimator : AudioTransformer
        Its parameters say how clips are read.
    X : array-like of n_clips
        Paths, waveforms or log-mel spectrograms; features with ``network="mlp"``.
    design : ClipDesign or ContextDesign
        The network: how long its inputs are, and whether X is large enough for it.

    Returns
    -------
    TrainingData
    """
    if estimator._reads_features:
        return standardised(check_features(estimator, X))
    clips = estimator._check_clips(X, reset=True)
    front_end = estimator._front_end()
    if clips.kind == "log_mel":
        n_bands, n_frames = clips.rows.shape[1:]
        design.check(n_bands, n_frames)
        own = n_bands == front_end.n_bands
        inputs = ArrayInputs(clips.rows)
        if design.n_frames is not None:
            n_frames, inputs = design.n_frames, _contexts_of(clips.rows, design)
        data = TrainingData(inputs, (n_bands, n_frames), clips.rows)
        data = replace(data, front_end=front_end if own else None)
    else:
        inputs = _store_spectrograms(estimator, clips, front_end, design)
        shape = (front_end.n_bands, inputs.n_frames)
        data = TrainingData(inputs, shape, clips.rows, front_end=front_end)
    if design.n_frames is not None:
        mean, scale = moments_of_bands(inputs)
        data = replace(data, mean=mean, scale=scale)
    return data


def standardised(features: np.ndarray) -> TrainingData:
    """Standardise features (n_clips, n_features), to train on them."""
    mean, scale = moments(features)
    inputs = ArrayInputs((features - mean) / scale)
    return TrainingData(inputs, features.shape[1:], features, mean, scale)


def _contexts_of(log_mels, design):
    """Spectrograms in X, repeated where they are shorter than a context."""
    store = FrameStore(design.n_frames)
    for log_mel in log_mels:
        n_repeats = -(-design.n_frames // log_mel.shape[1])
        store.append(np.tile(log_mel, n_repeats) if n_repeats > 1 else log_mel)
    return store


def _store_spectrograms(estimator, clips, front_end, design):
    """Log-mel of every clip: whole where windows of it are drawn in training."""
    mel = LogMelSpectrogram(front_end).to(resolve_device(estimator.device))
    duration, n_frames = estimator._read_duration(), design.n_frames
    if n_frames is None:
        n_samples = round(duration * front_end.sample_rate)
        n_frames = mel.n_frames(n_samples)
        duration = None if estimator.crop == "random" else duration
    else:
        n_samples = (n_frames - 1 + front_end.drop_last) * front_end.hop
    design.check(front_end.n_bands, n_frames)
    store = FrameStore(n_frames)

    def log_mels(rows):
        part = replace(clips, rows=rows)
        return iter_log_mels(estimator, part, mel, n_samples, duration)

    for log_mel in share_each(clips.rows, log_mels):
        store.append(log_mel)
    return store


def iter_log_mels(
    estimator: AudioTransformer,
    clips: Any,
    mel: LogMelSpectrogram,
    min_samples: int,
    duration: float | None,
    *,
    any_length: bool = False,
) -> Iterator[np.ndarray]:
    """Yield the log-mel spectrogram (bands, frames) of each clip.

    Parameters
    ----------
    estimator : AudioTransformer
        Its parameters say how clips are read.
    clips : Clips
        Paths or waveforms.
    mel : LogMelSpectrogram
        On the device that computes.
    min_samples : int
        Shorter clips are filled.
    duration : float or None
        Seconds of a clip that are read; None is all of it.
    any_length : bool
        Whether clips shorter than `duration` stay as they are.

    Raises
    ------
    AudioError
        Where a file cannot be read.
    """
    rate, lengths = mel.front_end.sample_rate, {"min_samples": min_samples}
    reader = estimator._reader(rate, duration, **lengths, any_length=any_length)
    entries = reader.read(clips)
    for entry in progress_bar(entries, total=len(clips), desc="reading", unit="clip"):
        if entry.error is not None:
            raise entry.error
        waveform = to_device([entry.layers["input"]], mel.window.device)[0]
        with torch.inference_mode(), limit_torch(1):
            log_mel = mel(waveform[None])[0].cpu().numpy()
        yield log_mel


class Trainer:
    """Trains a network by the parameters of an estimator.

    Parameters
    ----------
    estimator : estimator
        It has the parameters of :class:`TrainingParameters`.
    optimizer : callable
        ``optimizer(parameters, lr=lr)``.
    min_steps : int
        Minimum number of steps of an epoch, so that training on few clips does not end
        before they are learned.

    Attributes
    ----------
    seed : int
        Drawn from `random_state`; the same in all processes that train together.
    """

    def __init__(
        self,
        estimator: Any,
        *,
        optimizer: Callable[..., Any] = torch.optim.Adam,
        min_steps: int = 1,
    ) -> None:
        if estimator.checkpoint is not None and estimator.random_state is None:
            raise ValueError(
                "Got checkpoint and random_state=None: a fit that is continued must "
                "know its random numbers. Pass random_state=0."
            )
        self.estimator, self.optimizer, self.min_steps = estimator, optimizer, min_steps
        seed = int(check_random_state(estimator.random_state).randint(2**31 - 1))
        processes = join()
        self.seed = seed if processes is None else processes.broadcast(seed)

    def split(
        self, n_clips: int, groups: Any = None, y: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows to train on, and rows to validate on.

        Parameters
        ----------
        n_clips : int
            Number of clips.
        groups : array-like (n_clips,), optional
            Clips of one group are on one side.
        y : ndarray (n_clips,), optional
            Classes, which are kept in proportion.
        """
        groups = check_groups(groups, np.empty((n_clips, 1)))
        fraction = self.estimator.validation_fraction
        split = validation_split(n_clips, fraction, seed=self.seed, y=y, groups=groups)
        if groups is not None and not len(split[1]):
            warnings.warn(
                "The groups leave no clip to validate on: training goes on for "
                "max_epochs, and the epoch of lowest training loss is kept. Pass "
                "groups=None to validate on clips of the same group.",
                stacklevel=3,
            )
        return split

    def fit(
        self,
        network: nn.Module,
        inputs: Any,
        targets: dict[str, np.ndarray],
        *,
        objective: Callable[..., Any],
        split: tuple[np.ndarray, np.ndarray],
        monitor: str = "loss",
        min_epochs: int = 0,
        arrays: Iterable[np.ndarray] = (),
    ) -> list[dict[str, Any]]:
        """Train, and leave the network with the weights of its best epoch.

        Parameters
        ----------
        network : Module
            Changed in place.
        inputs : ArrayInputs, FrameStore or TripletInputs
            Inputs of the network.
        targets : dict of str to ndarray (n_clips, ...)
            Arrays that the objective needs for each clip.
        objective, split, monitor, min_epochs
            See :func:`userlogfeat.training.fit_network`.
        arrays : iterable of ndarray
            Further arrays that decide the result, for the name of the checkpoint.

        Returns
        -------
        list of dict
            Losses of every epoch.
        """
        parameters = self.estimator
        device = resolve_device(parameters.device)
        masks = (parameters.freq_mask, parameters.time_mask)
        store = getattr(inputs, "inputs", inputs)  # the clips of triplets
        masked = any(masks) and store[0].ndim > 1
        arrays = chain(targets.values(), arrays)
        precision = resolve_precision(parameters.precision, device)
        name = type(parameters).__name__
        words = "%s: training on %s in %s: %d examples, and %d for validation"
        logger.info(words, name, device, precision, *map(len, split))
        return fit_network(
            network,
            inputs,
            {name: torch.from_numpy(array) for name, array in targets.items()},
            objective=objective,
            split=split,
            max_epochs=parameters.max_epochs,
            batch_size=parameters.batch_size,
            lr=parameters.lr,
            patience=parameters.patience,
            device=device,
            seed=self.seed,
            monitor=monitor,
            min_steps=self.min_steps,
            min_epochs=min_epochs,
            precision=precision,
            augment=SpecAugment(*masks) if masked else None,
            checkpoint=on_first(
                join(), self._checkpoint, network, inputs, [*arrays, *split]
            ),
            optimizer=self.optimizer,
            verbose=parameters.verbose,
        )

    def _checkpoint(self, network, inputs, arrays):
        """The file that keeps this fit, named by all that decides its result."""
        if self.estimator.checkpoint is None:
            return None
        settings = {
            name: str(value)
            for name, value in self.estimator.get_params(deep=False).items()
            if name not in NOT_IN_CHECKPOINTS
        }
        weights = [tensor.numpy(force=True) for tensor in network.state_dict().values()]
        store = getattr(inputs, "inputs", inputs)  # that triplets are drawn from
        clips = (store[row] for row in range(len(store)))  # whole, not their middle
        arrays = chain(arrays, weights, clips)
        return Checkpoint(self.estimator.checkpoint, settings, arrays)


def clip_duration(estimator: Any) -> float:
    """Seconds of each clip that a network of clips of one length reads."""
    if estimator.duration is not None:
        return float(estimator.duration)
    duration = estimator._front_end().duration
    if duration is None:
        raise ValueError(
            f"Got frontend={estimator.frontend!r}, which reads whole clips, and "
            "duration=None: pass duration= (in seconds), the length of all clips."
        )
    return duration


def check_groups(groups: Any, rows: Any) -> np.ndarray | None:
    """Number groups of any type, missing ones apart; None stays None."""
    if groups is None:
        return None
    groups = as_column(groups, "groups")
    check_consistent_length(rows, groups)
    return artist_groups(groups)


def moments_of_bands(store: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each band over all clips; 1 for constant bands."""
    n_frames, total, squares = 0, 0.0, 0.0
    # About the first clip: squares of a large offset less its square are rounding.
    origin = store[0].astype(np.float64).mean(axis=1, keepdims=True)
    for row in range(len(store)):
        log_mel = store[row].astype(np.float64) - origin
        n_frames += log_mel.shape[1]
        total = total + log_mel.sum(axis=1)
        squares = squares + np.square(log_mel).sum(axis=1)
    mean = total / n_frames
    variance = squares / n_frames - mean**2
    mean = origin[:, 0] + mean
    constant = variance <= 1e-14 * np.maximum(mean**2, 1e-10)  # rounding of float32
    return mean, np.sqrt(np.where(constant, 1.0, variance))


def scale_of(square: float) -> float:
    """The factor that brings a layer of a mean square to unit mean square."""
    return float(1 / np.sqrt(max(square, 1e-12)))


def embedding_scale(network: nn.Module, data: TrainingData, batch_size: int) -> float:
    """The factor that brings the embedding of the training clips to unit mean square.

    Parameters
    ----------
    network : Module
        As ``data.for_raw_input`` made it, on the device that computes.
    data : TrainingData
    batch_size : int
        Clips per pass.
    """
    total = 0.0
    device = next(network.parameters()).device
    with torch.inference_mode(), limit_torch(1):
        for rows in torch.arange(len(data)).split(batch_size):
            if data.reads_features:
                mean, scale = as_tensor(data.mean), as_tensor(data.scale)
                raw = data.inputs.batch(rows) * scale + mean
                values = network.head(raw.to(device))
            else:
                clips = [
                    as_tensor(data.inputs[row]).to(device) for row in rows.tolist()
                ]
                values = torch.stack(network(clips)["embedding"])
            total += values.double().square().mean(dim=1).sum().item()
    return scale_of(total / len(data))
