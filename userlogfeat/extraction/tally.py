"""Counts of a run, while it goes on and at its end."""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Self

from userlogfeat._progress import progress_bar
from userlogfeat.tables import OK

MAX_EXAMPLES = 20  # failures that a summary describes


@dataclass(frozen=True)
class ExtractionSummary:
    """Results of a run.

    Attributes
    ----------
    n_done : int
        Clips whose features this run added.
    n_skipped : int
        Clips whose features were in the table.
    failed : dict of str to int
        Clips without features, by the class of their error: those of this run, and
        with ``retry_failed=False`` those it left alone.
    examples : list of (clip, status, message)
        The first failures of this run.
    audio_seconds : float
        Audio embedded, in s.
    elapsed_seconds : float
        Duration of the run, in s.
    """

    n_done: int = 0
    n_skipped: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    examples: list[tuple[Any, str, str]] = field(default_factory=list)
    audio_seconds: float = 0.0
    elapsed_seconds: float = 0.0

    @property
    def n_failed(self) -> int:
        """Clips without features."""
        return sum(self.failed.values())

    @property
    def rate(self) -> float:
        """Seconds of audio embedded per second: 60 is sixty times real time."""
        return self.audio_seconds / max(self.elapsed_seconds, 1e-9)

    def __str__(self) -> str:
        text = (
            f"{self.n_done} done, {self.n_skipped} were there, {self.n_failed} failed; "
            f"{self.audio_seconds / 60:.1f} min of audio in "
            f"{self.elapsed_seconds:.1f} s ({self.rate:.0f} x real time)"
        )
        for status, count in sorted(self.failed.items()):
            text += f"\n  {status}: {count}"
        return text


class Tally:
    """Counts of a run that goes on, and its progress bar; a context manager.

    Parameters
    ----------
    n_clips, n_todo : int
        Clips asked for, and those of them that are to be embedded.
    progress : bool or None
        Whether to show a bar; None leaves it to :func:`show_progress`.

    Attributes
    ----------
    counts : Counter
        Clips by status.
    examples : list of (clip, status, message)
        The first failures.
    seconds : float
        Audio embedded, in s.
    """

    def __init__(self, n_clips: int, n_todo: int, progress: bool | None) -> None:
        self.counts: Counter = Counter()
        self.examples: list[tuple[Any, str, str]] = []
        self.seconds = 0.0
        self._start = time.monotonic()
        self._bar = progress_bar(
            total=n_clips,
            initial=n_clips - n_todo,
            desc="extract",
            unit="clip",
            asked=progress,
            hidden=progress is False,
            leave=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    def add(self, clip: Any, status: str, message: str, seconds: float) -> None:
        """Count one clip."""
        self.counts[status] += 1
        if status == OK:
            self.seconds += seconds
        elif len(self.examples) < MAX_EXAMPLES:
            self.examples.append((clip, status, message))
        if not self._bar.disable:
            rate = self.seconds / max(time.monotonic() - self._start, 1e-9)
            n_failed = self.counts.total() - self.counts[OK]
            self._bar.set_postfix_str(
                f"{rate:.0f} x real time, {n_failed} failed", refresh=False
            )
        self._bar.update()
