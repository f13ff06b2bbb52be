"""A map of items by taste: embeddings in two dimensions, one mark for each label."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from userlogfeat._typing import ArrayLike, Labels
from userlogfeat.report.style import FONT, finish, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


SIZE = (5.6, 5.0)  # inches of a new figure
# Okabe and Ito's colours, dark ones first, with a marker each for print without colour.
MARKS = (
    ("#0072B2", "o"),
    ("#D55E00", "^"),
    ("#009E73", "s"),
    ("#CC79A7", "D"),
    ("#000000", "x"),
    ("#E69F00", "v"),
    ("#56B4E9", "P"),
)
OTHER = ("0.75", ".")
OTHERS = "other"


@dataclass(repr=False, eq=False)
class CFDisplay:
    """Map of items by taste: items that the same users play are near each other.

    Embeddings are brought to unit length and projected on their two main directions.
    Any embedding can be drawn: factors of logs, estimates from audio, users.

    Parameters
    ----------
    positions : ndarray (n_items, 2)
        Places on the map.
    labels : ndarray (n_items,) of str
        Label of each item: artist, genre, mood.
    explained : float
        Fraction of the variance that both axes show, from 0 to 1.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    points_ : dict of str to matplotlib Line2D
        The items of each label; the rarest labels share the entry "other".

    See Also
    --------
    CFEmbedding : Learns the factors.

    Examples
    --------
    Two circles of listeners, each with songs of its own:

    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from userlogfeat import CFDisplay, CFEmbedding
    >>> cf = CFEmbedding(4, random_state=0).fit(np.kron(np.eye(2), np.ones((3, 5))))
    >>> display = CFDisplay.from_estimator(cf, labels=["folk"] * 5 + ["rock"] * 5)
    >>> sorted(display.points_)
    ['folk', 'rock']
    >>> plt.close(display.figure_)
    """

    positions: np.ndarray
    labels: np.ndarray
    explained: float

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike | None = None,
        *,
        labels: Labels | None = None,
        ax: Axes | None = None,
    ) -> CFDisplay:
        """Draw the items of fitted factors, or what a transformer makes of `X`.

        Parameters
        ----------
        estimator : estimator
            A fitted :class:`CFEmbedding`, or with `X` any fitted transformer.
        X : array-like, optional
            Clips or users to embed. By default ``estimator.item_factors_`` are drawn.
        labels : array-like (n_items,), optional
            Label of each item, in the order of the rows.
        ax : matplotlib Axes, optional
            Axes to draw into. By default those of a new figure of pyplot.

        Returns
        -------
        CFDisplay

        Raises
        ------
        TypeError
            If `X` is missing and the estimator has no factors of items.
        ValueError
            If labels and rows differ in number, or fewer than three items have an
            embedding.
        ImportError
            If matplotlib is missing.
        """
        if X is None and not hasattr(estimator, "item_factors_"):
            raise TypeError(
                f"Got a {type(estimator).__name__} without item_factors_. Pass a "
                "fitted CFEmbedding, or the clips to embed as X."
            )
        rows = estimator.item_factors_ if X is None else estimator.transform(X)
        return cls.from_predictions(rows, labels=labels, ax=ax)

    @classmethod
    def from_predictions(
        cls,
        embeddings: ArrayLike,
        *,
        labels: Labels | None = None,
        ax: Axes | None = None,
    ) -> CFDisplay:
        """Draw embeddings.

        Parameters
        ----------
        embeddings : array-like (n_items, n_columns)
            One row per item. Rows of zeros (items that nobody played) are left out.
        labels : array-like (n_items,), optional
            Label of each item. The seven commonest have a colour and a marker each.
        ax : matplotlib Axes, optional
            Axes to draw into. By default those of a new figure of pyplot.

        Returns
        -------
        CFDisplay

        Raises
        ------
        ValueError
            If labels and rows differ in number, a number is not finite, or fewer than
            three items have an embedding.
        ImportError
            If matplotlib is missing.
        """
        rows = np.asarray(embeddings, dtype=np.float64)
        if rows.ndim != 2 or not np.isfinite(rows).all():
            raise ValueError(
                f"Got embeddings of shape {rows.shape}, expected finite numbers "
                "(n_items, n_columns)."
            )
        names = ["items"] * len(rows) if labels is None else list(labels)
        if len(names) != len(rows):
            raise ValueError(
                f"Got {len(names)} labels for {len(rows)} items: pass one per item, in "
                "the order of the rows (catalogue.align returns it)."
            )
        lengths = np.linalg.norm(rows, axis=1)
        kept = lengths > 0
        if kept.sum() < 3:
            raise ValueError(
                f"Got {kept.sum()} items with an embedding, expected three or more. "
                "Rows of zeros are items that nobody played."
            )
        positions, explained = _project(rows[kept] / lengths[kept, None])
        names = np.array([str(name) for name in names])[kept]
        return cls(positions, names, explained=explained).plot(ax=ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw into. By default those of a new figure of pyplot.

        Returns
        -------
        self
        """
        self.ax_ = new_axes(SIZE) if ax is None else ax
        self.figure_ = self.ax_.figure
        self.points_ = {}
        shown = shown_labels(self.labels)
        rest = ~np.isin(self.labels, shown)
        if rest.any():
            self._draw(OTHERS, rest, OTHER)
        for name, mark in zip(shown, MARKS, strict=False):
            self._draw(name, self.labels == name, mark)
        self.ax_.set_xticks([])
        self.ax_.set_yticks([])
        self.ax_.set_aspect("equal", adjustable="datalim")
        handles = dict(sorted(self.points_.items(), key=lambda p: p[0] == OTHERS))
        finish(self.ax_, handles, title=f"{100 * self.explained:.0f} % of the variance")
        return self

    def _draw(self, name, rows, mark):
        colour, marker = mark
        size = 4 if len(self.labels) > 500 else 6
        [self.points_[name]] = self.ax_.plot(
            *self.positions[rows].T,
            color=colour,
            marker=marker,
            markersize=size,
            linestyle="none",
            alpha=0.8,
        )
        self.ax_.set_xlabel("first direction of taste", fontsize=FONT)
        self.ax_.set_ylabel("second direction of taste", fontsize=FONT)


def shown_labels(labels: np.ndarray) -> list[str]:
    """Return the labels that have a mark of their own, by name.

    Parameters
    ----------
    labels : ndarray of str

    Returns
    -------
    list of str
        All, or the commonest where there are more than marks.
    """
    common = Counter(labels.tolist()).most_common(len(MARKS))
    return sorted(name for name, _ in common)


def _project(rows):
    """Project on the two main directions; return (n, 2) and the explained fraction."""
    rows = rows - rows.mean(axis=0)
    left, sizes, _ = np.linalg.svd(rows, full_matrices=False)
    positions = np.zeros((len(rows), 2))
    positions[:, : len(sizes[:2])] = left[:, :2] * sizes[:2]
    # The direction of a singular vector is arbitrary: the largest entry is positive.
    largest = np.abs(positions).argmax(axis=0)
    positions *= np.where(positions[largest, [0, 1]] < 0, -1, 1)
    total = np.square(sizes).sum()
    return positions, float(np.square(sizes[:2]).sum() / total) if total else 1.0
