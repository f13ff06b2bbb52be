"""Run a script that we know nothing of: time limit, wall time, peak memory, exit code.

The script gets a session of its own, so that what it started ends with it. Memory is
the resident memory of all its processes together, looked at ten times a second in
/proc; pages that they share count once in each, and a peak between two looks is missed.
The system's own peak of the largest single process is the least that is reported, and
all where there is no /proc.
"""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_LOOKS = 0.1  # seconds between two looks at the memory
_GRACE = 5.0  # seconds from SIGTERM to SIGKILL
_TAIL = 2000  # bytes of output that are kept in the result
_PAGE = os.sysconf("SC_PAGE_SIZE")
# Of ru_maxrss: bytes on macOS, kilobytes elsewhere.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


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
    peak_mib : float
        Peak of its resident memory, in MiB.
    output_tail : str
        The end of what it wrote to stdout and stderr.
    """

    command: list
    status: str
    exit_code: int | None
    seconds: float
    peak_mib: float
    output_tail: str

    def __str__(self):
        code = "" if self.exit_code is None else f", exit code {self.exit_code}"
        return f"{self.status}{code}, {self.seconds:.1f} s, {self.peak_mib:.0f} MiB"


def run_script(command, *, time_limit=None, log=None, cwd=None):
    """Run a command to its end, or to the time limit.

    Parameters
    ----------
    command : list of str or Path
    time_limit : float, optional
        In s; then it is terminated, and killed if that does not help.
    log : str or Path, optional
        Gets stdout and stderr, at the end of what is there.
    cwd : str or Path, optional

    Returns
    -------
    Run

    Examples
    --------
    >>> run_script(["sh", "-c", "echo done; exit 3"]).status
    'failed'
    """
    command = [str(part) for part in command]
    start = time.monotonic()
    with open(log or os.devnull, "ab") as output:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                start_new_session=True,
            )
        except OSError as error:
            return Run(command, "cannot start", None, 0.0, 0.0, str(error))
        with _watched(process) as peak:
            status, code = _wait(process, time_limit)
    seconds = time.monotonic() - start
    if status == "ok" and code != 0:
        status = "failed"
    return Run(command, status, code, seconds, peak.mib(), _tail(log))


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


class _watched:
    """Looks at the memory of a session while the block runs."""

    def __init__(self, process):
        self._session = process.pid
        self._bytes = 0
        self._before = _largest_child()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._stop.set()
        self._thread.join()

    def mib(self):
        """The peak, in MiB."""
        largest = _largest_child()
        if largest > self._before:  # else it may be that of an earlier child of ours
            self._bytes = max(self._bytes, largest)
        return self._bytes / 2**20

    def _look(self):
        while not self._stop.wait(_LOOKS):
            self._bytes = max(self._bytes, session_bytes(self._session))


def _largest_child():
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * _RSS_UNIT


def session_bytes(session):
    """Resident memory of all processes of a session, in bytes; 0 without /proc.

    Parameters
    ----------
    session : int
    """
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError, ValueError):
            # After the name, which may hold blanks: state, parent, group, session.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                total += int((folder / "statm").read_text().split()[1]) * _PAGE
    return total


def _tail(log):
    if log is None:
        return ""
    with open(log, "rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - _TAIL))
        return file.read().decode("utf-8", "replace")


def folder_bytes(folder):
    """Size of the files in a folder, in bytes.

    Parameters
    ----------
    folder : str or Path
    """
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files)
