"""Recommendation of tracks without listeners by their audio, after Chen et al. 2021.

`planted`: the rows of the paper's table 1 on a planted world, with baselines, users
in another order, and the truth (`recommendation_planted.py`). The others: real logs of
Last.fm, artists that no model has seen, one table for each set of features
(`recommendation_real.py`, `recommendation_sets.py`).

    python benchmarks/recommendation_chen2021.py                  # all
    python benchmarks/recommendation_chen2021.py --only planted --seeds 1
    python benchmarks/recommendation_chen2021.py --report         # what is there

Every row and seed is kept in `recommendation_chen2021.fits/`; a killed run goes on
where it ended. Delete the folder after a change of the code.
"""

import argparse
import time
import warnings

import numpy as np
import recommendation_planted as planted
import recommendation_real as real
from recommendation_sets import SETS
from reporting import HERE, record

from userlogfeat.evaluation.intervals import mean_interval

FOLDER = HERE / "recommendation_chen2021.fits"
# Part -> (its module's methods and judge, seeds).
PARTS = {"planted": (planted.METHODS, planted.judge, 3)} | {
    name: (real.METHODS, real.judge_of(name), seeds) for name, seeds in SETS.items()
}
COLUMNS = {
    "planted": {
        "AUC": "auc",
        "precision": "precision",
        "AUC, new artists": "cold auc",
        "precision, new artists": "cold precision",
    },
    "real": {
        "AUC": "auc",
        "recall@10": "recall@10",
        "NDCG@10": "ndcg@10",
        "AUC over users, by artist": "artist auc",
    },
}


def path_of(part, name, seed):
    stem = "".join(letter if letter.isalnum() else "_" for letter in name)
    return FOLDER / part / f"{stem}-{seed}.npz"


def run(part, names, seeds):
    """Fit what is missing, seed after seed, so that a killed run has whole rows."""
    _, judge, _ = PARTS[part]
    for seed in range(seeds):
        for name in names:
            path = path_of(part, name, seed)
            if path.exists():
                continue
            start = time.perf_counter()
            values = judge(name, seed)
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".part.npz")
            np.savez(temporary, **values)
            temporary.rename(path)
            auc = np.nanmean(values["auc"])
            seconds = time.perf_counter() - start
            print(f"{part}, {name}, {seed}: {auc:.3f}, {seconds:.0f} s", flush=True)


def cell(tables):
    """Mean and interval over users (or artists) and seeds; "-" where there is none."""
    outcomes = np.stack(tables)
    tested = ~np.isnan(outcomes)
    if not tested.any():
        return "-"
    mean, low, high = mean_interval(outcomes, tested=tested, bounds=(0, 1))
    return f"{mean:.3f} ({low:.3f} to {high:.3f})"


def report(part, seeds):
    """Record the table of a part from what is kept."""
    columns = COLUMNS["planted" if part == "planted" else "real"]
    rows = []
    for name in PARTS[part][0]:
        paths = [path_of(part, name, seed) for seed in range(seeds)]
        kept = [dict(np.load(path)) for path in paths if path.exists()]
        if not kept:
            continue
        cells = [
            cell([values[key] for values in kept]) if key in kept[0] else "-"
            for key in columns.values()
        ]
        rows.append([name, len(kept), *cells])
    title, notes = planted.words() if part == "planted" else real.words(part, seeds)
    record(
        f"recommendation_chen2021/{part}",
        title,
        ["method", "seeds", *columns],
        rows,
        notes,
        seed=0,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--methods", nargs="+", help="rows, by the beginning of names")
    parser.add_argument("--seeds", type=int, help="fewer than a part's own")
    parser.add_argument("--report", action="store_true", help="fit nothing")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*no history.*")
    for part in arguments.only:
        methods, _, seeds = PARTS[part]
        names = [
            name
            for name in methods
            if not arguments.methods or name.startswith(tuple(arguments.methods))
        ]
        seeds = arguments.seeds or seeds
        if not arguments.report:
            run(part, names, seeds)
        report(part, seeds)


if __name__ == "__main__":
    main()
