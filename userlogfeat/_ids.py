"""Ids of logs, tables and catalogues: two lists side by side, a few for a message."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import numpy as np

from userlogfeat._pages import see
from userlogfeat._typing import ArrayLike

_SHOWN = 3  # examples in a message
AS_TEXT = "As text they would match: bring both to one type."


def examples(values: Iterable[Any], *, write: Callable[[Any], str] = repr) -> str:
    """Write the first few values for a message: ``'a', 'b', 'c', ...``."""
    first = list(islice(values, _SHOWN + 1))
    listed = ", ".join(map(write, first[:_SHOWN]))
    return f"{listed}, ..." if len(first) > _SHOWN else listed


def positions(ids: ArrayLike, known: ArrayLike) -> np.ndarray:
    """Find each id among the known ones: its place, or -1, as int64 (n_ids,)."""
    place = {value: row for row, value in enumerate(as_list(known))}
    return np.array([place.get(value, -1) for value in as_list(ids)], dtype=np.int64)


def nothing_shared(what: str, ids: ArrayLike, known: ArrayLike) -> str:
    """Return the message for two lists of ids that share none."""
    ids, known = as_list(ids), as_list(known)
    advice = "Are these the right files and columns?"
    if match_as_text(ids, known):
        advice = AS_TEXT
    return (
        f"None of the {len(ids)} {what} of the logs ({ids[:_SHOWN]}) is among the "
        f"{len(known)} known ones ({known[:_SHOWN]}). {advice}{see('guide/logs')}"
    )


def match_as_text(ids: list[Any], known: list[Any]) -> bool:
    """Whether some ids would be the same if all were text: 7 and "7"."""
    return bool({str(value) for value in ids} & {str(value) for value in known})


def as_list(ids: ArrayLike) -> list[Any]:
    """Ids as a list of Python's own types, in which 7 and 7.0 are one."""
    if isinstance(ids, list):
        return ids
    found = np.asarray(ids).tolist()
    if isinstance(found, list | set | frozenset):
        return list(found)
    raise TypeError(f"Got ids {ids!r}, expected a list of them, such as [{ids!r}].")
