"""Any pretrained audio encoder as a transformer: clips in, its layers out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from userlogfeat._check import check_audio
from userlogfeat._digests import json_digest
from userlogfeat._typing import PathLike
from userlogfeat.encoders import (
    averaged_layers,
    default_layer,
    encoder_identity,
    encoder_key,
    get_encoder,
)
from userlogfeat.estimators._audio_transformer import layers_of
from userlogfeat.estimators._cache import CachedLayers
from userlogfeat.estimators._devices import resolve_precision
from userlogfeat.estimators._parameters import ClipParameters, estimator
from userlogfeat.estimators._pooled_encoder import PooledEncoder

if TYPE_CHECKING:
    from userlogfeat.encoders import Encoder


@estimator
class EncoderEmbedder(CachedLayers, ClipParameters, PooledEncoder):
    """Features of clips from any pretrained audio encoder.

    Nothing is fitted. How clips are batched changes no feature, and nothing is cropped
    at random: a long clip is encoded in windows with overlap, in bounded memory.

    Parameters
    ----------
    encoder : str, Encoder or object
        ``"MSD_musicnn"`` and the other names of
        :func:`userlogfeat.encoders.list_encoders`; ``"hf:owner/model"``, with
        ``@revision``, or ``"hf:FOLDER"``, models of transformers (wav2vec 2.0, HuBERT,
        WavLM, AST, Whisper, CLAP); ``"hf-code:owner/model@commit"``, if code of that
        repository may run (MERT); ``"torchaudio:WAV2VEC2_BASE"``; ``"onnx:FILE"``; or
        an object with `sample_rate`, `layer_sizes` and a call (waveforms, lengths) ->
        {layer: (clips, frames, size)}.
    layer : str, int, sequence of them, or None
        One layer or several, side by side: names of `layer_sizes` of the encoder, or
        their places (-1 is the last). ``"all"``: every one; ``"mean"``: the mean of all
        (of ``layer_0``, ``layer_1``, ... where there are others beside). None is the
        encoder's own: the mean for wav2vec 2.0 and its kin and for Whisper, the model's
        embedding for AST and CLAP, ``max_pool`` for musicnn.
    pooling : {"mean", "max", "meanstd", None}
        Pooling over the frames of a clip; ``"meanstd"`` is the mean and the standard
        deviation, side by side. None gives a list with one (n_frames, n_features) array
        per clip.
    window, hop : float or None
        Seconds that are encoded at once, and between the starts of two windows. None is
        what suits the encoder: the length that it was made for, or 30 s, and an overlap
        of 2.4 s. Of musicnn `hop` alone may be chosen, that of its patches.
    cache : str, Path or None
        Folder of a feature table in which all layers of every file are kept, by path,
        size, time of change, weights and settings: another `layer`, another fold or
        another run decodes no file twice. Waveforms are not cached.
    duration : float or None
        Seconds to read of each clip; None is all of it.
    sample_rate : int or None
        Sample rate of waveforms in X, in Hz, from which they are resampled. None is the
        rate of the encoder. Files carry their own.
    precision : {"auto", "fp32", "bf16"}
        Precision of matrix products; ``"auto"`` is bf16 on a GPU only. With bf16
        features differ by about 1%.

    Attributes
    ----------
    layer_sizes : dict of str to int
        Columns of each chosen layer.
    n_features_in_ : int
        Length of a row of X, where X is an array.

    See Also
    --------
    LayerSelector : Choose the layer by cross-validation.
    LayerWeighting : Learn a weighted sum of the layers.
    CFRegressor : Train a head on an encoder to estimate factors of listening logs.

    Notes
    -----
    Where a model can mask padding (wav2vec 2.0 with layer norms), clips of similar
    lengths go through it together; where it cannot (those with a group norm, your own
    object), clips of one length do. So such a model is fast on clips of equal length:
    ``duration=`` makes them so.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from userlogfeat import EncoderEmbedder
    >>> class Loudness:  # of every tenth of a second
    ...     sample_rate, layer_sizes, min_samples = 8000, {"level": 1}, 800
    ...     def __call__(self, waveforms, lengths):
    ...         frames = waveforms.unfold(1, 800, 800)
    ...         return {"level": frames.square().mean(2, keepdim=True)}
    >>> clips = np.random.default_rng(0).normal(size=(2, 16000))  # 2 s
    >>> EncoderEmbedder(Loudness(), pooling="meanstd").fit_transform(clips).shape
    (2, 2)
    >>> [x.shape for x in EncoderEmbedder(Loudness(), pooling=None).transform(clips)]
    [(20, 1), (20, 1)]
    """

    encoder: str | Encoder | Any = "MSD_musicnn"
    _: KW_ONLY
    layer: str | int | Sequence[str | int] | None = None
    pooling: Literal["mean", "max", "meanstd"] | None = "mean"
    window: float | None = None
    hop: float | None = None
    cache: PathLike | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    @property
    def fingerprint(self) -> str:
        """Identifies weights and settings: equal strings, equal features."""
        settings = [
            encoder_key(encoder_identity(self._encoder())),
            self.pooling,
            None if self.duration is None else float(self.duration),
            self.crop,
            self.short,
            resolve_precision(self.precision, self.device),
        ]
        return json_digest(settings)[:16]

    def _rows(self, X):
        if self.cache is None or check_audio(X).kind != "paths":
            return super()._rows(X)
        self._check_parameters()
        return self._transform_cached(check_audio(X).rows)

    def _transform_cached(self, paths):
        """Chosen layers of files; the mean of layers is that of their pooled rows."""
        names, encoder = self._layer_names(), self._encoder()
        sources = {
            name: averaged_layers(encoder) if self._is_mean(name) else (name,)
            for name in names
        }
        known = self._from_cache(paths, dict.fromkeys(sum(sources.values(), ())))
        return np.concatenate(
            [np.mean([known[s] for s in sources[name]], axis=0) for name in names],
            axis=1,
            dtype=np.float32,
        )

    def _all_layer_sizes(self):
        return self._pooled_sizes(self._encoder().layer_sizes)

    def _chosen_sizes(self):
        sizes = dict(self._encoder().layer_sizes)
        names = self._layer_names()
        for name in names:
            if self._is_mean(name):
                sizes[name] = sizes[averaged_layers(self._encoder())[0]]
        self._check_layers(sizes)
        return {name: sizes[name] for name in names}

    def _is_mean(self, name):
        return name == "mean" and name not in self._encoder().layer_sizes

    def _layer_names(self):
        encoder = self._encoder()
        known = list(encoder.layer_sizes)
        layer = default_layer(encoder) if self.layer is None else self.layer
        if isinstance(layer, str) and layer == "all" and "all" not in known:
            return tuple(known)
        layers = layers_of(layer, (str, Integral))
        return tuple(self._layer_name(x, known) for x in layers)

    def _layer_name(self, layer, known):
        if not isinstance(layer, Integral):
            return str(layer)
        if not -len(known) <= layer < len(known):
            raise ValueError(
                f"Got layer={self.layer!r}, but the encoder has {len(known)} layers: "
                f"{known}. Pass one of these names, or a place from 0 to "
                f"{len(known) - 1}."
            )
        return known[layer]

    def _encoder(self):
        settings = {"window": self.window, "hop": self.hop}
        return get_encoder(
            self.encoder, **{k: v for k, v in settings.items() if v is not None}
        )

    def _check_parameters(self):
        super()._check_parameters()
        if self.cache is not None and self.pooling is None:
            raise ValueError(
                f"Got cache={str(self.cache)!r} and pooling=None: frames are not kept "
                "in tables. Leave out one of them."
            )
