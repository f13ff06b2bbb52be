"""Groups of clips: those by one artist, and clips whose artist is missing.

Used by everything that keeps artists apart: folds, the splits that validate epochs,
intervals over artists, searches for leaks, artist overlap, catalogues.
"""

import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

import numpy as np

from userlogfeat._typing import Labels


def artist_groups(artists: Labels) -> np.ndarray:
    """Number the artists; a clip whose artist is missing is a group of its own.

    Parameters
    ----------
    artists : array-like (n_clips,)
        Names or ids. None, NaN (NA, NaT), an empty or blank name and the number -1 are
        missing.

    Returns
    -------
    ndarray (n_clips,), int64
        Counted from 0, in order of appearance.

    Examples
    --------
    >>> from userlogfeat.evaluation.folds import artist_groups
    >>> artist_groups(["Nico", None, "Can", "Nico", None]).tolist()
    [0, 1, 2, 0, 3]
    """
    return number_keys(group_keys(artists))


def balance_artists(weight: np.ndarray, artists: Labels) -> np.ndarray:
    """Divide the weight of each clip by the number of its artist's clips.

    Parameters
    ----------
    weight : ndarray (n_clips,)
    artists : array-like (n_clips,)
        As in :func:`artist_groups`.

    Returns
    -------
    ndarray (n_clips,)
        With the sum of `weight`.

    Examples
    --------
    >>> import numpy as np
    >>> balance_artists(np.ones(4), ["Can", "Can", "Can", "Nico"]).round(2).tolist()
    [0.67, 0.67, 0.67, 2.0]
    """
    group = artist_groups(artists)
    balanced = weight / np.bincount(group)[group]
    total = balanced.sum()
    return balanced * (weight.sum() / total) if total > 0 else weight


def is_missing(value: Any) -> bool:
    """Whether an id stands for none: None, NaN, an empty name, or the number -1."""
    if value is None or type(value).__name__ == "NAType":  # pandas.NA has no truth
        return True
    if value != value:
        return True
    if isinstance(value, str | bytes):
        return not value.strip()
    return isinstance(value, Real) and value == -1


# What programs write as text for a missing value, such as NumPy's str(nan).
MISSING_WORDS = frozenset(
    "nan NaN NAN NaT <NA> NA N/A n/a #N/A None none NULL Null null undefined".split()
)


def warn_of_odd_ids(
    ids: Iterable[Any], what: str, fate: str, advice: str = "Pass None, or no text,"
) -> None:
    """Warn of words for a missing value, and of names that look alike.

    Such words may be names, and a difference that nobody sees may be meant: so they
    count as they are, with a warning.

    Parameters
    ----------
    ids : iterable
    what : str
        Such as "artist".
    fate : str
        Treatment of what has this id.
    advice : str
        Advice for words that stand for a missing id.
    """
    names = [value for value in ids if isinstance(value, str)]
    if words := sorted({name for name in names if name in MISSING_WORDS}):
        warnings.warn(
            f"The {what} {' and '.join(map(repr, words))} may stand for a missing one: "
            f"{fate}. {advice} if it does.",
            UserWarning,
            stacklevel=3,
        )
    alike: dict[str, set[str]] = {}
    for name in names:
        if not name.isascii():
            alike.setdefault(_plain(name), set()).add(name)
    if alike:
        for name in names:
            if name in alike:
                alike[name].add(name)
    several = sorted(sorted(group) for group in alike.values() if len(group) > 1)
    if several:
        shown = " and ".join(map(ascii, several[0]))
        more = f", and {len(several) - 1} more such groups" if several[1:] else ""
        warnings.warn(
            f"Names of the {what} look alike, but are not one: {shown}{more}. They "
            "count apart. If they are one, bring names to one form first, such as by "
            'unicodedata.normalize("NFC", name).',
            UserWarning,
            stacklevel=3,
        )


def _plain(name):
    """A name in one form of Unicode, without signs that have no width."""
    composed = unicodedata.normalize("NFC", name)
    return "".join(sign for sign in composed if unicodedata.category(sign) != "Cf")


def group_keys(ids: Labels, side: str = "clip") -> list[Any]:
    """Return a hashable for each clip: its id, or its place where the id is missing.

    Parameters
    ----------
    ids : array-like (n_clips,)
    side : str
        Name of the collection: clips without an id differ from those of another one.

    Returns
    -------
    list
    """
    column = as_column(ids, "artists")
    if column.dtype.kind in "OU":
        warn_of_odd_ids(column.tolist(), "artist", "all clips with it are one artist's")
    return [
        (side, row) if is_missing(value) else value
        for row, value in enumerate(column.tolist())
    ]


def number_keys(keys: Iterable[Any]) -> np.ndarray:
    """Number hashables from 0, in order of appearance: (n,), int64."""
    number = {}
    return np.array([number.setdefault(key, len(number)) for key in keys], np.int64)


def as_objects(values: Sequence[Any]) -> np.ndarray:
    """Return a 1-D array of any values, which keep their types."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def as_column(values: Labels, name: str) -> np.ndarray:
    """Return a 1-D array in which None, numbers and text keep their types."""
    column = values
    if not hasattr(values, "__array__"):  # NumPy would turn numbers beside None to text
        column = as_objects(list(values))
    column = np.asarray(column)
    if column.ndim != 1 or len(column) == 0:
        raise ValueError(f"Got {name} of shape {column.shape}, expected (n_clips,).")
    return column
