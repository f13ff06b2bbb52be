"""The summary of a comparison: means with intervals, differences with paired tests.

Intervals are over clips and seeds. Tests pair the scores of two arms in the
same fold under the same seed, and their p-values are corrected for how many there are
in the table (Holm 1979).
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from userlogfeat._groups import as_column
from userlogfeat._typing import Labels
from userlogfeat.comparison.arms import ARMS, BASELINES, mode_of
from userlogfeat.evaluation.intervals import mean_interval
from userlogfeat.evaluation.significance import (
    cohens_dz,
    holm,
    paired_ttest,
    wilcoxon,
)

_SETTING = ["n_labels", "channels"]
_TESTS = ("p_ttest", "p_wilcoxon")
# Columns of a contrast; those that end with "_holm" are filled in at the end.
_CONTRAST = (
    *("difference", "diff_low", "diff_high"),
    *("p_ttest", "p_ttest_holm", "p_wilcoxon", "p_wilcoxon_holm"),
    "effect_size",
)
_FIT = ["arm", *_SETTING, "seed", "fold"]
# Bounds of the outcome of a clip, and so of the interval of its mean.
_NONE = (-np.inf, np.inf)
_BOUNDS = {"accuracy": (0.0, 1.0), "r2": (-np.inf, 1.0)}
_NEEDED = (*_FIT, "score", "metric", "clips", "outcome")


def summarise(
    frame: pl.DataFrame,
    *,
    against: Sequence[str] | None = None,
    groups: Labels | None = None,
    corrected: bool = True,
) -> pl.DataFrame:
    """Compute means, intervals and tests of the frame that ``compare`` returned.

    Parameters
    ----------
    frame : polars.DataFrame
        Frame of ``compare``: one row per fit.
    against : sequence of str, optional
        Arms that all others are compared with, if the frame has them. By default
        students are compared with base and the plain arms with plain, and those that
        are not controls with the three controls as well.
    groups : array-like (n_clips,), optional
        Artist of each clip of X, tested or not: intervals are then over artists, since
        clips of one artist are not independent. By default the `groups` of `compare`,
        which are in the frame; without that column, intervals are over clips.
    corrected : bool
        Whether to use the t-test of Nadeau and Bengio (2003), corrected for folds whose
        training clips overlap. The plain test, which Lee et al. (2019) use, finds too
        many differences.

    Returns
    -------
    polars.DataFrame
        One row for each `n_labels`, `channels` and `arm`: `metric`; `mean`, `low` and
        `high`, the 95 % interval over clips and seeds; `n_clips`,
        `n_groups` (artists; null where intervals are over clips), `n_seeds`. For each
        arm in `against`, such as base: ``"difference to base"``, ``"diff_low to
        base"`` and ``"diff_high to base"``, the mean difference and its 95 %
        interval; ``"p_ttest to base"`` and ``"p_wilcoxon to base"``, two-sided,
        paired over folds and seeds, and ``"p_ttest_holm to base"`` and
        ``"p_wilcoxon_holm to base"``, corrected over the table; and ``"effect_size
        to base"``, Cohen's d_z. Null where the two have no fit in common.

    Raises
    ------
    ValueError
        If columns are missing, a fit is there twice, the frame is of several metrics,
        or `groups` are too few.
    TypeError
        If it is not a polars.DataFrame.

    Notes
    -----
    The mean is over clips and seeds: larger folds count for more. R2 is taken clip by
    clip, as 1 - (squared error) / (variance of the fold), whose mean over the clips of
    a fold is the fold's R2.

    The correction has 1/n_pairs + n_test/n_train in place of 1/n_pairs, where n_train
    are the clips that are not in the test fold. Subsets of `n_labels` of them share
    fewer clips, and the test is then on the safe side.

    Examples
    --------
    >>> import polars as pl
    >>> from userlogfeat.comparison import summarise
    >>> rows = [
    ...     {"arm": arm, "n_labels": 5, "channels": None, "seed": seed, "fold": 0,
    ...      "score": sum(outcome) / 4, "metric": "accuracy", "n_train": 10,
    ...      "n_test": 4, "clips": [0, 1, 2, 3], "outcome": outcome}
    ...     for seed in range(3)
    ...     for arm, outcome in (("base", [1, 0, 0, 1]), ("kd", [1, 1, 0, 1]))
    ... ]
    >>> summary = summarise(pl.DataFrame(rows))
    >>> summary.select("arm", "mean", "difference to base").rows()
    [('base', 0.5, None), ('kd', 0.75, 0.25)]
    """
    _check(frame)
    groups = _check_groups(groups, frame)
    all_pairs = against is not None
    if against is None:
        against = [arm for base, all_ in BASELINES.items() for arm in (base, *all_)]
    against = (against,) if isinstance(against, str) else against
    against = [arm for arm in against if arm in frame["arm"]]
    n_train = _training_size(frame) if corrected else None
    rows = []
    for (n_labels, channels), fits in frame.group_by(_SETTING, maintain_order=True):
        tables = _Tables(fits, groups)
        for arm in tables.arms:
            row = {"n_labels": n_labels, "channels": channels, "arm": arm}
            row |= tables.describe(arm)
            for other in against:
                if all_pairs or _matters(arm, other):
                    contrast = tables.compare(arm, other, n_train)
                    row |= {f"{name} to {other}": x for name, x in contrast.items()}
            rows.append(row)
    summary = pl.DataFrame(rows, schema=_schema(against), infer_schema_length=None)
    return _correct(summary, against)


def _matters(arm, other):
    """Whether two arms are compared if nothing else is asked for.

    A contrast more in the table makes Holm's correction of all others stricter.
    """
    baseline = "plain" if mode_of(arm) == "plain" else "base"
    if arm == baseline or other == baseline:
        return other == baseline
    control = arm in ARMS and ARMS[arm].is_control
    return not control and other in BASELINES[baseline]


class _Tables:
    """Outcomes (n_seeds, n_clips) and scores of the arms of one setting."""

    def __init__(self, fits, groups):
        self.metric = fits["metric"][0]
        self.arms = fits["arm"].unique(maintain_order=True).to_list()
        self.seeds = fits["seed"].unique().sort().to_list()
        self.clips = fits["clips"].explode().unique().sort().to_numpy()
        self.groups = None if groups is None else groups[self.clips]
        self.outcomes, self.fits = {}, {}
        for arm in self.arms:
            self.fits[arm] = fits.filter(pl.col("arm") == arm)
            self.outcomes[arm] = self._table(self.fits[arm])

    def _table(self, fits):
        """Mean outcome of each clip under each seed; NaN where it was not tested."""
        total = np.zeros((len(self.seeds), len(self.clips)))
        count = np.zeros_like(total)
        for row in fits.iter_rows(named=True):
            columns = np.searchsorted(self.clips, row["clips"])
            total[self.seeds.index(row["seed"]), columns] += _per_clip(row)
            count[self.seeds.index(row["seed"]), columns] += 1
        return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)

    def describe(self, arm):
        table = self.outcomes[arm]
        interval = self._interval(table, _BOUNDS.get(self.metric, _NONE))
        return {
            "metric": self.metric,
            **dict(zip(("mean", "low", "high"), interval, strict=True)),
            "n_clips": int(np.isfinite(table).any(axis=0).sum()),
            "n_groups": self._count_groups(table),
            "n_seeds": int(np.isfinite(table).any(axis=1).sum()),
        }

    def compare(self, arm, other, n_train):
        """Compare two arms in the folds and seeds that both have."""
        if arm == other or other not in self.fits:
            return {}
        keys = ["seed", "fold"]
        pairs = self.fits[arm].join(self.fits[other], on=keys, suffix="_other")
        if pairs.height == 0:
            return {}
        first, second = pairs["score"].to_numpy(), pairs["score_other"].to_numpy()
        sizes = {}
        if n_train is not None:
            sizes = {"n_train": n_train, "n_test": float(pairs["n_test"].mean())}
        # Fits of one arm only are left out of both tables.
        tables = [
            self._table(self.fits[a].join(pairs.select(keys), on=keys, how="semi"))
            for a in (arm, other)
        ]
        low, high = _BOUNDS.get(self.metric, _NONE)
        bounds = low - high, high - low
        interval = self._interval(tables[0] - tables[1], bounds)
        return {
            **dict(zip(_CONTRAST, interval, strict=False)),
            "p_ttest": paired_ttest(first, second, **sizes).p_value,
            "p_wilcoxon": wilcoxon(first, second).p_value,
            "effect_size": cohens_dz(first, second),
        }

    def _count_groups(self, table):
        if self.groups is None:
            return None
        return len(np.unique(self.groups[np.isfinite(table).any(axis=0)]))

    def _interval(self, table, bounds):
        tested = np.isfinite(table)
        seeds, clips = tested.any(axis=1), tested.any(axis=0)
        groups = None if self.groups is None else self.groups[clips]
        chosen = np.ix_(seeds, clips)
        return mean_interval(
            table[chosen], tested=tested[chosen], groups=groups, bounds=bounds
        )


def _per_clip(row):
    """Return the contribution of each clip to the score: its outcome, or part of R2."""
    outcome = np.asarray(row["outcome"], dtype=np.float64)
    if row["metric"] != "r2":
        return outcome
    if row["score"] == 1:
        return np.ones_like(outcome)
    variance = outcome.mean() / (1 - row["score"])
    return 1 - outcome / variance


def _training_size(frame):
    """Return the number of clips outside a test fold."""
    n_clips = frame["clips"].explode().n_unique()
    return max(n_clips - frame["n_test"].mean(), frame["n_train"].max())


def _correct(summary, against):
    """Add Holm's correction of each test over all of the table."""
    for test in _TESTS:
        names = [f"{test} to {arm}" for arm in against]
        values = summary.select(names).to_numpy().astype(np.float64)
        known = np.isfinite(values)
        if known.any():
            values[known] = holm(values[known])
        columns = [
            pl.Series(f"{test}_holm to {arm}", column, nan_to_null=True)
            for arm, column in zip(against, values.T, strict=True)
        ]
        summary = summary.with_columns(columns)
    return summary


