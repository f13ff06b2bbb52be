"""What every reader of a labelled data set returns: paths, labels, groups and split."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import polars as pl

from userlogfeat._check import check_choice
from userlogfeat._typing import ArrayLike
from userlogfeat.catalogue import Catalogue

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, repr=False, eq=False)
class LabelledClips:
    """The clips of a data set, in its own order, with all that its authors say of them.

    Made by the ``read_...`` functions of ``userlogfeat.datasets``.

    Attributes
    ----------
    name : str
        Of the set.
    frame : polars.DataFrame
        One row a clip: `clip` (path), `item` (clips of one item are of one recording
        or song, and belong on one side of a split), `label`; where the set has them
        `artist`, `album`, the targets, `split`, `fold`, and columns of its own.
    y_columns : tuple of str
        The columns that ``y`` is made of.
    target_names : tuple of str
        Columns of numbers to predict: those of ``targets``.
    left_out : tuple
        Items that are known to be bad, and were left out.
    missing : tuple of str
        Clips listed by the authors that have no file here (``missing="ignore"``).
    """

    name: str
    frame: pl.DataFrame
    y_columns: tuple[str, ...] = ("label",)
    target_names: tuple[str, ...] = ()
    left_out: tuple[Any, ...] = ()
    missing: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.frame.height

    def __repr__(self) -> str:
        facts = [f"{len(self)} clips", f"{self.frame['label'].n_unique()} labels"]
        if self.left_out:
            facts.append(f"{len(self.left_out)} known to be bad left out")
        if self.missing:
            facts.append(f"{len(self.missing)} missing")
        return f"LabelledClips({self.name}: {', '.join(facts)})"

    @property
    def X(self) -> list[str]:
        """Paths of the clips: list of str."""
        return self.frame["clip"].to_list()

    clips = X

    @property
    def y(self) -> np.ndarray:
        """What to predict: labels (n,) of str, a target (n,), or targets (n, k)."""
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

    def cv(
        self, test: Literal["test", "validation"] = "test"
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """The authors' own split, as scikit-learn takes it: ``cv=clips.cv()``.

        Parameters
        ----------
        test : {"test", "validation"}
            For sets with a split. "test": learn from all clips that are not of the
            test part. "validation": learn from the train part only. Sets with folds
            test each fold once.

        Returns
        -------
        list of (train, test)
            Row numbers, ndarrays of int64.

        Raises
        ------
        ValueError
            Where the set has no split, or a side of it is empty.
        """
        check_choice(test, "test", ("test", "validation"))
        if self.folds is not None:
            pairs = [(self.folds != k, self.folds == k) for k in np.unique(self.folds)]
        elif self.split is not None:
            learned = self.split == "train"
            if test == "test":
                learned |= self.split == "validation"
            pairs = [(learned, self.split == test)]
        else:
            raise ValueError(
                f"{self.name} as read here has no split of its own. Use folds of "
                "scikit-learn, such as StratifiedKFold(10) or, with groups, "
                "StratifiedGroupKFold."
            )
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

    def _column(self, name):
        if name not in self.frame.columns:
            return None
        return self.catalogue().column(name)

    def _counts(self):
        column = self.folds if self.folds is not None else self.split
        values, counts = np.unique(column, return_counts=True)
        return ", ".join(f"{v} {n}" for v, n in zip(values, counts, strict=True))
