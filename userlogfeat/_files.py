"""Files that are whole or absent, and locks that die with their process.

Files and folders may come from strangers: nothing is written through a link, a pipe or
a device is not waited for, and what is read at once has a limit.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import time
from pathlib import Path

_LOCK_POLL = 0.05  # seconds between two tries of a taken lock
_HASH_BLOCK = 1 << 20  # bytes
_TAKEN = (errno.EACCES, errno.EAGAIN)  # of a lock
_SUFFIX = re.compile(r"\.[0-9a-f]{8}")  # of a temporary file
_DIGEST_LETTERS = 32  # of a SHA-256, in the name of a staged file
_FILLING = ".filling."  # begins the name of a folder that is being filled
MAX_DEPTH = 100  # of JSON; ours has six levels


@contextlib.contextmanager
def replace_file(path):
    """Yield a temporary path beside `path`; rename it onto `path` on success.

    A reader sees the old file or the new one, never a part. The bytes are on disk
    before the rename, so this holds for a power cut too. On an exception the
    temporary file is removed and `path` is left as it was. What a killed process left
    of the same file is removed by the next one that writes it.

    Parameters
    ----------
    path : str or Path
        The file to write. Its folder must exist.
    """
    path = Path(path)
    _remove_leftovers(path)
    with _temporary(path) as temporary:
        yield temporary
        _sync_file(temporary)
        move_file(temporary, path)


def replace_pair(path, description, *, write, describe):
    """Replace a file, and beside it the text that holds its SHA-256, as one.

    The new file waits under a hidden name that has its SHA-256 until the text is
    there, and is renamed then. At any moment, also after a kill, :func:`read_described`
    finds the file that the text speaks of. Writers to one folder take turns.

    Parameters
    ----------
    path, description : Path
        In one folder, which exists.
    write : callable
        Given a path, writes the file there.
    describe : callable
        Given the SHA-256 of that file, returns the text.
    """
    with _folder_lock(path.parent):
        _remove_leftovers(path)
        with _temporary(path) as temporary:
            with _system_errors(temporary):
                write(temporary)
            _sync_file(temporary)
            digest = sha256(temporary)
            text = describe(digest)
            staged = _staged(path, digest)
            temporary.replace(staged)
        try:
            with replace_file(description) as temporary:
                temporary.write_text(text, encoding="utf-8")
        except BaseException:
            if not _mentions(description, digest):
                staged.unlink(missing_ok=True)
            raise
        move_file(staged, path)
        for old in _all_staged(path):
            old.unlink(missing_ok=True)


def is_described(path):
    """Whether :func:`replace_pair` wrote a file here, renamed already or not."""
    return path.is_file() or any(_all_staged(path))


def read_described(path, digest, *, max_bytes=None):
    """The bytes of a file that :func:`replace_pair` wrote, checked.

    They are read once: what was checked is what is returned, whatever is written to
    the file meanwhile.

    Parameters
    ----------
    path : Path
    digest : str
        The SHA-256 that its description has.
    max_bytes : int, optional

    Returns
    -------
    bytes or None
        None where there is no file of this SHA-256.
    """
    # The first again: it may have been renamed while we looked.
    for place in (path, _staged(path, digest), path):
        try:
            data = read_whole(place, max_bytes=max_bytes)
        except FileNotFoundError:
            continue
        if hashlib.sha256(data).hexdigest() == digest:
            return data
    return None


def read_whole(path, *, max_bytes=None):
    """The bytes of a regular file.

    Parameters
    ----------
    path : str or Path
    max_bytes : int, optional
        The most it may have.

    Raises
    ------
    ValueError
        Where it is a pipe or a device, which might never end, or has more bytes.
    """
    with open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError(
                f"{path} is no regular file, but a pipe, socket or device. Write its "
                "content to a file first."
            )
        data = file.read() if max_bytes is None else file.read(max_bytes + 1)
    if max_bytes is not None and len(data) > max_bytes:
        raise ValueError(
            f"{path} is too long to be read, expected at most {max_bytes} bytes."
        )
    return data


def parse_json(text):
    """What a text of JSON holds, of bounded depth: Python's own functions recurse.

    Parameters
    ----------
    text : str or bytes

    Raises
    ------
    ValueError
        Where it is no JSON, or nested more than ``MAX_DEPTH`` times.
    """
    with contextlib.suppress(RecursionError):
        value = json.loads(text)
        level = [value]
        for _ in range(MAX_DEPTH):
            level = [inner for outer in level for inner in _inner(outer)]
            if not level:
                return value
    raise ValueError(f"it is nested more than {MAX_DEPTH} times")


def make_below(folder, *names):
    """Make a folder and others below it, none of those a link to elsewhere.

    Parameters
    ----------
    folder : str or Path
        As the user named it: this one may be a link.
    *names : str
        One below the other.

    Returns
    -------
    Path
        Of the lowest.

    Raises
    ------
    OSError
        Where one of the others is a link.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        folder = folder / name
        if folder.is_symlink():
            raise OSError(
                errno.ELOOP,
                f"{folder} is a symbolic link, and nothing is written through links "
                "that are found in a folder. Remove it, or write to another folder",
            )
        folder.mkdir(exist_ok=True)
    return folder


