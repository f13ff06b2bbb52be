"""Lines on the terminal: results, warnings, and clips that failed."""

import contextlib
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import typer

from userlogfeat.cli.wording import in_options

_N_SHOWN = 5  # failed clips that are printed


def print_line(text: str, *, err: bool = False) -> None:
    """Print a line to stdout or stderr; bytes that are not UTF-8 are escaped."""
    raw = text.encode("utf-8", "surrogateescape")
    typer.echo(raw.decode("utf-8", "backslashreplace"), err=err)


def show_warning(message: Warning | str, *_where: Any, **_more: Any) -> None:
    """Print a warning in one line, without advice about Python code."""
    text = re.split(r" (?:To silence|Pass \w+=\S+ to stop) this", str(message))[0]
    print_line(f"Note: {in_options(text)}", err=True)


@contextlib.contextmanager
def licence_notes_last(quiet: bool) -> Iterator[None]:
    """Print notes on the licence of weights once the work has succeeded.

    Parameters
    ----------
    quiet : bool
        Whether to leave them out.
    """
    from userlogfeat._licence import NonCommercialWarning

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


def print_failures(
    failed: Sequence[tuple[Any, str, str]], n_failed: int | None = None, where: str = ""
) -> None:
    """Print the first failed clips and the number of the others.

    Parameters
    ----------
    failed : sequence of (clip, status, message)
        Failed clips.
    n_failed : int, optional
        Number of all that failed; by default those given.
    where : str
        Where the others are described.
    """
    for _, status, message in failed[:_N_SHOWN]:
        print_line(f"{status}: {message}", err=True)
    more = (len(failed) if n_failed is None else n_failed) - len(failed[:_N_SHOWN])
    if more:
        print_line(f"... and {more} more{where}", err=True)
