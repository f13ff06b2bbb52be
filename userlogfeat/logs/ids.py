"""Identifiers of logs become codes, and codes rows and columns of a matrix.

Codes are given chunk by chunk, and looked up in batches: a look-up builds an index of
all identifiers that are known, which would take longer than the work itself if it were
done for each of many small files.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from userlogfeat._groups import as_objects
from userlogfeat._ids import as_list, nothing_shared
from userlogfeat._text_tables import whole_numbers
from userlogfeat._typing import ArrayLike
from userlogfeat.logs.columns import is_string, name_rows, stripped, to_array
from userlogfeat.logs.sources import Chunk


class IdCodes:
    """Numbers identifiers 0, 1, ... in the order they are first met.

    Parameters
    ----------
    role : {"user", "item"}
        For messages.
    """

    def __init__(self, role: Literal["user", "item"]) -> None:
        self.role = role
        self.ids: pa.Array | None = None  # code -> identifier
        self.is_text = False  # whether numbers are recognised among texts
        self._type = None
        self._pending = []  # (column, chunk) whose codes were not asked for

    def add(self, chunk: Chunk) -> None:
        """Check the identifiers of a chunk and keep them for :meth:`take_codes`."""
        column = to_array(chunk.table[self.role])
        self._check(column, chunk)
        if self._type is None:
            self._type, self.is_text = column.type, chunk.is_text
        elif column.type != self._type:
            self._type = self._common_type(column, chunk)
        self._pending.append((column, chunk))

    def take_codes(self) -> np.ndarray:
        """Return the codes of all rows since the last call, int32 (n_rows,)."""
        pending, self._pending = self._pending, []
        if not pending:
            return np.zeros(0, np.int32)
        if self.ids is None:
            self.ids = pending[0][0][:0]
        self.ids = self.ids.cast(self._type)
        columns = [self._cast(column, chunk) for column, chunk in pending]
        codes, new = _look_up(pa.concat_arrays(columns), self.ids)
        texts = [chunk.is_text for _, chunk in pending]
        if any(texts) and not new.equals(stripped(new)):
            for place, (column, chunk) in enumerate(pending):
                if chunk.is_text:
                    columns[place] = stripped(to_array(column).cast(self._type))
                    self._check(columns[place], chunk)
            codes, new = _look_up(pa.concat_arrays(columns), self.ids)
        self.ids = pa.concat_arrays([self.ids, new])
        return codes

    def in_order(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the identifiers, sorted, and the rank of each code.

        Identifiers read from text become int64 where nothing is lost by that: see
        :func:`userlogfeat._text_tables.whole_numbers`.

        Returns
        -------
        ids : ndarray, shape (n_ids,)
        ranks : ndarray of int32, shape (n_ids,)
            ``ids[ranks[code]]`` is the identifier with that code.
        """
        ids = self.ids
        if self.is_text and is_string(ids):
            ids = whole_numbers(ids)
            if ids.type != self.ids.type:  # "7" and "7.0" are one
                ids, ranks = np.unique(ids.to_numpy(), return_inverse=True)
                return ids, ranks.astype(np.int32)
        order = pc.sort_indices(ids).to_numpy()
        ranks = np.empty(len(order), np.int32)
        ranks[order] = np.arange(len(order), dtype=np.int32)
        return ids.take(pa.array(order)).to_numpy(zero_copy_only=False), ranks

    def all_rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the identifiers, sorted, and the place of each row's among them."""
        codes = self.take_codes()
        if self.ids is None:
            return codes, codes
        ids, ranks = self.in_order()
        return ids, ranks[codes]

    def _check(self, column, chunk):
        if pa.types.is_nested(column.type):
            raise ValueError(
                f"Column {self.role}= of {chunk.origin} holds lists or structs "
                f"({column.type}), expected one identifier per row. Explode it first."
            )
        missing = column.is_null(nan_is_null=True)
        if pc.any(missing).as_py():
            raise ValueError(
                f"Got {name_rows(chunk, missing)} without {self.role} identifier "
                "(missing, None or NaN). Remove these rows, or give the unknown a name."
            )

    def _common_type(self, column, chunk):
        """Return the type for identifiers of two types.

        Whole numbers and text become text, as if all files were text: 7 and "7" are
        one, whichever comes first.
        """
        new, old = column.type, self._type
        numbers = [pa.types.is_integer(kind) for kind in (new, old)]
        if all(numbers):
            return old if old.bit_width > new.bit_width else pa.int64()
        if any(numbers) and pa.large_string() in (new, old):
            self.is_text = True
            return pa.large_string()
        self._cast(column, chunk)
        return old

    def _cast(self, column, chunk):
        try:
            return column.cast(self._type)
        except pa.ArrowException as error:
            raise ValueError(
                f"The {self.role} identifiers of {chunk.origin} are of type "
                f"{column.type}, but before they were {self._type}. Convert all "
                "parts to one type."
            ) from error


