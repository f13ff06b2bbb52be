"""The base of every estimator that embeds audio: batches of clips, in order."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from math import nan
from typing import Any, Literal, Self

import numpy as np
from sklearn.utils.metaestimators import available_if

from userlogfeat._check import check_audio, check_choice, check_positive
from userlogfeat._progress import progress_bar
from userlogfeat._threads import limit_torch, n_decoders
from userlogfeat._typing import Audio
from userlogfeat.audio.errors import find_nonfinite
from userlogfeat.audio.waveforms import check_rate, check_sound
from userlogfeat.estimators._clip_reader import ClipFeatures, ClipReader
from userlogfeat.estimators._devices import (
    resolve_device,
    resolve_precision,
    to_arrays,
    to_device,
)
from userlogfeat.estimators._sklearn import BaseEstimator, TransformerMixin
from userlogfeat.frontends import resolve_front_end
from userlogfeat.networks.halving import Halving

logger = logging.getLogger(__name__)
# A batch is closed early when it holds this many seconds of audio, so that memory
# is bounded for hour-long files too.
MAX_BATCH_SECONDS = 1200.0
MAX_DURATION = 86400.0  # seconds of one clip: a day


POOLINGS = ("mean", "max", "meanstd", None)  # of layers over the frames of a clip


def gives_rows(embedder: Any) -> bool:
    """Whether an embedder with a parameter `pooling` gives one row per clip."""
    return embedder.pooling is not None


def _has_no_estimator(embedder):
    parameters = embedder.get_params(deep=False).values()
    return not any(hasattr(value, "fit") for value in parameters)


class AudioTransformer(TransformerMixin, BaseEstimator):
    """Base of the estimators that turn clips into features with a torch network.

    A subclass has the parameters `layer`, `duration`, `crop`, `short`, `sample_rate`,
    `batch_size`, `n_jobs`, `device` and `precision`, and supplies
    ``_front_end()``, the settings of the spectrograms, where it has no `frontend`, and
    ``_load_network()``: a module as
    :class:`userlogfeat.networks.teacher.EncoderTeacher`, with `sample_rate`,
    `min_samples`, `n_bands`, `layer_sizes` and ``forward(clips, layers)`` -> {layer:
    one tensor per clip}, where clips are waveforms or spectrograms.
    """

    _crops = ("start", "middle")
    _instead = (  # of features
        "use them as they are, in any classifier of scikit-learn or in "
        'KDStudentClassifier(network="mlp"); FeatureLookup takes the paths of clips '
        "and looks up what `extract` wrote."
    )

    def fit(self, X: Audio, y: Any = None) -> Self:
        """Check X and the parameters; there is nothing to learn.

        Parameters
        ----------
        X : array-like
            Clips: paths, waveforms or log-mel spectrograms.
        y : None
            Ignored.

        Returns
        -------
        self
        """
        self._check_parameters()
        self._check_clips(X, reset=True)
        return self

    def transform(self, X: Audio) -> np.ndarray | Any:
        """Features of clips.

        Parameters
        ----------
        X : array-like of n_clips
            As in `fit`.

        Returns
        -------
        ndarray (n_clips, n_features), float32
            The layers side by side, in the order of `layer`; with ``pooling=None`` a
            list with one (n_frames, n_features) array per clip: of frames, patches of
            musicnn, or windows.

        Raises
        ------
        AudioError
            Where a file cannot be read, or a clip's features are NaN or infinite. To
            keep the rest of a large collection, use :func:`userlogfeat.extract`, which
            gives such files a row that says so.
        ModuleNotFoundError
            Where what an encoder needs is not installed; the message has the command.
        """
        rows = self._rows(X)
        if getattr(self, "pooling", "mean") is None:
            return rows
        return np.stack(rows).astype(np.float32, copy=False)

    def _rows(self, X):
        """The layers of each clip, side by side."""
        return [
            np.concatenate([*features.layers.values()], axis=-1)
            for features in self.iter_features(X)
        ]

    def iter_features(
        self,
        X: Audio,
        *,
        layers: Sequence[str] | None = None,
        on_error: Literal["raise", "yield"] = "raise",
    ) -> Iterator[ClipFeatures]:
        """Features of one clip after the other, while the next are being decoded.

        Parameters
        ----------
        X : array-like
            Clips: paths, waveforms or log-mel spectrograms.
        layers : sequence of str, optional
            Which layers; by default those of the parameter `layer`.
        on_error : {"raise", "yield"}
            Whether the error of an unreadable file is raised, or yielded in a
            ClipFeatures.

        Yields
        ------
        ClipFeatures
            In the order of X.
        """
        check_choice(on_error, "on_error", ("raise", "yield"))
        self._check_parameters()
        clips = self._check_clips(X)
        network = self._load_network()
        layers = self._layer_names() if layers is None else tuple(layers)
        if clips.kind == "log_mel" and len(clips.rows[0]) != network.n_bands:
            shape = (len(clips), *clips.rows[0].shape)
            raise ValueError(
                f"Got X of shape {shape} (clips, bands, frames), expected "
                f"{network.n_bands} bands."
            )
        memory, batch, seconds = Halving(self.batch_size), [], 0.0
        self._log_decisions(clips)
        bar = progress_bar(
            self._inputs(clips, network),
            total=len(clips),
            desc=type(self).__name__,
            unit="clip",
            hidden=on_error == "yield",  # who takes errors as clips counts them
        )
        for entry in bar:
            if entry.error is not None and on_error == "raise":
                raise entry.error
            batch.append(entry)
            seconds += 0.0 if np.isnan(entry.seconds) else entry.seconds
            most = MAX_BATCH_SECONDS / (2 if memory.halved else 1)
            if len(batch) >= memory.batch_size or seconds >= most:
                yield from self._embed_batch(network, layers, batch, memory, on_error)
                batch, seconds = [], 0.0
        yield from self._embed_batch(network, layers, batch, memory, on_error)

    def _log_decisions(self, clips):
        decided = [self._device_name()]
        if hasattr(self, "precision"):
            decided.append(resolve_precision(self.precision, self.device))
        if clips.kind == "paths":
            decided.append(f"threads that decode: {n_decoders(self.n_jobs)}")
        text = ", ".join(decided)
        name = type(self).__name__
        for key in ("encoder", "weights", "model"):
            if isinstance(chosen := vars(self).get(key), str | os.PathLike):
                name += f" {chosen}"
        logger.info("%s: %d clips (%s) on %s", name, len(clips), clips.kind, text)

    def _device_name(self):
        return str(resolve_device(self.device))

    @available_if(_has_no_estimator)
    def _sk_visual_block_(self):
        """Display in notebooks; where this fails, scikit-learn's own is shown."""
        from sklearn.utils._repr_html.estimator import _VisualBlock

        return _VisualBlock(
            "single",
            self,
            names=type(self).__name__,
            name_details=str(self),
            name_caption=self._caption(),
        )

    def _caption(self):
        """The model, its layers and their columns, and the device."""
        layers = [f"{name} ({size})" for name, size in self._shown_layers().items()]
        parts = [self._shown_model(), ", ".join(layers), f"on {self._device_name()}"]
        return "; ".join(part for part in parts if part)

    def _shown_layers(self):
        """Columns of the chosen layers; {} where that is not known yet."""
        return getattr(self, "layer_sizes", {})

    def _shown_model(self):
        for name in ("weights", "encoder", "model", "network"):
            model = getattr(self, name, None)
            if model is not None:
                return name_of(model)
        return ""

    def _front_end(self):
        return resolve_front_end(self.frontend)

    def _check_clips(self, X, *, reset=False):
        """X as clips, waveforms as far as they can be sound; `reset` in ``fit``."""
        clips = check_audio(X, self, reset=reset)
        if clips.kind == "waveforms":
            self._check_waveforms(clips.rows)
        return clips

    def _check_waveforms(self, waveforms):
        model_rate, context = self._rate_and_context()
        seconds = self._read_duration()
        check_sound(
            waveforms,
            sample_rate=self.sample_rate,
            model_rate=model_rate,
            seconds=getattr(self, "context", context if seconds is None else seconds),
            instead=self._instead,
        )

    def _rate_and_context(self):
        """Rate of the waveforms that the network reads, in Hz, and its context, in s.

        The context is None where the network reads whole clips.
        """
        return front_end_context(self._front_end())

    def _inputs(self, clips, network):
        """Yield the input of each clip to the network, as the layer "input"."""
        if clips.kind == "log_mel":
            for index, log_mel in enumerate(clips.rows):
                yield ClipFeatures(index, index, float("nan"), {"input": log_mel})
            return
        reader = self._reader(
            network.sample_rate,
            self._read_duration(),
            min_samples=network.min_samples,
            any_length=getattr(network, "any_length", False),
        )
        yield from reader.read(clips)

    def _reader(self, sample_rate, duration, **lengths):
        """A reader of clips by the parameters; `lengths` as of ClipReader."""
        return ClipReader(
            sample_rate,
            duration,
            crop=self._read_crop(),
            short=self.short,
            given_rate=self.sample_rate,
            n_jobs=self.n_jobs,
            **lengths,
        )

    def _read_duration(self):
        """Seconds of each clip to read; None for the whole clip."""
        return self.duration

    def _read_crop(self):
        """Which part of a clip that is longer than that."""
        return "middle" if self.crop == "random" else self.crop

    def _embed_batch(self, network, names, batch, memory, on_error):
        inputs = [entry.layers["input"] for entry in batch if entry.error is None]
        embed = partial(self._embed_inputs, network, names)
        embedded = chain.from_iterable(memory.run(embed, inputs) if inputs else ())
        for n_left, entry in zip(range(len(batch) - 1, -1, -1), batch, strict=True):
            if entry.error is None:
                layers = next(embedded)
                error = find_nonfinite(entry.clip, layers)
                if error is None:
                    entry = replace(entry, layers=layers)
                elif on_error == "raise":
                    raise error
                else:
                    entry = ClipFeatures(entry.index, entry.clip, nan, None, error)
            yield replace(entry, more=n_left > 0)

    def _embed_inputs(self, network, names, inputs):
        """Layers of clips, as a list of dict of str to ndarray."""
        import torch

        inputs = to_device(inputs, resolve_device(self.device))
        # What is not done by threads of their own is little: one thread.
        with torch.inference_mode(), limit_torch(1):
            layers = self._forward(network, inputs, names)
        layers = {name: to_arrays(values) for name, values in layers.items()}
        return [
            {name: values[clip] for name, values in layers.items()}
            for clip in range(len(inputs))
        ]

    def _forward(self, network, clips, layers):
        """Layers of a batch: dict of layer to one tensor per clip."""
        return network(clips, layers=layers)

    def _layer_names(self):
        return layers_of(self.layer)

    def _check_layers(self, layer_sizes):
        """Raise where `layer` asks for what the network does not have."""
        names = self._layer_names()
        unknown = [name for name in names if name not in layer_sizes]
        if unknown or not names or len(set(names)) < len(names):
            raise ValueError(
                f"Got layer={self.layer!r}, expected one or several different ones of "
                f"{list(layer_sizes)}. Pass {_some_layer(layer_sizes)}."
            )

    def _check_parameters(self):
        if self.duration is not None:
            check_positive(self.duration, "duration")
            if self.duration > MAX_DURATION:
                raise ValueError(
                    f"Got duration={self.duration!r} s, expected at most "
                    f"{MAX_DURATION:g}."
                )
        check_choice(self.crop, "crop", self._crops)
        check_choice(self.short, "short", ("repeat", "pad"))
        check_rate(self.sample_rate)
        check_positive(self.batch_size, "batch_size", integer=True)
        check_positive(self.n_jobs, "n_jobs", integer=True)
        check_choice(self.precision, "precision", ("auto", "fp32", "bf16"))
        self._check_device()

    def _check_device(self):
        resolve_device(self.device)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def layers_of(layer, kinds=(str,)):
    """Layers that a parameter names, one or several, as a tuple."""
    layers = layer if isinstance(layer, list | tuple | np.ndarray) else (layer,)
    if any(isinstance(x, bool) or not isinstance(x, kinds) for x in layers):
        raise ValueError(
            f"Got layer={layer!r}, expected the name of a layer, or a list or tuple of "
            "several."
        )
    return tuple(layers)


def name_of(model):
    """Name of a model that is given by name, path, class or object."""
    return str(getattr(model, "name", None) or getattr(model, "__name__", model))


def front_end_context(front_end):
    """Rate (Hz) and context (s, or None) of a front end."""
    if front_end.patch_frames is None:
        return front_end.sample_rate, None
    seconds = front_end.patch_frames * front_end.hop / front_end.sample_rate
    return front_end.sample_rate, seconds


def network_context(network):
    """Rate (Hz) and context (s, or None) of a loaded network."""
    rate = network.sample_rate  # raises where it has no front end
    if network.front_end is None:
        return rate, network.min_samples / rate
    return front_end_context(network.front_end.front_end)


def _some_layer(layer_sizes):
    """How to ask for a layer that exists: the embedding, or else the last."""
    name = "embedding" if "embedding" in layer_sizes else list(layer_sizes)[-1]
    return f"layer={name!r}"
