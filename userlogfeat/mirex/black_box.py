"""Run a script that we know nothing of: time limit, wall time, peak memory, exit code.

The script gets a session of its own, so that what it started ends with it. Memory is
the resident memory of all its processes together, looked at ten times a second in
/proc; pages that they share count once in each. The system keeps the peak of each
process, so what one held and gave back before a look is seen. Not seen are a peak of
several together between two looks, and what a process takes after the last look at it,
in its last tenth of a second. A script that is over before the first look has no peak
(NaN). (That which ``wait4`` reports is of no use: it counts what *we* held when the
script was started.)
"""

import math
import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from userlogfeat._typing import PathLike

_LOOKS = 0.1  # seconds between two looks at the memory
_GRACE = 5.0  # seconds from SIGTERM to SIGKILL
_TAIL = 2000  # bytes of output that are kept in the result
_PAGE = os.sysconf("SC_PAGE_SIZE")


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
        Processor time, of all threads: what else ran hardly changes it.
    peak_mib : float
        Peak of its resident memory, in MiB; NaN where there is no /proc, or the script
        was over before it could be looked at.
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
        with _MemoryWatch(process) as peak:
            status, code = _wait(process, time_limit)
    seconds, cpu = time.monotonic() - start, _cpu_of_children() - cpu
    if status == "ok" and code != 0:
        status = "failed"
    return Run(command, status, code, seconds, cpu, peak.mib(), _tail(log))


def _cpu_of_children():
    """Processor time of all children that have ended, in s."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _wait(process, time_limit):
    """Status and exit code; at the limit, the whole session is ended."""
    try:
        return "ok", process.wait(time_limit)
    except subprocess.TimeoutExpired:
        _signal(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
        return "timed out", None
    finally:  # also where we are interrupted, and for what it left behind
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process, number):
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


class _MemoryWatch:
    """Looks at the memory of a session while the block runs."""

    def __init__(self, process):
        self._session = process.pid
        self._bytes = 0
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

    def _look(self):
        while True:
            self._bytes = max(self._bytes, session_bytes(self._session))
            if self._stop.wait(_LOOKS):
                return


def session_bytes(session: int) -> int:
    """Resident memory of all processes of a session, in bytes; 0 without /proc.

    Parameters
    ----------
    session : int

    Returns
    -------
    int
        What they hold now, or the peak of any one of them, whichever is more.
    """
    now = largest = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError, ValueError):
            # After the name, which may hold blanks: state, parent, group, session.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                now += int((folder / "statm").read_text().split()[1]) * _PAGE
                status = (folder / "status").read_text().partition("VmHWM:")[2]
                largest = max(largest, int(status.split()[0]) * 1024)  # in kB
    return max(now, largest)


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
