"""The pretrained pipelines of torchaudio as encoders: ``"torchaudio:HUBERT_BASE"``."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch

from userlogfeat._optional import import_optional
from userlogfeat.encoders.custom import digest_of
from userlogfeat.encoders.windowed import WindowedEncoder, pad_windows
from userlogfeat.networks.bf16 import autocast_bf16


class TorchaudioEncoder(WindowedEncoder):
    """A pipeline of torchaudio of the kind of wav2vec 2.0, HuBERT or WavLM.

    torchaudio downloads the weights when the encoder is made, once.

    Parameters
    ----------
    name : str
        ``"torchaudio:"`` and the name of one of ``torchaudio.pipelines``.
    window, hop : float, optional
        Seconds of a window, 30 by default, and between the starts of two, 2.4 less.
    """

    min_samples = 400  # that its convolutions need
    frame_samples = 320
    default_layer = "mean"
    license = "see torchaudio.pipelines"
    needs = ("torchaudio",)

    def __init__(
        self, name: str, *, window: float | None = None, hop: float | None = None
    ) -> None:
        self.name = name
        bundle, version = _find_bundle(name)
        self.revision = f"torchaudio {version}"
        self.sample_rate = int(bundle.sample_rate)
        with torch.inference_mode():
            clip = torch.zeros(1, 2 * self.min_samples)
            layers, _ = _load_network(name, "cpu").extract_features(clip)
        self.layer_sizes = {
            f"layer_{number}": layer.shape[-1]
            for number, layer in enumerate(layers, start=1)
        }
        self._set_windows(window, hop, 30.0)

    @property
    def weights_hash(self) -> str:
        """SHA-256 of the weights."""
        return _digest(self.name)

    def _encode_windows(self, waveforms, layers, precision):
        inputs, _ = pad_windows(waveforms)  # of one length
        network = _load_network(self.name, str(inputs.device))
        numbers = {name: int(name.rpartition("_")[2]) - 1 for name in layers}
        last = 1 + max(numbers.values())  # those behind it do not run
        bf16 = precision == "bf16"
        with autocast_bf16(network, inputs.device, bf16):
            if getattr(_find_bundle(self.name)[0], "_normalize_waveform", False):
                inputs = torch.nn.functional.layer_norm(inputs, inputs.shape[1:])
            found, _ = network.extract_features(inputs, num_layers=last)
        frames = {name: found[number].float() for name, number in numbers.items()}
        return [{n: x[row] for n, x in frames.items()} for row in range(len(inputs))]


def _find_bundle(name):
    pipelines = import_optional(
        "torchaudio.pipelines", extra="torchaudio", purpose=f"The encoder {name!r}"
    )
    import torchaudio

    wanted = name.partition(":")[2]
    known = [n for n in dir(pipelines) if hasattr(getattr(pipelines, n), "get_model")]
    if wanted not in known:
        raise ValueError(
            f"Got encoder={name!r}, expected one of torchaudio's pipelines: {known}."
        )
    bundle = getattr(pipelines, wanted)
    if not hasattr(bundle, "sample_rate"):
        raise ValueError(f"Got encoder={name!r}, which does not encode audio.")
    return bundle, torchaudio.__version__


@lru_cache(maxsize=2)
def _load_network(name: str, device: str) -> Any:
    """Load a pipeline's model, once per process."""
    bundle = _find_bundle(name)[0]
    try:
        network = bundle.get_model()
    except OSError as error:
        raise ValueError(
            f"Got encoder={name!r}, which torchaudio cannot download "
            f"({type(error).__name__}: {error}). Is its server reachable from here?"
        ) from error
    if not hasattr(network, "extract_features"):
        raise ValueError(
            f"Got encoder={name!r}, whose model has no extract_features, expected a "
            "pipeline of the kind of wav2vec 2.0, HuBERT or WavLM."
        )
    return network.to(device).eval().requires_grad_(False)


@lru_cache(maxsize=8)
def _digest(name: str) -> str:
    return digest_of(_load_network(name, "cpu"))
