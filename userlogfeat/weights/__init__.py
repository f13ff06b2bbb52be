"""Saved models: safetensors, config.json, and the answer to a test tone.

===========  ===========================================================
models       save, find, load; bundled models
config       what must be in config.json, and whether it was changed
builders     the network that a config describes
fingerprint  the answer to a fixed test tone, compared when a model is loaded
===========  ===========================================================
"""

from userlogfeat._licence import NonCommercialWarning
from userlogfeat.weights.config import (
    CONFIG,
    TENSORS,
    ModelError,
    check_training_data,
    explained,
    library_versions,
    read_config,
)
from userlogfeat.weights.fingerprint import make_tone
from userlogfeat.weights.models import (
    CONTROLS,
    find_controls,
    find_model,
    list_weights,
    load_fitted,
    load_model,
    save_model,
    set_encoder,
)

__all__ = [
    "CONFIG",
    "CONTROLS",
    "ModelError",
    "NonCommercialWarning",
    "TENSORS",
    "check_training_data",
    "explained",
    "find_controls",
    "find_model",
    "library_versions",
    "list_weights",
    "load_fitted",
    "load_model",
    "make_tone",
    "read_config",
    "save_model",
    "set_encoder",
]