def _schema(against):
    numbers = {f"{name} to {arm}": pl.Float64 for arm in against for name in _CONTRAST}
    return {
        "n_labels": pl.Int64,
        "channels": pl.Int64,
        "arm": pl.String,
        "metric": pl.String,
        **dict.fromkeys(("mean", "low", "high"), pl.Float64),
        **dict.fromkeys(("n_clips", "n_groups", "n_seeds"), pl.Int64),
        **numbers,
    }


def _check(frame):
    if not isinstance(frame, pl.DataFrame):
        kind = f"{type(frame).__module__.partition('.')[0]}.{type(frame).__name__}"
        raise TypeError(
            f"Got a frame of type {kind}, expected the polars.DataFrame that compare "
            "returned. Pass that one, from before to_pandas() or lazy()."
        )
    missing = [name for name in (*_NEEDED, "n_train", "n_test") if name not in frame]
    if missing:
        raise ValueError(
            f"The frame has no column {', '.join(map(repr, missing))}: expected what "
            "compare returned, one row per fit."
        )
    if frame.height == 0:
        raise ValueError("The frame has no rows: there is nothing to summarise.")
    metrics = frame["metric"].unique().to_list()
    if len(metrics) > 1:
        raise ValueError(
            f"The frame has several metrics: {', '.join(map(repr, sorted(metrics)))}. "
            "Summarise one at a time."
        )
    fits = frame.select(_FIT)
    if fits.is_duplicated().any():
        row = fits.filter(fits.is_duplicated()).row(0, named=True)
        fit = ", ".join(f"{name}={value!r}" for name, value in row.items())
        raise ValueError(
            f"The frame has {fits.is_duplicated().sum()} rows of fits that are there "
            f"twice or more, such as {fit}: tests would count them as independent. "
            f"Where they are copies, pass frame.unique({_FIT}, maintain_order=True); "
            "runs with other folds or other students are summarised apart."
        )