class Places(NamedTuple):
    """Which row (or column) each code has."""

    ids: np.ndarray  # the known ones in their order, then new ones, sorted
    of_codes: np.ndarray  # code -> place among `ids`, int32; -1 where left out
    n_known: int  # 0 where none were given


def place_ids(
    codes: IdCodes,
    *,
    known: ArrayLike | None = None,
    aliases: Mapping[Any, Any] | None = None,
    without: ArrayLike | None = None,
) -> Places:
    """Give each code its row.

    Parameters
    ----------
    codes : IdCodes
    known : array-like, shape (n_known,), optional
        Identifiers that come first, in this order, whether they were read or not.
    aliases : dict, optional
        Old identifier -> new identifier; chains are followed.
    without : array-like, optional
        Identifiers to leave out.

    Returns
    -------
    Places
        Where whole numbers and text meet (7 and "7"), they are compared as text.

    Raises
    ------
    ValueError
        Where known identifiers repeat, or aliases go in a circle.
    """
    ids, of_codes = codes.in_order()
    if known is None and not aliases and without is None:
        return Places(ids, of_codes, 0)
    found = ids.tolist()
    given = [] if known is None else as_list(known)
    if len(set(given)) < len(given):
        raise ValueError(f"Some of the {codes.role}_ids repeat: expected each once.")
    targets = _resolved(aliases or {})
    left_out = [] if without is None else as_list(without)
    to_key = _comparable(found, given, [*targets, *targets.values()], left_out)
    key_of = {to_key(old): to_key(new) for old, new in targets.items()}
    value_of = {to_key(value): value for value in targets.values()}
    value_of |= {to_key(value): value for value in found}
    value_of |= {to_key(value): value for value in given}
    place = {to_key(value): row for row, value in enumerate(given)}
    for old, new in key_of.items():  # a model may know a track by its old id alone
        if old in place and new not in place:
            place[new] = place[old]
    gone = {to_key(value) for value in left_out}
    keys = [to_key(value) for value in found]
    keys = [key_of.get(key, key) for key in keys]
    new = {key for key in keys if key not in place and key not in gone}
    new = _as_ids([value_of[key] for key in new], given)
    for row, value in enumerate(new.tolist(), start=len(given)):
        place[to_key(value)] = row
    rows = [-1 if key in gone else place[key] for key in keys]
    all_ids = new if known is None else _joined(np.asarray(known), new)
    return Places(all_ids, np.array(rows, np.int32)[of_codes], len(given))


def refuse_strangers(places: Places, role: str) -> None:
    """Raise where none of the identifiers that were read is a known one."""
    used = places.of_codes[places.of_codes >= 0]
    if len(used) and (used >= places.n_known).all():
        new, known = places.ids[places.n_known :], places.ids[: places.n_known]
        raise ValueError(nothing_shared(f"{role}s", new, known))


def _look_up(column, ids):
    """Return the code of each value, and the values that have none so far."""
    codes = pc.index_in(column, value_set=ids)
    if not codes.null_count:
        return codes.to_numpy(), ids[:0]
    is_new = pc.is_null(codes)
    new = column.filter(is_new).dictionary_encode()
    codes = pc.fill_null(codes, 0).to_numpy().copy()
    codes[is_new.to_numpy(zero_copy_only=False)] = new.indices.to_numpy() + len(ids)
    return codes, new.dictionary


def _resolved(aliases):
    """Follow chains of aliases to their ends."""
    targets = {}
    for old in aliases:
        new, seen = aliases[old], {old}
        while new in aliases and new != aliases[new]:
            if new in seen:
                raise ValueError(
                    f"The aliases of {old!r} go in a circle ({len(seen)} identifiers): "
                    "name one that is final."
                )
            seen.add(new)
            new = aliases[new]
        if new != old:
            targets[old] = new
    return targets


def _comparable(*lists):
    """Return a function that makes identifiers comparable: text where types differ."""
    kinds = {type(value) for values in lists for value in values}
    return str if len(kinds) > 1 else lambda value: value


def _as_ids(values, given):
    """Sort new identifiers; as the given ones are, where nothing is lost by that."""
    kinds = {type(value) for value in [*given[:1], *values]}
    if len(kinds) > 1:
        texts = whole_numbers(pa.array([str(v) for v in values], pa.large_string()))
        values = texts.to_pylist()
        if given and type(values[0]) is not type(given[0]):
            values = [str(value) for value in values]
    return _array(sorted(values))


def _joined(known, new):
    """Join known and new identifiers; as text where they are of two types."""
    if not len(new):
        return known
    if (known.dtype.kind in "iu") != (new.dtype.kind in "iu"):
        known, new = known.astype(str), new.astype(str)
    return _array([*known.tolist(), *new.tolist()])


def _array(values):
    """Return an array of identifiers; of objects unless they are numbers."""
    array = np.array(values)
    return array if len(values) and array.dtype.kind in "iufbM" else as_objects(values)
