"""Errors about audio files: the file, the fact and the way out.

The library that decodes (libsndfile) is quick, but its messages mislead: a text named
.mp3 "does not exist". So its codes are explained here by the file's first bytes.
"""

import errno
import os
import shlex
from typing import Any

import numpy as np

from userlogfeat.audio.formats import EXTRA, SIGNATURES, describe_formats

# Codes of libsndfile, sndfile.h and src/common.h.
UNRECOGNISED, UNSUPPORTED = 1, 4
_HEADER_FACTS = {
    24: "its header gives no valid sample rate",
    32: "its header gives 0 channels",
    33: "its header gives more than 1024 channels",
}
# A file may hold this much less than its header promises: encoders count roughly.
TOLERATED_SECONDS, TOLERATED_SHARE = 0.1, 0.01


class AudioError(ValueError):
    """A clip that cannot be used, for a reason that its class names.

    Parameters
    ----------
    path : str
        The file, as text.
    fact : str
        Description of the fault.
    way_out : str
        Advice to the user.
    """

    def __init__(self, path: str, fact: str, way_out: str) -> None:
        super().__init__(path, fact, way_out)
        self.path, self.fact, self.way_out = path, fact, way_out

    def __str__(self) -> str:
        return f"{self.path!r}: {self.fact}. {self.way_out}"


class MissingAudioError(AudioError):
    """There is no such file."""


class UnreadableAudioError(AudioError):
    """There is one, but not a regular file that this user may read."""


class EmptyAudioError(AudioError):
    """It has no bytes, or no samples."""


class UnsupportedAudioError(AudioError):
    """It is in a format that is not read here."""


class CorruptAudioError(AudioError):
    """It is damaged, cut off, or contradicts its own header."""


class NonFiniteAudioError(AudioError):
    """It has samples that are NaN, infinite or far beyond full scale, which is 1."""


class NonFiniteFeaturesError(AudioError):
    """Its features are NaN or infinite, in the model that was asked for them."""


class TooLongAudioError(AudioError):
    """It holds more than is read at once."""


def find_nonfinite(clip: Any, layers: dict[str, Any]) -> AudioError | None:
    """Return the error of a clip with features that are no numbers, or None.

    Parameters
    ----------
    clip : str, bytes, Path or int
        Path, or row of X.
    layers : dict of str to ndarray
        Its features.
    """
    for name, values in layers.items():
        n_bad = values.size - np.count_nonzero(np.isfinite(values))
        if n_bad:
            return NonFiniteFeaturesError(
                f"row {clip} of X" if isinstance(clip, int) else os.fsdecode(clip),
                f"{n_bad} of {values.size} values of its layer {name!r} are NaN or "
                "infinite",
                "Is the clip silent, and does the model take a logarithm or divide? Or "
                "do its weights hold NaN? Drop the clip, or mend the model.",
            )
    return None


