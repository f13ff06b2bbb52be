"""From an error to one line and an exit code."""

import contextlib
import errno
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import typer

from userlogfeat.cli.console import Result, print_line, print_result
from userlogfeat.cli.wording import in_options

SOME_FAILED, USAGE, STOPPED, TOO_LOW = 1, 2, 3, 4
INTERRUPTED, NO_READER, TERMINATED = 130, 141, 143
EXIT_CODES = {
    0: "all well",
    SOME_FAILED: "some files failed; the others are done",
    USAGE: "wrong options or input, or an unexpected error",
    STOPPED: "the output could not be written, as on a full or read-only disk",
    TOO_LOW: "a score is lower than evaluate's --at-least",
    INTERRUPTED: "interrupted (Ctrl-C)",
    NO_READER: "the program that read the output ended, as head does",
    TERMINATED: "terminated (SIGTERM)",
}
NO_OUTPUT = "No output was written: run the same again."
_NO_OUTPUT = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
# How polars and safetensors name the system's error, in exceptions of any class.
_OS_ERROR = re.compile(r"([^:]*) \(os error (\d+)\)")


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
def explained(kept: str, as_json: bool) -> Iterator[None]:
    """Turn errors into one line and an exit code.

    Parameters
    ----------
    kept : str
        The end of the message where a signal stops the run: what is kept.
    as_json : bool
        Whether to print an object to stdout, too, with the message and the code.
    """
    word = "Error:"
    try:
        with _sigterm_stops():
            yield
            sys.stdout.flush()
    except BrokenPipeError:
        # Python would flush once more at its end, and print that it cannot.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(NO_READER) from None
    except (Exception, KeyboardInterrupt) as error:
        stop = _signal_behind(error)
        if stop is None and os.environ.get("USERLOGFEAT_DEBUG"):
            raise
        if stop is None:
            text, code = _explanation(error)
            text = in_options(text)
        else:
            terminated = isinstance(stop, _Terminated)
            word = "Terminated." if terminated else "Interrupted."
            if kept == NO_OUTPUT:  # the step that was stopped may know more
                notes = getattr(stop, "__notes__", [])
                kept = " ".join([kept, *map(in_options, notes)])
            text, code = kept, TERMINATED if terminated else INTERRUPTED
    else:
        return
    text = f"{word} {text}"
    print_line(text, err=True)
    if as_json:
        print_result(Result({"error": text, "exit_code": code}), as_json=True)
    raise typer.Exit(code)


def _signal_behind(error):
    """The signal that ended a block, also where tidying up after it failed; or None."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error


def _explanation(error):
    """The message of an error, and the exit code."""
    from userlogfeat.audio.errors import AudioError

    if isinstance(error, AudioError):
        return str(error), SOME_FAILED
    found = _OS_ERROR.search(str(error))
    if found and int(found[2]) in _NO_OUTPUT:
        return f"{found[1].strip()}: the output could not be written.", STOPPED
    if isinstance(error, OSError):
        text = error.strerror or str(error)
        if error.filename is not None:
            text = f"{text}: {error.filename}"
        return text, STOPPED if error.errno in _NO_OUTPUT else USAGE
    if isinstance(error, ValueError | TypeError | ImportError):
        return str(error), USAGE
    text = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".:")
    return (
        f"unexpected {text}. Set USERLOGFEAT_DEBUG=1 to see where it arose.",
        USAGE,
    )
