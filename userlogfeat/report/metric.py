"""A score's name and unit, and how scores and settings are written."""

from dataclasses import dataclass

ALL = "all"  # n_labels where no labels are left out
_PROPORTIONS = {"accuracy", "balanced accuracy", "recall", "macro recall", "f1"}


@dataclass(frozen=True)
class Metric:
    """A score's name, and how it is written.

    Attributes
    ----------
    name : str
        As in the column `metric`: ``"accuracy"``, ``"r2"``.
    """

    name: str

    @property
    def is_proportion(self) -> bool:
        """Whether the score is a proportion of clips, written as a percentage."""
        return self.name.lower().replace("_", " ") in _PROPORTIONS

    @property
    def unit(self) -> str:
        """Unit of a difference: " points" of a percentage, or nothing."""
        return " points" if self.is_proportion else ""

    @property
    def label(self) -> str:
        """Name with unit, for axes and tables."""
        if self.name.lower() == "r2":
            return "R² (1 is perfect, 0 the mean)"
        words = self.name.replace("_", " ")
        words = words[:1].upper() + words[1:]
        return f"{words} (%)" if self.is_proportion else words

    def amounts(self, *values: float) -> list[str]:
        """Write differences, with as many decimals as the smallest needs."""
        scale, decimals = (100, 1) if self.is_proportion else (1, 3)
        smallest = min((abs(v * scale) for v in values if v), default=1)
        while decimals < 6 and smallest < 0.5 * 10**-decimals:
            decimals += 1
        written = (f"{v * scale:.{decimals}f}" for v in values)
        return [
            text.replace("-", "−") if float(text) else text.lstrip("-")
            for text in written
        ]

    def score(self, value: float) -> str:
        """Write a score: per cent without the sign, or three decimals."""
        text = f"{value * 100:.1f}" if self.is_proportion else f"{value:.3f}"
        return text.replace("-", "−")


def setting_text(n_labels: int | None, channels: int | None = None) -> str:
    """Return a setting in words: "at 20 labels a class, 64 channels"."""
    labels = "with all labels" if n_labels is None else f"at {n_labels} labels a class"
    if n_labels == 1:
        labels = "at 1 label a class"
    return labels if channels is None else f"{labels}, {channels} channels"
