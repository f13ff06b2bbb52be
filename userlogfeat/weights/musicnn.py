"""musicnn's published networks, loaded from the installed package, once per process."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from userlogfeat._typing import Device
from userlogfeat.frontends import FRONTENDS
from userlogfeat.networks.mel import LogMelSpectrogram
from userlogfeat.networks.musicnn import Musicnn, musicnn_state
from userlogfeat.networks.teacher import PatchTeacher
from userlogfeat.networks.vgg import Vgg, vgg_state
from userlogfeat.weights.tensorflow_files import find_musicnn, read_checkpoint

if TYPE_CHECKING:
    from torch import nn


def load_musicnn(
    model: Literal["MSD_musicnn", "MTT_musicnn", "MSD_vgg", "MTT_vgg"],
    *,
    device: Device = "cpu",
    precision: Literal["fp32", "bf16"] = "fp32",
) -> Musicnn | Vgg:
    """A pretrained network of the installed musicnn package, once per process.

    Parameters
    ----------
    model : {"MSD_musicnn", "MTT_musicnn", "MSD_vgg", "MTT_vgg"}
        Which of its networks.
    device : str or torch.device
        Where it runs.
    precision : {"fp32", "bf16"}
        Of its convolutions.

    Returns
    -------
    Musicnn or Vgg
        From frames of log-mel to layers of patches; in evaluation mode.

    Raises
    ------
    ModuleNotFoundError
        Where musicnn is not installed; the message has the command.
    ValueError
        Where the model is unknown, or its files are damaged.
    """
    return _load_musicnn(model, str(device), precision)


@lru_cache(maxsize=16)
def _load_musicnn(model, device, precision):
    prefix = find_musicnn(model)
    variables = read_checkpoint(prefix, wanted=lambda name: "Adam" not in name)
    trunk, state = (Vgg, vgg_state) if "vgg" in model else (Musicnn, musicnn_state)
    trunk = trunk(precision=precision)
    trunk.load_state_dict(state(variables))
    return trunk.to(device).eval().requires_grad_(False)


def make_musicnn_teacher(
    model: str,
    *,
    patch_hop: float,
    head: nn.Module | None = None,
    head_layer: str = "taggram",
    head_pooling: Literal["mean", "max", "meanstd"] = "meanstd",
    device: Device = "cpu",
    precision: Literal["fp32", "bf16"] = "fp32",
) -> PatchTeacher:
    """A pretrained musicnn between its front end and a head.

    Parameters
    ----------
    model : str
        Which pretrained network: see :class:`MusicnnEmbedder`.
    patch_hop : float
        Seconds between patches, made frames as the original makes them.
    head, head_layer, head_pooling
        As in :class:`PatchTeacher`; `head` is on `device` already.
    device : str or torch.device
        Where the network runs.
    precision : {"fp32", "bf16"}
        Of its matrix products.

    Returns
    -------
    PatchTeacher
    """
    front_end = FRONTENDS["musicnn"]
    samples = patch_hop * front_end.sample_rate
    return PatchTeacher(
        LogMelSpectrogram(front_end).to(device),
        load_musicnn(model, device=device, precision=precision),
        patch_hop=max(1, int((samples - front_end.n_fft // 2) // front_end.hop)),
        head=head,
        head_layer=head_layer,
        head_pooling=head_pooling,
    )
