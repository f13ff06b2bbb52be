"""The warning about weights that may not be used commercially."""

import warnings
from typing import Any


class NonCommercialWarning(UserWarning):
    """The loaded weights were learned from data that forbid commercial use."""


NonCommercialWarning.__module__ = "userlogfeat.weights"  # where users find it


def warn_of_licence(name: str, training_data: dict[str, Any]) -> None:
    """Warn if a model's training data are for non-commercial use only.

    Parameters
    ----------
    name : str
        Name of the model.
    training_data : dict
        Its entries ``non_commercial`` and ``licence`` are read.
    """
    if training_data["non_commercial"]:
        warnings.warn(
            f"Weights {name!r} were learned from data for non-commercial use only "
            f"({training_data['licence']}). To silence this once you have read it: "
            "warnings.filterwarnings('ignore', "
            "category=userlogfeat.weights.NonCommercialWarning)",
            NonCommercialWarning,
            stacklevel=5,  # the caller of the function that loads
        )
