"""The inner half of the shared latent space: from clips to both maps, and to a module.

What it promises to its users is in :mod:`userlogfeat.estimators.shared_latent`.
"""

import copy
from dataclasses import asdict
from numbers import Integral

import numpy as np
import torch
from sklearn.utils.validation import validate_data

from userlogfeat._threads import limit_torch
from userlogfeat.estimators._base import as_tensor, resolve_device
from userlogfeat.estimators._network import _Ear, check_groups
from userlogfeat.estimators._windows import WindowTransformer
from userlogfeat.frontends import resolve_front_end
from userlogfeat.networks.mel import LogMelSpectrogram
from userlogfeat.networks.mlp import FeatureTeacher, mlp


class LatentTransformer(WindowTransformer):
    """Base of :class:`userlogfeat.SharedLatentEmbedder`, with its parameters."""

    _instead = (
        'pass network="mlp" to learn from them; FeatureLookup takes the paths of clips '
        "and looks up what `extract` wrote."
    )

    @property
    def _reads_features(self):
        return self.network == "mlp"

    def _forget(self):
        """Drop what an earlier fit learned."""
        for name in [name for name in vars(self) if name.endswith("_")]:
            if name not in ("n_features_in_", "feature_names_in_"):
                delattr(self, name)

    def _hear_training(self, X, rng):
        """Frames of each clip that are learned from: list of (n_frames, n_features)."""
        if self._reads_features:
            X = validate_data(self, X, dtype=np.float32)
            return list(X[:, None])
        clips = self._check_clips(X, reset=True)
        if clips.kind == "log_mel":
            spectrograms = clips.rows
        else:
            spectrograms = self._iter_log_mels(clips)
        return [self._choose_frames(log_mel, rng) for log_mel in spectrograms]

    def _iter_log_mels(self, clips):
        """Yield the log-mel (bands, frames) of each clip."""
        settings = resolve_front_end(self.frontend)
        front_end = LogMelSpectrogram(settings).to(resolve_device(self.device))
        teacher = self._make_teacher()
        ear = _Ear(settings.sample_rate, teacher.min_samples, teacher.any_length)
        for entry in self._decode(clips, ear, self._heard_duration()):
            if entry.error is not None:
                raise entry.error
            waveform = as_tensor(entry.layers["input"]).to(front_end.window.device)
            with torch.inference_mode(), limit_torch(1):
                log_mel = front_end(waveform[None])[0].cpu().numpy()
            yield log_mel

    def _choose_frames(self, log_mel, rng):
        n_frames, wanted = log_mel.shape[1], self.frames_per_clip
        if wanted is not None and n_frames > wanted:
            chosen = np.sort(rng.choice(n_frames, wanted, replace=False))
            log_mel = log_mel[:, chosen]
        return np.ascontiguousarray(log_mel.T, dtype=np.float32)

    def _learn(self, clips, sets, groups, seed):
        """The maps of standardised frames, and what the frames were standardised by."""
        from userlogfeat.training.heads import moments
        from userlogfeat.training.shared_maps import SharedMaps, fit_shared_maps

        parts = self._split(clips, sets, groups, seed)
        used = np.concatenate([train for train, _ in parts])
        mean, scale = moments(np.concatenate([clips[row] for row in used]))
        device = resolve_device(self.device)
        train, valid = (
            [
                self._gather(clips, rows[side], place, sets, mean, scale)
                for place, rows in enumerate(parts)
            ]
            for side in (0, 1)
        )
        maps = SharedMaps(
            len(mean),
            self.n_components,
            [data.labels.shape[1] for data in train],
            max_norm=self.max_norm,
            margin=self.margin,
            generator=torch.Generator(device).manual_seed(seed),
            device=device,
        )
        self.history_ = fit_shared_maps(
            train,
            valid,
            maps,
            max_epochs=self.max_epochs,
            patience=self.patience,
            batch_size=self.batch_size,
            lr=self.lr,
            verbose=self.verbose,
        )
        return maps, mean, scale

    def _split(self, clips, sets, groups, seed):
        """Rows to learn from and to validate on, of each data set's labelled clips."""
        from userlogfeat.training import validation_split

        groups = check_groups(groups, clips)
        n_labels = np.diff(sets.indicators.indptr)
        parts = []
        for place in range(len(sets.datasets)):
            rows = np.flatnonzero((n_labels > 0) & (sets.clip_datasets == place))
            own, single = sets.indicators[rows], (n_labels[rows] == 1).all()
            train, valid = validation_split(
                len(rows),
                self.validation_fraction,
                seed=seed,
                y=own.indices if single else None,
                groups=None if groups is None else groups[rows],
            )
            parts.append((rows[train], rows[valid]))
        return parts

    def _gather(self, clips, rows, place, sets, mean, scale):
        """Standardised frames of some clips of one data set, with their labels."""
        from userlogfeat.training.shared_maps import LabelledFrames

        device = resolve_device(self.device)
        n_frames = [len(clips[row]) for row in rows]
        frames = [clips[row] for row in rows] or [np.empty((0, len(mean)), np.float32)]
        frames = np.concatenate(frames)
        frames -= mean.astype(np.float32)
        frames /= scale.astype(np.float32)
        return LabelledFrames(
            torch.from_numpy(frames).to(device),
            torch.from_numpy(np.repeat(np.arange(len(rows)), n_frames)).to(device),
            sets.indicators[rows][:, sets.columns(place)],
        )

    def _keep(self, maps, mean, scale, sets):
        """The maps as a torch module of raw frames, and as arrays."""
        from userlogfeat.training import seeded

        V = maps.features.double().cpu() / torch.from_numpy(scale)[:, None]  # V'
        W = torch.cat(maps.labels).cpu()
        with seeded(0):  # the caller's random numbers are left: all values are set
            network = self._make_network(len(mean), len(W))
        linear, labels = _maps_of(network)
        with torch.no_grad():
            linear.weight.copy_(V.T)
            linear.bias.copy_(-torch.from_numpy(mean) @ V)
            labels.weight.copy_(W)
        self.network_ = network.eval().requires_grad_(False)
        self.labels_, self.label_datasets_ = sets.labels, sets.label_datasets
        self._note_embeddings()

    def _make_network(self, n_features, n_labels):
        if not self._reads_features:
            maps = {"n_components": self.n_components, "n_labels": n_labels}
            return self._make_teacher(**maps)
        output = torch.nn.Linear(self.n_components, n_labels)
        torch.nn.init.zeros_(output.bias)
        return FeatureTeacher(mlp((n_features, self.n_components)), output)

    def _note_embeddings(self):
        features, labels = _maps_of(self.network_)
        self.feature_embedding_ = features.weight.numpy(force=True).T.copy()
        self.feature_offset_ = features.bias.numpy(force=True).copy()
        self.label_embeddings_ = labels.weight.numpy(force=True).copy()

    def _measure_scales(self, clips):
        """The factor that brings each layer to unit mean square."""
        if self._reads_features:
            frames = np.concatenate(clips)
            layers = {"embedding": frames @ self.feature_embedding_}
            layers["embedding"] += self.feature_offset_
            squares = {"embedding": np.square(layers["embedding"]).mean()}
        else:
            network, squares = self._pooled(self._load_network()), {}
            for frames in clips:
                log_mel = as_tensor(frames.T).to(resolve_device(self.device))
                heard = network([log_mel], tuple(network.layer_sizes))
                for name, (values,) in heard.items():
                    square = values.square().mean().item() / len(clips)
                    squares[name] = squares.get(name, 0.0) + square
        return {k: float(1 / np.sqrt(max(v, 1e-12))) for k, v in squares.items()}

    def _read_features(self, X):
        """Embedding and affinities of precomputed features."""
        X = validate_data(self, X, dtype=np.float32, reset=False)
        # In double precision: float32 sums differ with a row's place in the batch.
        embedding = X.astype(np.float64) @ self.feature_embedding_
        embedding += self.feature_offset_
        layers = {
            "embedding": embedding,
            "affinity": embedding @ self.label_embeddings_.T,
        }
        return {name: values.astype(np.float32) for name, values in layers.items()}

    def _pooled(self, network):
        """The network with one row a clip, for which windows apart are averaged."""
        if self._reads_features:
            return network
        network = copy.copy(network)
        network.pooling = self.pooling or "mean"
        return network

    def _load_network(self):
        device = resolve_device(self.device)
        network = copy.copy(self.network_)
        if not self._reads_features:
            plain = self._make_teacher()
            network.statistics, network.pooling = plain.statistics, plain.pooling
        return network.to(device)

    def _network_spec(self):
        """How `weights` builds this network again."""
        n_in, n_labels = len(self.feature_embedding_), len(self.labels_)
        if self._reads_features:
            head = [n_in, int(self.n_components)]
            return {"name": "mlp", "head": head, "n_outputs": n_labels}
        return {
            "name": "frames",
            "n_bands": n_in,
            "n_components": int(self.n_components),
            "n_labels": n_labels,
            "window": self.window and int(self.window),
            "window_hop": self.window_hop and int(self.window_hop),
            "statistics": list(self.statistics),
            "pooling": self.pooling or "mean",
        }

    def _plain_parameters(self):
        """The parameters as JSON holds them."""
        parameters = self.get_params(deep=False) | {"device": str(self.device)}
        if not self._reads_features:
            parameters["duration"] = self._heard_duration()
        if not isinstance(self.random_state, Integral):
            parameters["random_state"] = None
        if not isinstance(self.frontend, str):
            parameters["frontend"] = asdict(self.frontend)
        for name, value in parameters.items():
            if isinstance(value, list | tuple | np.ndarray | np.generic):
                parameters[name] = np.asarray(value).tolist()
        return parameters


def _maps_of(network):
    """The linear layers of features and of labels."""
    if isinstance(network, FeatureTeacher):
        return network.head[0], network.output
    return network.features, network.labels
