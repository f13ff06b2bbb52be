"""Scores of several methods with intervals: against baselines, or by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from userlogfeat._typing import ArrayLike
from userlogfeat.evaluation.intervals import mean_interval
from userlogfeat.report.style import FONT, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


WIDTH, ROW_HEIGHT, MARGINS = 5.8, 0.38, 1.0  # inches of a new figure
COLOURS = {False: "#0072B2", True: "#7F7F7F"}  # of methods, of baselines
HATCH = {False: None, True: "///"}  # the same without colour


@dataclass(repr=False, eq=False)
class ScoreDisplay:
    """Scores of methods, best on top, as bars with 95 % intervals.

    Where all means are from 0 to 1, the axis ends there: an interval that is longer, as
    those over two folds are, leaves the picture and has no cap.

    Parameters
    ----------
    names : list of str
        Methods, from the top down.
    mean, low, high : ndarray (n_methods,)
        Mean score and the ends of its interval.
    baselines : sequence of str
        Names of methods to beat; they are hatched.
    score : str
        Name of the score, for the axis.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    bars_ : dict of str to matplotlib Rectangle

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from userlogfeat import ScoreDisplay
    >>> display = ScoreDisplay.from_predictions(
    ...     {"chance": [0.5, 0.49, 0.51], "audio": [0.7, 0.72, 0.71]},
    ...     baselines=["chance"],
    ...     score="AUC",
    ... )
    >>> display.names
    ['audio', 'chance']
    >>> plt.close(display.figure_)
    """

    names: list[str]
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    baselines: Sequence[str] = ()
    score: str = "Score"

    @classmethod
    def from_predictions(
        cls,
        scores: Mapping[str, ArrayLike],
        *,
        baselines: Sequence[str] = (),
        score: str = "Score",
        ax: Axes | None = None,
    ) -> ScoreDisplay:
        """Draw repeated scores: of folds, seeds, users or clips.

        Parameters
        ----------
        scores : dict of str to array-like (n_repeats,)
            Scores of each method. NaN (users without a relevant item) is left out.
            The interval is one of the mean over repeats; with one it has no width.
        baselines : sequence of str
            Names of methods to beat.
        score : str
            Name of the score.
        ax : matplotlib Axes, optional
            Axes to draw into. By default those of a new figure of pyplot, of a height
            that fits the methods.

        Returns
        -------
        ScoreDisplay

        Raises
        ------
        ValueError
            If there are no scores, or a baseline is not among the methods.
        ImportError
            If matplotlib is missing.
        """
        unknown = [name for name in baselines if name not in scores]
        if unknown:
            raise ValueError(
                f"Got baselines {unknown}, but the methods are {', '.join(scores)}."
            )
        found = {str(name): _interval(name, values) for name, values in scores.items()}
        if not found:
            raise ValueError("Got no scores: pass a dict of names to arrays.")
        names = sorted(found, key=lambda name: -found[name][0])
        mean, low, high = np.array([found[name] for name in names]).T
        display = cls(names, mean, low, high, baselines=list(baselines), score=score)
        return display.plot(ax=ax)

    @classmethod
    def from_estimator(
        cls, search: Any, parameter: str, *, ax: Axes | None = None
    ) -> ScoreDisplay:
        """Draw a fitted search: the best candidate for each value of a parameter.

        Parameters
        ----------
        search : GridSearchCV or RandomizedSearchCV
            Fitted search.
        parameter : str
            Name of a parameter that was searched: ``"userlogembedder__layer"``.
        ax : matplotlib Axes, optional
            Axes to draw into. By default those of a new figure of pyplot.

        Returns
        -------
        ScoreDisplay
            The interval is over folds.

        Raises
        ------
        ValueError
            If the parameter was not searched.
        ImportError
            If matplotlib is missing.
        """
        results = search.cv_results_
        if f"param_{parameter}" not in results:
            known = ", ".join(k[6:] for k in results if k.startswith("param_"))
            raise ValueError(f"Got parameter={parameter!r}, but searched were {known}.")
        folds = [results[f"split{i}_test_score"] for i in range(search.n_splits_)]
        scores: dict[str, np.ndarray] = {}
        for i in np.argsort(results["rank_test_score"], kind="stable"):
            value = _write(results["params"][i].get(parameter))
            scores.setdefault(value, np.array([fold[i] for fold in folds]))
        return cls.from_predictions(scores, score="Mean test score", ax=ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw into. By default those of a new figure of pyplot, of a height
            that fits the methods.

        Returns
        -------
        self
        """
        n = len(self.names)
        self.ax_ = new_axes((WIDTH, MARGINS + ROW_HEIGHT * n)) if ax is None else ax
        self.figure_ = self.ax_.figure
        self.bars_ = {}
        for row, name in enumerate(self.names):
            is_baseline = name in self.baselines
            mean, low, high = self.mean[row], self.low[row], self.high[row]
            [self.bars_[name]] = self.ax_.barh(
                row,
                mean,
                0.7,
                xerr=np.clip([[mean - low], [high - mean]], 0, None).tolist(),
                color="white" if is_baseline else COLOURS[is_baseline],
                edgecolor=COLOURS[is_baseline],
                hatch=HATCH[is_baseline],
                ecolor="black",
                capsize=2.5,
            )
            self.ax_.annotate(
                f"{mean:.3f}",
                (min(max(high, mean, 0), self._edges()[1]), row),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=FONT - 2,
            )
        self.ax_.set_yticks(np.arange(n), self.names, parse_math=False)
        self.ax_.set_ylim(n - 0.5, -0.5)
        self.ax_.margins(x=0.15)
        left, right = self.ax_.get_xlim()
        low, high = self._edges()
        self.ax_.set_xlim(max(left, low), min(right, high))
        self.ax_.tick_params(labelsize=FONT - 1)
        self.ax_.set_xlabel(f"{self.score} (bars: 95 % intervals)", fontsize=FONT)
        self.ax_.spines[["top", "right"]].set_visible(False)
        return self

    def _edges(self):
        """Ends of the axis: intervals of few folds are longer than scores can be."""
        is_fraction = bool((self.mean >= 0).all() and (self.mean <= 1).all())
        return (0, 1) if is_fraction else (-np.inf, np.inf)


def _interval(name, values):
    """Return mean, low and high end of repeated scores."""
    values = np.asarray(values, dtype=np.float64).ravel()
    values = values[~np.isnan(values)]
    if len(values) == 0:
        raise ValueError(f"{name!r} has no score that is a number.")
    if len(values) == 1 or np.ptp(values) == 0:
        return values[0], values[0], values[0]
    return tuple(mean_interval(values))


def _write(value):
    """Write a value of a parameter: layers side by side with a plus."""
    return " + ".join(value) if isinstance(value, tuple) else str(value)
