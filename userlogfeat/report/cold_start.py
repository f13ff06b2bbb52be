"""How many listeners an audio estimate is worth: the calibration of ColdStartItems."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from userlogfeat.report.style import FONT, finish, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


SIZE = (5.6, 4.4)  # inches of a new figure
LOOKS = {
    "factor": ("#D55E00", "o", "--"),
    "estimate": ("#7F7F7F", "s", ":"),
    "blend": ("#0072B2", "D", "-"),
}
NAMES = {
    "factor": "factor of few listeners",
    "estimate": "estimate from audio",
    "blend": "blend",
}


@dataclass(repr=False, eq=False)
class ColdStartDisplay:
    """Loss of factor, estimate and blend, by how many listeners an item has.

    Parameters
    ----------
    n_users : ndarray (n_levels,) of int
        Number of listeners that were left of held-out items.
    losses : dict of str to ndarray (n_levels,)
        Mean loss of "factor", "estimate" and "blend"; see
        :class:`ColdStartItems`, attribute `calibration_`.
    k0 : float
        Number of listeners that an estimate is worth.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : dict of str to matplotlib Line2D

    See Also
    --------
    ColdStartItems : Measures what is drawn.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from userlogfeat import ColdStartDisplay
    >>> losses = {"factor": [0.6, 0.2], "estimate": [0.4, 0.4], "blend": [0.3, 0.2]}
    >>> display = ColdStartDisplay(np.array([1, 8]), losses, k0=3.0).plot()
    >>> display.lines_["blend"].get_ydata()
    array([0.3, 0.2])
    >>> plt.close(display.figure_)
    """

    n_users: np.ndarray
    losses: dict[str, np.ndarray]
    k0: float

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, ax: Axes | None = None
    ) -> ColdStartDisplay:
        """Draw the calibration of fitted :class:`ColdStartItems`.

        Parameters
        ----------
        estimator : ColdStartItems
            Fitted, with ``k0="auto"``.
        ax : matplotlib Axes, optional
            Axes to draw into. By default those of a new figure of pyplot.

        Returns
        -------
        ColdStartDisplay

        Raises
        ------
        ValueError
            If k0 was given, so that nothing was measured.
        ImportError
            If matplotlib is missing.
        """
        calibration = estimator.calibration_
        if calibration is None:
            raise ValueError(
                f"k0={estimator.k0!r} was given, so nothing was measured. Fit with "
                'k0="auto".'
            )
        losses = {name: calibration[name] for name in NAMES if name in calibration}
        return cls(calibration["n_users"], losses, k0=estimator.k0_).plot(ax=ax)

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
        self.lines_, handles = {}, {}
        for name, (colour, marker, dashes) in LOOKS.items():
            [line] = self.ax_.plot(
                self.n_users,
                np.asarray(self.losses[name]),
                color=colour,
                marker=marker,
                linestyle=dashes,
            )
            self.lines_[name] = handles[NAMES[name]] = line
        self.ax_.set_xscale("log", base=2)
        self.ax_.set_xticks(self.n_users, [str(n) for n in self.n_users])
        self.ax_.minorticks_off()
        self.ax_.set_ylim(bottom=0)
        self.ax_.set_xlabel("Listeners of an item", fontsize=FONT)
        self.ax_.set_ylabel("Loss (0: the factor of all listeners)", fontsize=FONT)
        finish(self.ax_, handles, title=f"An estimate is worth {self.k0:.2g} listeners")
        return self
