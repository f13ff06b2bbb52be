"""Files that are complete or absent.

Folders may come from strangers: nothing is written through a link.

A file is written in a hidden folder beside it, so that temporary files of a library go
with it (safetensors renames a file onto the one it is given). The folder is locked
while it is in use: others can distinguish it from the leftovers of a killed process.
"""

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
import sys
import time
from pathlib import Path

from userlogfeat._locks import folder_lock
from userlogfeat._stamps import sha256
from userlogfeat._untrusted import read_whole

_WINDOWS = sys.platform == "win32"
_FOLDER = getattr(os, "O_DIRECTORY", 0)  # which Windows has not
# Windows renames no file onto one that is open: tries, and seconds between two.
_TRIES, _WAIT = 40, 0.05
_TOKEN = re.compile("[0-9a-f]{8}")  # ends the name of a temporary folder
_DIGEST_LETTERS = 32  # of a SHA-256, in the name of a staged file
_FILLING = ".filling"  # begins the name of a folder that is being filled


@contextlib.contextmanager
def replace_file(path):
    """Yield a temporary path; rename what is written there onto `path` on success.

    A reader sees the old file or the new one, never a part. The bytes are on disk
    before the rename, so this holds for a power cut too. On an exception the
    temporary file is removed and `path` is left as it was. Leftovers of a killed
    process are removed by the next one that writes the file. The file's rights follow
    the umask, whatever a library gave it.

    Parameters
    ----------
    path : str or Path
        The file to write. Its folder must exist.
    """
    path = Path(path)
    with _temporary(path) as (temporary, mode):
        yield temporary
        _finish(temporary, mode)
        move_file(temporary, path)


def replace_pair(path, description, *, write, describe):
    """Replace a file, and beside it the text that holds its SHA-256, as one.

    The new file waits under a hidden name that contains its SHA-256 until the text is
    there, and is renamed then. At any moment, also after a kill, :func:`read_described`
    finds the file of that text. Writers to one folder take turns.

    Parameters
    ----------
    path, description : Path
        Two files in one folder, which exists.
    write : callable
        Given a path, writes the file there.
    describe : callable
        Given the SHA-256 of that file, returns the text.
    """
    with folder_lock(path.parent, wait=True):
        with _temporary(path) as (temporary, mode):
            with _system_errors(temporary):
                write(temporary)
            _finish(temporary, mode)
            digest = sha256(temporary)
            text = describe(digest)
            staged = _staged(path, digest)
            _rename(temporary, staged)
        try:
            with replace_file(description) as temporary:
                temporary.write_text(text, encoding="utf-8", newline="\n")
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
    """Read a file that :func:`replace_pair` wrote, and check it.

    It is read once: the bytes that are checked are returned, even if somebody writes to
    the file meanwhile.

    Parameters
    ----------
    path : Path
    digest : str
        The SHA-256 in its description.
    max_bytes : int, optional

    Returns
    -------
    bytes or None
        None where there is no file of this SHA-256.
    """
    # The first again: it may have been renamed meanwhile.
    for place in (path, _staged(path, digest), path):
        try:
            data = read_whole(place, max_bytes=max_bytes)
        except FileNotFoundError:
            continue
        if hashlib.sha256(data).hexdigest() == digest:
            return data
    return None


