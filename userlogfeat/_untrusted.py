"""Read files that may come from strangers: of bounded length, and not from a pipe."""

import contextlib
import json
import os
import stat

# Windows has no pipes that a stranger could put in a folder, nor this flag.
_NO_WAITING = getattr(os, "O_NONBLOCK", 0)
MAX_DEPTH = 100  # of JSON; ours has six levels


def read_whole(path, *, max_bytes=None):
    """Read the bytes of a regular file.

    Parameters
    ----------
    path : str or Path
    max_bytes : int, optional
        Maximum length of the file.

    Raises
    ------
    ValueError
        Where it is a pipe or a device, which might never end, or has more bytes.
    """
    with open(path, "rb", opener=_open_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError(
                f"{path} is not a regular file, but a pipe, socket or device. Write "
                "its content to a file first."
            )
        data = file.read() if max_bytes is None else file.read(max_bytes + 1)
    if max_bytes is not None and len(data) > max_bytes:
        raise ValueError(
            f"{path} is too long to be read, expected at most {max_bytes} bytes."
        )
    return data


def parse_json(text):
    """Parse JSON of bounded depth: Python's own functions recurse.

    Parameters
    ----------
    text : str or bytes

    Raises
    ------
    ValueError
        Where it is no JSON, or nested more than ``MAX_DEPTH`` times.
    """
    with contextlib.suppress(RecursionError):
        value = json.loads(text)
        level = [value]
        for _ in range(MAX_DEPTH):
            level = [inner for outer in level for inner in _children(outer)]
            if not level:
                return value
    raise ValueError(f"it is nested more than {MAX_DEPTH} times")


def _open_without_waiting(path, flags):
    """Open a file; do not wait for the writer of a pipe."""
    return os.open(path, flags | _NO_WAITING)


def _children(value):
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
