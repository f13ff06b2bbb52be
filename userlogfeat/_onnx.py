"""Models in ONNX files, run by onnxruntime: torch is not needed.

The files are those of :func:`userlogfeat.export_onnx`, whose metadata say what the
model reads and gives.
"""

import json
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from userlogfeat._licence import warn_of_licence
from userlogfeat._optional import import_optional
from userlogfeat._spaces import space_of_model
from userlogfeat._stamps import change_stamp, sha256
from userlogfeat._threads import n_cores
from userlogfeat._typing import PathLike

FORMAT = "userlogfeat onnx 1"
# Values of inputs in one run: 60 s of audio at 16 kHz. More clips at a time are no
# faster, and networks of whole spectrograms need a hundred times that memory.
RUN_VALUES = 60 * 16000
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxModel:
    """An exported model, ready to run.

    Attributes
    ----------
    session : onnxruntime.InferenceSession
    fingerprint : str
        SHA-256 of the file: equal digests, equal features.
    metadata : dict
        Metadata of the file: ``layers`` {name: columns}, ``scales`` {name:
        factor}, ``classes`` {name: names of its columns}, ``sample_rate`` (Hz),
        ``min_samples``, ``duration`` (s, or None), ``crop``, ``training_data``, ...
        `layer_sizes`, `layer_scales`, `min_samples`, `duration` and `crop` are these.
    input : str
        Kind of its input: ``"waveforms"``, ``"log_mel"`` or ``"features"``.
    reads_audio : bool
        False where it reads precomputed features.
    n_features, n_bands : int
        Features that it reads, or bands of a spectrogram.
    users_digest : str or None
        Digest of the users or factors that it was trained on; None if unknown.
    """

    any_length = False  # AudioTransformer asks a network for this

    def __init__(
        self, session: Any, fingerprint: str, metadata: dict[str, Any]
    ) -> None:
        self.session, self.fingerprint, self.metadata = session, fingerprint, metadata
        read = session.get_inputs()[0]
        self.input: str = read.name
        self.reads_audio = self.input != "features"
        self.n_features = self.n_bands = read.shape[1]
        self.layer_sizes: dict[str, int] = metadata["layers"]
        self.layer_scales: dict[str, float] = metadata["scales"]
        self.min_samples: int = metadata["min_samples"]
        self.duration: float | None = metadata["duration"]
        self.crop: Literal["start", "middle"] = metadata["crop"]
        self.users_digest = space_of_model(metadata["training_data"])

    @property
    def sample_rate(self) -> int:
        """Rate of the waveforms it reads, in Hz."""
        if self.input != "waveforms":
            raise ValueError(
                f"The model reads {self.input}, not audio: pass X as an array of these."
            )
        return self.metadata["sample_rate"]

    def run(
        self, clips: Sequence[np.ndarray], layers: Sequence[str]
    ) -> list[dict[str, np.ndarray]]:
        """Compute layers of clips.

        Parameters
        ----------
        clips : sequence of ndarray, float32
            Waveforms, spectrograms (bands, frames) or rows of features. Those of one
            length go through the model together.
        layers : sequence of str

        Returns
        -------
        list of dict of str to ndarray (size,)
        """
        if self.input == "waveforms" and min(map(len, clips)) < self.min_samples:
            raise ValueError(
                f"Got a clip of {min(map(len, clips))} samples, expected at least "
                f"{self.min_samples}: fill it up first, as OnnxEmbedder does."
            )
        lengths: dict[tuple[int, ...], list[int]] = {}
        for row, clip in enumerate(clips):
            lengths.setdefault(clip.shape, []).append(row)
        found: list[Any] = [None] * len(clips)
        for rows in lengths.values():
            step = max(1, RUN_VALUES // clips[rows[0]].size)
            for first in range(0, len(rows), step):
                part = rows[first : first + step]
                x = np.stack([clips[row] for row in part])
                values = self.session.run(list(layers), {self.input: x})
                for place, row in enumerate(part):
                    found[row] = {
                        name: value[place]
                        for name, value in zip(layers, values, strict=True)
                    }
        return found


def read_onnx(path: PathLike, device: str = "auto") -> OnnxModel:
    """Load an exported model, once per process.

    Parameters
    ----------
    path : str or Path
    device : {"auto", "cpu", "cuda"}
        ``"auto"`` is the GPU if the installed onnxruntime has one.

    Returns
    -------
    OnnxModel

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it is no ONNX file of this library.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no ONNX file {path}. `userlogfeat export MODEL -o {path.name}` "
            "or export_onnx writes one."
        )
    with _LOCK:
        return _read(path.resolve(), change_stamp(path), resolve_provider(device))


def resolve_provider(device: Any) -> str:
    """Return the onnxruntime provider that `device` means."""
    runtime = _runtime()
    available = runtime.get_available_providers()
    if str(device) == "auto":
        return _PROVIDERS["cuda" if _PROVIDERS["cuda"] in available else "cpu"]
    provider = _PROVIDERS.get(str(device), "")
    if provider not in available:
        raise ValueError(
            f'Got device={device!r}, expected "auto", "cpu" or "cuda", and that the '
            f"installed onnxruntime has it: it has {', '.join(available)}. A GPU needs "
            "the package onnxruntime-gpu."
        )
    return provider


def _runtime():
    purpose = "Running an ONNX model"
    return import_optional("onnxruntime", extra="onnx", purpose=purpose)


@lru_cache(maxsize=8)
def _read(path, stamp, provider):
    runtime = _runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = n_cores()
    # Threads that wait by spinning would take the cores from those that decode.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Weights of 8 bits are made float once, when the file is loaded.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(str(path), options, providers=[provider])
        properties = session.get_modelmeta().custom_metadata_map
        metadata = {name: json.loads(text) for name, text in properties.items()}
    except Exception as error:  # of onnxruntime's own kinds
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{path} is no ONNX file that onnxruntime {runtime.__version__} can load "
            f"and that export_onnx wrote ({type(error).__name__}: {reason[:200]}). "
            "Export the model again. Encoders of other makings are loaded by "
            'EncoderEmbedder("onnx:FILE").'
        ) from error
    if metadata.get("format") != FORMAT:
        raise ValueError(
            f"{path} has the format {metadata.get('format')!r}, expected {FORMAT!r}: "
            "it was written by another program, or by another version of userlogfeat. "
            'Encoders of other makings are loaded by EncoderEmbedder("onnx:FILE").'
        )
    warn_of_licence(path.name, metadata["training_data"])
    return OnnxModel(session, sha256(path), metadata)


_LOCK = threading.Lock()
