"""What the command says: lines that any terminal can show."""

import contextlib
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import typer

from userlogfeat.cli.wording import in_options, own_options

_SHOWN = 5  # failures that the summary describes


def tell(text: str, *, err: bool = False) -> None:
    """Write a line to stdout, or to stderr."""
    typer.echo(_printable(text), err=err)


def _printable(text):
    """Paths that are no UTF-8, shown as any terminal can."""
    raw = text.encode("utf-8", "surrogateescape")
    return raw.decode("utf-8", "backslashreplace")


def show_warning(message: Warning | str, *_where: Any, **_more: Any) -> None:
    """One line, without what it advises to those who write Python."""
    text = re.split(r" (?:To silence|Pass \w+=\S+ to stop) this", str(message))[0]
    tell(f"Note: {in_options(text, own_options())}", err=True)


@contextlib.contextmanager
def licence_told_last(quiet: bool) -> Iterator[None]:
    """Tell the licence of weights in one line, once the work went well; or not."""
    from userlogfeat.weights import NonCommercialWarning

    notes, show = [], warnings.showwarning

    def keep(message, category, *where, **more):
        if issubclass(category, NonCommercialWarning):
            notes.append(message)
        else:
            show(message, category, *where, **more)

    with warnings.catch_warnings():
        warnings.showwarning = keep
        yield
    for note in notes if not quiet else ():
        show_warning(note)


def tell_failures(
    failed: Sequence[tuple[Any, str, str]], n_failed: int | None = None, where: str = ""
) -> None:
    """The first few clips (clip, status, message) that failed; how many more did."""
    for _, status, message in failed[:_SHOWN]:
        tell(f"{status}: {message}", err=True)
    more = (len(failed) if n_failed is None else n_failed) - len(failed[:_SHOWN])
    if more:
        tell(f"... and {more} more{where}", err=True)
