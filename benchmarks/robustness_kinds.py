"""Outcomes of reading a damaged file: a correct result, a clear error, or worse.

A kind of file has seeds (whole files, by name), and ``check(name, data, folder)``: read
the damaged file, compare what was read with what a plain judge says of the same bytes,
and raise ``Wrong`` where they differ. Clear is an error of ours, or a ValueError that
names the file.
"""

import contextlib
import io
import os
import warnings
from dataclasses import dataclass, field

RIGHT, ERROR = "right", "clear error"
FOREIGN, WRONG, CRASH, HANG = "foreign exception", "silent wrong", "crash", "hang"
OUTCOMES = (RIGHT, ERROR, CRASH, FOREIGN, HANG, WRONG)
MAX_SECONDS = 10.0  # of processor time, for one case


class Wrong(Exception):
    """The result differs from the contents of the file."""


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes
    ----------
    name : str
    seeds : dict of str to bytes
        Whole files; "join" puts one behind another.
    check : callable
        ``check(seed, data, folder)``; `folder` is the case's own and exists.
    tokens : bool
        Whether it is text, or has text in it.
    clear : tuple of str
        Words that make an error clear although it does not name the file.
    """

    name: str
    seeds: dict
    check: object
    tokens: bool = True
    clear: tuple = field(default=())


def judge(kind, seed, data, folder):
    """Return the outcome of one case, and the message.

    Parameters
    ----------
    kind : Kind
    seed : str
    data : bytes
        The damaged file.
    folder : Path
        Folder of this case alone.
    """
    before = os.times()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            kind.check(seed, data, folder)
    except Wrong as error:
        return WRONG, str(error)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        return (ERROR if is_clear(error, kind, folder) else FOREIGN), said
    except BaseException as error:  # such as a panic of a library in Rust
        return FOREIGN, f"{type(error).__name__}: {error}"
    after = os.times()
    if after.user + after.system - before.user - before.system > MAX_SECONDS:
        return HANG, "longer than 10 s"
    return RIGHT, ""


def is_clear(error, kind, folder):
    """Whether an error is one that we document, and says which file it is about."""
    ours = type(error).__module__.startswith("userlogfeat")
    if not ours and type(error) not in (ValueError, FileNotFoundError):
        return False
    text = str(error)
    named = str(folder) in text or any(p.name in text for p in folder.rglob("*"))
    return named or any(words in text for words in kind.clear)


def require(condition, message):
    """Raise `Wrong` unless it holds."""
    if not condition:
        raise Wrong(message)
