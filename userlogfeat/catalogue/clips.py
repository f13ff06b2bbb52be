"""The catalogue: a table with the item, artist and album of each clip.

It joins audio to logs: ``align`` picks the clips whose item has a factor, and warns of
the others; ``groups`` gives the arrays that keep one artist's, or one album's, clips
together in cross-validation (scores are too high where clips of one artist are on both
sides of a split).
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from userlogfeat._check import check_choice
from userlogfeat._groups import is_missing, number_keys, warn_of_odd_ids
from userlogfeat._ids import AS_TEXT, examples, match_as_text, positions
from userlogfeat._pages import see
from userlogfeat._typing import ArrayLike, Frame, PathLike
from userlogfeat.catalogue.sources import read_columns

_SHOWN = 3  # examples in a message


@dataclass(frozen=True, repr=False, eq=False)
class Catalogue:
    """One row per clip, checked.

    Made by :func:`read_catalogue`.

    Attributes
    ----------
    frame : polars.DataFrame
        The columns `clip` and `item`, where known `artist`, `album` and `label`, and
        all others of the source. Null where a value is missing.
    """

    frame: pl.DataFrame

    def __len__(self) -> int:
        return self.frame.height

    def __repr__(self) -> str:
        counts = {"clip": len(self)}
        for name in ("item", "artist", "label"):
            if name in self.frame.columns:
                counts[name] = self.frame[name].drop_nulls().n_unique()
        listed = (f"{n} {name}{'' if n == 1 else 's'}" for name, n in counts.items())
        return f"Catalogue({', '.join(listed)})"

    @property
    def clips(self) -> np.ndarray:
        """Paths (or ids) of the clips: ndarray (n_clips,) of str."""
        return self.column("clip")

    @property
    def items(self) -> np.ndarray:
        """Item of each clip: ndarray (n_clips,), None where missing."""
        return self.column("item")

    @property
    def artists(self) -> np.ndarray:
        """Artist of each clip: ndarray (n_clips,), None where missing."""
        return self.column("artist")

    @property
    def albums(self) -> np.ndarray:
        """Album of each clip: ndarray (n_clips,), None where missing."""
        return self.column("album")

    @property
    def labels(self) -> np.ndarray:
        """Label of each clip: ndarray (n_clips,), None where missing."""
        return self.column("label")

    def column(self, name: str) -> np.ndarray:
        """Return any column as an array.

        Parameters
        ----------
        name : str

        Returns
        -------
        ndarray (n_clips,)
            Numbers as such; text, and columns with missing values (None), as objects.
        """
        if name not in self.frame.columns:
            raise ValueError(
                f"The catalogue has no column {name!r}; it has "
                f"{', '.join(self.frame.columns)}. Say which column of the source it "
                f"is: read_catalogue(..., {name}=...)."
            )
        column = self.frame[name]
        if column.null_count():
            return np.array([*column.to_list(), None], dtype=object)[:-1]
        return column.to_numpy()

    def subset(self, rows: ArrayLike) -> Catalogue:
        """Return the catalogue of some clips.

        Parameters
        ----------
        rows : array-like
            A boolean mask (n_clips,), or row numbers, in the order wanted.

        Returns
        -------
        Catalogue
        """
        rows = np.asarray(rows)
        if rows.dtype == bool:
            if rows.shape != (len(self),):
                raise ValueError(
                    f"Got a mask of shape {rows.shape} for {len(self)} clips."
                )
            rows = np.flatnonzero(rows)
        elif rows.size == 0:
            rows = rows.astype(np.int64)
        elif rows.dtype.kind not in "iu" or rows.ndim != 1:
            raise TypeError(
                f"Got rows of dtype {rows.dtype} and shape {rows.shape}, expected a "
                "1-D boolean mask or 1-D row numbers."
            )
        rows = np.arange(len(self))[rows]  # checks the range, resolves -1
        return Catalogue(self.frame[rows])

    def align(
        self,
        factors: np.ndarray,
        item_ids: ArrayLike,
        *,
        by: Literal["item", "artist", "album"] = "item",
        unknown: Literal["warn", "error", "ignore"] = "warn",
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the clips that have a factor, and their factors.

        Parameters
        ----------
        factors : ndarray (n_items, n_factors)
            A factor for each item, such as ``CFEmbedding.item_factors_``.
        item_ids : array-like (n_items,)
            The item of each row of `factors`, such as ``Interactions.item_ids``.
        by : {"item", "artist", "album"}
            The column of the catalogue with these ids: "artist" for logs without
            tracks.
        unknown : {"warn", "error", "ignore"}
            Whether to warn, raise or be silent where the item of some clips is not in
            the logs. They are left out in any case.

        Returns
        -------
        rows : ndarray (n_aligned,), int64
            Rows of the catalogue, in its order.
        Y : ndarray (n_aligned, n_factors)
            The factors of their items.

        Raises
        ------
        ValueError
            Where no clip's item is known, or `factors` and `item_ids` disagree.
        """
        check_choice(by, "by", ("item", "artist", "album"))
        check_choice(unknown, "unknown", ("warn", "error", "ignore"))
        factors = np.asanyarray(factors)  # some know their space
        ids = [_catalogue_id(value) for value in np.asarray(item_ids).tolist()]
        _check_factors(factors, ids)
        items = self.column(by).tolist()
        factor_rows = positions(items, ids)
        rows = np.flatnonzero(factor_rows >= 0)
        if len(rows) == 0:
            itself = by == "item" and str(self.clips[0]).endswith(str(items[0]))
            raise ValueError(_none_known(items, ids, by, itself))
        if len(rows) < len(self) and unknown != "ignore":
            message = _some_unknown(items, factor_rows < 0, by)
            if unknown == "error":
                raise ValueError(message)
            warnings.warn(
                f'{message} Pass unknown="ignore" to stop this warning.', stacklevel=2
            )
        return rows, factors[factor_rows[rows]]

    def groups(self, by: Literal["artist", "album", "item"] = "artist") -> np.ndarray:
        """Number the groups of clips, for ``GroupKFold`` and the like.

        Parameters
        ----------
        by : {"artist", "album", "item"}
            Albums of different artists differ, whatever their titles.

        Returns
        -------
        ndarray (n_clips,), int64
            Counted from 0. A clip whose value is missing (None, NaN, an empty name or
            -1) is a group of its own.
        """
        check_choice(by, "by", ("artist", "album", "item"))
        values = self.column(by).tolist()
        keys = [(value,) for value in values]
        if by == "album" and "artist" in self.frame.columns:
            keys = list(zip(values, self.artists.tolist(), strict=True))
        return number_keys(
            ("clip", row) if is_missing(value) else key
            for row, (value, key) in enumerate(zip(values, keys, strict=True))
        )


