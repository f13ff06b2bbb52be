"""Anything that maps waveforms to layers, as an encoder: your own network, say.

It needs `sample_rate`, `layer_sizes`, and a call ``encoder(waveforms, lengths)`` ->
{layer: (clips, frames, size)}. It gets clips of one length at a time, so it need not
know how to mask padding.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from joblib.hashing import NumpyHasher

from userlogfeat._check import check_positive
from userlogfeat.encoders.windowed import WindowedEncoder, check_frames, pad_windows
from userlogfeat.networks.bf16 import autocast_bf16

if TYPE_CHECKING:
    from torch import Tensor

_PLAIN = (bool, int, float, str, type(None))  # settings of a module


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
        self.sample_rate = network.sample_rate
        self.min_samples = getattr(network, "min_samples", 1)
        self.layer_sizes = network.layer_sizes
        self.default_layer = getattr(network, "default_layer", None)
        self.frame_samples = None
        self._check_attributes()
        self.layer_sizes = {name: int(n) for name, n in network.layer_sizes.items()}
        rate = getattr(network, "frame_rate", None)
        if rate is not None:
            check_positive(rate, "encoder.frame_rate")
            self.frame_samples = round(self.sample_rate / rate)
        if rate is not None and self.frame_samples * rate != self.sample_rate:
            raise ValueError(
                f"Got frame_rate={rate!r} Hz of {self.name!r}, expected one by which "
                f"its sample_rate={self.sample_rate} can be divided. Leave it out "
                "(None) to have the frames of windows joined as they are."
            )
        self._set_windows(window, hop, getattr(network, "window", None))

    @property
    def weights_hash(self) -> str:
        """The object's own, or else a digest of what it holds: see `digest_of`."""
        own = getattr(self.network, "weights_hash", None)
        return str(own) if own is not None else digest_of(self.network)

    def _encode_windows(self, waveforms, layers, precision):
        waveforms, lengths = pad_windows(waveforms)
        if isinstance(self.network, torch.nn.Module):
            self.network.to(waveforms.device).eval()
        bf16 = precision == "bf16"
        with autocast_bf16(self.network, waveforms.device, bf16):
            found = self.network(waveforms, lengths)
        found = {name: self._check(found, name, waveforms) for name in layers}
        return [{n: x[row] for n, x in found.items()} for row in range(len(lengths))]

    def _check(self, found: Any, name: str, waveforms: Tensor) -> Tensor:
        if not isinstance(found, dict) or name not in found:
            keys = f" of {list(found)}" if isinstance(found, dict) else ""
            raise ValueError(
                f"The encoder {self.name!r} gave {type(found).__name__}{keys}, "
                f"expected a dict with a tensor for the layer {name!r}, which its "
                "layer_sizes has."
            )
        x = found[name]
        x = torch.from_numpy(x) if isinstance(x, np.ndarray) else x
        check_frames(self, x, name, waveforms)
        return x.to(waveforms.device, torch.float32)


class _Hasher(NumpyHasher):
    """joblib's hash of an object, where torch pickles the same in other bytes."""

    def save(self, obj: Any) -> None:
        if isinstance(obj, torch.Tensor):
            flat = obj.detach().cpu().contiguous().reshape(-1)
            obj = (str(obj.dtype), tuple(obj.shape), flat.view(torch.uint8).numpy())
        elif isinstance(obj, torch.nn.Module):
            parts = [
                (name, type(part).__qualname__, _settings(part))
                for name, part in obj.named_modules()
            ]
            obj = (parts, dict(obj.state_dict()))
        super().save(obj)


def _settings(module):
    """Numbers and texts that a module keeps beside its weights, such as a stride."""
    settings = {}
    for name, x in vars(module).items():
        parts = x if isinstance(x, tuple) else (x,)
        if name[0] != "_" and all(isinstance(part, _PLAIN) for part in parts):
            settings[name] = x
    settings.pop("training", None)
    return settings


def digest_of(network: Any) -> str:
    """Digest of the weights and the settings of an object, equal in every process.

    Of a torch module those are its weights and the numbers and texts among its
    attributes, and its parts'; of another object all that it holds.

    Raises
    ------
    ValueError
        If the object cannot be pickled.
    """
    try:
        return _Hasher(hash_name="sha1").hash(network)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise ValueError(
            f"The encoder {type(network).__qualname__!r} cannot be pickled "
            f"({str(error.args[0]).splitlines()[0]}), so what it holds has no digest "
            "that caches and saved models know it by. Define its class at the top of a "
            "module, without lambdas, or give it weights_hash: a text that is another "
            "one when its weights are."
        ) from error
