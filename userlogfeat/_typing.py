"""Types of arguments that many functions take, for type checkers and editors."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np
from numpy.typing import ArrayLike as ArrayLike

if TYPE_CHECKING:
    import torch
    from scipy import sparse

PathLike: TypeAlias = str | os.PathLike[str]

# One clip, as feature tables name it; POSIX paths may be bytes.
ClipId: TypeAlias = str | bytes | os.PathLike[str]

ClipIds: TypeAlias = ArrayLike | Sequence[ClipId]

# Input of estimators: files, waveforms of different lengths, spectrograms, features.
Audio: TypeAlias = ClipIds | Sequence[ArrayLike]

# A name or number of each clip or item; None where it is unknown.
Labels: TypeAlias = ArrayLike | Sequence[str | int | None]

# Users by items, or the other way round.
Matrix: TypeAlias = Union[ArrayLike, "sparse.spmatrix", "sparse.sparray"]

# As in scikit-learn; functions that also take numpy's Generator say so.
RandomState: TypeAlias = int | np.random.RandomState | None

Device: TypeAlias = Union[str, "torch.device"]

# A frame of polars, pandas, Spark or another library.
Frame: TypeAlias = Any
