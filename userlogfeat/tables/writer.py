"""Writing a feature table so that a kill at any moment loses and doubles nothing.

* A part is written under a hidden temporary name, synced, and renamed.
* Rows are only ever added; see :mod:`userlogfeat.tables.reader` which of two counts.
* Small parts are merged into a new one, which lists the parts it replaces. From its
  rename on, readers ignore those; the next writer deletes them where a kill left any.
* The lock belongs to the operating system, and is freed when the process dies.
* Parts that other processes made are put in a staging folder, and become parts of the
  table when the holder of the lock renames them: nobody else ever adds to it.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pyarrow as pa

from userlogfeat._files import move_file, remove_file, remove_temporaries, replace_file
from userlogfeat._locks import file_lock
from userlogfeat._typing import ClipId
from userlogfeat.tables.footers import FORMAT, PARTS, TableError
from userlogfeat.tables.parts import OK, Rows, write_part

if TYPE_CHECKING:
    from userlogfeat.tables.reader import FeatureTable


logger = logging.getLogger(__name__)

PART_BYTES = 8 << 20  # maximum length of merged parts; in memory, a few times that
MAX_GROWTH = 32  # bytes in memory for one on disk, of a merged part
FLUSH_BYTES = 4 << 20  # of features in memory before they become a part
FLUSH_SECONDS = 10.0  # work that a kill can cost
MAX_SMALL_PARTS = 64  # of one run, before they are merged while it goes on
_LAST = 10**8 - 1  # number of a part: eight digits
_MAX_NUMBER = _LAST - 10**7  # of the newest when a run begins, which may make so many

_LOCK = ".lock"
_STAGING, _REMOVED = ".staging-", ".removed-"  # folders; a token follows
_LOCKED = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_FOLDER = (errno.ENOTDIR, errno.ENOENT, errno.ENAMETOOLONG)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class TableWriter:
    """Adds rows to a feature table, and holds its lock meanwhile.

    A context manager. Rows become a part every `flush_seconds` or `flush_bytes`, and at
    the end, also after an exception. On success small parts are then merged.

    Parameters
    ----------
    table : FeatureTable
        Its folder is made where it is missing.
    fingerprint : str
        Fingerprint of the model. A table of another one is refused.
    layer_sizes : dict of str to int
        Size of each layer.
    layer_scales : dict of str to float, optional
        Factor that brings each layer to unit mean square; noted, not applied.
    made_by : str
        Description of the embedder, as text.
    users_digest : str, optional
        Digest of the users that the model was trained on: see
        ``factor_files.digest_users``.
    on_locked : {"error", "wait"}
        Whether to raise or to wait while another process writes to the table.
    max_small_parts : int
        Parts of less than half of ``PART_BYTES`` that may stay when the writer closes.
        More are merged; a cache that is opened often does well with a few.
    flush_seconds : float
        Work that a kill may cost, in s.
    flush_bytes : int
        Maximum size of the features held in memory.

    Raises
    ------
    TableError
        On entry, where the table is from another model, damaged, or not a table.
    BlockingIOError
        On entry, where another process writes and ``on_locked="error"``.
    OSError
        Where the folder cannot be made or a part not be written (a full disk). Parts
        written before are kept.
    """

    def __init__(
        self,
        table: FeatureTable,
        *,
        fingerprint: str,
        layer_sizes: dict[str, int],
        layer_scales: dict[str, float] | None = None,
        made_by: str = "",
        users_digest: str | None = None,
        on_locked: Literal["error", "wait"] = "error",
        max_small_parts: int = 1,
        flush_seconds: float = FLUSH_SECONDS,
        flush_bytes: int = FLUSH_BYTES,
    ) -> None:
        self._rows = Rows(layer_sizes)
        self.table = table
        self.notes = {  # in the metadata of every part
            "format": FORMAT,
            "fingerprint": fingerprint,
            "layers": self._rows.layer_sizes,
            "scales": layer_scales or {},
            "made_by": made_by,
            "users_digest": users_digest,
            "replaces": [],
        }
        self.max_small_parts = max_small_parts
        self.flush_seconds = flush_seconds
        self.flush_bytes = flush_bytes
        self._lock = file_lock(table.folder / _LOCK, on_locked=on_locked)
        self._failed = False

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            with self._write_errors():
                self._check_folder()
                self.table.folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(self._lock)
                self._clean()
            self._check_model()
            self._number = self._newest()
            self._close = stack.pop_all().close  # the lock stays
        self._flushed = time.monotonic()
        self._n_small = 0
        self._adopted = []
        return self

    def __exit__(self, kind: Any, *exception: Any) -> None:
        try:
            if not self._failed:
                self.flush()
                if kind is None:
                    self._tidy(self.max_small_parts)
        finally:
            self._close()

    def add(
        self,
        clip: ClipId,
        *,
        layers: dict[str, np.ndarray] | None = None,
        status: str = OK,
        message: str = "",
        seconds: float = float("nan"),
        size: int = -1,
        modified_ns: int = -1,
        more: bool = False,
    ) -> None:
        """Add the row of one clip; it replaces an earlier one.

        Parameters
        ----------
        clip : str, bytes or path-like
            The path as given.
        layers : dict of str to ndarray (size,)
            The features; None for a clip that failed.
        status : str
            "ok", or the class of the error.
        message : str
            The error's message.
        seconds : float
            Length of the audio that was read, in s.
        size, modified_ns : int
            :func:`file_stamp` of the file, taken before it was read.
        more : bool
            Whether rows of the same batch follow at once. A part that is due by time
            waits for them: the next batch may be long in coming.
        """
        self._rows.add(
            clip,
            layers=layers,
            status=status,
            message=message,
            seconds=seconds,
            size=size,
            modified_ns=modified_ns,
        )
        late = time.monotonic() - self._flushed >= self.flush_seconds
        if (late and not more) or self._rows.n_bytes >= self.flush_bytes:
            self.flush()

    def flush(self) -> None:
        """Write the rows in memory as a part."""
        if len(self._rows):
            self._write([self._rows.as_arrow()])
            self._rows.clear()
            self._n_small += 1
            if self._n_small > MAX_SMALL_PARTS:
                self._tidy(1)
        self._flushed = time.monotonic()

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """Make a hidden folder beside the parts, where other processes put theirs.

        Yields its absolute path. At the end it is renamed and then removed: a process
        that still works in it, for a run that has ended, meets an error and no table.
        """
        folder = self.table.folder.absolute() / f"{_STAGING}{secrets.token_hex(8)}"
        with self._write_errors():
            folder.mkdir()
        try:
            yield folder
        finally:
            _remove_staging(folder)

    def adopt(self, path: Path) -> None:
        """Make a file the newest part of the table; small ones are merged as they come.

        Parameters
        ----------
        path : Path
            File in a folder of :meth:`staging`, complete and synced, written by
            ``write_part`` with the :attr:`notes` of this writer. No clip is in two
            files of one run.
        """
        part = self.table.footer(path)
        if part.model != self._model:
            raise TableError(
                f"{path} is of model {part.model[0]} with layers {part.model[1]}, but "
                f"this run makes {self._model[0]} with {self._model[1]}."
            )
        target = self._next_part()
        with self._write_errors():
            move_file(path, target)
        self._adopted.append(replace(part, path=target))
        if sum(map(_weight, self._adopted)) >= PART_BYTES:
            self._merge_adopted()

    @property
    def _model(self):
        return self.notes["fingerprint"], self.notes["layers"]

    def _merge_adopted(self):
        """Merge without the index: these parts share no clip, and are the newest."""
        small = [part for part in self._adopted if _weight(part) < PART_BYTES // 2]
        self._adopted = []
        if len(small) > 1:
            with self._unmerged_without_room():
                self._replace([(part, None) for part in small])

    def merge(self, *, max_small_parts: int = 1) -> None:
        """Merge small parts, and drop rows that later ones have replaced.

        Parameters
        ----------
        max_small_parts : int
            With 1, the table is left tidy: each clip is one row on disk too. With
            more, nothing is done until there are more small parts than this.
        """
        self._n_small = 0
        parts = self.table.parts()
        small = {p.path for p in parts if _weight(p) < PART_BYTES // 2}
        crowded = len(small) > max_small_parts
        if not crowded and max_small_parts > 1:
            return  # without reading the index, which grows with the table
        index = self.table.index()
        live = index.live()
        groups, room = [], 0
        for part, start in zip(parts, index.starts, strict=False):
            mask = None if live is None else live[start : start + part.n_rows]
            whole = mask is None or mask.all()
            if whole and not (crowded and part.path in small):
                continue
            if _weight(part) > room:
                groups.append([])
                room = PART_BYTES
            groups[-1].append((part, None if whole else mask))
            room -= _weight(part)
        for group in groups:
            if len(group) > 1 or group[0][1] is not None:
                self._replace(group)

    def rename(self, new_name: Callable[[str], str | None]) -> int:
        """Give clips new names, or drop them; of clips of one name the newest stays.

        Parts are replaced one by one. A kill leaves some names old and others new, and
        the same call does the rest, if a new name's new name is itself.

        Parameters
        ----------
        new_name : callable
            From a clip to its new name, or None to drop it.

        Returns
        -------
        int
            Number of clips whose name is another now.
        """
        parts, index = self.table.parts(), self.table.index()
        names = {row: new_name(clip) for clip, row in index.rows.items()}
        newest = {}
        for row, name in names.items():
            if name is not None:
                newest[name] = max(row, newest.get(name, -1))
        rows = {row: name for name, row in newest.items()}
        clips = {row: clip for clip, row in index.rows.items()}
        for part, start in zip(parts, index.starts, strict=False):
            mine = range(start, start + part.n_rows)
            if any(rows.get(row) != clips.get(row, "") for row in mine):
                here = [rows.get(row) for row in mine]
                tables = self.table.renamed_rows(part, here)
                self._write(tables, replaces=[part.path.name])
                with self._write_errors():
                    remove_file(part.path)
        return sum(name not in (None, clips[row]) for row, name in rows.items())

    def _tidy(self, max_small_parts):
        self._adopted = []
        with self._unmerged_without_room():
            self.merge(max_small_parts=max_small_parts)

    @contextlib.contextmanager
    def _unmerged_without_room(self):
        """Go on where the disk is too full for merging: all rows stay as they are."""
        try:
            yield
        except OSError as error:
            self._failed = False
            logger.warning("Small parts stay unmerged. %s", error)

    def _replace(self, group):
        """Put one part in the place of several: (part, mask of its rows or None)."""
        old = [part.path for part, _ in group]
        self._write(self._live_rows(group), replaces=[path.name for path in old])
        with self._write_errors():
            for path in old:
                remove_file(path)

    def _live_rows(self, group):
        """Yield the rows of several parts, those that a mask drops left out."""
        for part, mask in group:
            yield from self.table.iter_part(part, mask)
            # Or each part would add to what the allocator keeps for itself.
            pa.default_memory_pool().release_unused()

    def _write(self, tables, replaces=()):
        with self._write_errors(), replace_file(self._next_part()) as path:
            write_part(path, tables, self.notes | {"replaces": list(replaces)})

    def _next_part(self):
        """Return the path of a new part, later than all others.

        A number is given once. Were a write interrupted after its rename, the same rows
        would be written again as a later part, and replace those of the first.
        """
        self._number += 1
        return self.table.folder / f"part-{self._number:08d}.parquet"

    def _newest(self):
        """Return the number of the newest part, -1 where there is none."""
        names = sorted(path.name for path in self.table.folder.glob(PARTS))
        number = int(names[-1][5:].partition(".")[0]) if names else -1
        if number > _MAX_NUMBER:
            raise TableError(
                f"{self.table.folder / names[-1]} has a number near the last one, "
                f"{_LAST}, so no parts could follow it. Was it renamed? Give it the "
                "number after that of the part before it."
            )
        return number

    def _check_folder(self):
        """Refuse to fill a folder that holds other things and no table."""
        folder = self.table.folder
        if folder.exists() and not folder.is_dir():
            raise TableError(
                f"{folder} is a file, but a feature table is a folder of Parquet "
                "parts. Pass the name of a new folder."
            )
        others = [path.name for path in folder.glob("[!.]*")]
        if others and not self.table.exists():
            raise TableError(
                f"{folder} is not a feature table, and it is not empty: it holds "
                f"{others[0]!r}. Pass a new or an empty folder."
            )

    def _check_model(self):
        for part in self.table.parts()[:1]:  # all are from one model
            fingerprint, layers = part.model
            if fingerprint != self._model[0]:
                raise TableError(
                    f"The table {self.table.folder} was made by another model or other "
                    f"settings (fingerprint {fingerprint}, now {self._model[0]}; made "
                    f"by: {part.notes.made_by or 'not recorded'}). Features of two "
                    "models do not mix: write to another folder."
                )
            if layers != self._model[1]:
                raise TableError(
                    f"The table {self.table.folder} has layers {layers}, but this run "
                    f"makes {self._model[1]}. Ask for the table's layers, or write to "
                    "another folder."
                )

    def _clean(self):
        """Remove the leftovers of a killed writer: we hold the lock, so none works."""
        folder = self.table.folder
        remove_temporaries(folder, PARTS)
        for path in folder.glob(f"{_STAGING}*"):
            _remove_staging(path)
        for path in folder.glob(f"{_REMOVED}*"):
            shutil.rmtree(path, ignore_errors=True)
        live = {part.path for part in self.table.parts()}
        for path in set(folder.glob(PARTS)) - live:
            remove_file(path)

    @contextlib.contextmanager
    def _write_errors(self):
        """Add to errors of the system which rows are kept, and the next step."""
        try:
            yield
        except BlockingIOError:
            raise
        except OSError as error:
            self._failed = True
            raise OSError(
                error.errno,
                f"Could not write to the feature table {self.table.folder}: "
                f"{error.strerror or error}. {_advice(error)}",
            ) from error


def _weight(part):
    """Bytes on disk, or a part of those in memory: failed rows hardly take any."""
    return max(part.n_bytes, part.memory // MAX_GROWTH)


def _advice(error):
    if error.errno in _LOCKED:
        return "Make the folder writable, or pass another one"
    if error.errno in _NO_FOLDER:
        return "Part of its path is missing, or is not a folder. Pass another one"
    room = "Make room and run" if error.errno in _NO_ROOM else "Run"
    return (
        f"Parts that were written before are kept. {room} the same again: it goes on "
        "where this ended"
    )


def _remove_staging(folder):
    """Rename a folder, and remove it then: nothing can be put in it meanwhile."""
    removed = folder.with_name(folder.name.replace(_STAGING, _REMOVED))
    with contextlib.suppress(FileNotFoundError):
        folder.rename(removed)
    shutil.rmtree(removed, ignore_errors=True)
