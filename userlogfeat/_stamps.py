"""Whether files are still what they were: stamps, and SHA-256 of their bytes."""

import hashlib
import os


def change_stamp(path):
    """Stamp that changes if a file is replaced, whatever the clock says; or 0."""
    try:
        status = os.stat(path)
    except OSError:
        return 0
    return status.st_mtime_ns, status.st_size, status.st_ino


def stamped(paths):
    """Files with their stamps, as a tuple: a key of what was made of them."""
    return tuple((str(path), change_stamp(path)) for path in paths)


def check_unchanged(files):
    """Raise where one of :func:`stamped` files is not as it was."""
    changed = [path for path, stamp in files if change_stamp(path) != stamp]
    if changed:
        raise ValueError(
            f"{changed[0]} was replaced or removed, and what was made of it before is "
            "still in use. Make it again: an encoder by its name, a model by loading "
            "it."
        )


def sha256(path):
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