def explain_system(name: str, error: OSError) -> AudioError:
    """Return the error of a file that the system does not open."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        advice = f"Check the path; relative ones start from {os.getcwd()!r}."
        if "://" in name:
            advice = "Addresses are not fetched: download it, and pass the file's path."
        if set("*?") & set(name):
            advice = "Patterns are not expanded: pass the folder, or the files' names."
        if name.startswith("~"):
            advice = f"Pass the path in full: {os.path.expanduser(name)!r}."
        return MissingAudioError(name, "there is no such file", advice)
    if error.errno in (errno.EACCES, errno.EPERM):
        return UnreadableAudioError(
            name,
            "permission to read the file is denied",
            "Allow it (chmod u+r, and x on its folders), or run as its owner.",
        )
    return UnreadableAudioError(
        name,
        f"the system cannot open the file ({error.strerror})",
        "Check the path and the disk.",
    )


def is_foreign(head: bytes, error: Any) -> bool:
    """Return whether a file is in another format than those libsndfile reads."""
    return error.code in (UNRECOGNISED, UNSUPPORTED) or foreign_format(head) is not None


def foreign_format(head: bytes) -> str | None:
    """Return the format of a file that libsndfile does not read, in words, or None."""
    for offset, mark, what in SIGNATURES:
        if head[offset:].startswith(mark):
            return what
    return None


def explain_library(name: str, head: bytes, error: Any) -> AudioError:
    """Return the error of a file that libsndfile does not open.

    Parameters
    ----------
    name : str
        Path, for the message.
    head : bytes
        First bytes of the file.
    error : soundfile.LibsndfileError
        Its code is explained by the first bytes.
    """
    what = foreign_format(head)
    if what is not None:
        return UnsupportedAudioError(
            name,
            f"this is {what}, which is read with the extra `{EXTRA}` only",
            f"Install it: pip install 'userlogfeat[{EXTRA}]'. Or convert the file: "
            + ffmpeg_command(name, "flac"),
        )
    if error.code in (UNRECOGNISED, UNSUPPORTED):
        if is_text(head):
            beginning = head[:40].decode("utf-8", "ignore").strip()
            return UnsupportedAudioError(
                name,
                f"this is a text, not audio (it begins {beginning!r})",
                "A failed download often leaves such a file: fetch it again, or drop "
                "it.",
            )
        return UnsupportedAudioError(
            name,
            f"this format is not supported ({error.error_string.strip()} It begins "
            f"with the bytes {head[:8].hex(' ')})",
            f"Read are {describe_formats()}. If a player can play it, convert it: "
            + ffmpeg_command(name, "flac"),
        )
    if error.code in _HEADER_FACTS:
        return CorruptAudioError(
            name, _HEADER_FACTS[error.code], "The header is damaged: fetch it again."
        )
    return CorruptAudioError(
        name,
        "its header is recognised, but cannot be read to its end "
        f"({error.error_string.strip()})",
        "The file is damaged or cut off: fetch it again.",
    )


def is_text(head: bytes) -> bool:
    """Return whether first bytes are those of a text."""
    try:
        text = head[:-3].decode("utf-8")  # the last character may be cut
    except UnicodeDecodeError:
        return False
    return bool(text) and all(
        character.isprintable() or character.isspace() for character in text
    )


def damaged(name: str, fact: str) -> AudioError:
    """Return the error of a file that lacks some of its sound."""
    return CorruptAudioError(
        name,
        fact,
        "The file is damaged or cut off: fetch it again. To keep what is there: "
        + ffmpeg_command(name, "wav"),
    )


def unsupported(name: str, fact: str) -> AudioError:
    """Return the error of a file that has to be converted."""
    command = ffmpeg_command(name, "flac")
    return UnsupportedAudioError(name, fact, f"Convert it: {command}")


def ends_early(name: str, promised: float, found: float, rate: int) -> AudioError:
    """Return the error of a file with fewer samples than its header promises."""
    return damaged(
        name,
        f"its header promises {promised / rate:.2f} s of audio, but it ends after "
        f"{found / rate:.2f} s",
    )


def tolerance(
    length: float, sample_rate: int, seconds: float = TOLERATED_SECONDS
) -> float:
    """Return how many samples a file may lack of a length that its header gives."""
    return max(seconds * sample_rate, TOLERATED_SHARE * length)


def check_promise(
    name: str,
    promised: float,
    found: float,
    sample_rate: int,
    tolerated: float = TOLERATED_SECONDS,
) -> None:
    """Raise where a file has fewer samples than its header promises.

    Parameters
    ----------
    name : str
        Path, for the message.
    promised, found : float
        Samples of each channel.
    sample_rate : int
        In Hz.
    tolerated : float
        Seconds that may be missing; 1 % may be missing in any case.
    """
    if promised - found > tolerance(promised, sample_rate, tolerated):
        raise ends_early(name, promised, found, sample_rate)


def several(name: str, second: int) -> AudioError:
    """Return the error of a file with another one behind it."""
    return UnsupportedAudioError(
        name,
        "it is a file of several recordings, of which only the first would be read: "
        f"the second begins at byte {second}",
        "Split it there, or join the sound: " + ffmpeg_command(name, "flac"),
    )


def ffmpeg_command(name: str, suffix: str) -> str:
    """Return the command that converts a file, ready to be pasted."""
    if not name.isprintable():
        return f"ffmpeg -i INPUT OUTPUT.{suffix}"
    target = os.path.splitext(name)[0] + f".{suffix}"
    if target == name:
        target = os.path.splitext(name)[0] + f".new.{suffix}"
    return f"ffmpeg -i {shlex.quote(name)} {shlex.quote(target)}"
