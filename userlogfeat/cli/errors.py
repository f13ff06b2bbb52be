"""From an error to one line and an exit code."""

import contextlib
import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import typer

from userlogfeat.cli.console import print_line
from userlogfeat.cli.wording import in_options

SOME_FAILED, USAGE, STOPPED, INTERRUPTED, TERMINATED = 1, 2, 3, 130, 143
NOTHING_KEPT = "Nothing was written."
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def check_output(folder: Path, overwrite: bool) -> None:
    """Refuse a folder that holds something, before the work and not after it."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file, expected the name of a folder.")
    if folder.exists() and any(folder.iterdir()) and not overwrite:
        raise ValueError(
            f"The folder {folder} is not empty. Pass another one, or --overwrite."
        )


def check_file(path: Path, overwrite: bool) -> None:
    """Refuse a file that is there, or has no folder to be in."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder, expected the name of a file.")
    if path.exists() and not overwrite:
        raise ValueError(f"The file {path} exists. Pass another name, or --overwrite.")
    if not path.parent.is_dir():
        raise ValueError(f"There is no folder {path.parent} for {path.name}: make it.")


class _Terminated(KeyboardInterrupt):
    """SIGTERM: stop as for Ctrl-C."""


@contextlib.contextmanager
def _sigterm_stops():
    """Let SIGTERM end the block as Ctrl-C does: files are left whole."""

    def stop(number, frame):
        raise _Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def explained(kept: str = NOTHING_KEPT) -> Iterator[None]:
    """Turn errors into one line and an exit code.

    Parameters
    ----------
    kept : str
        The end of the message where a signal stops the run: what is kept.
    """
    try:
        with _sigterm_stops():
            yield
    except KeyboardInterrupt as error:
        terminated = isinstance(error, _Terminated)
        word = "Terminated" if terminated else "Interrupted"
        if kept == NOTHING_KEPT:  # the step that was stopped may know more
            kept = " ".join([kept, *getattr(error, "__notes__", [])])
        print_line(f"{word}. {kept}", err=True)
        raise typer.Exit(TERMINATED if terminated else INTERRUPTED) from None
    except Exception as error:
        if os.environ.get("USERLOGFEAT_DEBUG"):
            raise
        text, code = _explanation(error)
        print_line(f"Error: {in_options(text)}", err=True)
        raise typer.Exit(code) from None


def _explanation(error):
    """The message of an error, and the exit code."""
    from userlogfeat.audio.errors import AudioError

    if isinstance(error, AudioError):
        return str(error), SOME_FAILED
    if isinstance(error, OSError):
        text = error.strerror or str(error)
        if error.filename is not None:
            text = f"{text}: {error.filename}"
        return text, STOPPED if error.errno in _NO_ROOM else USAGE
    if isinstance(error, ValueError | TypeError | ImportError):
        return str(error), USAGE
    text = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".:")
    return (
        f"unexpected {text}. Set USERLOGFEAT_DEBUG=1 to see where it arose.",
        USAGE,
    )
