"""From clips and a table to what is missing, and who hears it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from userlogfeat._typing import ClipId, PathLike
from userlogfeat.extraction.chunks import Todo
from userlogfeat.extraction.tally import ExtractionSummary
from userlogfeat.tables import OK, FeatureTable, clip_name, file_stamp

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


BACKENDS = ("local", "spark")
# Threads that look at files. Those of a cluster are on a network disk, which answers
# many at once, and late.
LOOKING = {"local": 1, "spark": 32}
_BLOCK = 1000  # files that a thread looks at


def extract(
    clips: ClipId | Iterable[ClipId],
    table: PathLike | FeatureTable,
    *,
    embedder: Any = None,
    on_error: Literal["row", "raise"] = "row",
    on_locked: Literal["error", "wait"] = "error",
    retry_failed: bool = True,
    progress: bool | None = None,
    flush_seconds: float = 10.0,
    backend: Literal["local", "spark"] = "local",
    session: SparkSession | None = None,
    master: str | None = None,
    clips_per_task: int | None = None,
) -> ExtractionSummary:
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
        In s: the work that a kill may cost, beside the batch that is being heard. On
        Spark that is a task.
    backend : {"local", "spark"}
        Who hears: this process, or the workers of a Spark cluster. They must see the
        files, and the folder of the table, under the same names as this process.
    session : SparkSession, optional
        Where to run; by default the active session, or a new one.
    master : str, optional
        URL of the cluster for a new session, such as ``"spark://host:7077"`` or
        ``"local-cluster[2,1,2048]"``.
    clips_per_task : int, optional
        Clips that a Spark task hears and adds as one part: the work that is lost, or
        done again, where a worker dies. By default 16 to 64, by their number, and more
        from 1.3 million on. Workers with a GPU do well with a thousand.

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
        Where it cannot be written, or workers of the cluster do not see it or the
        files. What was done before is kept.
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
    hear = _hearer(backend, session, master, clips_per_task)
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
        todo, left = _missing(clips, table, retry_failed, LOOKING[backend])
        tally = hear(
            todo,
            writer,
            embedder,
            on_error=on_error,
            progress=progress,
            n_clips=len(clips),
        )
    left_failed = left - Counter({OK: left[OK]})
    return ExtractionSummary(
        n_done=tally.counts.pop(OK, 0),
        n_skipped=left[OK],
        failed=dict(tally.counts + left_failed),
        examples=tally.examples,
        audio_seconds=tally.seconds,
        elapsed_seconds=time.monotonic() - start,
    )


def _hearer(backend, session, master, clips_per_task):
    """The function that hears what is missing; raise where it could not."""
    from userlogfeat._check import check_choice, check_positive

    check_choice(backend, "backend", BACKENDS)
    if backend == "spark":
        from userlogfeat._spark import require_spark
        from userlogfeat.extraction.spark import hear

        require_spark('backend="spark"')
        if clips_per_task is not None:
            check_positive(clips_per_task, "clips_per_task", integer=True)
        settings = {"session": session, "master": master}
        return partial(hear, clips_per_task=clips_per_task, **settings)
    given = {"session": session, "master": master, "clips_per_task": clips_per_task}
    unused = [name for name, value in given.items() if value is not None]
    if unused:
        raise ValueError(
            f'Got {unused[0]}={given[unused[0]]!r} with backend="local", which has no '
            f'cluster. Pass backend="spark", or leave {unused[0]} '
            "out."
        )
    from userlogfeat.extraction.local import hear

    return hear


def _missing(clips, table, retry_failed, n_threads=1):
    """What to hear, and a count of the rest by status."""
    known = table.index()
    todo, stamps, left = [], [], Counter()
    for clip, stamp in zip(clips, _stamps(clips, n_threads), strict=True):
        row = known.rows.get(clip)
        if row is not None:
            status = known.statuses[row]
            same = stamp == (known.sizes[row], known.modified[row])
            gone = stamp[0] < 0 and status == OK
            if gone or (same and (status == OK or not retry_failed)):
                left[status] += 1
                continue
        todo.append(clip)
        stamps.append(stamp)
    return Todo(todo, np.array(stamps, dtype=np.int64).reshape(-1, 2)), left


def _stamps(clips, n_threads):
    """Size and time of change of files, one after the other."""
    if n_threads == 1:
        yield from map(file_stamp, clips)
        return
    blocks = (clips[i : i + _BLOCK] for i in range(0, len(clips), _BLOCK))
    with ThreadPoolExecutor(n_threads) as pool:
        for stamps in pool.map(lambda block: [*map(file_stamp, block)], blocks):
            yield from stamps