def move_file(path, target):
    """Rename a file onto another name of the same disk, so that a power cut keeps it.

    Parameters
    ----------
    path, target : Path
        Readers see what was at `target`, or all of what was at `path`.
    """
    path.replace(target)
    _sync_folder(target.parent)


@contextlib.contextmanager
def fill_folder(folder):
    """Yield a temporary folder; move the files in it to `folder` on success.

    All are written before the first is moved: a folder of files that belong together
    is not left with some of them. Files of other names stay. On an exception nothing
    has changed. What a killed process left is removed by the next one.

    Parameters
    ----------
    folder : str or Path
        Made where it is missing.
    """
    folder = Path(folder)
    was_there = folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    _remove_fillings(folder)
    temporary = folder / f"{_FILLING}{secrets.token_hex(4)}"
    filled = temporary / "files"  # may be locked by who fills it: see replace_pair
    filled.mkdir(parents=True)
    try:
        with _folder_lock(temporary):
            yield filled
            _move_all(filled, folder)
        was_there = True
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if not was_there:
            with contextlib.suppress(OSError):  # others have written there
                folder.rmdir()


def _move_all(source, folder):
    """Move all files below one folder to below another."""
    below = [p.relative_to(source) for p in sorted(source.rglob("*")) if p.is_file()]
    for path in below:  # before the first is moved
        make_below(folder, *path.parent.parts)
    for path in below:
        (source / path).replace(folder / path)
        _sync_folder((folder / path).parent)


def _remove_fillings(folder):
    """Remove the folders of processes that were killed while they filled this one."""
    for path in folder.glob(f"{_FILLING}{8 * '[0-9a-f]'}"):
        with contextlib.suppress(OSError):
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if _lock(handle) is True:
                    shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(handle)


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

        handle = open(self.path, "a", opener=_without_links)
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in _TAKEN:
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


@contextlib.contextmanager
def _temporary(path):
    """A new hidden file beside `path`, removed at the end where it is still there.

    It is locked meanwhile, so that others can tell it from what a killed process left.
    """
    handle = None
    while handle is None:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        if _lock(handle) is False or not temporary.exists():
            os.close(handle)  # taken for a leftover in the moment before
            handle = None
    try:
        yield temporary
        temporary.unlink(missing_ok=True)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    finally:
        os.close(handle)


def _remove_leftovers(path):
    """Remove the temporary files of `path` whose process has died."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(path.parent):
            hidden = entry.name.startswith(f".{path.name}.")
            if not hidden or not _SUFFIX.fullmatch(entry.name[len(path.name) + 1 :]):
                continue
            with open(entry.path, "rb+", opener=_without_links) as file:
                if _lock(file) is True:
                    os.unlink(entry.path)


def _lock(file):
    """Lock an open file: True, or False where it is taken, None where nothing is known.

    Some network file systems know no such locks.
    """
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in _TAKEN else None
    return True


@contextlib.contextmanager
def _folder_lock(folder):
    """Wait for the others who write to a folder; it gets no lock file."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        while _lock(handle) is False:
            time.sleep(_LOCK_POLL)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _system_errors(path):
    """A full disk is an OSError, also where a library in Rust makes it its own."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        found = re.search(r"\(os error (\d+)\)", str(error))
        if found is None:
            raise
        code = int(found[1])
        raise OSError(code, os.strerror(code), str(path)) from error


def _inner(value):
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _mentions(description, digest):
    with contextlib.suppress(OSError):
        return digest.encode() in description.read_bytes()
    return False


def _staged(path, digest):
    return path.with_name(f".{path.name}.{str(digest)[:_DIGEST_LETTERS]}")


def _all_staged(path):
    return path.parent.glob(f".{path.name}.{_DIGEST_LETTERS * '[0-9a-f]'}")


def _without_links(path, flags):
    """Open a file that is no link to elsewhere, without waiting for a pipe's end."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)


def _without_waiting(path, flags):
    return os.open(path, flags | os.O_NONBLOCK)


def _sync_file(path):
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder):
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
