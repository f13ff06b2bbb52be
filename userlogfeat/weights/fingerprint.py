"""The fingerprint of a network: its embedding of a fixed test input.

It changes with anything beside the weights: a library, a front end, an encoder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from userlogfeat._threads import limit_torch
from userlogfeat.networks.frame_statistics import FrameTeacher
from userlogfeat.networks.mlp import FeatureTeacher
from userlogfeat.networks.teacher import EncoderTeacher
from userlogfeat.weights.config import ModelError

if TYPE_CHECKING:
    from torch import Tensor, nn


TONE_SECONDS = 4.0
MAX_MAPS = 1 << 27  # numbers in one layer's maps of the test tone: 512 MB
# Relative difference of the fingerprint that other machines and kernels may show.
FINGERPRINT_TOLERANCE = {"fp32": 1e-3, "bf16": 5e-2}


def fingerprint_of(network: nn.Module) -> np.ndarray:
    """The embedding of the fixed test input: a tone, a ramp for feature networks."""
    device = next(network.parameters()).device
    with torch.inference_mode(), limit_torch(1):
        if isinstance(network, FeatureTeacher):
            n_features = network.head[0].weight.shape[1]
            ramp = torch.linspace(-1, 1, n_features, device=device)
            embedding = network(ramp[None])[0]
        elif network.front_end is None and not isinstance(network, EncoderTeacher):
            rows = torch.linspace(0, 3, network.n_bands, device=device)
            columns = torch.arange(network.n_frames, device=device)
            waves = 1 + torch.sin(rows[:, None] * columns)  # F, T
            embedding = network([waves])["embedding"][0]
        else:
            seconds = max(TONE_SECONDS, network.min_samples / network.sample_rate)
            tone = make_tone(network.sample_rate, seconds).to(device)
            embedding = network([tone])["embedding"][0]
    return embedding.double().cpu().numpy()


def make_tone(sample_rate: int, seconds: float) -> Tensor:
    """The test tone: a chord of falling partials, struck twice a second.

    Parameters
    ----------
    sample_rate : int
        In Hz.
    seconds : float
        Its length.

    Returns
    -------
    Tensor (round(seconds * sample_rate),), float32
        Between -1 and 1.
    """
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    partials = [
        np.sin(2 * np.pi * pitch * k * time) / k
        for pitch in (110.0, 277.2, 659.3)
        for k in (1, 2, 3, 5, 8)
    ]
    strike = np.exp(-6.0 * (time % 0.5))
    wave = strike * np.sum(partials, axis=0)
    return torch.from_numpy((0.5 * wave / np.abs(wave).max()).astype(np.float32))


def check_fingerprint(
    name: str,
    found: np.ndarray,
    expected: np.ndarray,
    precision: Literal["fp32", "bf16"],
) -> None:
    """Raise where a loaded model answers otherwise than when it was saved.

    Parameters
    ----------
    name : str
        Name of the model, for the message.
    found, expected : ndarray
        Fingerprints: now, and as its config lists it.
    precision : {"fp32", "bf16"}
        Precision, which decides how far they may be apart.
    """
    if found.shape == expected.shape:
        distance = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    else:
        distance = float("inf")
    tolerance = FINGERPRINT_TOLERANCE[precision]
    if not distance <= tolerance:
        raise ModelError(
            f"Model {name!r} does not answer its test tone as it did when it was "
            f"saved (relative difference {distance:.2g}, expected at most "
            f"{tolerance:g}). The config was edited, or the trunk or a library differs "
            'from what the config lists under "versions".'
        )


def check_effort(network: nn.Module) -> None:
    """Raise where the test tone would fill the memory: no paper's network needs 1/4."""
    if isinstance(network, FeatureTeacher | EncoderTeacher):
        return  # rows of features, of an encoder's own number
    n_frames = getattr(network, "n_frames", 1)
    if network.front_end is not None:
        settings = network.front_end.front_end
        n_samples = max(TONE_SECONDS * settings.sample_rate, network.min_samples)
        n_frames = max(n_frames, n_samples / settings.hop)
    of_frames = 2 if isinstance(network, FrameTeacher) else 3
    sizes = [len(p) for p in network.parameters() if p.ndim >= of_frames]
    n_maps = n_frames * network.n_bands * max([1, *sizes])
    if isinstance(network, FrameTeacher):
        n_maps *= _windows(network.statistics, n_frames)
    if n_maps > MAX_MAPS:
        raise ValueError(
            f"its test tone has {n_frames:.0f} frames of {network.n_bands} bands, "
            f"{n_maps:.3g} numbers in a layer, expected at most {MAX_MAPS}"
        )


def _windows(statistics, n_frames):
    """How often each frame is counted in windows that overlap."""
    length = statistics.window or n_frames
    return max(length, n_frames) / n_frames * max(1, length / (statistics.hop or 1))