def read_catalogue(
    source: PathLike | Frame,
    *,
    clip: str = "clip",
    item: str | None = None,
    artist: str | None = None,
    album: str | None = None,
    label: str | None = None,
    folder: PathLike | None = None,
    check_files: bool = True,
    artist_conflicts: Literal["warn", "error", "ignore"] = "warn",
) -> Catalogue:
    """Read and check a catalogue.

    Parameters
    ----------
    source : str, Path or frame
        A csv, tsv or parquet file; a polars, pandas or pyarrow table; or a folder of
        audio laid out ``artist/album/track.flac`` (folders below the album belong to
        the track). The columns of a folder are `clip`, `item` (the path below the
        folder, without suffix), `artist`, `album` and `track`.
    clip : str
        Column of `source` with the path of each clip.
    item : str, optional
        Column of `source` with the name of each clip in the logs; by default "item"
        where it is there, else the clips are the items. For logs of artists, pass
        ``item="artist"``. A clip without an item has no plays in the logs.
    artist, album, label : str, optional
        Columns of `source`; by default "artist", "album" and "label" where they are
        there.
    folder : str or Path, optional
        Where relative clips are; by default the folder of `source` (for frames: the
        current one).
    check_files : bool
        True: clips are files, and each must be there. False: clips are kept as
        written, for ids. Either way ``a.wav`` and ``./a.wav`` are one clip.
    artist_conflicts : {"warn", "error", "ignore"}
        Whether to warn, raise or be silent where an item has two artists.

    Returns
    -------
    Catalogue

    Raises
    ------
    ValueError
        Where columns or clips are missing, or a clip comes twice.
    FileNotFoundError
        Where `source` or, with `check_files`, a clip is not there.

    Notes
    -----
    Text is stripped, and empty text is a missing value. Of text files, a column of
    whole numbers is read as integers, but "007" stays text, as in `read_logs`; so do
    clips.

    Examples
    --------
    >>> import polars as pl
    >>> from userlogfeat import read_catalogue
    >>> frame = pl.DataFrame({"clip": ["a.wav", "b.wav", "c.wav"],
    ...     "track_id": [7, 9, None], "artist": ["Nico", "Nico", "Can"]})
    >>> catalogue = read_catalogue(frame, item="track_id", check_files=False)
    >>> catalogue
    Catalogue(3 clips, 2 items, 2 artists)
    >>> rows, Y = catalogue.align([[0.1], [0.2]], [9, 7], unknown="ignore")
    >>> rows, Y.ravel(), catalogue.groups("artist")
    (array([0, 1]), array([0.2, 0.1]), array([0, 0, 1]))
    """
    check_choice(artist_conflicts, "artist_conflicts", ("warn", "error", "ignore"))
    named = {"clip": clip, "item": item, "artist": artist, "album": album}
    frame, found_in = read_columns(source, {**named, "label": label})
    folder = found_in if folder is None else folder
    if frame.height == 0:
        raise ValueError("The catalogue is empty: it has columns, but no rows.")
    if "item" not in frame.columns:
        frame = frame.insert_column(1, frame["clip"].alias("item"))
    clips = _check_clips(frame, folder, check_files)
    for name in ("item", "artist"):
        if name in frame.columns and frame[name].dtype == pl.String:
            fate = f"all clips with it count as one {name}"
            warn_of_odd_ids(frame[name].unique().to_list(), name, fate)
    if artist_conflicts != "ignore":
        _check_artists(frame, artist_conflicts)
    return Catalogue(frame.with_columns(clip=pl.Series(clips, dtype=pl.String)))


