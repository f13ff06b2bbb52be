"""Run a script that we know nothing of: time limit, wall time, peak memory, exit code.

The script gets a session of its own, so that what it started ends with it; on Windows,
which has none, that is what was seen to be started by it. Memory is the resident memory
of all its processes together, looked at ten times a second; pages that they share count
once in each. Linux and Windows keep the peak of each process, so what one held and gave
back before a look is seen. Not seen are a peak of several together between two looks,
and what a process takes after the last look at it, in its last tenth of a second. A
script that is over before the first look has no peak (NaN). (That which ``wait4``
reports is of no use: it counts what *we* held when the script was started.)
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

_LOOKS = 0.1  # seconds between two looks at the processes
_GRACE = 5.0  # seconds from asking the script to end to killing it
_TAIL = 2000  # bytes of output that are kept in the result


@dataclass(frozen=True)
class Run:
    """What became of a script.

    Attributes
    ----------
    command : list of str
    status : {"ok", "timed out", "failed", "cannot start"}
    exit_code : int or None
        Negative: the signal that ended it.
    seconds : float
        Wall time.
    cpu_seconds : float
        Processor time, of all threads: what else ran hardly changes it. On Windows,
        what was used at the last look.
    peak_mib : float
        Peak of its resident memory, in MiB; NaN where the script was over before it
        could be looked at.
    output_tail : str
        The end of what it wrote to stdout and stderr.
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
    """A size in words; what was not seen is no 0.

    Parameters
    ----------
    mib : float
        In MiB; NaN where it is not known.

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
        In s; then it is terminated, and killed if that does not help.
    log : str or Path, optional
        Gets stdout and stderr, at the end of what is there.
    cwd : str or Path, optional
    environment : dict of str to str, optional
        Added to the present one.

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
    """Processor time of all children that have ended, in s; 0 on Windows."""
    used = os.times()
    return used.children_user + used.children_system


def _wait(process, watch, time_limit):
    """Status and exit code; at the limit, all that it started is ended."""
    try:
        return "ok", process.wait(time_limit)
    except subprocess.TimeoutExpired:
        watch.end("SIGTERM")
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
        return "timed out", None
    finally:  # also where we are interrupted, and for what it left behind
        watch.end("SIGKILL")
        process.wait()


class _Watch:
    """Looks at all processes of a script while the block runs."""

    def __init__(self, leader):
        self._leader = leader
        self._bytes, self._cpu = 0, {}
        self._seen = {}  # by pid; of Windows, where those of the dead are not found
        with suppress(psutil.Error):
            self._seen[leader] = psutil.Process(leader)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._stop.set()
        self._thread.join()

    def mib(self):
        """The peak, in MiB; NaN where none was seen."""
        return self._bytes / 2**20 if self._bytes else float("nan")

    def cpu_seconds(self):
        """Processor time that was seen to be used, in s."""
        return sum(self._cpu.values())

    def end(self, name):
        """Signal all of them: SIGTERM or SIGKILL, which are one on Windows."""
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._leader, getattr(signal, name))
            return
        for process in self._processes():
            with suppress(psutil.Error):
                process.kill()

    def _look(self):
        while True:
            now = largest = 0
            for process in self._processes():
                with suppress(psutil.Error, OSError):
                    memory, cpu = process.memory_info(), process.cpu_times()
                    now += memory.rss
                    largest = max(largest, _peak(process.pid, memory))
                    self._cpu[process.pid] = cpu.user + cpu.system
            self._bytes = max(self._bytes, now, largest)
            if self._stop.wait(_LOOKS):
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
    """The most that one process has held, in bytes, where the system knows."""
    with suppress(OSError, IndexError, ValueError):
        status = Path(f"/proc/{pid}/status").read_bytes()
        return int(status.partition(b"VmHWM:")[2].split()[0]) * 1024  # in kB
    return getattr(memory, "peak_wset", memory.rss)


def _tail(log):
    if log is None:
        return ""
    with open(log, "rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - _TAIL))
        return file.read().decode("utf-8", "replace")


def folder_bytes(folder: PathLike) -> int:
    """Size of the files in a folder, in bytes.

    Parameters
    ----------
    folder : str or Path
    """
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files)
