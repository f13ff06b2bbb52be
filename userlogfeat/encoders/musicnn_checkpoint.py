"""Tags and sizes of the networks of the musicnn package, and its batch norms.

Pons & Serra (2019), "musicnn: pre-trained convolutional neural networks for music audio
tagging". The networks named MSD were trained on the Million Song Dataset, with tags of
Last.fm; those named MTT on MagnaTagATune.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


MSD_TAGS = (
    "rock, pop, alternative, indie, electronic, female vocalists, dance, 00s, "
    "alternative rock, jazz, beautiful, metal, chillout, male vocalists, classic "
    "rock, soul, indie rock, Mellow, electronica, 80s, folk, 90s, chill, "
    "instrumental, punk, oldies, blues, hard rock, ambient, acoustic, experimental, "
    "female vocalist, guitar, Hip-Hop, 70s, party, country, easy listening, sexy, "
    "catchy, funk, electro, heavy metal, Progressive rock, 60s, rnb, indie pop, sad, "
    "House, happy"
).split(", ")
MTT_TAGS = (
    "guitar, classical, slow, techno, strings, drums, electronic, rock, fast, piano, "
    "ambient, beat, violin, vocal, synth, female, indian, opera, male, singing, "
    "vocals, no vocals, harpsichord, loud, quiet, flute, woman, male vocal, no vocal, "
    "pop, soft, sitar, solo, man, classic, choir, voice, new age, dance, male voice, "
    "female vocal, beats, harp, cello, no voice, weird, country, metal, female voice, "
    "choral"
).split(", ")
TAGS = {"MSD": MSD_TAGS, "MTT": MTT_TAGS}

N_BANDS, N_FRAMES, N_TAGS = 96, 187, 50  # of a patch, and its tags
EPSILON = 1e-3  # of batch norm, TensorFlow's default
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def empty_layer(kind: type[nn.Module], *sizes: int, **settings: Any) -> nn.Module:
    """A layer whose weights are to be loaded: no random numbers are drawn.

    ``torch.nn.utils.skip_init`` does so, too, but imports sympy, which takes a second.
    """
    layer = kind(*sizes, device="meta", **settings)
    for name, weight in list(layer.named_parameters()):
        weight = torch.empty(weight.shape, dtype=weight.dtype)
        setattr(layer, name, nn.Parameter(weight))
    return layer


def input_state(variables: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """The part of a trunk's state that normalises its input."""
    scale, shift = batch_norm(variables, 0)
    return {"input_scale": scale, "input_shift": shift}


def batch_norm(variables: dict[str, np.ndarray], index: int) -> tuple[Tensor, Tensor]:
    """Batch norm number `index` as x * scale + shift."""
    prefix = "batch_normalization" + (f"_{index}" if index else "")
    gamma, beta, mean, variance = (
        torch.tensor(variables[f"{prefix}/{name}"], dtype=torch.float64)
        for name in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    scale = gamma / (variance + EPSILON).sqrt()
    return scale.float(), (beta - mean * scale).float()
