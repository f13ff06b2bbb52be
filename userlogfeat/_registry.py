"""Things that come in kinds (losses, metrics, arms, plots, data sets), by name."""

from collections.abc import Callable
from typing import Any, TypeVar

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


class Registry(dict):
    """Things of one kind by name, in the order in which they were registered.

    Parameters
    ----------
    kind : str
        Name of the kind in error messages, such as ``"loss"``.

    Examples
    --------
    >>> from userlogfeat._registry import Registry
    >>> losses = Registry("loss")
    >>> losses.add("squared", lambda y, t: (y - t) ** 2)
    >>> losses.find("squared")(3, 1)
    4
    >>> losses.find("cubed")
    Traceback (most recent call last):
    ValueError: Got loss='cubed', expected one of 'squared'.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def add(self, name: str, thing: Any) -> None:
        """Register a thing; the same function may register itself again.

        Parameters
        ----------
        name : str
        thing : object
            A function or class, or an object whose attribute `function` is one.

        Raises
        ------
        ValueError
            If another thing has this name.
        """
        if name in self and _definition(self[name]) != _definition(thing):
            raise ValueError(
                f"The name {name!r} is taken by another {self.kind}, of "
                f"{_definition(self[name])[0]}. Choose another name."
            )
        self[name] = thing

    def register(
        self, name: str, make: Callable[[Any], Any] = lambda function: function
    ) -> Callable[[FunctionT], FunctionT]:
        """Return a decorator that registers what `make` makes of the function."""

        def register(function: FunctionT) -> FunctionT:
            self.add(name, make(function))
            return function

        return register

    def find(self, name: str, parameter: str | None = None) -> Any:
        """Return the thing of this name.

        Parameters
        ----------
        name : str
        parameter : str, optional
            Name of the parameter in the error message, by default that of the kind.

        Raises
        ------
        ValueError
            If there is none; the message lists the names.
        """
        if name not in self:
            listed = ", ".join(map(repr, self))
            raise ValueError(
                f"Got {parameter or self.kind}={name!r}, expected one of {listed}."
            )
        return self[name]


def _definition(thing: Any) -> tuple[str, str]:
    """Return where a thing is defined, which survives a second import of its file."""
    defined: Callable[..., Any] = getattr(thing, "function", thing)
    return defined.__module__, defined.__qualname__
