"""The four networks of the musicnn package, as encoders.

Pons & Serra (2019), "musicnn: pre-trained convolutional neural networks for music audio
tagging". Their frames are patches: a layer has one row for each patch of 3 s, every
`patch_hop` seconds. The weights are those that the musicnn package installs; its code
is never imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from userlogfeat._check import check_choice, check_positive
from userlogfeat._pages import see
from userlogfeat._stamps import sha256
from userlogfeat.encoders.musicnn_checkpoint import N_BANDS, N_FRAMES, TAGS
from userlogfeat.encoders.musicnn_fast import Musicnn, musicnn_state
from userlogfeat.encoders.musicnn_plain import PlainMusicnn, plain_state
from userlogfeat.encoders.musicnn_vgg import Vgg, vgg_state
from userlogfeat.encoders.protocol import Encoding
from userlogfeat.encoders.tensorflow_checkpoint import DATA, INDEX, read_checkpoint
from userlogfeat.frontends import FRONTENDS
from userlogfeat.networks.mel import LogMelSpectrogram

if TYPE_CHECKING:
    from torch import Tensor


VERSION = "0.1.0"
COMMAND = f"pip install --no-deps musicnn=={VERSION}"
# SHA-256 of the index and the data of each checkpoint in musicnn 0.1.0.
WEIGHTS = {
    "MSD_musicnn": (
        "87f3e0f3550c8d3bafc840374003e5c8af5eeb5ecf6add61af09a7822d3282c8",
        "8579734ee6388f799ed0def4bbd0d1fdcbeaf213ef2a9dc860917bd76a303de6",
    ),
    "MTT_musicnn": (
        "da2d7bb670b2b31e9bc441bb1bd75eca31b5b061f963cc1f9630c1aff3238f57",
        "041f3935e981a65cea739842d30c188d3a7d2adf4410955c8668eb3de4a5acab",
    ),
    "MSD_vgg": (
        "50e499238457558bba9f34f8b84d4afb8279afd43520cdf0a4fdf805a49c9ca3",
        "9683d756b8311146534f333502ebf4a2a78a3e320c54ab0411dff6186d8375fc",
    ),
    "MTT_vgg": (
        "4b0d3d2d02bbe0919c063c1fb74bfa9018ac3517e362d681b07444d4207a5f5f",
        "458f5c8bcecc086a3bba3dce83809df6da6e0a3560a59ddd84711bf3d5fd8303",
    ),
}


@dataclass(frozen=True)
class MusicnnEncoder:
    """A pretrained network of the musicnn package.

    Parameters
    ----------
    name : {"MSD_musicnn", "MTT_musicnn", "MSD_vgg", "MTT_vgg"}
        Which of its networks.
    patch_hop : float
        Seconds between the starts of patches, made whole spectrogram frames as the
        original does: 1.0 is 61 frames of 16 ms.
    """

    name: Literal["MSD_musicnn", "MTT_musicnn", "MSD_vgg", "MTT_vgg"] = "MSD_musicnn"
    patch_hop: float = 1.0

    revision = VERSION
    license = "ISC"
    default_head_layer = "taggram"  # of a head, unless another is named
    distribution = "musicnn"  # the package that installs the weights
    front_end = FRONTENDS["musicnn"]
    sample_rate = front_end.sample_rate
    min_samples = (N_FRAMES - 1) * front_end.hop

    def __post_init__(self) -> None:
        check_choice(self.name, "model", tuple(WEIGHTS))
        check_positive(self.patch_hop, "patch_hop")

    @property
    def settings(self) -> dict[str, Any]:
        """Settings that make it again, beside the name."""
        return {"patch_hop": float(self.patch_hop)}

    @property
    def weights_hash(self) -> str:
        """SHA-256 of both files of the checkpoint."""
        return "+".join(WEIGHTS[self.name])

    @property
    def hop_frames(self) -> int:
        """Spectrogram frames between the starts of patches."""
        samples = self.patch_hop * self.sample_rate
        return max(1, int((samples - self.front_end.n_fft // 2) // self.front_end.hop))

    @property
    def frame_rate(self) -> float:
        """Patches per second."""
        return self.sample_rate / (self.front_end.hop * self.hop_frames)

    @property
    def layer_sizes(self) -> dict[str, int]:
        """Columns of every layer."""
        return dict((Vgg if "vgg" in self.name else Musicnn).layer_sizes)

    @property
    def default_layer(self) -> str:
        """Layer that is taken where none is named."""
        return "pool5" if "vgg" in self.name else "max_pool"

    @property
    def tags(self) -> list[str]:
        """Names of the columns of the layer ``taggram``."""
        return list(TAGS[self.name.partition("_")[0]])

    @property
    def files(self) -> list[str]:
        """Files of its distribution that it needs."""
        return [f"musicnn/{self.name}/{suffix}" for suffix in (INDEX, DATA)]

    def plain(self) -> nn.Module:
        """Return the encoder in plain layers, for export.

        Returns
        -------
        Module
            From one spectrogram (96, frames), of at least 187 frames, to
            {layer: (n_patches, size)}.
        """
        return PlainEncoder(load_plain(self.name), self.hop_frames)

    def encode(
        self,
        waveforms: Tensor,
        lengths: Tensor,
        layers: Sequence[str],
        precision: Literal["fp32", "bf16"] = "fp32",
    ) -> Encoding:
        """Encode clips: see :class:`userlogfeat.encoders.Encoder`."""
        clips = zip(waveforms, lengths.tolist(), strict=True)
        front_end = _load_front_end(str(waveforms.device))
        log_mels = front_end.clips([clip[:length] for clip, length in clips])
        return self.encode_spectrograms(log_mels, layers, precision)

    def encode_spectrograms(
        self,
        log_mels: Sequence[Tensor],
        layers: Sequence[str],
        precision: Literal["fp32", "bf16"] = "fp32",
    ) -> Encoding:
        """Encode spectrograms (96, frames), one per clip, of any lengths."""
        for log_mel in log_mels:  # VGG would embed any number of bands
            if log_mel.ndim != 2 or len(log_mel) != N_BANDS or not log_mel.shape[1]:
                raise ValueError(
                    f"Got a spectrogram of shape {tuple(log_mel.shape)}, expected "
                    f"({N_BANDS}, frames) with a frame or more."
                )
        starts, n_patches, frames = lay_end_to_end(log_mels, N_FRAMES, self.hop_frames)
        network = load_network(self.name, str(frames.device), precision)
        packed = network(frames, starts, tuple(layers))
        return Encoding.of_clips(
            {name: list(packed[name].float().split(n_patches)) for name in layers}
        )


def make_musicnn(
    name: str,
    *,
    patch_hop: float | None = None,
    hop: float | None = None,
    window: float | None = None,
) -> MusicnnEncoder:
    """Make an encoder; its windows are its patches, of 3 s, and `hop` is `patch_hop`.

    Parameters
    ----------
    name : {"MSD_musicnn", "MTT_musicnn", "MSD_vgg", "MTT_vgg"}
        Which of the networks.
    patch_hop, hop : float, optional
        Seconds between the starts of patches, 1 by default.
    window : None
        Not to be chosen.
    """
    if window is not None:
        raise ValueError(
            f"Got window={window!r} for {name!r}, whose patches are of "
            f"{N_FRAMES * 0.016:g} s in any case. Leave it out; hop= may be chosen."
        )
    chosen = patch_hop if patch_hop is not None else hop
    return MusicnnEncoder(name, 1.0 if chosen is None else chosen)  # type: ignore[arg-type]


class PlainEncoder(nn.Module):
    """Cut a spectrogram into patches, and encode these with a plain network."""

    def __init__(self, network: nn.Module, hop: int) -> None:
        super().__init__()
        self.network = network
        self.hop = hop

    def forward(self, log_mel: Tensor) -> dict[str, Tensor]:
        """Layers (n_patches, size) of a spectrogram (96, frames)."""
        patches = log_mel.unfold(1, N_FRAMES, self.hop)  # bands, patches, frames
        return self.network(patches.permute(1, 2, 0))


class _PlainVgg(nn.Module):
    def __init__(self, vgg):
        super().__init__()
        self.vgg = vgg

    def forward(self, patches):
        return self.vgg.patch_layers(patches)


def hop_seconds(hop_frames: int) -> float:
    """Return a `patch_hop` that is so many spectrogram frames.

    It is the middle of that interval: rounding cannot change the number of frames.
    """
    front_end = MusicnnEncoder.front_end
    return (hop_frames + 1.5) * front_end.hop / front_end.sample_rate


@lru_cache(maxsize=16)
def load_network(
    name: str, device: str = "cpu", precision: Literal["fp32", "bf16"] = "fp32"
) -> Musicnn | Vgg:
    """Load a pretrained network, once per process.

    Parameters
    ----------
    name : {"MSD_musicnn", "MTT_musicnn", "MSD_vgg", "MTT_vgg"}
        Which of the package's networks.
    device : str
        Where it runs.
    precision : {"fp32", "bf16"}
        Precision of its convolutions.

    Returns
    -------
    Musicnn or Vgg
        From frames of log-mel to layers of patches; in evaluation mode.

    Raises
    ------
    ModuleNotFoundError
        If musicnn is not installed; the message has the command.
    ValueError
        If the name is unknown, or the files are damaged.
    """
    network: Musicnn | Vgg
    if "vgg" in name:
        network = Vgg(precision=precision)
        network.load_state_dict(vgg_state(_read_variables(name)))
    else:
        network = Musicnn(precision=precision)
        network.load_state_dict(musicnn_state(_read_variables(name)))
    return network.to(device).eval().requires_grad_(False)


@lru_cache(maxsize=4)
def load_plain(name: str) -> nn.Module:
    """Load a network in plain layers: the reference of the tests, and for export.

    Parameters
    ----------
    name : {"MSD_musicnn", "MTT_musicnn", "MSD_vgg", "MTT_vgg"}
        Which of the package's networks.

    Returns
    -------
    Module
        From patches (P, 187, 96) to {layer: (P, size)}; in evaluation mode.
    """
    if "vgg" in name:
        return _PlainVgg(load_network(name)).eval()
    network = PlainMusicnn()
    network.load_state_dict(plain_state(_read_variables(name)))
    return network.eval().requires_grad_(False)


def _read_variables(name):
    """Variables of a checkpoint, without the state of its optimiser."""
    return read_checkpoint(find_checkpoint(name), wanted=lambda key: "Adam" not in key)


@lru_cache(maxsize=4)
def _load_front_end(device):
    return LogMelSpectrogram(MusicnnEncoder.front_end).to(device)


def find_checkpoint(name: str) -> str:
    """Find a checkpoint of the installed musicnn package, without importing it.

    Parameters
    ----------
    name : {"MSD_musicnn", "MTT_musicnn", "MSD_vgg", "MTT_vgg"}
        Which of its networks.

    Returns
    -------
    str
        Prefix of the checkpoint's two files, for :func:`read_checkpoint`.

    Raises
    ------
    ModuleNotFoundError
        If musicnn is not installed; the message has the command.
    ValueError
        If the name is unknown, or the files are not those of musicnn 0.1.0.
    """
    check_choice(name, "model", tuple(WEIGHTS))
    try:
        distribution = metadata.distribution("musicnn")
    except metadata.PackageNotFoundError:
        raise ModuleNotFoundError(
            f"The weights of {name} come with the musicnn package, which is not "
            f"installed. Install it with: {COMMAND} (--no-deps, since it pins "
            "old versions of numpy and tensorflow; only its weight files are read)."
            + see("install", "musicnn-s-weights"),
            name="musicnn",
        ) from None
    prefix = f"{distribution.locate_file('musicnn')}/{name}/"
    for suffix, expected in zip((INDEX, DATA), WEIGHTS[name], strict=True):
        path = Path(prefix + suffix)
        found = sha256(path) if path.is_file() else "no file"
        if found != expected:
            raise ValueError(
                f"{path} is not that of musicnn {VERSION} (installed: "
                f"{distribution.version}): its SHA-256 is {found[:12]}, expected "
                f"{expected[:12]}. Install it again: {COMMAND} --force-reinstall"
            )
    return prefix


def lay_end_to_end(
    log_mels: Sequence[Tensor], length: int, hop: int
) -> tuple[Tensor, list[int], Tensor]:
    """Join the frames of clips, and list where their patches start.

    A clip shorter than one patch is repeated to fill it; frames after the last whole
    patch are left out.

    Parameters
    ----------
    log_mels : list of Tensor (bands, frames)
        One per clip.
    length, hop : int
        Frames of a patch, and between the starts of patches.

    Returns
    -------
    starts : Tensor (patches,), int64
        First frame of each patch, counted over all clips.
    n_patches : list of int
        Patches of each clip, at least one.
    frames : Tensor (all frames, bands)
    """
    clips, starts, n_patches, offset = [], [], [], 0
    for log_mel in log_mels:
        n_frames = log_mel.shape[1]
        if n_frames < length:
            log_mel = log_mel.repeat(1, -(-length // n_frames))[:, :length]
            n_frames = length
        first = torch.arange(0, n_frames - length + 1, hop)
        starts.append(first + offset)
        n_patches.append(len(first))
        clips.append(log_mel.T)
        offset += n_frames
    return torch.cat(starts), n_patches, torch.cat(clips)
