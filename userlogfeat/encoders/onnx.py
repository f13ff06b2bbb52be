"""ONNX files as encoders: ``"onnx:model.onnx"``.

A file that ``userlogfeat.export`` wrote says in its metadata how it is read. Of others,
the sample rate is given here; what is not given is taken from the file's shapes.
"""

from __future__ import annotations

import json
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from userlogfeat._optional import import_optional
from userlogfeat._stamps import check_unchanged, sha256, stamped
from userlogfeat._threads import n_cores
from userlogfeat.encoders.windowed import WindowedEncoder, check_frames, pad_windows

if TYPE_CHECKING:
    from torch import Tensor

_DEFAULTS = ("embedding", "max_pool")  # of files that export_onnx wrote
INPUT = "waveforms"  # (clips, samples), float32


class OnnxEncoder(WindowedEncoder):
    """A network in an ONNX file, run by onnxruntime on the CPU.

    Its input is (clips, samples), float32; its outputs are layers, (clips, size) or
    (clips, frames, size). It gets clips of one length at a time.

    Parameters
    ----------
    name : str
        ``"onnx:FILE"``.
    sample_rate : int, optional
        Rate of the waveforms, in Hz; needed where the file does not say.
    input : str, optional
        Name of the input; by default ``"waveforms"``, or the only one.
    min_samples : int, optional
        Samples of the shortest clip that it reads; by default what the file says, or 1.
    frame_samples : int, optional
        Samples from one frame of its layers to the next, so that windows that overlap
        can be joined; None joins the frames of windows as they are.
    window, hop : float, optional
        Seconds of a window, and between the starts of two; None reads clips whole.
    """

    needs = ("onnxruntime",)

    def __init__(
        self,
        name: str,
        *,
        sample_rate: int | None = None,
        input: str | None = None,
        min_samples: int | None = None,
        frame_samples: int | None = None,
        window: float | None = None,
        hop: float | None = None,
    ) -> None:
        path = Path(name.partition(":")[2]).expanduser().resolve()
        if not path.is_file():
            raise ValueError(f"Got encoder={name!r}, but there is no file {path}.")
        self.path, self.name, self.revision = str(path), f"onnx:{path}", ""
        self._given = {
            "sample_rate": sample_rate,
            "input": input,
            "min_samples": min_samples,
            "frame_samples": frame_samples,
        }
        self._file = stamped([path])
        session = _load_session(self._file)
        metadata = _metadata(session)
        self.sample_rate = (
            metadata.get("sample_rate") if sample_rate is None else sample_rate
        )
        if self.sample_rate is None:
            raise ValueError(
                f"Got encoder={name!r}, whose metadata have no sample_rate. Pass "
                f"OnnxEncoder({name!r}, sample_rate=...) of "
                "userlogfeat.encoders.onnx, with the rate it was trained at, in Hz."
            )
        self.input = _find_input(session, input, name)
        stated = metadata.get("min_samples") or 1
        self.min_samples = stated if min_samples is None else min_samples
        self.license = str(metadata.get("licence", "not stated"))
        self.layer_sizes = _layer_sizes(session, metadata, name)
        named = [name for name in _DEFAULTS if name in self.layer_sizes]
        self.default_layer = next(iter(named), None)
        self.frame_samples = frame_samples
        self._set_windows(window, hop, None)

    def __reduce__(self) -> tuple[Any, ...]:  # a session cannot be pickled
        return partial(OnnxEncoder, self.name, **self.settings), ()

    @property
    def settings(self) -> dict[str, Any]:
        """Settings that make it again, beside the name."""
        given = {name: x for name, x in self._given.items() if x is not None}
        return {**given, **super().settings}

    @property
    def weights_hash(self) -> str:
        """SHA-256 of the file."""
        return _digest(self._file)

    def _encode_windows(self, waveforms, layers, precision):
        session = _load_session(self._file)
        inputs, _ = pad_windows(waveforms)  # of one length
        found = session.run(list(layers), {self.input: inputs.cpu().numpy()})
        frames = {
            name: self._with_frames(torch.from_numpy(x), name, inputs)
            for name, x in zip(layers, found, strict=True)
        }
        return [{n: x[row] for n, x in frames.items()} for row in range(len(inputs))]

    def _with_frames(self, x: Tensor, layer: str, inputs: Tensor) -> Tensor:
        """A layer (clips, frames, size); of one with a row per clip, a frame each."""
        x = x[:, None] if x.ndim == 2 else x
        check_frames(self, x, layer, inputs)
        return x.float().to(inputs.device)


@lru_cache(maxsize=4)
def _load_session(file: Any) -> Any:
    """Load a file, once per process as long as it stays the same."""
    check_unchanged(file)
    path = file[0][0]
    runtime = import_optional(
        "onnxruntime", extra="onnx", purpose=f"The encoder in {path}"
    )
    options = runtime.SessionOptions()
    options.intra_op_num_threads = n_cores()
    try:
        return runtime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's own classes are not public
        raise ValueError(
            f"onnxruntime cannot load {path}: {str(error).splitlines()[0]}. Expected "
            "an ONNX file, as export_onnx writes it."
        ) from error


@lru_cache(maxsize=8)
def _digest(file: Any) -> str:
    check_unchanged(file)
    return sha256(file[0][0])


def _metadata(session):
    """Entries of the file's metadata that are JSON."""
    found = {}
    for key, text in session.get_modelmeta().custom_metadata_map.items():
        try:
            found[key] = json.loads(text)
        except ValueError:
            continue  # of another program
    return found


def _find_input(session, wanted, name):
    inputs = [x.name for x in session.get_inputs()]
    if wanted is None:
        wanted = INPUT if INPUT in inputs or len(inputs) != 1 else inputs[0]
    if wanted not in inputs or len(inputs) != 1:
        raise ValueError(
            f"Got encoder={name!r} with inputs {inputs}, expected only one, "
            f"{wanted!r}, of waveforms (clips, samples). A model of features or "
            "spectrograms is not an encoder of audio."
        )
    kind, shape = next((x.type, x.shape) for x in session.get_inputs())
    fixed = any(isinstance(n, int) for n in shape)
    if len(shape) != 2 or fixed or kind != "tensor(float)":
        raise ValueError(
            f"Got encoder={name!r}, whose input {wanted!r} is {kind} of shape {shape}, "
            "expected tensor(float) of shape ['clips', 'samples']: waveforms, any "
            "number of them, and of any length. Export it with dynamic axes."
        )
    return wanted


def _layer_sizes(session, metadata, name):
    stated = metadata.get("layers")
    sizes = {x.name: (x.shape or [None])[-1] for x in session.get_outputs()}
    if isinstance(stated, dict):
        others = [layer for layer in stated if layer not in sizes]
        if others:
            raise ValueError(
                f"Got encoder={name!r}, whose metadata 'layers' have {others}, "
                f"expected some of its outputs: {list(sizes)}."
            )
        return stated
    unknown = [layer for layer, size in sizes.items() if not isinstance(size, int)]
    if unknown:
        raise ValueError(
            f"Got encoder={name!r}, whose outputs {unknown} do not state their "
            "columns. Export it with a fixed last axis, or with metadata 'layers': a "
            "JSON object of output to columns."
        )
    return sizes
