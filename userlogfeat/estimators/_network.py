"""What every estimator shares that trains a network of its own."""

import copy
import warnings
from dataclasses import asdict, dataclass, replace
from itertools import chain
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length, validate_data

from userlogfeat._check import check_choice, check_positive
from userlogfeat._groups import artist_groups, as_column
from userlogfeat._threads import limit_torch
from userlogfeat.estimators._base import (
    AudioTransformer,
    resolve_device,
    resolve_precision,
    to_device,
)
from userlogfeat.frontends import resolve_front_end
from userlogfeat.networks.masks import SpecAugment
from userlogfeat.networks.mel import LogMelSpectrogram
from userlogfeat.networks.mlp import FeatureTeacher, mlp
from userlogfeat.networks.se_cnn import PAPER_POOLS, SECNN
from userlogfeat.networks.teacher import SpectrogramTeacher


class NetworkEstimator(AudioTransformer):
    """Base of the estimators that train a network on clips or features.

    A subclass has the parameters `network`, `channels`, `pools`, `hidden`, `frontend`,
    `duration`, `crop`, `short`, `sample_rate`, `freq_mask`, `time_mask`, `max_epochs`,
    `patience`, `batch_size`, `lr`, `validation_fraction`, `n_jobs`, `device`,
    `precision`, `checkpoint`, `random_state` and `verbose`.
    """

    _crops = ("start", "middle", "random")
    _instead = (
        'pass network="mlp", which learns from them; FeatureLookup takes the paths of '
        "clips and looks up what `extract` wrote."
    )

    @property
    def _reads_features(self):
        return isinstance(self.network, str) and self.network == "mlp"

    def _hear_training(self, X):
        """What the network is trained on, computed once a clip.

        Returns
        -------
        inputs : ArrayInputs or FrameStore
        shape : tuple of int
            Of a clip: (features,), or (bands, frames).
        clips : ndarray or list
            X as it was understood, for the teacher.
        """
        from userlogfeat.training.batches import ArrayInputs
        from userlogfeat.training.heads import moments

        if self._reads_features:
            X = validate_data(self, X, dtype=np.float32)
            self._mean, self._scale = moments(X)
            return ArrayInputs((X - self._mean) / self._scale), X.shape[1:], X
        clips = self._check_clips(X, reset=True)
        self._foreign = False
        if clips.kind == "log_mel":
            # Spectrograms of another number of bands are not those of `frontend`.
            self._foreign = clips.rows.shape[1] != self._front_end().n_bands
            self._check_input_shape(*clips.rows.shape[1:])
            return ArrayInputs(clips.rows), clips.rows.shape[1:], clips.rows
        store = self._store_frames(clips)
        return store, (self._front_end().n_bands, store.n_frames), clips.rows

    def _store_frames(self, clips):
        """Log-mel of every clip: of the part heard, or all of it for random crops."""
        from userlogfeat.training.batches import FrameStore

        device = resolve_device(self.device)
        front_end = LogMelSpectrogram(self._front_end()).to(device)
        n_samples = round(self._heard_duration() * self._front_end().sample_rate)
        n_frames = front_end.n_frames(n_samples)
        self._check_input_shape(self._front_end().n_bands, n_frames)
        whole = _Ear(self._front_end().sample_rate, n_samples)
        duration = None if self.crop == "random" else self._heard_duration()
        return self._fill(FrameStore(n_frames), front_end, clips, whole, duration)

    def _fill(self, store, front_end, clips, ear, duration):
        """The store with the log-mel of `duration` seconds of every clip."""
        from userlogfeat.training.processes import share_each

        device = front_end.window.device

        def hear(rows):
            for entry in self._decode(replace(clips, rows=rows), ear, duration):
                if entry.error is not None:
                    raise entry.error
                waveform = to_device([entry.layers["input"]], device)[0]
                with torch.inference_mode(), limit_torch(1):
                    log_mel = front_end(waveform[None])[0].cpu().numpy()
                yield log_mel

        for log_mel in share_each(clips.rows, hear):
            store.append(log_mel)
        return store

    def _make_network(self, shape, *, n_units, n_outputs=None, seed):
        """A new network for clips of a shape; `n_outputs` is that of a student."""
        from userlogfeat.training import seeded

        with seeded(seed):
            if self._reads_features:
                sizes = np.atleast_1d(self.hidden).astype(int).tolist()
                head = mlp((shape[0], *sizes, n_units))
                output = n_outputs and torch.nn.Linear(n_units, n_outputs)
                return FeatureTeacher(head, output or None)
            if isinstance(self.network, str):
                settings = {"channels": self.channels, "pools": self._pools()}
                return SECNN(n_outputs, n_units=n_units, **settings)
            return self._make_custom(shape, n_units, n_outputs or n_units)

    def _make_custom(self, shape, n_units, n_outputs):
        network = self.network(shape, n_units, n_outputs)
        name = self.network.__name__
        for method in ("penultimate", "output"):
            if not callable(getattr(network, method, None)):
                raise TypeError(
                    f"{name} has no {method}(): a network of your own has "
                    "penultimate(x), which gives (clips, n_units), and output(h), "
                    "which gives (clips, n_outputs)."
                )
        with torch.no_grad():  # in evaluation mode: batch norm learns nothing here
            units = network.eval().penultimate(torch.zeros(1, *shape))
            _check_row(units, n_units, f"{name}.penultimate")
            _check_row(network.output(units), n_outputs, f"{name}.output")
        return network.train()

    def _train(
        self,
        network,
        inputs,
        targets,
        *,
        objective,
        split,
        seed,
        monitor="loss",
        min_steps=1,
        min_epochs=0,
        optimizer=torch.optim.Adam,
    ):
        """Train, by the parameters of this estimator; the losses of every epoch."""
        from userlogfeat.training import fit_network
        from userlogfeat.training.processes import join, on_first

        device = resolve_device(self.device)
        checkpoint = on_first(
            join(), self._make_checkpoint, network, inputs, targets, split
        )
        return fit_network(
            network,
            inputs,
            {name: torch.from_numpy(array) for name, array in targets.items()},
            objective=objective,
            split=split,
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            patience=self.patience,
            device=device,
            seed=seed,
            monitor=monitor,
            min_steps=min_steps,
            min_epochs=min_epochs,
            precision=resolve_precision(self.precision, device),
            augment=self._augmentation(),
            checkpoint=checkpoint,
            optimizer=optimizer,
            verbose=self.verbose,
        )

    def _augmentation(self):
        """What hides bands and frames while training, or None."""
        if self._reads_features or not (self.freq_mask or self.time_mask):
            return None
        return SpecAugment(self.freq_mask, self.time_mask)

    def _make_checkpoint(self, network, inputs, targets, split):
        """The file that keeps this fit, named by all that decides its result."""
        from userlogfeat.training.checkpoints import Checkpoint

        if self.checkpoint is None:
            return None
        ignored = ("device", "n_jobs", "verbose", "checkpoint", "teacher")
        settings = {
            name: str(value)
            for name, value in self.get_params(deep=False).items()
            if name not in ignored
        }
        weights = [tensor.numpy(force=True) for tensor in network.state_dict().values()]
        clips = (inputs[row] for row in range(len(inputs)))  # whole, not their middle
        arrays = chain(targets.values(), split, weights, clips)
        return Checkpoint(self.checkpoint, settings, arrays)

    def _as_teacher(self, network, shape, n_units):
        """The torch module that is saved, for raw input, given the trained network."""
        network = network.cpu().eval().requires_grad_(False)
        if self._reads_features:
            from userlogfeat.networks.mlp import standardise_input

            mean, scale = (torch.from_numpy(a) for a in (self._mean, self._scale))
            standardise_input(network.head, mean, scale)
            return network
        front_end = None if self._foreign else LogMelSpectrogram(self._front_end())
        return SpectrogramTeacher(
            network,
            front_end=front_end,
            n_bands=shape[0],
            n_frames=shape[1],
            n_units=n_units,
        )

    def _network_spec(self, shape, *, n_units, n_outputs=None):
        """How `weights` builds this network again."""
        if self._reads_features:
            sizes = np.atleast_1d(self.hidden).astype(int).tolist()
            return {
                "name": "mlp",
                "head": [shape[0], *sizes, n_units],
                "n_outputs": n_outputs,
            }
        spec = {"n_units": n_units, "n_outputs": n_outputs}
        spec |= {"n_bands": int(shape[0]), "n_frames": int(shape[1])}
        if isinstance(self.network, str):
            pools = [list(pool) for pool in self._pools()]
            return {"name": "se_cnn", "channels": self.channels, "pools": pools, **spec}
        return {"name": "custom", "class": self.network.__qualname__, **spec}

    def _load_network(self):
        """The trained network on the device of the parameters."""
        device = resolve_device(self.device)
        network = copy.copy(self.network_)
        network.precision = resolve_precision(self.precision, device)
        return network.to(device)

    def _front_end(self):
        return resolve_front_end(self.frontend)

    def _pools(self):
        return PAPER_POOLS if self.pools is None else self.pools

    def _heard_duration(self):
        if self.duration is not None:
            return float(self.duration)
        if self._front_end().duration is None:
            raise ValueError(
                f"Got frontend={self.frontend!r}, which hears whole clips, and "
                "duration=None: pass duration= (in seconds), the length of all clips."
            )
        return self._front_end().duration

    def _heard_crop(self):
        return "middle" if self.crop == "random" else self.crop

    def _check_input_shape(self, n_bands, n_frames):
        """Raise before anything is decoded where a clip is too small for `pools`."""
        if isinstance(self.network, str):
            with torch.device("meta"):  # no memory, and no random numbers
                probe = SECNN(channels=1, pools=self._pools(), n_units=1)
            probe._check_input(torch.empty(0, n_bands, n_frames))

    def _seed(self):
        if self.checkpoint is not None and self.random_state is None:
            raise ValueError(
                "Got checkpoint and random_state=None: a fit that goes on must know "
                "its random numbers. Pass random_state=0."
            )
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        from userlogfeat.training.processes import join

        processes = join()
        return seed if processes is None else processes.first_says(seed)

    def _check_training_parameters(self):
        check_positive(self.lr, "lr")
        for name in ("max_epochs", "patience"):
            check_positive(getattr(self, name), name, integer=True)
        for name in ("freq_mask", "time_mask"):
            if getattr(self, name) != 0:
                check_positive(getattr(self, name), name, integer=True)
        for units in np.atleast_1d(np.asarray(self.hidden, dtype=object)):
            check_positive(units, "hidden", integer=True)
        fraction = self.validation_fraction
        if not (isinstance(fraction, Real) and 0 < fraction < 1):
            raise ValueError(
                f"Got validation_fraction={fraction!r}, expected a share between 0 "
                "and 1."
            )

    def _check_network(self, names):
        """Raise unless `network` is one of `names`, or a class of torch modules."""
        network = self.network
        if isinstance(network, type) and issubclass(network, torch.nn.Module):
            return
        if not isinstance(network, str):
            raise TypeError(
                f"Got network={network!r}, expected one of {list(names)} or a class "
                "(not an instance) of torch.nn.Module."
            )
        check_choice(network, "network", names)

    def _plain_parameters(self):
        """The parameters as JSON holds them."""
        parameters = self.get_params(deep=False)
        parameters |= {"checkpoint": None, "device": str(self.device)}
        if not self._reads_features:
            parameters["duration"] = self._heard_duration()
        if not isinstance(self.random_state, Integral):
            parameters["random_state"] = None
        if not isinstance(self.network, str):
            parameters["network"] = self.network.__qualname__
        if not isinstance(self.frontend, str):
            parameters["frontend"] = asdict(self.frontend)
        for name, value in parameters.items():
            if isinstance(value, list | tuple | np.ndarray | np.generic):
                parameters[name] = np.asarray(value).tolist()
        return parameters


@dataclass(frozen=True)
class _Ear:
    """What `_decode` asks of a network."""

    sample_rate: int
    min_samples: int
    any_length: bool = False


def _check_row(values, size, name):
    """Raise unless `values`, of one clip, have the shape (1, size)."""
    if tuple(values.shape) != (1, size):
        raise ValueError(
            f"{name} gives an array of shape {tuple(values.shape)} for one clip, "
            f"expected (1, {size})."
        )


def warn_of_no_validation(split, groups):
    """Say so where groups leave no clip to validate on."""
    if groups is not None and not len(split[1]):
        warnings.warn(
            "The groups leave no clip to validate on: training goes on for max_epochs, "
            "and the epoch of least training loss is kept. Pass groups=None to "
            "validate on clips of the same group.",
            stacklevel=3,
        )


def check_groups(groups, rows):
    """Groups of any type as whole numbers, missing ones apart; None stays None."""
    if groups is None:
        return None
    groups = as_column(groups, "groups")
    check_consistent_length(rows, groups)
    return artist_groups(groups)
