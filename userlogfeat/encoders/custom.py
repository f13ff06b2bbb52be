"""Anything that maps waveforms to layers, as an encoder: your own network, say.

It needs `sample_rate`, `layer_sizes`, and a call ``encoder(waveforms, lengths)`` ->
{layer: (clips, frames, size)}. It gets clips of one length at a time, so it need not
know how to mask padding.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import torch

from userlogfeat.encoders.windowed import WindowedEncoder, pad_windows
from userlogfeat.networks.bf16 import autocast_bf16

if TYPE_CHECKING:
    from torch import Tensor


class CustomEncoder(WindowedEncoder):
    """An encoder of an object with `sample_rate`, `layer_sizes` and a call.

    Parameters
    ----------
    network : object
        Its call maps waveforms (clips, samples) and lengths (clips,) to {layer: (clips,
        frames, size)}. A torch module is moved to the device of its input. It may have
        more of what :class:`userlogfeat.encoders.Encoder` lists (`name`, `revision`,
        `weights_hash`, `license`, `min_samples`, `frame_rate`, `default_layer`), and
        `window`: the seconds that it was made for.
    window, hop : float, optional
        Seconds of a window, and between the starts of two; None reads clips whole.
    """

    def __init__(
        self, network: Any, *, window: float | None = None, hop: float | None = None
    ) -> None:
        self.network = network
        self.name = str(getattr(network, "name", type(network).__qualname__))
        self.revision = str(getattr(network, "revision", ""))
        self.license = str(getattr(network, "license", "not stated"))
        self.sample_rate = int(network.sample_rate)
        self.min_samples = int(getattr(network, "min_samples", 1))
        self.layer_sizes = dict(network.layer_sizes)
        self.default_layer = getattr(network, "default_layer", None)
        rate = getattr(network, "frame_rate", None)
        self.frame_samples = None if rate is None else round(self.sample_rate / rate)
        if rate is not None and self.frame_samples * rate != self.sample_rate:
            raise ValueError(
                f"Got frame_rate={rate!r} Hz of {self.name!r}, expected one by which "
                f"its sample_rate={self.sample_rate} can be divided. Leave it out "
                "(None) to have the frames of windows joined as they are."
            )
        self._set_windows(window, hop, getattr(network, "window", None))

    @property
    def weights_hash(self) -> str:
        """Digest of the object's own, of its torch weights, or else of its pickle."""
        own = getattr(self.network, "weights_hash", None)
        return str(own) if own is not None else digest_of(self.network)

    def _encode_windows(self, waveforms, layers, precision):
        waveforms, lengths = pad_windows(waveforms)
        if isinstance(self.network, torch.nn.Module):
            self.network.to(waveforms.device).eval()
        bf16 = precision == "bf16"
        with autocast_bf16(self.network, waveforms.device, bf16):
            found = self.network(waveforms, lengths)
        found = {name: self._check(found, name, len(lengths)) for name in layers}
        found = {name: x.float() for name, x in found.items()}
        return [{n: x[row] for n, x in found.items()} for row in range(len(lengths))]

    def _check(self, found: Any, name: str, n_clips: int) -> Tensor:
        x = found.get(name) if isinstance(found, dict) else None
        size = self.layer_sizes[name]
        if x is None or x.ndim != 3 or x.shape[::2] != (n_clips, size):
            got = type(found).__name__ if x is None else f"shape {tuple(x.shape)}"
            raise ValueError(
                f"The encoder {self.name!r} gave {got} for the layer {name!r}, "
                "expected a dict with a tensor of shape "
                f"({n_clips} clips, frames, {size}). A layer with one row a clip "
                "needs an axis of one frame: x[:, None]."
            )
        return x


def digest_of(network: Any) -> str:
    """Digest of the weights of a torch module, or of the pickle of another object."""
    if not hasattr(network, "state_dict"):
        import joblib

        return joblib.hash(network, hash_name="sha1")
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