def make_folder(folder, content):
    """Make a folder for what will be saved, where it is missing; return its path.

    Parameters
    ----------
    folder : str or Path
    content : str
        Such as "a model".

    Raises
    ------
    NotADirectoryError
        Where it is a file.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(
            f"{folder} is a file: {content} is saved into a folder of its own. Pass "
            "the path of a folder, made where it is missing."
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def make_below(folder, *names):
    """Make a folder and others below it, none of those a link to elsewhere.

    Parameters
    ----------
    folder : str or Path
        A folder that the user named: this one may be a link.
    *names : str
        Names of folders, one below the other.

    Returns
    -------
    Path
        The lowest folder.

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
        Readers see the old file at `target`, or the one from `path`.
    """
    _rename(path, target)
    _sync_folder(target.parent)


def remove_file(path):
    """Remove a file, if it is there; on Windows it stays while another has it open.

    Parameters
    ----------
    path : Path
        File that a later writer would remove as well.
    """
    try:
        path.unlink(missing_ok=True)
    except PermissionError:
        if not _WINDOWS:
            raise


def remove_temporaries(folder, pattern):
    """Remove temporary files of killed processes, given that none writes now.

    Parameters
    ----------
    folder : Path
        Folder whose lock we hold.
    pattern : str
        Pattern of the names of the files, as for ``Path.glob``.
    """
    for path in folder.glob(f".{pattern}.*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            remove_file(path)


@contextlib.contextmanager
def fill_folder(folder, content="the result"):
    """Yield a temporary folder; move the files in it to `folder` on success.

    All are written before the first is moved, so that files that belong together stay
    together. Files of other names stay. On an exception nothing has changed. Leftovers
    of a killed process are removed by the next one.

    Parameters
    ----------
    folder : str or Path
        Made where it is missing.
    content : str
        As in :func:`make_folder`.
    """
    folder = Path(folder)
    was_there = folder.exists()
    make_folder(folder, content)
    try:
        with _working_folder(folder, _FILLING) as temporary:
            filled = temporary / "files"  # a pair that is written into it locks it
            filled.mkdir()
            yield filled
            _move_all(filled, folder)
        was_there = True
    finally:
        if not was_there:
            with contextlib.suppress(OSError):  # others have written there
                folder.rmdir()


def _move_all(source, folder):
    """Move all files below one folder to below another."""
    below = [p.relative_to(source) for p in sorted(source.rglob("*")) if p.is_file()]
    for path in below:  # before the first is moved
        make_below(folder, *path.parent.parts)
        if (folder / path).is_dir():  # as Spark writes; no file can replace that
            shutil.rmtree(folder / path)
    try:
        for path in below:
            move_file(source / path, folder / path)
    except KeyboardInterrupt:  # the rest belongs to what was moved
        for path in below:
            if (source / path).exists():
                move_file(source / path, folder / path)
        raise


@contextlib.contextmanager
def _temporary(path):
    """Yield where to write a file, and its mode; removed at the end if still there."""
    with _working_folder(path.parent, f".{path.name}") as folder:
        temporary = folder / path.name
        temporary.touch()
        yield temporary, temporary.stat().st_mode


@contextlib.contextmanager
def _working_folder(parent, prefix):
    """Yield a new hidden folder, locked; it is removed at the end with its files."""
    _remove_leftovers(parent, prefix)
    with contextlib.ExitStack() as stack:
        folder, locked = None, False
        while locked is False or not folder.exists():  # taken for a leftover just then
            folder = parent / f"{prefix}.{secrets.token_hex(4)}"
            folder.mkdir()
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            locked = stack.enter_context(folder_lock(folder, beside=True))
        yield folder


def _remove_leftovers(parent, prefix):
    """Remove the temporary folders of processes that have died."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(parent):
            name, _, token = entry.name.rpartition(".")
            if name != prefix or not _TOKEN.fullmatch(token):
                continue
            if entry.is_dir(follow_symlinks=False):
                with folder_lock(Path(entry.path), beside=True) as locked:
                    if locked:
                        shutil.rmtree(entry.path, ignore_errors=True)


@contextlib.contextmanager
def _system_errors(path):
    """Raise an OSError for a full disk, also where a library in Rust does not."""
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


def _mentions(description, digest):
    with contextlib.suppress(OSError):
        return digest.encode() in description.read_bytes()
    return False


def _staged(path, digest):
    return path.with_name(f".{path.name}.{str(digest)[:_DIGEST_LETTERS]}")


def _all_staged(path):
    return path.parent.glob(f".{path.name}.{_DIGEST_LETTERS * '[0-9a-f]'}")


def _finish(path, mode):
    """Sync a file to the disk, with the rights of one that was made in place."""
    if path.stat().st_mode != mode:
        path.chmod(stat.S_IMODE(mode))
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _rename(path, target):
    """Rename a file onto another; Windows waits until no reader has that one open."""
    for _ in range(_TRIES if _WINDOWS else 0):
        try:
            path.replace(target)
        except PermissionError:
            time.sleep(_WAIT)
        else:
            return
    path.replace(target)


def _sync_folder(folder):
    if not _FOLDER:  # nor can it be opened
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
