"""``LabelledClips``: paths, labels, groups and splits of a data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import polars as pl

from userlogfeat._check import check_choice
from userlogfeat._typing import ArrayLike, PathLike
from userlogfeat.catalogue import Catalogue

SPLITS = ("train", "validation", "test")
OFFICIAL = "official"  # name of the split in the columns `split` or `fold`


@dataclass(frozen=True, repr=False, eq=False)
class LabelledClips:
    """The clips of a data set, in its own order, with the annotations of its authors.

    Made by the ``read_...`` functions of ``userlogfeat.datasets``.

    Attributes
    ----------
    name : str
        Name of the set.
    frame : polars.DataFrame
        One row per clip: `clip` (path), `item` (clips of one item are from one
        recording or song, and belong on one side of a split), `label`; where the set
        has them `artist`, `album`, the targets, `split`, `fold`, and columns of its
        own.
    y_columns : tuple of str
        Columns of ``y``.
    target_names : tuple of str
        Columns of numbers to predict: those of ``targets``.
    left_out : tuple
        Items that are known to be bad, and were left out.
    missing : tuple of str
        Clips listed by the authors that have no file here (``missing="ignore"``).
    published_splits : dict of str to callable
        Splits from published lists: functions from items, a folder of lists and the
        part to test to the pairs of :meth:`cv`.
    """

    name: str
    frame: pl.DataFrame
    y_columns: tuple[str, ...] = ("label",)
    target_names: tuple[str, ...] = ()
    left_out: tuple[Any, ...] = ()
    missing: tuple[str, ...] = ()
    published_splits: Mapping[str, Callable[..., list[Any]]] = field(
        default_factory=dict
    )

    def __len__(self) -> int:
        return self.frame.height

    def __repr__(self) -> str:
        facts = [f"{len(self)} clips", self._kinds()]
        if self.left_out:
            facts.append(f"{len(self.left_out)} known to be bad left out")
        if self.missing:
            facts.append(f"{len(self.missing)} missing")
        return f"{type(self).__name__}({self.name}: {', '.join(facts)})"

    def _kinds(self):
        return f"{self.frame['label'].n_unique()} labels"

    @property
    def X(self) -> list[str]:
        """Paths of the clips: list of str."""
        return self.frame["clip"].to_list()

    clips = X

    @property
    def y(self) -> np.ndarray:
        """Values to predict: labels (n,) of str, a target (n,), or targets (n, k)."""
        if self.y_columns == ("label",):
            return self.labels
        y = self.frame.select(self.y_columns).to_numpy().astype(np.float64)
        return y[:, 0] if len(self.y_columns) == 1 else y

    @property
    def labels(self) -> np.ndarray:
        """Class of each clip: ndarray (n,) of str."""
        return np.array(self.frame["label"].to_list(), dtype=str)

    @property
    def targets(self) -> np.ndarray | None:
        """Numbers to predict: ndarray (n, len(target_names)) of float, or None."""
        if not self.target_names:
            return None
        return self.frame.select(self.target_names).to_numpy().astype(np.float64)

    @property
    def items(self) -> np.ndarray:
        """Item of each clip: ndarray (n,), None where unknown."""
        return self._column("item")

    @property
    def artists(self) -> np.ndarray | None:
        """Artist of each clip: ndarray (n,), None where unknown; None without any."""
        return self._column("artist")

    @property
    def albums(self) -> np.ndarray | None:
        """Album of each clip: ndarray (n,), None where unknown; None without any."""
        return self._column("album")

    @property
    def split(self) -> np.ndarray | None:
        """Side of each clip, one of ``SPLITS``: ndarray (n,), or None without any."""
        return self._column("split")

    @property
    def folds(self) -> np.ndarray | None:
        """Fold that tests each clip, from 1: ndarray (n,) of int; None without any."""
        return self._column("fold")

    def catalogue(self) -> Catalogue:
        """The clips as a :class:`userlogfeat.Catalogue`, for groups and for logs."""
        return Catalogue(self.frame)

    def subset(self, rows: ArrayLike) -> LabelledClips:
        """Some of the clips.

        Parameters
        ----------
        rows : array-like
            A boolean mask (n,), or row numbers, in the order wanted.

        Returns
        -------
        LabelledClips
        """
        return replace(self, frame=self.catalogue().subset(rows).frame)

    @property
    def split_names(self) -> tuple[str, ...]:
        """Names of the splits that :meth:`cv` has for this set."""
        own = self.folds is not None or self.split is not None
        return (*([OFFICIAL] if own else []), *self.published_splits)

    def cv(
        self,
        split: str | None = None,
        lists: PathLike | None = None,
        *,
        test: Literal["test", "validation"] = "test",
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return a published split, as scikit-learn takes it: ``cv=clips.cv()``.

        Parameters
        ----------
        split : str, optional
            One of ``split_names``. By default "official", the authors' own.
        lists : str or Path, optional
            Folder with the lists of a split that others published.
        test : {"test", "validation"}
            Part to test. "test": all other parts are for training. "validation": the
            train part alone is. Sets with folds test each fold once.

        Returns
        -------
        list of (train, test)
            Row numbers, ndarrays of int64.

        Raises
        ------
        ValueError
            If the set has no such split, or a side of it is empty.
        """
        check_choice(test, "test", ("test", "validation"))
        self._check_split(split)
        if split in self.published_splits:
            if lists is None:
                raise ValueError(
                    f"The split {split!r} of {self.name} is read from published lists: "
                    f"pass their folder, cv({split!r}, FOLDER)."
                )
            return self.published_splits[split](self.items.tolist(), lists, test)
        pairs = self._official_split(test)
        for train, tested in pairs:
            if not (train.any() and tested.any()):
                raise ValueError(
                    f"One side of the split of {self.name} is empty: {train.sum()} "
                    f"clips to learn from, {tested.sum()} to test (test={test!r}). "
                    f"Split on: {self._counts()}."
                )
        return [
            (np.flatnonzero(train), np.flatnonzero(tested)) for train, tested in pairs
        ]

    def _check_split(self, split):
        names = self.split_names
        advice = (
            "Use folds of scikit-learn, such as StratifiedKFold(10) or, with groups, "
            "StratifiedGroupKFold."
        )
        if not names:
            raise ValueError(
                f"{self.name} as read here has no split of its own. {advice}"
            )
        if split is None and OFFICIAL not in names:
            raise ValueError(
                f"{self.name} has no split of its own, but others published "
                f"{' and '.join(map(repr, names))}: choose one, "
                f"cv({names[0]!r}, FOLDER_OF_LISTS). {advice}"
            )
        if split is not None:
            check_choice(split, "split", names)

    def _official_split(self, test):
        if self.folds is not None:
            return [(self.folds != k, self.folds == k) for k in np.unique(self.folds)]
        train = self.split == "train"
        if test == "test":
            train |= self.split == "validation"
        return [(train, self.split == test)]

    def _column(self, name):
        if name not in self.frame.columns:
            return None
        return self.catalogue().column(name)

    def _counts(self):
        column = self.folds if self.folds is not None else self.split
        values, counts = np.unique(column, return_counts=True)
        return ", ".join(f"{v} {n}" for v, n in zip(values, counts, strict=True))
