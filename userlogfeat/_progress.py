"""Progress bars: one helper for every step that may last, and one switch for all.

Bars are tqdm's, with rate and estimated time, on stderr or in a notebook. They appear
after two seconds, so short steps print nothing, and nest where steps do. One that was
asked for appears at once, and stays. Where nothing can be written over, as in a log or
on a console that says it has no width, a bar is a line every ten seconds.

A bar is shown where ``show_progress`` or the environment says so; else on a terminal
and in notebooks. ``verbose`` of an estimator asks for its bars also elsewhere.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

VARIABLE = "USERLOGFEAT_PROGRESS"
DELAY = 2.0  # seconds before a bar appears
LINE_SECONDS = 10.0  # at least, between two lines of a bar
_ON, _OFF = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}
_switch: dict[str, bool | None] = {"shown": None}


def show_progress(shown: bool | None = True) -> None:
    """Show all progress bars, or none, in this process.

    Parameters
    ----------
    shown : bool or None
        True: also in logs and pipes. False: nowhere, whatever `verbose` is. None, as at
        first: as the environment variable ``USERLOGFEAT_PROGRESS`` says (1 or 0), else
        on terminals and in notebooks.

    Examples
    --------
    >>> from userlogfeat import show_progress
    >>> show_progress(False)
    >>> show_progress(None)
    """
    if shown not in (True, False, None):
        raise ValueError(f"Got shown={shown!r}, expected True, False or None.")
    _switch["shown"] = shown


def is_shown(asked: bool | None = None) -> bool:
    """Whether a bar is shown.

    Parameters
    ----------
    asked : bool or None
        Wish of the caller, where the switch is not set; None and False of `verbose` are
        the default.
    """
    if _switch["shown"] is not None:
        return _switch["shown"]
    value = os.environ.get(VARIABLE, "").strip().lower()
    if value in _ON | _OFF:
        return value in _ON
    return bool(asked) or _is_interactive()


def progress_bar(
    iterable: Iterable[Any] | None = None,
    *,
    asked: bool | None = None,
    hidden: bool = False,
    leave: bool = False,
    **settings: Any,
) -> tqdm:
    """Make a progress bar: iterate over it, or call its `update`.

    Parameters
    ----------
    iterable : iterable, optional
        Counted where it is given.
    asked : bool, optional
        See :func:`is_shown`.
    hidden : bool
        Never shown: by the caller's wish.
    leave : bool
        Whether the bar stays when it is complete; one that is nested should not.
    **settings
        Parameters of tqdm, such as `total`, `desc` (the step in a word or two) and
        `unit` (its counted things).

    Returns
    -------
    tqdm
        A context manager.
    """
    if _can_write_over():
        from tqdm.auto import tqdm

        look = {"dynamic_ncols": True}
    else:
        tqdm, look = _line_bar(), {"ncols": 0}  # 0: text without a bar
    return tqdm(
        iterable,
        disable=hidden or not is_shown(asked),
        delay=0 if asked else DELAY,
        leave=leave or bool(asked),
        **look,
        **settings,
    )


@contextmanager
def resumable(advice: str) -> Iterator[None]:
    """Add to a Ctrl-C how to go on; of nested steps, the outermost does.

    Parameters
    ----------
    advice : str
        A sentence below the KeyboardInterrupt; the command line prints it.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        error.__notes__ = [advice]
        raise


def _is_interactive():
    """Whether people watch: a terminal, or a notebook."""
    return _in_notebook() or (sys.stderr is not None and sys.stderr.isatty())


def _in_notebook():
    """Whether IPython runs this."""
    return (
        getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)() is not None
    )


def _can_write_over():
    """Whether a bar can be drawn again on its line; tqdm draws none without a size."""
    if not _is_interactive():
        return False
    try:
        size = os.get_terminal_size(sys.stderr.fileno())
    except (AttributeError, OSError, ValueError):  # a notebook, an editor's console
        return True
    return min(size) > 0


@cache
def _line_bar():
    """The class of bars that print a line for each state that is shown."""
    from tqdm import tqdm

    class LineBar(tqdm):
        _printed = (float("-inf"), None)  # when, and at which step

        @staticmethod
        def status_printer(file):
            """None: there is no line to write over."""

        def display(self, msg=None, pos=None):
            if self._time() - self._printed[0] >= LINE_SECONDS:
                self._print(msg)
            return True

        def close(self):
            was_shown = not self.disable and self._printed[1] not in (None, self.n)
            super().close()
            if was_shown:
                self._print(None)

        def _print(self, msg):
            self._printed = (self._time(), self.n)
            self.fp.write(f"{msg or self}\n")
            self.fp.flush()

    return LineBar
