"""Progress bars: one helper for every step that may last, and one switch for all.

Bars are tqdm's, with rate and estimated time, on stderr or in a notebook. They appear
after two seconds, so short steps print nothing, and nest where steps do. One that was
asked for appears at once, and stays.

A bar is shown where ``show_progress`` or the environment says so; else on a terminal
and in notebooks. ``verbose`` of an estimator asks for its bars also elsewhere.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

VARIABLE = "USERLOGFEAT_PROGRESS"
DELAY = 2.0  # seconds before a bar appears
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
    total: float | None = None,
    initial: int = 0,
    desc: str | None = None,
    unit: str = "it",
    asked: bool | None = None,
    hidden: bool = False,
    leave: bool = False,
    **more: Any,
) -> tqdm:
    """Make a progress bar: iterate over it, or call its `update`.

    Parameters
    ----------
    iterable : iterable, optional
        Counted where it is given.
    total, initial : number, optional
        Steps in all, and those done before.
    desc, unit : str
        The step in a word or two, and its counted things.
    asked : bool, optional
        See :func:`is_shown`.
    hidden : bool
        Never shown: by the caller's wish.
    leave : bool
        Whether the bar stays when it is complete; one that is nested should not.
    **more
        Other parameters of tqdm.

    Returns
    -------
    tqdm
        A context manager.
    """
    from tqdm.auto import tqdm

    return tqdm(
        iterable,
        total=total,
        initial=initial,
        desc=desc,
        unit=unit,
        disable=hidden or not is_shown(asked),
        delay=0 if asked else DELAY,
        leave=leave or bool(asked),
        dynamic_ncols=True,
        **more,
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
    if getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)() is not None:
        return True
    return sys.stderr is not None and sys.stderr.isatty()
