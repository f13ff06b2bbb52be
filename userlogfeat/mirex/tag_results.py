"""What became of an evaluation of tags, fold by fold."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from userlogfeat.mirex.results import FoldRun, Runs
from userlogfeat.mirex.tag_scores import MEASURES, clip_aucs, tag_measures

if TYPE_CHECKING:
    import polars as pl


_COUNTS = ("n_relevant", "n_given", "n_correct")
MEAN = "(mean)"


@dataclass(frozen=True)
class TagFoldResult(FoldRun):
    """What a submission did with a fold; its answers are `TagAnswers`."""

    @cached_property
    def truth(self) -> np.ndarray:
        """Which clip has which tag: ndarray (n_clips, n_tags), bool."""
        tags, truth = self.answers.tags, self.fold.truth.values()
        return np.array([[tag in own for tag in tags] for own in truth])

    @cached_property
    def measures(self) -> dict[str, np.ndarray]:
        """Of each tag: see :func:`~userlogfeat.mirex.tag_scores.tag_measures`."""
        return tag_measures(self.truth, self.answers)

    @cached_property
    def clip_aucs(self) -> np.ndarray:
        """Of each clip: ndarray (n_clips,)."""
        return clip_aucs(self.truth, self.answers)


@dataclass(frozen=True)
class TagEvaluation(Runs):
    """Results of submissions to a tag task: its results are `TagFoldResult`."""

    def to_frame(self) -> pl.DataFrame:
        """Measures of tags, tidy.

        Returns
        -------
        polars.DataFrame
            One row for each submission, fold and tag, with `n_clips`, `n_relevant`,
            `n_given`, `n_correct`, `precision`, `recall`, `f`, `auc` and `status`; null
            where a tag cannot be scored. Tag ``"(mean)"`` has the means over tags, and
            `clip_auc`, the mean over clips.
        """
        import polars as pl

        rows = []
        for result in self.results:
            found, n_clips = result.measures, len(result.fold.truth)
            where = {"submission": result.submission, "fold": result.fold.name}
            same = {"n_clips": n_clips, "status": result.status}
            means = {name: _mean(found[name]) for name in MEASURES}
            counts = {name: int(found[name].sum()) for name in _COUNTS}
            clip_auc = {"clip_auc": _mean(result.clip_aucs)}
            rows.append({**where, "tag": MEAN, **counts, **means, **clip_auc, **same})
            for column, tag in enumerate(result.answers.tags):
                own = {name: values[column].item() for name, values in found.items()}
                rows.append({**where, "tag": tag, **own, "clip_auc": None, **same})
        names = ("submission", "fold", "tag", "n_clips", *_COUNTS)
        frame = pl.DataFrame(rows, infer_schema_length=None)
        columns = [*names, *MEASURES, "clip_auc", "status"]
        return frame.select(columns).with_columns(
            pl.col(*MEASURES, "clip_auc").cast(pl.Float64).fill_nan(None)
        )

    def clips_frame(self) -> pl.DataFrame:
        """Areas under the ROC curve of clips.

        Returns
        -------
        polars.DataFrame
            `submission`, `fold`, `clip`, `auc`: null for clips with all tags or none.
        """
        import polars as pl

        rows = [
            (result.submission, result.fold.name, clip, float(value))
            for result in self.results
            for clip, value in zip(result.fold.truth, result.clip_aucs, strict=True)
        ]
        columns = ["submission", "fold", "clip", "auc"]
        frame = pl.DataFrame(rows, schema=columns, orient="row")
        return frame.with_columns(pl.col("auc").fill_nan(None))

    @property
    def frames(self) -> dict[str, pl.DataFrame]:
        """All tables of the evaluation, by the name of their files."""
        return {
            "results.csv": self.to_frame(),
            "clips.csv": self.clips_frame(),
            "runs.csv": self.runs_frame(),
        }


def _mean(values):
    """Mean of what could be scored; NaN where nothing could."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
