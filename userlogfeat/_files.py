"""Files that are whole or absent, and locks that die with their process."""

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import time
from pathlib import Path

_LOCK_POLL = 0.05  # seconds between two tries of a taken lock
_HASH_BLOCK = 1 << 20  # bytes


@contextlib.contextmanager
def replace_file(path):
    """Yield a temporary path beside `path`; rename it onto `path` on success.

    A reader sees the old file or the new one, never a part. The bytes are on disk
    before the rename, so this holds for a power cut too. On an exception the
    temporary file is removed and `path` is left as it was.

    Parameters
    ----------
    path : str or Path
        The file to write. Its folder must exist.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    temporary.open("xb").close()
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def fill_folder(folder):
    """Yield a temporary folder; move the files in it to `folder` on success.

    All are written before the first is moved: a folder of files that belong together
    is not left with some of them. Files of other names stay. On an exception nothing
    has changed.

    Parameters
    ----------
    folder : str or Path
        Made where it is missing.
    """
    folder = Path(folder)
    was_there = folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".filling.{secrets.token_hex(4)}"
    temporary.mkdir()
    try:
        yield temporary
        for path in sorted(path for path in temporary.rglob("*") if path.is_file()):
            target = folder / path.relative_to(temporary)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
            _sync_folder(target.parent)
        was_there = True
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if not was_there:
            folder.rmdir()


def sha256(path):
    """SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()


class FileLock:
    """An exclusive lock between processes, freed by the system when one dies.

    Parameters
    ----------
    path : str or Path
        The lock file; it is created, and stays when the lock is released.
    on_locked : {"error", "wait"}
        What to do while another process holds it.

    Raises
    ------
    BlockingIOError
        With ``on_locked="error"``, where another process holds the lock.
    """

    def __init__(self, path, *, on_locked="error"):
        if on_locked not in ("error", "wait"):
            raise ValueError(
                f'Got on_locked={on_locked!r}, expected "error" or "wait".'
            )
        self.path = Path(path)
        self.on_locked = on_locked
        self._handle = None

    def __enter__(self):
        import fcntl

        handle = open(self.path, "a")
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EAGAIN):
                    handle.close()
                    raise
            if self.on_locked == "error":
                handle.close()
                raise BlockingIOError(
                    f"Another process is writing to {self.path.parent}. Wait until it "
                    'ends, or pass on_locked="wait" (--on-locked wait).'
                )
            time.sleep(_LOCK_POLL)
        self._handle = handle
        return self

    def __exit__(self, *exception):
        self._handle.close()
        self._handle = None


def _sync_folder(folder):
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
