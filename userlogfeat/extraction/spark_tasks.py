"""The tasks of a worker: embed a chunk of clips, and put a part in its place.

The part is written under a hidden name, synced, and renamed to the number of its chunk
in the staging folder of the run. A retried or speculative attempt puts the same file
there again; the driver, which holds the table's lock, takes one of them. When a run has
ended its folder is gone, so an attempt that outlives it, cut off from a killed driver,
ends within seconds and can add nothing.
"""

import contextlib
import getpass
import json
import os
import pickle
import secrets
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pyarrow as pa

import userlogfeat
from userlogfeat._files import move_file
from userlogfeat.extraction.chunks import FILE, as_row, read_chunk
from userlogfeat.tables.parts import Rows, write_part

PART, ERROR = "{:08d}.parquet", "{:08d}.json"  # names of what a chunk leaves
REPORT = "chunk long, clips long, seconds double, host string, process long"
_REPORT = ["chunk", "clips", "seconds", "host", "process"]
_LEASH_SECONDS = 1.0  # between two checks that the run still goes on
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Assignment:
    """Description of a run, for all its tasks.

    Attributes
    ----------
    folder : str
        Absolute path of the run's staging folder.
    working_folder : str
        Folder where relative paths start.
    embedder : bytes
        The pickled embedder.
    notes : dict
        Metadata of the parts, with the embedder's fingerprint on the driver:
        :attr:`TableWriter.notes`.
    on_error : {"row", "raise"}
        Whether a file that cannot be read makes a row or ends the run.
    version : str
        Version of userlogfeat on the driver.
    """

    folder: str
    working_folder: str
    embedder: bytes
    notes: dict
    on_error: str
    version: str = userlogfeat.__version__


