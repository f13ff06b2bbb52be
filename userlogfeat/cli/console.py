"""Lines on the terminal: results, warnings, and clips that failed."""

import contextlib
import json
import math
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import typer

from userlogfeat.cli.wording import in_options

_N_SHOWN = 5  # failed clips that are printed


def print_line(text: str, *, err: bool = False) -> None:
    """Print a line to stdout or stderr; bytes that are not UTF-8 are escaped."""
    raw = text.encode("utf-8", "surrogateescape")
    typer.echo(raw.decode("utf-8", "backslashreplace"), err=err)


@dataclass
class Result:
    """Result of a command, for machines and in words.

    Parameters
    ----------
    values : mapping, or iterable of mappings
        Printed by ``--json``: one object, or one per line.
    text : str or callable, optional
        Printed otherwise: a summary, which ``--quiet`` leaves out, or the line
        of one of the values. By default a table of the values.
    code : int
        Exit code.
    """

    values: Mapping[str, Any] | Iterable[Mapping[str, Any]]
    text: str | Callable[[Mapping[str, Any]], str] | None = None
    code: int = 0


def print_result(
    result: Result | None, *, quiet: bool = False, as_json: bool = False
) -> int:
    """Print a result to stdout, and return the exit code."""
    if result is None:
        return 0
    single = isinstance(result.values, Mapping)
    rows = [result.values] if single else result.values
    if as_json:
        for row in rows:
            print_line(_as_json(row))
    elif callable(result.text):
        for row in rows:
            print_line(result.text(row))
    elif result.text is None:
        if single:
            rows = [dict(enumerate(map(str, pair))) for pair in rows[0].items()]
        for line in _table(list(rows), header=not single):
            print_line(line)
    elif result.text and not quiet:
        print_line(result.text)
    return result.code


def _as_json(row):
    """The row as a line of JSON: no NaN, no path, no number of numpy."""
    from pydantic_core import to_jsonable_python

    return json.dumps(
        to_jsonable_python(
            row,
            inf_nan_mode="null",
            fallback=lambda x: x.tolist() if hasattr(x, "tolist") else str(x),
        )
    )


def _table(rows, header):
    """Lines of columns, the last one as long as it is; numbers to three digits."""
    cells = [[_cell(value) for value in row.values()] for row in rows]
    if header and rows:
        cells.insert(0, list(rows[0]))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)][:-1]
    for line in cells:
        parts = (cell.ljust(width) for cell, width in zip(line, widths, strict=False))
        yield "  ".join([*parts, line[-1]])


def _cell(value):
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.3f}"
    return str(value)


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
