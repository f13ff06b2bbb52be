"""Embed clips on a Spark cluster: the driver's side.

Workers put finished parts into a staging folder inside the table's, and the driver,
which holds the table's lock, renames them into the table as they come. So

* features do not pass through the driver: for ten million tracks they are 32 GB;
* a clip is in the table once, however often Spark tried its task;
* parts that workers write for a run that has ended are in no table, see
  :mod:`userlogfeat.extraction.spark_tasks`.

A task is one chunk of clips. Spark gives it a number, and it reports a line; both are
Arrow batches.
"""

from __future__ import annotations

import builtins
import contextlib
import json
import os
import re
import secrets
import threading
import time
from functools import partial
from typing import Any, Literal

from pyspark import InheritableThread, cloudpickle
from pyspark.sql import SparkSession

from userlogfeat import _spark
from userlogfeat.extraction.chunks import Todo, write_chunks
from userlogfeat.extraction.spark_tasks import REPORT, Assignment, embed_chunks
from userlogfeat.extraction.tally import Tally
from userlogfeat.tables.parts import row_names
from userlogfeat.tables.writer import TableWriter

CLIPS_PER_TASK = (16, 64)  # at least a batch; seconds of work, to hide Spark's own
ENOUGH_TASKS = 1000  # keep many cores busy, and the wait for the last one short
MAX_TASKS = 20_000  # of a run, as the driver keeps a record of each
POLL_SECONDS = 0.2  # between two searches for finished parts
LATE_SECONDS = 60.0  # that a network file system may take to show a file

_QUIET = {"spark.ui.showConsoleProgress": "false"}  # the bar is ours
_COLUMNS = ["clip", "clip_bytes", "status", "message", "seconds"]

_KEPT = "What was done before is kept, and the same call again goes on from there."
_ADVICE = f"(Every try of a task on the cluster ended so. {_KEPT})"
_TRACEBACK = "Traceback (most recent call last):"
# Behind its indented lines: class and message, which may continue on more lines.
_RAISED = re.compile(r"^(?:\w+\.)*(\w+)(?:: (.*))?$", re.MULTILINE)


def embed_on_spark(
    todo: Todo,
    writer: TableWriter,
    embedder: Any,
    tally: Tally,
    *,
    on_error: Literal["row", "raise"],
    session: SparkSession | None = None,
    master: str | None = None,
    clips_per_task: int | None = None,
) -> None:
    """Let the workers of a cluster embed clips, and take their parts into the table.

    Parameters
    ----------
    todo : Todo
        Clips to embed; at least one.
    writer : TableWriter
        Open.
    embedder : estimator
        It is pickled; its weights must be found on the workers under the same name.
    tally : Tally
        Gets each clip.
    on_error, session, master, clips_per_task
        See :func:`~userlogfeat.extract`.
    """
    session = _spark.spark_session(master, session, settings=_QUIET)
    with writer.staging() as folder:
        sizes = write_chunks(folder, todo, clips_per_task or chunk_size(len(todo)))
        assignment = Assignment(
            str(folder), os.getcwd(), _pickle(embedder), writer.notes, on_error
        )
        collector = _Collector(folder, len(sizes), writer, tally)
        job = _Job(session, assignment, len(sizes))
        try:
            with job:
                while job.runs(POLL_SECONDS) and collector.error is None:
                    collector.take()
        finally:  # tasks that ended meanwhile, whatever stopped the run
            collector.take()
        if collector.error is not None:
            raise collector.error
        job.raise_error()
        collector.wait_for_rest()