def embed_chunks(
    assignment: Assignment, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Embed the chunks whose numbers come in; ``mapInArrow`` runs this in a task.

    Parameters
    ----------
    assignment : Assignment
        Description of the run.
    batches : iterable of pyarrow.RecordBatch
        Numbers of chunks, in the first column.

    Yields
    ------
    pyarrow.RecordBatch
        One row a chunk: see ``REPORT``.
    """
    for batch in batches:
        for number in batch.column(0).to_pylist():
            start = time.monotonic()
            n_clips = embed_chunk(assignment, number)
            values = [number, n_clips, time.monotonic() - start]
            values += [socket.gethostname(), os.getpid()]
            yield pa.record_batch([[value] for value in values], names=_REPORT)


def embed_chunk(assignment: Assignment, number: int) -> int:
    """Embed one chunk; put its part, and an error that ends the run, into the folder.

    Returns
    -------
    int
        Number of clips embedded.
    """
    folder = Path(assignment.folder)
    todo = _read(folder, number)
    set_threads(_task_cpus())
    rows = Rows(assignment.notes["layers"])
    with _working_in(assignment.working_folder, todo):
        embedder = _load(assignment)  # of weights whose path may be relative
        error = _embed(embedder, todo, rows, assignment)
    with _seen(folder):
        if len(rows):
            with _put(folder / PART.format(number)) as path:
                write_part(path, [rows.as_arrow()], assignment.notes)
        if error is not None:
            with _put(folder / ERROR.format(number)) as path:
                path.write_text(json.dumps(error), encoding="utf-8")
    return len(rows)


def set_threads(n_threads: int) -> None:
    """Limit the threads that this process computes in, whatever library starts them.

    A cluster runs as many tasks on a machine as it has cores for: were each to use all
    of them, they would stand in each other's way.
    """
    from threadpoolctl import threadpool_limits

    for name in _THREAD_VARIABLES:  # of what is imported later
        os.environ[name] = str(n_threads)
    threadpool_limits(n_threads)
    pa.set_cpu_count(n_threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(n_threads)


def _embed(embedder, todo, rows, assignment):
    """Fill `rows`; the error that ends the run, as JSON can hold it, or None."""
    features = embedder.iter_features(todo.clips, on_error="yield")
    check = _leash(Path(assignment.folder))
    missing = []
    with contextlib.closing(features):
        for clip in features:
            check()
            row = as_row(clip, todo)
            if row["status"] == "MissingAudioError":
                missing.append(clip.index)
            if clip.error is not None and assignment.on_error == "raise":
                _check_seen(todo, missing)
                return _describe(clip.error)
            rows.add(**row)
    _check_seen(todo, missing)
    return None


def _describe(error):
    return {"class": type(error).__name__, "arguments": list(map(str, error.args))}


def _load(assignment):
    """The embedder, once per process and run."""
    if assignment.version != userlogfeat.__version__:
        raise ValueError(
            f"Worker {socket.gethostname()} has userlogfeat {userlogfeat.__version__}, "
            f"but the driver {assignment.version}. Install one version on all machines."
        )
    embedder = _unpickle(assignment.embedder, assignment.notes["fingerprint"])
    set_threads(_task_cpus())  # again: torch may have come with the embedder
    return embedder


@lru_cache(maxsize=1)
def _unpickle(pickled, fingerprint):
    _choose_gpu()
    embedder = pickle.loads(pickled)
    if embedder.fingerprint != fingerprint:
        raise ValueError(
            f"On worker {socket.gethostname()} the model is another one than on the "
            f"driver (fingerprint {embedder.fingerprint}, there {fingerprint}). Either "
            'the weights differ, or device="auto" found a GPU on one of them only: '
            "pass `device` and `precision`."
        )
    return embedder


def _task_cpus():
    """Cores that Spark set aside for this task; 1 outside of one."""
    context = _task_context()
    return 1 if context is None else max(1, context.cpus())


def _choose_gpu():
    """Use the GPU that Spark set aside for this task, if any."""
    context = _task_context()
    if context is not None and "gpu" in context.resources():
        addresses = context.resources()["gpu"].addresses
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(addresses)


def _task_context():
    if "pyspark" not in sys.modules:
        return None
    from pyspark import TaskContext

    return TaskContext.get()


def _read(folder, number):
    """The clips of a chunk; an error that says where it is not seen."""
    with _seen(folder):
        return read_chunk(folder, number)


@contextlib.contextmanager
def _put(path):
    """As ``replace_file``, where several attempts on several machines may write it.

    Their temporary files are left alone: file locks mean nothing between machines, and
    the folder is removed with all that is in it.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    yield temporary
    with open(temporary, "rb+") as file:
        os.fsync(file.fileno())
    move_file(temporary, path)


@contextlib.contextmanager
def _seen(folder):
    """Explain errors of a worker that cannot read or write the folder of a run."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"Worker {socket.gethostname()} does not see {folder}, where the driver "
            "keeps this run, inside the table. The table must be on a file system that "
            "driver and workers share, under one name; or the run has ended."
        ) from error
    except PermissionError as error:
        raise PermissionError(
            f"Worker {socket.gethostname()} runs as {getpass.getuser()!r}, who may not "
            f"write to {folder}, inside the table. Run driver and workers as one user."
        ) from error


def _leash(folder):
    """Return a function that raises if the run has ended or the executor has died."""
    parent, looked = os.getppid(), time.monotonic()

    def check():
        nonlocal looked
        if time.monotonic() - looked < _LEASH_SECONDS:
            return
        looked = time.monotonic()
        if os.getppid() != parent or not (folder / FILE).exists():
            raise RuntimeError("The run has ended, or the executor of this task died.")

    return check


@contextlib.contextmanager
def _working_in(folder, todo):
    """Let relative paths, of clips and weights, start where those of the driver do."""
    if os.path.isdir(folder):
        with contextlib.chdir(folder):
            yield
        return
    relative = [clip for clip in todo.clips if not os.path.isabs(clip)]
    if relative:
        raise FileNotFoundError(
            f"Got {relative[0]!r}, which starts from {folder}, the driver's working "
            f"folder, but worker {socket.gethostname()} does not see that. Pass whole "
            "paths, of a file system that driver and workers share."
        )
    yield


def _check_seen(todo, missing):
    """Raise where files are missing because a disk is, and not one by one."""
    missing = [row for row in missing if todo.stamps[row, 0] >= 0]  # seen by the driver
    if not missing:
        return
    n_seen = int((todo.stamps[:, 0] >= 0).sum())
    clip = todo.clips[missing[0]]
    folder = os.path.dirname(os.path.abspath(clip))
    if not os.path.isdir(folder) or (len(missing) == n_seen and n_seen > 1):
        raise FileNotFoundError(
            f"Worker {socket.gethostname()} does not see {clip!r}, which the driver "
            f"sees, nor others of that task ({len(missing)} of {n_seen}). Audio must "
            "be on a file system that driver and workers share, under one name; or "
            "were the files removed meanwhile?"
        )
