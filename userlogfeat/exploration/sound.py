"""The audio of clips on a page: linked where it is, or embedded within a limit."""

from __future__ import annotations

import base64
import io
import logging
import os
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import numpy as np
import soundfile

from userlogfeat._progress import progress_bar
from userlogfeat.audio import AudioError, read_audio

logger = logging.getLogger(__name__)
CHOICES = ("link", "embed", "none")
SAMPLE_RATE = 22_050  # Hz, of embedded audio
SECONDS = 12.0  # of a clip, from its middle, where the limit allows
MIN_SECONDS = 3.0  # shorter excerpts are of no use: fewer clips have one instead
BYTES_A_SECOND = 5_000  # about: mp3 of one channel, 30 to 40 kbit/s, as base64
_QUALITY = 0.7  # of soundfile's compression: 0 is the largest file


def audio_urls(
    names: list[str],
    audio: Literal["link", "embed", "none"],
    folder: Path | None,
    *,
    max_megabytes: float,
) -> tuple[list[str | None], list[str]]:
    """Return a URL of each clip's audio, None where there is none, and notes.

    Parameters
    ----------
    names : list of str
        Paths.
    audio : {"link", "embed", "none"}
    folder : Path or None
        Folder of the page, which links are relative to; None is a page that is served,
        whose links are ``audio/17``.
    max_megabytes : float
        Limit of what is embedded.

    Returns
    -------
    urls : list of str or None
    notes : list of str
    """
    if audio == "none":
        return [None] * len(names), []
    there = [os.path.isfile(name) for name in names]
    notes = []
    if not all(there):
        n = there.count(False)
        notes.append(
            f"{n} of {len(names)} clips cannot be played: their files are not there."
        )
    if audio == "embed":
        urls, more = _embedded(names, there, max_megabytes)
        return urls, notes + more
    if folder is None:
        links = [f"audio/{place}" for place in range(len(names))]
    else:
        links = [_link(name, folder) for name in names]
    return [link if ok else None for link, ok in zip(links, there, strict=True)], notes


def encode_excerpt(path: str, seconds: float) -> str:
    """Return the middle of a clip as a data URL of mp3.

    Parameters
    ----------
    path : str
    seconds : float
        At most.

    Raises
    ------
    AudioError
        Where the file cannot be read.
    """
    excerpt = read_audio(path, sample_rate=SAMPLE_RATE, duration=seconds, short="keep")
    peak = np.abs(excerpt).max(initial=0)
    file = io.BytesIO()
    soundfile.write(
        file,
        excerpt / max(peak, 1),
        SAMPLE_RATE,
        format="MP3",
        compression_level=_QUALITY,
        bitrate_mode="VARIABLE",
    )
    return f"data:audio/mpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _embedded(names, there, max_megabytes):
    """Excerpts as data URLs: shorter ones, then fewer, where the limit is low."""
    limit = max_megabytes * 1e6
    rows = np.flatnonzero(there)
    if not len(rows):
        return [None] * len(names), []
    seconds = min(SECONDS, limit / (len(rows) * BYTES_A_SECOND))
    notes = []
    if seconds < MIN_SECONDS:
        seconds = MIN_SECONDS
        n_fit = max(1, int(limit / (seconds * BYTES_A_SECOND)))
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, n_fit).astype(int))]
    urls = [None] * len(names)
    n_bytes = n_failed = n_done = 0
    for row in progress_bar(rows.tolist(), desc="audio", unit="clip"):
        if n_bytes >= limit:
            break
        try:
            url = encode_excerpt(names[row], seconds)
        except AudioError as error:
            logger.warning("%s is not embedded: %s", names[row], error)
            n_failed += 1
            continue
        if n_bytes + len(url) <= limit:
            urls[row], n_bytes, n_done = url, n_bytes + len(url), n_done + 1
    if n_done < sum(there) - n_failed:
        notes.append(
            f"{n_done} of {len(names)} clips have audio, {seconds:.0f} s each: more "
            f"would exceed {max_megabytes:g} MB."
        )
    elif seconds < SECONDS:
        notes.append(f"Excerpts of {seconds:.0f} s keep to {max_megabytes:g} MB.")
    if n_failed:
        notes.append(f"{n_failed} files could not be read.")
    return urls, notes


def _link(name, folder):
    """Link from a page in `folder` to a file, as a relative URL where it can be."""
    whole = os.path.abspath(name)
    try:
        path = os.path.relpath(whole, folder.resolve())
    except ValueError:  # another drive of Windows
        return Path(whole).as_uri()
    return "./" + quote(os.fsencode(path.replace(os.sep, "/")))