def chunk_size(n_clips: int) -> int:
    """Return the number of clips in a task.

    It does not depend on the number of cores: some may come while the run goes on.

    Examples
    --------
    >>> [chunk_size(n) for n in (100, 20_000, 100_000)]
    [16, 20, 64]
    >>> chunk_size(10_000_000)  # no more tasks than the driver can count
    500
    """
    least, most = CLIPS_PER_TASK
    even = -(-n_clips // ENOUGH_TASKS)
    return max(least, min(most, even), -(-n_clips // MAX_TASKS))


class _Job:
    """The Spark job of a run, in a thread; leaving its ``with`` ends it."""

    def __init__(self, session, assignment, n_chunks):
        self.context = session.sparkContext
        self.tag = f"userlogfeat-{secrets.token_hex(8)}"
        self.error = None
        numbers = session.range(0, n_chunks, 1, n_chunks)  # a partition each
        work = partial(embed_chunks, assignment)
        self._frame = _spark.map_in_arrow(numbers, work, REPORT)
        # An event is waited for, not the thread: Thread.join, if Ctrl-C interrupts it,
        # takes the thread for ended (Python 3.11), and an Arrow stream that a thread
        # still reads when Python ends aborts the process.
        self._ended = threading.Event()
        self._thread = InheritableThread(self._run, session=session, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        while not self._ended.is_set():
            with contextlib.suppress(Exception):  # Java may have died
                self.context.cancelJobsWithTag(self.tag)
            self._ended.wait(POLL_SECONDS)

    def runs(self, seconds):
        """Wait at most so long, and return whether the job still runs."""
        return not self._ended.wait(seconds)

    def raise_error(self):
        """Raise the error that ended the job, if any."""
        if self.error is not None:
            raise explain_failure(self.error) from self.error

    def _run(self):
        try:
            self.context.addJobTag(self.tag)
            self._frame.toArrow()
        except BaseException as error:
            self.error = error
        finally:
            self._ended.set()


class _Collector:
    """Takes finished parts out of the staging folder, each chunk once."""

    def __init__(self, folder, n_chunks, writer, tally):
        self.folder, self.n_chunks = folder, n_chunks
        self.writer, self.tally = writer, tally
        self.error = None
        self._taken = set()

    def take(self):
        """Take the parts that are there; set ``error`` to one that ends the run."""
        for path in sorted(self.folder.glob("[0-9]*.parquet")):
            if int(path.stem) not in self._taken:
                self._take(path)
        for path in sorted(self.folder.glob("[0-9]*.json")):
            self.error = self.error or as_error(
                json.loads(path.read_text(encoding="utf-8"))
            )

    def wait_for_rest(self):
        """Take what the file system shows late; raise where something is missing."""
        deadline = time.monotonic() + LATE_SECONDS
        while len(self._taken) < self.n_chunks and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            self.take()
        missing = set(range(self.n_chunks)) - self._taken
        if missing:
            raise FileNotFoundError(
                f"Spark has done all tasks, but of {len(missing)} (the first is "
                f"{min(missing)}) {self.folder} does not have the part after "
                f"{LATE_SECONDS:g} s. Do driver and workers see the same folder there?"
            )

    def _take(self, path):
        table = self.writer.table
        rows = table.read_part(table.footer(path), _COLUMNS)
        self.writer.adopt(path)
        self._taken.add(int(path.stem))
        columns = [rows[name].to_pylist() for name in _COLUMNS[2:]]
        for row in zip(row_names(rows), *columns, strict=True):
            self.tally.add(*row)


def as_error(described: dict[str, Any]) -> Exception:
    """Return the error of a file that ended a run, as raised on a worker."""
    from userlogfeat.audio import errors

    kind = getattr(errors, described["class"], None)
    if isinstance(kind, type) and issubclass(kind, errors.AudioError):
        return kind(*described["arguments"])
    return RuntimeError(f"{described['class']}: {', '.join(described['arguments'])}")


def explain_failure(error: Exception) -> Exception:
    """Return the error that ended a job, in the class that a worker raised.

    Parameters
    ----------
    error : Exception
        Error of pyspark: a Python traceback among those of Java.

    Returns
    -------
    Exception
        Built-in classes come back as themselves, as they would have been raised here.
    """
    _, python, text = str(error).rpartition(_TRACEBACK)
    raised = python and _RAISED.search(text)
    if not raised:
        return RuntimeError(
            f"Spark ended the run ({_spark.java_reason(error)}). {_KEPT} Executors "
            "that are lost often had too little memory."
        )
    name, text = raised.group(1), raised.group(2) or ""
    kind = getattr(builtins, name, None)
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        return RuntimeError(f"{name}: {text} {_ADVICE}")
    code = re.match(r"\[Errno (\d+)\] (.*)", text)
    if issubclass(kind, OSError) and code:
        return kind(int(code.group(1)), f"{code.group(2)} {_ADVICE}")
    try:
        return kind(f"{text} {_ADVICE}")
    except TypeError:  # a class that takes more than a text
        return RuntimeError(f"{name}: {text} {_ADVICE}")


def _pickle(embedder):
    try:
        return cloudpickle.dumps(embedder)
    except Exception as error:
        raise TypeError(
            f"Got embedder={embedder!r}, which cannot be sent to workers: pickling it "
            f"failed ({type(error).__name__}: {error}). It must hold no open files, "
            "locks or loaded libraries; let it load those when it embeds."
        ) from error
