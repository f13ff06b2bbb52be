"""Locks between processes, which the system frees when a process dies."""

import contextlib
import errno
import os
import stat
from pathlib import Path

import filelock

from userlogfeat._check import check_choice

_POLL = 0.05  # seconds between two tries of a taken lock
_LOCK_FILE = ".writing.lock"  # in a folder, on Windows


@contextlib.contextmanager
def file_lock(path, *, on_locked="error"):
    """Hold an exclusive lock between processes; the system frees it when one dies.

    Parameters
    ----------
    path : str or Path
        The lock file; it is created, and stays when the lock is released.
    on_locked : {"error", "wait"}
        Whether to raise or to wait while another process holds it.

    Raises
    ------
    BlockingIOError
        With ``on_locked="error"``, where another process holds the lock.
    """
    check_choice(on_locked, "on_locked", ("error", "wait"))
    path = Path(path)
    with contextlib.suppress(FileNotFoundError):
        mode = os.lstat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):  # a pipe would wait
            raise OSError(errno.ENXIO, os.strerror(errno.ENXIO), str(path))
    with _lock(path, wait=on_locked == "wait") as locked:
        if not locked:
            raise BlockingIOError(
                f"Another process is writing to {path.parent}. Wait until it ends. Or "
                'pass on_locked="wait".'
            )
        yield


@contextlib.contextmanager
def folder_lock(folder, *, wait=False, beside=False):
    """Lock a folder: True, or False where it is taken, None where locks are missing.

    It gets no lock file: the folder itself is locked. Windows opens no folders; there
    a lock file is used, in the folder or beside it, which goes with the lock. Some
    network file systems have no such locks.
    """
    if not filelock.has_fcntl:
        path = Path(f"{folder}.lock") if beside else folder / _LOCK_FILE
        with _lock(path, wait=wait) as locked:
            yield locked
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        locked = None
        with contextlib.suppress(OSError):
            locked = filelock.lock_descriptor(
                handle, blocking=wait, poll_interval=_POLL
            )
        yield locked
    finally:
        os.close(handle)


@contextlib.contextmanager
def _lock(path, *, wait):
    """Hold a lock file: True, or False where it is taken."""
    lock = filelock.FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=-1 if wait else 0, poll_interval=_POLL)
    except filelock.Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