def _check_groups(groups, frame):
    """Return a group for each clip; None without `groups`."""
    if groups is None:
        return _groups_of_frame(frame)
    groups, last = as_column(groups, "groups"), frame["clips"].explode().max()
    if len(groups) <= last:
        raise ValueError(
            f"Got {len(groups)} groups, but clip {last} was tested, so X has "
            f"{last + 1} clips or more: expected the groups of all clips of X, as "
            "compare gets them, also of those that were not tested."
        )
    return groups


def _groups_of_frame(frame):
    """Return the groups of `compare`, a number for each clip; None if it had none."""
    if "groups" not in frame.columns or frame["groups"].is_null().all():
        return None
    known = frame.filter(pl.col("groups").is_not_null()).select("clips", "groups")
    pairs = known.explode("clips", "groups").unique()
    if pairs["clips"].is_duplicated().any():
        clip = pairs.filter(pairs["clips"].is_duplicated())["clips"].min()
        raise ValueError(
            f"The frame has clip {clip} in several groups: it is of comparisons with "
            "different `groups`. Summarise them apart, or pass groups=, the artist of "
            "each clip of X."
        )
    # Clips of fits without groups, in a joined frame, are groups of their own.
    n_clips = frame["clips"].explode().max() + 1
    groups = np.arange(n_clips) + pairs["groups"].max() + 1
    groups[pairs["clips"].to_numpy()] = pairs["groups"].to_numpy()
    return groups
