"""Many clips into one feature table, again and again until all are in it."""

import contextlib
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from userlogfeat.tables import OK, FeatureTable, clip_name, file_stamp

MAX_EXAMPLES = 20  # failures that a summary describes


@dataclass(frozen=True)
class ExtractionSummary:
    """What a run did.

    Attributes
    ----------
    n_done : int
        Clips whose features this run added.
    n_skipped : int
        Clips whose features were in the table.
    failed : dict of str to int
        Clips without features, by the class of their error: those of this run, and
        with ``retry_failed=False`` those it left alone.
    examples : list of (clip, status, message)
        The first failures of this run.
    audio_seconds : float
        Audio heard, in s.
    elapsed_seconds : float
        Time the run took, in s.
    """

    n_done: int = 0
    n_skipped: int = 0
    failed: dict = field(default_factory=dict)
    examples: list = field(default_factory=list)
    audio_seconds: float = 0.0
    elapsed_seconds: float = 0.0

    @property
    def n_failed(self):
        """Clips without features."""
        return sum(self.failed.values())

    @property
    def rate(self):
        """Seconds of audio heard per second: 60 is sixty times real time."""
        return self.audio_seconds / max(self.elapsed_seconds, 1e-9)

    def __str__(self):
        text = (
            f"{self.n_done} done, {self.n_skipped} were there, {self.n_failed} failed; "
            f"{self.audio_seconds / 60:.1f} min of audio in "
            f"{self.elapsed_seconds:.1f} s ({self.rate:.0f} x real time)"
        )
        for status, count in sorted(self.failed.items()):
            text += f"\n  {status}: {count}"
        return text


def extract(
    clips,
    table,
    *,
    embedder=None,
    on_error="row",
    on_locked="error",
    retry_failed=True,
    progress=None,
    flush_seconds=10.0,
):
    """Hear clips and write their features into a table; skip what is there.

    It may be stopped or killed at any moment: the same call goes on where it ended. A
    clip is heard again where the size or the time of change of its file differs from
    what the table has, or where it failed (unless ``retry_failed=False``). Features
    whose file has since gone are kept.

    Parameters
    ----------
    clips : iterable of str, bytes or Path; or one of them
        Audio files; folders are walked for them. A path is the row's key just as it is
        given: ``a.wav`` and ``./a.wav`` are two clips. Repeated paths make one row.
    table : str, Path or FeatureTable
        The folder to write; made where it is missing.
    embedder : estimator, optional
        :class:`~userlogfeat.UserLogEmbedder` (the default) or another with
        `iter_features`, `fingerprint` and `layer_sizes`.
    on_error : {"row", "raise"}
        A file that cannot be read becomes a row with its error, or ends the run.
    on_locked : {"error", "wait"}
        What to do while another process writes to the table.
    retry_failed : bool
        Whether clips that failed in an earlier run are tried again. If false, those
        whose file has changed still are.
    progress : bool, optional
        Whether to show a bar with rate and remaining time; by default on a terminal.
    flush_seconds : float
        In s: the work that a kill may cost.

    Returns
    -------
    ExtractionSummary

    Raises
    ------
    TableError
        Where the table was made by another model, is damaged, or is no table.
    BlockingIOError
        Where another process writes to it and ``on_locked="error"``.
    OSError
        Where it cannot be written. What was done before is kept.
    AudioError
        With ``on_error="raise"``. What was done before is kept.

    Examples
    --------
    >>> import tempfile
    >>> from userlogfeat import MusicnnEmbedder
    >>> folder = tempfile.mkdtemp()
    >>> summary = extract(["nowhere.wav"], folder, embedder=MusicnnEmbedder())
    >>> summary.failed
    {'MissingAudioError': 1}
    """
    from userlogfeat.audio import find_audio

    if on_error not in ("row", "raise"):
        raise ValueError(f'Got on_error={on_error!r}, expected "row" or "raise".')
    if isinstance(clips, str | bytes) or hasattr(clips, "__fspath__"):
        clips = [clips]
    clips = list(dict.fromkeys(map(clip_name, find_audio(map(clip_name, clips)))))
    if not clips:
        raise ValueError("Got no clips: the list or the folders hold no audio files.")
    if embedder is None:
        from userlogfeat.estimators.user_log import UserLogEmbedder

        embedder = UserLogEmbedder()
    if not isinstance(table, FeatureTable):
        table = FeatureTable(table)
    start = time.monotonic()
    with table.writer(
        fingerprint=embedder.fingerprint,
        layer_sizes=embedder.layer_sizes,
        layer_scales=getattr(embedder, "layer_scales", None),
        made_by=repr(embedder),
        users_digest=getattr(embedder, "users_digest", None),
        on_locked=on_locked,
        flush_seconds=flush_seconds,
    ) as writer:
        todo, stamps, left = _missing(clips, table, retry_failed)
        heard = _hear(todo, stamps, writer, embedder, on_error, progress, len(clips))
    left_failed = left - Counter({OK: left[OK]})
    return ExtractionSummary(
        n_done=heard.counts.pop(OK, 0),
        n_skipped=left[OK],
        failed=dict(heard.counts + left_failed),
        examples=heard.examples,
        audio_seconds=heard.seconds,
        elapsed_seconds=time.monotonic() - start,
    )


@dataclass
class _Heard:
    counts: Counter = field(default_factory=Counter)
    examples: list = field(default_factory=list)
    seconds: float = 0.0


def _missing(clips, table, retry_failed):
    """What to hear, its file stamps (n, 2), and a count of the rest by status."""
    known = table.index()
    todo, stamps, left = [], [], Counter()
    for clip in clips:
        row, stamp = known.rows.get(clip), file_stamp(clip)
        if row is not None:
            status = known.statuses[row]
            same = stamp == (known.sizes[row], known.modified[row])
            gone = stamp[0] < 0 and status == OK
            if gone or (same and (status == OK or not retry_failed)):
                left[status] += 1
                continue
        todo.append(clip)
        stamps.append(stamp)
    return todo, np.array(stamps, dtype=np.int64).reshape(-1, 2), left


def _hear(todo, stamps, writer, embedder, on_error, progress, n_clips):
    """Run the embedder over `todo`, and give the writer one row a clip."""
    from tqdm import tqdm

    heard = _Heard()
    if not todo:
        return heard
    features = embedder.iter_features(todo, on_error="yield")
    hidden = None if progress is None else not progress  # None: unless on a terminal
    with (
        contextlib.closing(features),
        tqdm(
            total=n_clips, initial=n_clips - len(todo), unit="clip", disable=hidden
        ) as bar,
    ):
        start = time.monotonic()
        for clip in features:
            if clip.error is not None and on_error == "raise":
                raise clip.error
            _add(writer, todo[clip.index], stamps[clip.index], clip, heard)
            rate = heard.seconds / max(time.monotonic() - start, 1e-9)
            n_failed = sum(heard.counts.values()) - heard.counts[OK]
            bar.set_postfix_str(f"{rate:.0f} x real time, {n_failed} failed", False)
            bar.update()
    return heard


def _add(writer, name, stamp, clip, heard):
    size, modified_ns = (int(value) for value in stamp)
    if clip.error is None:
        status, message = OK, ""
        heard.seconds += clip.seconds
    else:
        status, message = type(clip.error).__name__, str(clip.error)
        if len(heard.examples) < MAX_EXAMPLES:
            heard.examples.append((name, status, message))
    heard.counts[status] += 1
    writer.add(
        name,
        layers=clip.layers,
        status=status,
        message=message,
        seconds=clip.seconds,
        size=size,
        modified_ns=modified_ns,
    )
