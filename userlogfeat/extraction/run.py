"""Find the clips that a table lacks, and have them embedded."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from userlogfeat._check import check_choice, check_positive
from userlogfeat._progress import resumable
from userlogfeat._typing import ClipId, PathLike
from userlogfeat.extraction.chunks import Todo, as_row
from userlogfeat.extraction.tally import ExtractionSummary, Tally
from userlogfeat.tables import (
    OK,
    FeatureTable,
    canonical_name,
    clip_name,
    file_stamp,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


BACKENDS = ("local", "spark")
# Threads that look up files. Those of a cluster are on a network disk, which answers
# many requests at once, and late.
N_THREADS = {"local": 1, "spark": 32}
_BLOCK = 1000  # files that a thread looks up


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
    relative_to: PathLike | None = None,
) -> ExtractionSummary:
    """Embed clips and write their features into a table; skip those that are there.

    It may be stopped or killed at any moment: the same call goes on where it ended. A
    clip is embedded again if the size or modification time of its file differs from the
    table's, or if it failed (unless ``retry_failed=False``). Features whose file has
    since gone are kept.

    Parameters
    ----------
    clips : iterable of str, bytes or Path; or one of them
        Audio files; folders are walked for them. A path is the row's key just as it is
        given: ``a.wav`` and ``./a.wav`` are two clips, but for `relative_to`. Repeated
        paths make one row.
    table : str, Path or FeatureTable
        Folder to write; made if missing.
    embedder : estimator, optional
        :class:`~userlogfeat.UserLogEmbedder` (the default) or another with
        `iter_features`, `fingerprint` and `layer_sizes`.
    on_error : {"row", "raise"}
        A file that cannot be read becomes a row with its error, or ends the run.
    on_locked : {"error", "wait"}
        Whether to raise or to wait while another process writes to the table.
    retry_failed : bool
        Whether clips that failed in an earlier run are tried again. If false, those
        whose file has changed still are.
    progress : bool, optional
        Whether to show a bar with rate and remaining time; by default on terminals and
        in notebooks: see :func:`userlogfeat.show_progress`.
    flush_seconds : float
        Work that a kill may cost, in s, beside the batch that is being embedded. On
        Spark it costs a task.
    backend : {"local", "spark"}
        Whether this process embeds, or the workers of a Spark cluster. They must see
        the files, and the folder of the table, under the same names as this process.
    session : SparkSession, optional
        Session to run in; by default the active one, or a new one.
    master : str, optional
        URL of the cluster for a new session, such as ``"spark://host:7077"`` or
        ``"local-cluster[2,1,2048]"``.
    clips_per_task : int, optional
        Clips that a Spark task embeds and adds as one part: the work that is lost, or
        done again, when a worker dies. By default 16 to 64, by their number, and more
        from 1.3 million on. Workers with a GPU do well with a thousand.
    relative_to : str or Path, optional
        Folder that holds all clips. Rows are then named by the path from there, however
        it was given: ``a.wav``, ``./a.wav`` and ``/music/a.wav`` are one clip, and the
        table can move with its audio.

    Returns
    -------
    ExtractionSummary

    Raises
    ------
    TableError
        Where the table was made by another model, is damaged, or is not a table.
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

    check_choice(on_error, "on_error", ("row", "raise"))
    cluster = {"session": session, "master": master, "clips_per_task": clips_per_task}
    _check_backend(backend, cluster)
    if isinstance(clips, str | bytes) or hasattr(clips, "__fspath__"):
        clips = [clips]
    clips = map(clip_name, find_audio(map(clip_name, clips)))
    if relative_to is not None:
        relative_to = os.path.abspath(relative_to)
        clips = map(canonical_name, clips)
    clips = list(dict.fromkeys(clips))
    if not clips:
        raise ValueError("Got no clips: the list or the folders hold no audio files.")
    if embedder is None:
        from userlogfeat.estimators.user_log import UserLogEmbedder

        embedder = UserLogEmbedder()
    if not isinstance(table, FeatureTable):
        table = FeatureTable(table)
    start = time.monotonic()
    kept = resumable(f"What was done is kept in {table.folder}: the same call goes on.")
    with (
        kept,
        table.writer(
            fingerprint=embedder.fingerprint,
            layer_sizes=embedder.layer_sizes,
            layer_scales=getattr(embedder, "layer_scales", None),
            made_by=repr(embedder),
            users_digest=getattr(embedder, "users_digest", None),
            on_locked=on_locked,
            flush_seconds=flush_seconds,
        ) as writer,
    ):
        todo, left = _missing(
            clips, table, retry_failed, N_THREADS[backend], relative_to
        )
        with Tally(len(clips), len(todo), progress) as tally:
            work = (todo, writer, embedder, tally)
            if backend == "spark" and len(todo):
                from userlogfeat.extraction.spark import embed_on_spark

                embed_on_spark(*work, on_error=on_error, **cluster)
            elif len(todo):
                _embed_here(*work, on_error=on_error)
    left_failed = left - Counter({OK: left[OK]})
    return ExtractionSummary(
        n_done=tally.counts.pop(OK, 0),
        n_skipped=left[OK],
        failed=dict(tally.counts + left_failed),
        examples=tally.examples,
        audio_seconds=tally.seconds,
        elapsed_seconds=time.monotonic() - start,
    )


def _embed_here(todo, writer, embedder, tally, *, on_error):
    """Run the embedder over clips, and give the writer one row each."""
    features = embedder.iter_features(todo.clips, on_error="yield")
    with contextlib.closing(features):
        for clip in features:
            if clip.error is not None and on_error == "raise":
                raise clip.error
            row = as_row(clip, todo)
            writer.add(**row, more=getattr(clip, "more", False))
            tally.add(row["clip"], row["status"], row["message"], row["seconds"])


def _check_backend(backend, cluster):
    """Raise where the backend cannot run, or takes no settings of a cluster."""
    check_choice(backend, "backend", BACKENDS)
    if backend == "spark":
        from userlogfeat._spark import require_spark

        require_spark('backend="spark"')
        if cluster["clips_per_task"] is not None:
            check_positive(cluster["clips_per_task"], "clips_per_task", integer=True)
        return
    for name, value in cluster.items():
        if value is not None:
            raise ValueError(
                f'Got {name}={value!r} with backend="local", which has no cluster. '
                f'Pass backend="spark", or leave {name} out.'
            )


def _missing(clips, table, retry_failed, n_threads, relative_to):
    """Clips to embed, and a count of the others by status."""
    known = table.index()
    todo, stamps, left = [], [], Counter()
    names = clips
    if relative_to is not None:
        names = [canonical_name(clip, relative_to) for clip in clips]
    found = zip(clips, names, _stamps(clips, n_threads), strict=True)
    for clip, name, stamp in found:
        row = known.rows.get(name)
        if row is not None:
            status = known.statuses[row]
            same = stamp == (known.sizes[row], known.modified[row])
            gone = stamp[0] < 0 and status == OK
            if gone or (same and (status == OK or not retry_failed)):
                left[status] += 1
                continue
        todo.append(clip)
        stamps.append(stamp)
    stamps = np.array(stamps, dtype=np.int64).reshape(-1, 2)
    return Todo(todo, stamps, relative_to), left


def _stamps(clips, n_threads):
    """Yield size and modification time of each file, in order."""
    blocks = (clips[i : i + _BLOCK] for i in range(0, len(clips), _BLOCK))
    with ThreadPoolExecutor(n_threads) as pool:
        for stamps in pool.map(lambda block: [*map(file_stamp, block)], blocks):
            yield from stamps