def _check_clips(frame, folder, check_files):
    """Complete the paths; raise where one is empty, comes twice or is not there."""
    if frame["clip"].null_count():
        rows = frame["clip"].is_null().arg_true().to_list()
        raise ValueError(
            f"{len(rows)} rows of the catalogue have no clip: {examples(rows)} "
            "(counted from 0, after the header). Fill them in or drop them."
        )
    clips = frame["clip"].to_list()
    if check_files and folder is not None:
        clips = [os.path.join(folder, clip) for clip in clips]
    first = {}
    for row, clip in enumerate(clips):
        other = first.setdefault(os.path.normpath(clip), row)
        if other != row:
            a, b = frame["item"][other], frame["item"][row]
            fact = f"as items {a!r} and {b!r}" if a != b else f"both as item {a!r}"
            raise ValueError(
                f"The clip {clip!r} is in rows {other} and {row} (counted from 0), "
                f"{fact}. Keep one row per clip."
            )
    if check_files:
        missing = [clip for clip in clips if not os.path.isfile(clip)]
        if missing:
            raise FileNotFoundError(
                f"{len(missing)} of {len(clips)} clips of the catalogue are not files: "
                f"{examples(missing)}. Relative clips are looked for in "
                f"{str(Path(folder or '.').resolve())!r}. Pass folder= where they are, "
                "or correct the paths. "
                "(Python: check_files=False keeps ids, and files that are elsewhere.)"
            )
    return clips


def _check_artists(frame, on_conflict):
    if "artist" not in frame.columns:
        return
    pairs = frame.select("item", "artist").drop_nulls().unique(maintain_order=True)
    artists = pairs.group_by("item", maintain_order=True).agg("artist")
    several = artists.filter(pl.col("artist").list.len() > 1)
    if several.height == 0:
        return
    listed = [
        f"{item!r} is by {examples(names)}"
        for item, names in several.head(_SHOWN).rows()
    ]
    message = (
        f"{several.height} items of the catalogue have several artists: "
        f"{'; '.join(listed)}. Groups by artist would let such an item into both "
        "sides of a split. Give each item one artist."
    )
    if on_conflict == "error":
        raise ValueError(message)
    warnings.warn(
        f'{message} Pass artist_conflicts="ignore" to stop this warning.', stacklevel=3
    )


def _check_factors(factors, ids):
    """Raise where factors and item ids do not belong together."""
    if factors.ndim != 2 or len(factors) != len(ids):
        raise ValueError(
            f"Got factors of shape {factors.shape} and {len(ids)} item_ids, expected "
            "factors (n_items, n_factors) with one id per row."
        )
    if not np.isfinite(factors).all():
        row = int(np.flatnonzero(~np.isfinite(factors).all(axis=1))[0])
        raise ValueError(
            f"The factors of item {ids[row]!r} (row {row}) contain NaN or infinity."
        )
    if len(set(ids)) < len(ids):
        item, n = Counter(ids).most_common(1)[0]
        raise ValueError(f"The item {item!r} is {n} times in item_ids.")


def _catalogue_id(value):
    """Return an id of logs as a catalogue has it: int for 7.0, text stripped."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value.strip() if isinstance(value, str) else value


def _none_known(items, ids, by, itself):
    """Return the message where no item has a factor; `itself`: the clip is the item."""
    known = [item for item in items if item is not None]
    if not known:
        return f"None of the {len(items)} clips has an {by}, so none has a factor."
    message = (
        f"None of the {len(items)} clips is of an {by} that the logs know. The "
        f"catalogue has {_typed(known)}, the logs have {_typed(ids)}."
    )
    if match_as_text(known, ids):
        return f"{message} {AS_TEXT}{see('guide/logs')}"
    advice = "Check that both use the same ids."
    if itself:
        advice = (
            "The items are the clips themselves. If another column names them as the "
            "logs do, pass read_catalogue(..., item=...)."
        )
    return f"{message} {advice}{see('guide/logs')}"


def _some_unknown(items, unknown, by):
    """Return the message for clips without a factor, given as a mask."""
    nameless = sum(item is None for item in items)
    strangers = [
        items[row] for row in np.flatnonzero(unknown) if items[row] is not None
    ]
    n_unknown = nameless + len(strangers)
    reasons = []
    if strangers:
        different = list(dict.fromkeys(strangers))
        reasons.append(
            f"{len(strangers)} of {len(different)} {by}s that the logs do not know "
            f"({examples(different)})"
        )
    if nameless:
        reasons.append(f"{nameless} without {by}")
    return (
        f"{n_unknown} of {len(items)} clips ({n_unknown / len(items):.0%}) have no "
        f"factor and are left out: {', '.join(reasons)}."
    )


def _typed(values):
    kinds = Counter(type(value).__name__ for value in values)
    return f"{examples(dict.fromkeys(values))} ({' and '.join(kinds)})"
