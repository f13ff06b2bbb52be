"""Networks that take in short contexts of longer clips, and how they are trained.

While it trains, such a network hears one context of a clip at a time, anywhere in the
part of the clip that counts; afterwards it hears all contexts of that part, one after
the other.
"""

import copy

import numpy as np
import torch

from userlogfeat._check import check_positive
from userlogfeat._threads import limit_torch
from userlogfeat.estimators._base import as_tensor, resolve_device
from userlogfeat.estimators._network import NetworkEstimator, _Ear
from userlogfeat.networks.mel import LogMelSpectrogram
from userlogfeat.networks.metric import PAPER_POOLS, ContextMean, MetricCNN


class ContextEstimator(NetworkEstimator):
    """Base of the estimators that train a network on contexts of clips.

    A subclass has the parameters of :class:`NetworkEstimator` and `context`, in
    seconds; its networks are its own by name, "mlp" or a class of modules.
    """

    _crops = ("start", "middle")
    # The network of the subclass's paper: name, class, pools. See `BandNetwork`.
    _paper_name, _paper_class, _paper_pools = "metric", MetricCNN, PAPER_POOLS

    def _hear_training(self, X):
        from userlogfeat.training.batches import FrameStore

        inputs, shape, clips = super()._hear_training(X)
        if self._reads_features:
            return inputs, shape, clips
        if not isinstance(inputs, FrameStore):  # spectrograms, perhaps short ones
            n_frames = self._context_frames()
            inputs, shape = FrameStore(n_frames), (shape[0], n_frames)
            for log_mel in clips:
                n_repeats = -(-n_frames // log_mel.shape[1])
                inputs.append(np.tile(log_mel, n_repeats) if n_repeats > 1 else log_mel)
        self._mean, self._scale = _moments_of_bands(inputs)
        return inputs, shape, clips

    def _store_frames(self, clips):
        """Log-mel of the part of every clip that contexts are taken from."""
        from userlogfeat.training.batches import FrameStore

        settings, n_frames = self._front_end(), self._context_frames()
        self._check_input_shape(settings.n_bands, n_frames)
        front_end = LogMelSpectrogram(settings).to(resolve_device(self.device))
        ear = _Ear(
            settings.sample_rate, (n_frames - 1 + settings.drop_last) * settings.hop
        )
        store = FrameStore(n_frames)
        return self._fill(store, front_end, clips, ear, self._heard_duration())

    def _context_frames(self):
        settings = self._front_end()
        n_samples = round(self.context * settings.sample_rate)
        return max(1, 1 + n_samples // settings.hop - settings.drop_last)

    def _check_input_shape(self, n_bands, n_frames):
        """Raise before anything is decoded where a context is too short for `pools`."""
        if isinstance(self.network, str):
            with torch.device("meta"):
                settings = {"channels": 1, "pools": self._pools(), "n_units": 1}
                probe = self._paper_class(n_bands, **settings)
            probe._check_input(torch.empty(0, n_bands, self._context_frames()))

    def _make_network(self, shape, *, n_units, n_outputs=None, seed):
        if self._reads_features:
            return super()._make_network(shape, n_units=n_units, seed=seed)
        network = self._make_context_network(shape, n_units=n_units, seed=seed)
        return ContextMean(network, shape[1])

    def _make_context_network(self, shape, *, n_units, seed):
        """A new network of one context."""
        from userlogfeat.training import seeded

        with seeded(seed):
            if not isinstance(self.network, str):
                return self._make_custom(shape, n_units, n_units)
            settings = {"channels": self.channels, "pools": self._pools()}
            network = self._paper_class(shape[0], n_units=n_units, **settings)
            network.mean.copy_(torch.from_numpy(self._mean))
            network.scale.copy_(torch.from_numpy(self._scale))
            return network

    def _network_spec(self, shape, *, n_units, n_outputs=None):
        if self._reads_features:
            return super()._network_spec(shape, n_units=n_units)
        spec = {"n_units": n_units, "n_outputs": None}
        spec |= {"n_bands": int(shape[0]), "n_frames": int(shape[1])}
        if isinstance(self.network, str):
            sizes = {"channels": int(self.channels), "pools": list(self._pools())}
            return {"name": self._paper_name, **sizes, **spec}
        name = self.network.__qualname__
        return {"name": "custom", "class": name, "contexts": True, **spec}

    def _scale_of(self, inputs):
        """The factor that brings the embedding to unit mean square."""
        network = self.network_ if self._reads_features else self._load_network()
        total = 0.0
        device = next(network.parameters()).device
        with torch.inference_mode(), limit_torch(1):
            for rows in torch.arange(len(inputs)).split(self.batch_size):
                if self._reads_features:
                    values = network.head(self._raw(inputs.batch(rows)).to(device))
                else:
                    clips = [as_tensor(inputs[row]).to(device) for row in rows.tolist()]
                    values = torch.stack(network(clips)["embedding"])
                total += values.double().square().mean(dim=1).sum().item()
        return float(1 / np.sqrt(max(total / len(inputs), 1e-12)))

    def _teacher_network(self):
        """The torch module that is saved, and how `weights` builds it."""
        return self.network_, self._spec

    def _save(self, folder, name, fitted, training_data):
        """Write the model of class `name`; `fitted` is what `load` needs besides."""
        from userlogfeat.weights import save_model

        save_model(
            folder,
            self.network_.eval(),
            estimator={
                "class": name,
                "parameters": self._plain_parameters(),
                "fitted": fitted,
            },
            spec=self._spec,
            layer_scales=self.layer_scales_,
            training_data=training_data,
        )

    def _restore(self, saved):
        """Take the network of a saved model; the estimator itself."""
        self.layer_scales_ = saved.layer_scales
        self.network_ = copy.deepcopy(saved.network)
        self._spec = saved.config["network"]
        if self._reads_features:
            self.n_features_in_ = self.network_.head[0].in_features
        return self

    def _raw(self, standardised):
        """Features as they came, from standardised ones."""
        mean, scale = (as_tensor(a) for a in (self._mean, self._scale))
        return standardised * scale + mean

    def _pools(self):
        pools = self._paper_pools if self.pools is None else self.pools
        return tuple(int(pool) for pool in pools)

    def _heard_duration(self):
        return None if self.duration is None else float(self.duration)

    def _check_contexts(self):
        """Raise where `context`, `duration` and `pools` make no sense."""
        check_positive(self.context, "context")
        if self.duration is not None and self.duration < self.context:
            raise ValueError(
                f"Got duration={self.duration!r} s, which is shorter than context="
                f"{self.context!r} s. Contexts are taken from what duration leaves: "
                "pass a longer one, or a shorter context."
            )
        if self.pools is None:
            return
        if np.ndim(self.pools) != 1:
            raise ValueError(
                f"Got pools={self.pools!r}, expected whole numbers, one for each "
                f"convolution but the last, such as {self._paper_pools}."
            )
        for pool in self.pools:
            check_positive(pool, "pools", integer=True)


def _moments_of_bands(store):
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
