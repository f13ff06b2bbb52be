"""Class by class, two feature sets: Figure 1 of Lee, Lee, Park, Lee (2019)."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from scipy.stats import binomtest

from userlogfeat._check import check_choice
from userlogfeat._ids import examples
from userlogfeat._typing import ArrayLike
from userlogfeat.report.style import FONT, finish, new_axes, write_percentages

if TYPE_CHECKING:
    from matplotlib.axes import Axes


ORDERS = ("difference", "count", "name")
CONFIDENCE = 0.95
# First and second feature set: colour, marker, face.
LOOKS = (("#D55E00", "o", "white"), ("#0072B2", "D", "#0072B2"))
WIDTH, ROW_HEIGHT, MARGINS = 5.8, 0.42, 1.5  # inches of a new figure
LABEL_LETTERS = 24  # of a class with its count, on one line
DODGE = 0.16  # distance of a set from the middle of its class, in rows


@dataclass(repr=False, eq=False)
class ClasswiseDisplay:
    """Recall of each class with two feature sets, and by how much they differ.

    Recall is the proportion of a class's clips that are predicted as this class.
    Intervals are Wilson's (1927) for one proportion; they are not paired, and two that
    overlap can still differ.

    Parameters
    ----------
    classes : list of str
        Classes, from the top of the figure down.
    counts : ndarray (n_classes,) of int
        Number of clips of each class.
    recall, low, high : ndarray (2, n_classes)
        Recall with each feature set, from 0 to 1, and the ends of its interval.
    names : list of str
        Names of the two feature sets.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    points_ : dict of str to matplotlib Line2D
        The recalls of each feature set.
    intervals_ : dict of str to matplotlib LineCollection
        The intervals of each feature set.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> y = ["folk", "folk", "rock", "rock"]
    >>> audio, both = ["folk", "rock", "folk", "rock"], ["folk", "folk", "folk", "rock"]
    >>> display = ClasswiseDisplay.from_predictions(y, {"audio": audio, "both": both})
    >>> display.classes, display.recall
    (['folk', 'rock'], array([[0.5, 0.5],
           [1. , 0.5]]))
    >>> plt.close(display.figure_)
    """

    classes: list[str]
    counts: np.ndarray
    recall: np.ndarray
    low: np.ndarray
    high: np.ndarray
    names: list[str]

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        predictions: dict[str, ArrayLike],
        *,
        order: Literal["difference", "count", "name"] = "difference",
        ax: Axes | None = None,
    ) -> ClasswiseDisplay:
        """Draw the recall of two arrays of predicted labels.

        Parameters
        ----------
        y_true : array-like (n_clips,)
            True labels.
        predictions : dict of str to array-like (n_clips,)
            Predicted labels of two feature sets. Differences are the second's recall
            minus the first's.
        order : {"difference", "count", "name"}
            Order of the classes: the one that gains most first, the largest first, or
            by name.
        ax : matplotlib Axes, optional
            Axes to draw into. By default those of a new figure of pyplot, of a height
            that fits the classes.

        Returns
        -------
        ClasswiseDisplay

        Raises
        ------
        ValueError
            If there are not two feature sets, lengths differ, labels are missing, or
            none of the predicted labels is a true one.
        ImportError
            If matplotlib is missing.
        """
        check_choice(order, "order", ORDERS)
        y_true, predictions = _check(y_true, predictions)
        classes, counts = np.unique(y_true, return_counts=True)
        correct = np.array(
            [
                [np.sum(predicted[y_true == label] == label) for label in classes]
                for predicted in predictions.values()
            ]
        )
        recall = correct / counts
        keys = {"difference": recall[0] - recall[1], "count": -counts}
        rows = np.argsort(keys.get(order, np.zeros(len(classes))), kind="stable")
        low, high = _wilson(correct, counts)
        recall, low, high = (values[:, rows] for values in (recall, low, high))
        labels = [str(label) for label in classes[rows]]
        display = cls(labels, counts[rows], recall, low, high, list(predictions))
        return display.plot(ax=ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw into. By default those of a new figure of pyplot, of a height
            that fits the classes.

        Returns
        -------
        self
        """
        n = len(self.classes)
        self.ax_ = new_axes((WIDTH, MARGINS + ROW_HEIGHT * n)) if ax is None else ax
        self.figure_ = self.ax_.figure
        self.points_, self.intervals_, handles = {}, {}, {}
        for i, (name, look) in enumerate(zip(self.names, LOOKS, strict=True)):
            recall, low, high = self.recall[i], self.low[i], self.high[i]
            colour, marker, face = look
            drawn = self.ax_.errorbar(
                recall,
                np.arange(n) + (2 * i - 1) * DODGE,
                xerr=np.clip([recall - low, high - recall], 0, None),
                color=colour,
                marker=marker,
                markerfacecolor=face,
                linestyle="none",
                capsize=2.5,
            )
            self.points_[name] = drawn.lines[0]
            self.intervals_[name] = drawn.lines[2][0]
            handles[name] = drawn
        self._label(n)
        finish(self.ax_, handles, title="Bars: 95 % intervals", grid="both")
        return self

    def _label(self, n):
        """Write classes with counts at the left, differences at the right."""
        ax = self.ax_
        clips = zip(self.classes, self.counts, strict=True)
        names = [fill(f"{label} (n = {k})", LABEL_LETTERS) for label, k in clips]
        ax.set_yticks(np.arange(n), names, parse_math=False)
        ax.set_ylim(n - 0.5, -0.5)  # the first class on top
        ax.set_xlim(-0.02, 1.02)
        write_percentages(ax.xaxis)
        ax.set_xlabel("Recall (% of the class's clips)", fontsize=FONT)
        for row, gain in enumerate(self.recall[1] - self.recall[0]):
            self._at_right(f"{100 * gain:+.0f}", row, ax.get_yaxis_transform())
        self._at_right("points", 1.01, ax.transAxes, va="bottom")

    def _at_right(self, text, y, transform, va="center"):
        text = text.replace("-", "−")
        text = "0" if text in ("+0", "−0") else text
        self.ax_.text(
            1.02, y, text, transform=transform, va=va, fontsize=FONT - 1, clip_on=False
        )


