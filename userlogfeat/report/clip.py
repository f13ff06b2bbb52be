"""A clip beside what is nearest to it: its log-mel spectrogram and a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from userlogfeat._typing import ArrayLike, Labels
from userlogfeat.evaluation.ranking import unit_rows
from userlogfeat.report.style import FONT, plotting

if TYPE_CHECKING:
    from matplotlib.axes import Axes


SIZE = (8.0, 3.2)  # inches of a new figure
COLOUR = "#0072B2"


@dataclass(repr=False, eq=False)
class ClipDisplay:
    """Log-mel spectrogram of a clip, and the names that are nearest to it.

    Parameters
    ----------
    log_mel : ndarray (n_bands, n_frames)
        Spectrogram, as :class:`LogMel` makes it.
    names : list of str
        Nearest artists, clips or labels, the nearest first.
    similarities : ndarray (n_names,)
        Cosine similarity of each, from -1 to 1.
    seconds : float, optional
        Length of the clip; frames are counted without it.

    Attributes
    ----------
    axes_ : list of two matplotlib Axes
    figure_ : matplotlib Figure
    image_ : matplotlib AxesImage
    bars_ : matplotlib BarContainer

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from userlogfeat import ClipDisplay
    >>> display = ClipDisplay.from_predictions(
    ...     np.zeros((96, 100)),
    ...     [1.0, 0.0],
    ...     [[0.0, 1.0], [1.0, 0.1], [1.0, -0.1]],
    ...     ["Can", "Nico", "Nico"],
    ... )
    >>> display.names
    ['Nico', 'Can']
    >>> plt.close(display.figure_)
    """

    log_mel: np.ndarray
    names: list[str]
    similarities: np.ndarray
    seconds: float | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        clip: Any,
        X: Any,
        names: Labels,
        *,
        log_mel: ArrayLike,
        k: int = 5,
        seconds: float | None = None,
        ax: Sequence[Axes] | None = None,
    ) -> ClipDisplay:
        """Embed a clip and others by a fitted embedder, and draw the nearest.

        Parameters
        ----------
        estimator : transformer
            Fitted embedder.
        clip : str, Path or ndarray
            The clip: a path, a waveform or a spectrogram.
        X : array-like of n_clips
            Clips to compare with, as the embedder takes them.
        names : array-like (n_clips,)
            Artist (or label) of each.
        log_mel : array-like (n_bands, n_frames)
            Spectrogram of the clip.
        k, seconds, ax
            As in `from_predictions`.

        Returns
        -------
        ClipDisplay

        Raises
        ------
        ValueError, ImportError
            As in `from_predictions`.
        """
        embedding = estimator.transform([clip])[0]
        settings = {"k": k, "seconds": seconds, "ax": ax}
        embeddings = estimator.transform(X)
        return cls.from_predictions(log_mel, embedding, embeddings, names, **settings)

    @classmethod
    def from_predictions(
        cls,
        log_mel: ArrayLike,
        embedding: ArrayLike,
        embeddings: ArrayLike,
        names: Labels,
        *,
        k: int = 5,
        seconds: float | None = None,
        ax: Sequence[Axes] | None = None,
    ) -> ClipDisplay:
        """Draw a clip beside the names with the most similar mean embedding.

        Parameters
        ----------
        log_mel : array-like (n_bands, n_frames)
            Spectrogram of the clip.
        embedding : array-like (n_columns,)
            Embedding of the clip.
        embeddings : array-like (n_clips, n_columns)
            Embeddings of other clips.
        names : array-like (n_clips,)
            Artist (or label) of each; those with one name are averaged, at unit length.
        k : int
            Number of names to list.
        seconds : float, optional
            Length of the clip, for the time axis.
        ax : pair of matplotlib Axes, optional
            For the spectrogram and for the list. By default of a new pyplot figure.

        Returns
        -------
        ClipDisplay

        Raises
        ------
        ValueError
            If shapes do not fit together.
        ImportError
            If matplotlib is missing.
        """
        log_mel, one = np.asarray(log_mel), np.asarray(embedding, dtype=np.float64)
        rows = np.asarray(embeddings, dtype=np.float64)
        texts = np.array([str(name) for name in names])
        if log_mel.ndim != 2:
            raise ValueError(
                f"Got log_mel of shape {log_mel.shape}, expected (n_bands, n_frames): "
                "one clip. Pass log_mel[0] of LogMel's output."
            )
        if rows.shape != (len(texts), *one.shape) or one.ndim != 1:
            raise ValueError(
                f"Got an embedding of shape {one.shape}, embeddings of {rows.shape} "
                f"and {len(texts)} names, expected (n_columns,), (n_clips, n_columns) "
                "and n_clips."
            )
        rows, known = unit_rows(rows), np.unique(texts)
        means = np.array([rows[texts == name].mean(axis=0) for name in known])
        similarities = unit_rows(means) @ unit_rows(one[None])[0]
        order = np.argsort(-similarities, kind="stable")[:k]
        nearest = known[order].tolist()
        return cls(log_mel, nearest, similarities[order], seconds).plot(ax=ax)

    def plot(self, ax: Sequence[Axes] | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : pair of matplotlib Axes, optional
            For the spectrogram and for the list. By default of a new pyplot figure.

        Returns
        -------
        self
        """
        if ax is None:
            plt = plotting("matplotlib.pyplot")
            _, ax = plt.subplots(
                1, 2, figsize=SIZE, layout="constrained", width_ratios=(3, 2)
            )
        picture, bars = ax
        self.axes_, self.figure_ = [picture, bars], picture.figure
        n_bands, n_frames = self.log_mel.shape
        width = n_frames if self.seconds is None else self.seconds
        self.image_ = picture.imshow(
            self.log_mel,
            origin="lower",
            aspect="auto",
            cmap="cividis",
            extent=(0, width, 0, n_bands),
        )
        picture.set_xlabel(
            "Frame" if self.seconds is None else "Seconds", fontsize=FONT
        )
        picture.set_ylabel("Mel band", fontsize=FONT)
        rows = np.arange(len(self.names))
        self.bars_ = bars.barh(rows, self.similarities, 0.7, color=COLOUR)
        bars.set_yticks(rows, self.names, parse_math=False)
        bars.invert_yaxis()
        bars.set_xlabel("Cosine similarity", fontsize=FONT)
        bars.spines[["top", "right"]].set_visible(False)
        return self
