"""Run a script as a black box: time limit, wall time, peak memory, exit code.

The script gets a session of its own, and all processes in it end with the script. On
Windows, which has no sessions, these are the processes that were seen to be its
children. Memory is the resident memory of all its processes together, sampled ten times
a second; pages that they share count once in each. Linux and Windows keep the peak of
each process, so memory that one held and gave back before a sample is counted. Missed
are a peak of several together between two samples, and what a process takes after its
last sample. A script that ends before the first sample has no peak (NaN). (The peak of
``wait4`` is of no use: it includes what *we* held when the script was started.)
"""

import math
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from userlogfeat._typing import PathLike

_PERIOD = 0.1  # seconds between two samples of the processes
_GRACE = 5.0  # seconds from asking the script to end to killing it
_TAIL = 2000  # bytes of output that are kept in the result


@dataclass(frozen=True)
class Run:
    """Outcome of a script.

    Attributes
    ----------
    command : list of str
    status : {"ok", "timed out", "failed", "cannot start"}
    exit_code : int or None
        Negative for the signal that ended it.
    seconds : float
        Wall time.
    cpu_seconds : float
        Processor time of all threads: other programs hardly change it. On Windows,
        up to the last sample.
    peak_mib : float
        Peak of its resident memory, in MiB; NaN where the script ended before the
        first sample.
    output_tail : str
        The end of its output to stdout and stderr.
    """

    command: list
    status: str
    exit_code: int | None
    seconds: float
    cpu_seconds: float
    peak_mib: float
    output_tail: str

    def __str__(self) -> str:
        code = "" if self.exit_code is None else f", exit code {self.exit_code}"
        return f"{self.status}{code}, {self.seconds:.1f} s, {mib_text(self.peak_mib)}"


def mib_text(mib: float) -> str:
    """Write a size of memory in words.

    Parameters
    ----------
    mib : float
        Size in MiB; NaN where it is not known.

    Examples
    --------
    >>> mib_text(41.8), mib_text(float("nan"))
    ('42 MiB', 'not seen')
    """
    return "not seen" if math.isnan(mib) else f"{mib:.0f} MiB"


def run_script(
    command: Sequence[PathLike],
    *,
    time_limit: float | None = None,
    log: PathLike | None = None,
    cwd: PathLike | None = None,
    environment: dict[str, str] | None = None,
) -> Run:
    """Run a command to its end, or to the time limit.

    Parameters
    ----------
    command : list of str or Path
    time_limit : float, optional
        Time in s after which the script is terminated, and killed if that fails.
    log : str or Path, optional
        File to which stdout and stderr are appended.
    cwd : str or Path, optional
    environment : dict of str to str, optional
        Variables to add to the present ones.

    Returns
    -------
    Run

    Examples
    --------
    >>> run_script(["sh", "-c", "echo done; exit 3"]).status
    'failed'
    """
    command = [str(part) for part in command]
    start, cpu = time.monotonic(), _cpu_of_children()
    with open(log or os.devnull, "ab") as output:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        except OSError as error:
            nothing = float("nan")
            return Run(command, "cannot start", None, 0.0, 0.0, nothing, str(error))
        with _Watch(process.pid) as watch:
            status, code = _wait(process, watch, time_limit)
    seconds = time.monotonic() - start
    cpu = max(_cpu_of_children() - cpu, watch.cpu_seconds())
    if status == "ok" and code != 0:
        status = "failed"
    return Run(command, status, code, seconds, cpu, watch.mib(), _tail(log))


def _cpu_of_children():
    """Return processor time of all children that have ended, in s; 0 on Windows."""
    used = os.times()
    return used.children_user + used.children_system


def _wait(process, watch, time_limit):
    """Return status and exit code; at the limit, end all its processes."""
    try:
        return "ok", process.wait(time_limit)
    except subprocess.TimeoutExpired:
        watch.end("SIGTERM")
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
        return "timed out", None
    finally:  # also where we are interrupted, and for processes that it left behind
        watch.end("SIGKILL")
        process.wait()


class _Watch:
    """Sample all processes of a script while the block runs."""

    def __init__(self, leader):
        self._leader = leader
        self._bytes, self._cpu = 0, {}
        self._seen = {}  # by pid; on Windows, children of the dead are not found
        with suppress(psutil.Error):
            self._seen[leader] = psutil.Process(leader)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._stop.set()
        self._thread.join()

    def mib(self):
        """Return the peak, in MiB; NaN where there was no sample."""
        return self._bytes / 2**20 if self._bytes else float("nan")

    def cpu_seconds(self):
        """Return processor time up to the last sample, in s."""
        return sum(self._cpu.values())

    def end(self, name):
        """Signal all processes: SIGTERM or SIGKILL, which are the same on Windows."""
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._leader, getattr(signal, name))
            return
        for process in self._processes():
            with suppress(psutil.Error):
                process.kill()

    def _sample(self):
        while True:
            now = largest = 0
            for process in self._processes():
                with suppress(psutil.Error, OSError):
                    memory, cpu = process.memory_info(), process.cpu_times()
                    now += memory.rss
                    largest = max(largest, _peak(process.pid, memory))
                    self._cpu[process.pid] = cpu.user + cpu.system
            self._bytes = max(self._bytes, now, largest)
            if self._stop.wait(_PERIOD):
                return

    def _processes(self):
        if hasattr(os, "getsid"):
            own = [pid for pid in psutil.pids() if _session(pid) == self._leader]
            for pid in own:
                with suppress(psutil.Error):
                    yield psutil.Process(pid)
            return
        for process in list(self._seen.values()):
            with suppress(psutil.Error):
                for child in process.children(recursive=True):
                    self._seen.setdefault(child.pid, child)
        yield from list(self._seen.values())


def _session(pid):
    with suppress(OSError):  # it is gone
        return os.getsid(pid)


def _peak(pid, memory):
    """Return the peak of one process, in bytes; else what it holds now."""
    with suppress(OSError, IndexError, ValueError):
        status = Path(f"/proc/{pid}/status").read_bytes()
        return int(status.partition(b"VmHWM:")[2].split()[0]) * 1024  # in kB
    return getattr(memory, "peak_wset", memory.rss)


def _tail(log):
    if log is None:
        return ""
    return Path(log).read_bytes()[-_TAIL:].decode("utf-8", "replace")


def folder_bytes(folder: PathLike) -> int:
    """Return the size of the files in a folder, in bytes.

    Parameters
    ----------
    folder : str or Path
    """
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files)
