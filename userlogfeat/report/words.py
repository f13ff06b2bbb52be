"""The words of a comparison: its arms, scores and settings."""

from dataclasses import dataclass

# Arm -> what it is, after Lee, Lee, Park, Lee (2019), section 3.2; then the controls.
ARMS = {
    "base": "learns from the labelled clips alone",
    "fix": "the teacher's network, frozen; only the output layer learns",
    "init": "starts from the teacher's weights, then all layers learn",
    "kd": "learns the labels and, beside them, the teacher's estimate for each clip",
    "kd permuted logs": "control: as kd, from a teacher of logs with permuted items, "
    "which know nothing about music",
    "kd random projection": "control: as kd, from a random projection in place of "
    "the teacher's estimates",
}
CONTROLS = ("kd permuted logs", "kd random projection")
PERMUTED = "kd permuted logs"
ALL = "all"  # n_labels where no labels are left out
SIGNIFICANT = 0.05
_SHARES = {"accuracy", "balanced accuracy", "recall", "macro recall", "f1"}


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
    def is_share(self) -> bool:
        """Whether the score is a share of clips, written as a percentage."""
        return self.name.lower().replace("_", " ") in _SHARES

    @property
    def label(self) -> str:
        """Name with unit, for axes and tables."""
        if self.name.lower() == "r2":
            return "R² (1 is perfect, 0 the mean)"
        words = self.name.replace("_", " ")
        words = words[:1].upper() + words[1:]
        return f"{words} (%)" if self.is_share else words

    def amounts(self, *values: float) -> list[str]:
        """Differences as text, with as many decimals as the smallest needs."""
        scale, decimals = (100, 1) if self.is_share else (1, 3)
        smallest = min((abs(v * scale) for v in values if v), default=1)
        while decimals < 6 and smallest < 0.5 * 10**-decimals:
            decimals += 1
        written = (f"{v * scale:.{decimals}f}" for v in values)
        return [
            text.replace("-", "−") if float(text) else text.lstrip("-")
            for text in written
        ]

    def score(self, value: float) -> str:
        """A score as text: per cent without the sign, or three decimals."""
        text = f"{value * 100:.1f}" if self.is_share else f"{value:.3f}"
        return text.replace("-", "−")


def place(n_labels: int | None, channels: int | None = None) -> str:
    """A setting in words: "at 20 labels a class, 64 channels"."""
    labels = "with all labels" if n_labels is None else f"at {n_labels} labels a class"
    if n_labels == 1:
        labels = "at 1 label a class"
    return labels if channels is None else f"{labels}, {channels} channels"
