"""What a run did, while it goes on and at its end."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from userlogfeat.tables import OK

MAX_EXAMPLES = 20  # failures that a summary describes


@dataclass(frozen=True)
class ExtractionSummary:
    """What a run did.

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
        Audio heard, in s.
    elapsed_seconds : float
        Time the run took, in s.
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
        """Seconds of audio heard per second: 60 is sixty times real time."""
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


@dataclass
class Tally:
    """Counts of a run that goes on: clips by status, first failures, seconds heard."""

    counts: Counter = field(default_factory=Counter)
    examples: list[tuple[Any, str, str]] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, clip: Any, status: str, message: str, seconds: float) -> None:
        """Count one clip."""
        self.counts[status] += 1
        if status == OK:
            self.seconds += seconds
        elif len(self.examples) < MAX_EXAMPLES:
            self.examples.append((clip, status, message))

    @property
    def n_failed(self) -> int:
        """Clips without features."""
        return sum(self.counts.values()) - self.counts[OK]


@contextlib.contextmanager
def progress_bar(
    tally: Tally, n_clips: int, n_todo: int, progress: bool | None
) -> Iterator[Callable[[int], None]]:
    """Yield a function that shows a tally; call it with the number of clips added.

    Parameters
    ----------
    tally : Tally
        What to show.
    n_clips, n_todo : int
        Clips asked for, and those of them that are to be heard.
    progress : bool or None
        Whether to show a bar; None shows it on a terminal.
    """
    from tqdm import tqdm

    hidden = None if progress is None else not progress  # None: unless on a terminal
    with tqdm(
        total=n_clips, initial=n_clips - n_todo, unit="clip", disable=hidden
    ) as bar:
        start = time.monotonic()

        def show(n):
            rate = tally.seconds / max(time.monotonic() - start, 1e-9)
            bar.set_postfix_str(
                f"{rate:.0f} x real time, {tally.n_failed} failed", False
            )
            bar.update(n)

        yield show
