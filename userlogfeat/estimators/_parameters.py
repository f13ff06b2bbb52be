"""Parameters that several estimators have: declared once, documented once.

An estimator is a class whose annotated attributes are its parameters::

    @estimator
    class MyEmbedder(TrainingParameters, AudioTransformer):
        n_components: int = 100
        _: KW_ONLY
        lr: float = 0.1  # another default than that of TrainingParameters

The ``__init__`` that :func:`estimator` generates only assigns, as scikit-learn wants
it. A parameter is documented by the nearest class that has an entry for it under
"Parameters"; ``help()`` and the site show all of them in the order of the signature.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, TypeVar, dataclass_transform

import numpy as np

from userlogfeat._check import check_choice, check_number, check_positive
from userlogfeat._typing import Device, PathLike, RandomState

if TYPE_CHECKING:
    from userlogfeat.frontends import FrontEnd

Class = TypeVar("Class", bound=type)

_HEADING = re.compile(r"^(\w[\w ]*)\n-+$", re.MULTILINE)


@dataclass_transform(eq_default=False)
def estimator(cls: Class) -> Class:
    """Make a class's annotated attributes its parameters, and complete its docstring.

    Parameters
    ----------
    cls : type
        Equality, hash and repr stay scikit-learn's.

    Returns
    -------
    type
        The same class.
    """
    cls = dataclass(eq=False, repr=False)(cls)
    if cls.__doc__:  # python -OO strips docstrings
        cls.__doc__ = _with_inherited_entries(cls)
    return cls


def _with_inherited_entries(cls):
    """The docstring, with the entries of parameters that only base classes document."""
    doc = inspect.cleandoc(cls.__doc__)
    documented = set(_entries(doc))
    added = []
    for name in inspect.signature(cls).parameters:
        for base in cls.__mro__[1:]:
            text = _entries(inspect.cleandoc(vars(base).get("__doc__") or "")).get(name)
            if text and name not in documented:
                added.append(text)
                documented |= set(_entries(f"Parameters\n----------\n{text}"))
    start, end = _section(doc)
    own = doc[start:end].rstrip()
    return "\n".join([doc[:start] + own, *added, "", doc[end:]])


def _section(doc):
    """Where the entries of the section "Parameters" begin and end."""
    headings = list(_HEADING.finditer(doc))
    place = next(i for i, match in enumerate(headings) if match[1] == "Parameters")
    later = headings[place + 1 : place + 2]
    return headings[place].end(), later[0].start() if later else len(doc)


def _entries(doc):
    """The text of each parameter; one text may be that of several."""
    if not any(match[1] == "Parameters" for match in _HEADING.finditer(doc)):
        return {}
    start, end = _section(doc)
    texts = re.split(r"\n(?=\w)", doc[start:end].strip())
    return {
        name.strip(): text.rstrip()
        for text in texts
        for name in text.partition("\n")[0].partition(":")[0].split(",")
    }


@estimator
class ClipParameters:
    """How clips are read.

    Parameters
    ----------
    duration : float or None
        Seconds to read of each clip; None is the duration of the front end.
    crop : {"start", "middle"}
        Which part of a clip that is longer than `duration`.
    short : {"repeat", "pad"}
        How a clip that is too short is filled: with itself again, or with zeros.
    sample_rate : int or None
        Sample rate of waveforms in X, in Hz, from which they are resampled. None is
        the rate of the front end. Files carry their own.
    batch_size : int
        Clips per pass through the network.
    n_jobs : int
        Threads that decode files ahead of the network.
    device : str or torch.device
        ``"auto"`` is the GPU where there is one.
    """

    _: KW_ONLY
    duration: float | None = None
    crop: Literal["start", "middle"] = "middle"
    short: Literal["repeat", "pad"] = "repeat"
    sample_rate: int | None = None
    batch_size: int = 16
    n_jobs: int = 2
    device: Device = "auto"


@estimator
class TrainingParameters(ClipParameters):
    """How a network is built and trained.

    Parameters
    ----------
    channels : int
        Feature maps of the convolutions.
    pools : sequence or None
        Sizes of the max-pooling after the convolutions; None is the paper's.
    hidden : sequence of int
        Hidden units of each layer, with ``network="mlp"``.
    frontend : str or FrontEnd
        Settings of the spectrograms: see :class:`LogMel`.
    freq_mask, time_mask : int
        SpecAugment in training: the widest masks, in bands and frames; 0 for none.
    max_epochs, patience : int
        Maximum number of epochs, and the number without a lower validation loss after
        which training stops early. The weights of the best epoch are kept.
    batch_size : int
        Clips per training step, and per pass through the network.
    lr : float
        Learning rate of Adam.
    validation_fraction : float
        Share of the clips (or groups) that validate each epoch.
    precision : {"auto", "fp32", "bf16"}
        Precision of convolutions and matrix products, in training as well; ``"auto"``
        is bf16 on a GPU only.
    checkpoint : str, Path or None
        Folder in which the state of the training is kept after every epoch, and what a
        frozen encoder gives of each file. The same `fit` continues from there after it
        was killed, and ends with the same weights.
    random_state : int, RandomState or None
        Seed of initial weights, batches, crops and validation clips.
    verbose : int
        1 shows progress bars also where no one watches, such as in logs; else see
        :func:`userlogfeat.show_progress`.
    """

    _: KW_ONLY
    channels: int = 64
    pools: Sequence[Any] | None = None
    hidden: Sequence[int] = (256,)
    frontend: str | FrontEnd = "lee2019"
    freq_mask: int = 0
    time_mask: int = 0
    max_epochs: int = 100
    patience: int = 10
    batch_size: int = 32
    lr: float = 1e-3
    validation_fraction: float = 0.1
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    checkpoint: PathLike | None = None
    random_state: RandomState = None
    verbose: int = 0


def check_training(parameters: Any) -> None:
    """Raise unless the parameters of :class:`TrainingParameters` are in their ranges.

    Parameters
    ----------
    parameters : estimator
        It has all of them.
    """
    check_positive(parameters.lr, "lr")
    for name in ("max_epochs", "patience"):
        check_positive(getattr(parameters, name), name, integer=True)
    for name in ("freq_mask", "time_mask"):
        if getattr(parameters, name) != 0:
            check_positive(getattr(parameters, name), name, integer=True)
    check_hidden(parameters.hidden)
    fraction = parameters.validation_fraction
    check_number(fraction, "validation_fraction", 0, 1, ends="()")


def check_hidden(hidden: Sequence[int]) -> None:
    """Raise unless all numbers of hidden units are positive integers."""
    for units in np.atleast_1d(np.asarray(hidden, dtype=object)):
        check_positive(units, "hidden", integer=True)


def resolve_loss(loss: Any, option: str) -> Callable[..., Any]:
    """Return the registered loss that a parameter names.

    Parameters
    ----------
    loss : str or (str, dict)
        Name of the loss; or the name, and parameters of that loss.
    option : str
        Name of the parameter, for messages.
    """
    from userlogfeat.losses import make_loss

    name, parameters = (loss, None) if isinstance(loss, str) else loss
    return make_loss(name, parameters, option=option)


def check_network(network: Any, names: Sequence[str]) -> None:
    """Raise unless `network` is one of `names`, or a class of torch modules."""
    from torch import nn

    if isinstance(network, type) and issubclass(network, nn.Module):
        return
    if not isinstance(network, str):
        raise TypeError(
            f"Got network={network!r}, expected one of {list(names)} or a class "
            "(not an instance) of torch.nn.Module."
        )
    check_choice(network, "network", names)


def json_parameters(estimator: Any) -> dict[str, Any]:
    """The parameters of an estimator, as JSON can hold them.

    A folder for checkpoints and a random generator are left out (None).
    """
    from dataclasses import asdict, is_dataclass

    parameters = estimator.get_params(deep=False)
    if "device" in parameters:
        parameters["device"] = str(parameters["device"])
    if "checkpoint" in parameters:
        parameters["checkpoint"] = None
    if "encoder" in parameters:
        parameters["encoder"] = None  # the entry "network" of the config says which
    if not isinstance(estimator.random_state, Integral):
        parameters["random_state"] = None
    for name, value in parameters.items():
        if isinstance(value, type):
            parameters[name] = value.__qualname__
        elif is_dataclass(value) and not hasattr(value, "fit"):
            parameters[name] = asdict(value)
        elif isinstance(value, os.PathLike):
            parameters[name] = os.fspath(value)
        elif isinstance(value, list | tuple | np.ndarray | np.generic):
            parameters[name] = np.asarray(value).tolist()
    return parameters