def _wilson(n_correct, n_clips):
    """Return Wilson's interval of proportions (2, n_classes): its ends, each so."""
    ends = [
        [binomtest(k, n).proportion_ci(CONFIDENCE, method="wilson") for k, n in pairs]
        for pairs in (zip(row, n_clips, strict=True) for row in n_correct)
    ]
    return np.moveaxis(np.array(ends), -1, 0)


def _check(y_true, predictions):
    """Return labels as 1-D arrays of one length."""
    is_dict = hasattr(predictions, "items")
    if not is_dict or len(predictions) != 2:
        of = f"type {type(predictions).__name__}"
        kind = f"{len(predictions)} feature sets" if is_dict else of
        raise ValueError(
            f"Got predictions of {kind}, expected a dict of two: "
            '{"audio": y_pred, "audio + estimate": y_pred2}.'
        )
    y_true = _labels(y_true, "y_true")
    checked = {}
    for name, predicted in predictions.items():
        predicted = _labels(predicted, f"The predictions {name!r}")
        if len(predicted) != len(y_true):
            raise ValueError(
                f"The predictions {name!r} are of {len(predicted)} clips and y_true of "
                f"{len(y_true)}: pass predictions of the same clips in the same order."
            )
        if not set(predicted.tolist()) & set(y_true.tolist()):
            ours, theirs = (
                examples(dict.fromkeys(labels.tolist()))
                for labels in (predicted, y_true)
            )
            raise ValueError(
                f"None of the labels in the predictions {name!r} ({ours}) is in y_true "
                f"({theirs}): was one of the two encoded as numbers?"
            )
        checked[str(name)] = predicted
    return y_true, checked


def _labels(values, name):
    array = np.asarray(values)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(
            f"{name} has shape {array.shape}, expected (n_clips,): one label per clip."
        )
    missing = [value is None or value != value for value in array.tolist()]
    if any(missing):
        raise ValueError(
            f"{name} has no label in row {missing.index(True)}. Drop such clips."
        )
    return array
