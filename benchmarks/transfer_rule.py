"""Strength and duration of distillation: the choice of the students' defaults.

On artists of `spotify_tracks.npz` that `transfer_lee2019.py` uses neither for testing
nor for training teachers: students of weights 1 to 30, constant or falling to 0, with 5
to 400 labels a class, from true and from permuted logs.

    python benchmarks/transfer_rule.py [--seeds 8] [--labels 5 20 100 400]
"""

import argparse

import numpy as np
import polars as pl
from reporting import HERE, record
from sklearn.base import clone
from transfer_lee2019 import CLASSIFIER, PERMUTED, between, contrast
from transfer_tasks import SEED, spotify

from userlogfeat.comparison import compare, summarise
from userlogfeat.comparison.teachers import permute_factors

LABELS = (5, 20, 100, 400)
# kd_weight, kd_epochs.
RULES = ((1.0, None), (10.0, None), (30.0, None), (10.0, 50))


def targets_of(task, n_seeds):
    """Return estimates for all clips by seed, of the teacher and of permuted logs.

    Teacher and students are trained on different artists: nothing has to be out of
    fold.
    """
    data = task.teachers

    def say(factors):
        teacher = clone(data.estimator).fit(data.X, factors, groups=data.groups)
        return teacher.predict(task.X)

    return {
        "kd": say(data.factors),
        PERMUTED: [
            say(permute_factors(data.factors, data.items, np.random.default_rng(seed)))
            for seed in range(n_seeds)
        ],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", default="transfer_rule.fits")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--labels", type=int, nargs="+", default=LABELS)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    labels = arguments.labels
    task = spotify("development")
    settings = {
        "teachers": targets_of(task, arguments.seeds),
        "cv": task.folds,
        "groups": task.groups,
        "teacher_artists": np.unique(task.teachers.groups),
        "seeds": arguments.seeds,
        "n_labels": labels,
        "n_jobs": arguments.jobs,
        "verbose": 1,
    }
    folder = HERE / arguments.folder
    base = compare(
        CLASSIFIER, task.X, task.y, arms=("base",), folder=folder / "base", **settings
    )
    rows = [["base", *[between_of(base, n, task) for n in labels]]]
    for weight, epochs in RULES:
        name = f"weight {weight:g}" + (f", to 0 in {epochs} epochs" if epochs else "")
        with_teacher = compare(
            CLASSIFIER.set_params(kd_weight=weight, kd_epochs=epochs),
            task.X,
            task.y,
            arms=("kd", PERMUTED),
            folder=folder / name.replace(" ", "_"),
            **settings,
        )
        frame = pl.concat([base, with_teacher])
        summary = summarise(frame, groups=task.groups)
        rows.append([name, *[cell(summary, n, "base") for n in labels]])
        rows.append(
            ["- minus permuted logs", *[cell(summary, n, PERMUTED) for n in labels]]
        )
    record(
        "transfer_rule",
        "The weight of distillation: development artists of the Spotify features",
        ["rule", *[f"{n} labels a class" for n in labels]],
        rows,
        [
            f"{task.note} {arguments.seeds} seeds. Base: accuracy and 95% over "
            "artists and seeds. Rules: difference to base, its interval, and p of "
            "Wilcoxon's test over seeds, Holm-corrected.",
        ],
        seed=SEED,
    )


def between_of(base, n_labels, task):
    row = summarise(base.filter(pl.col("n_labels") == n_labels), groups=task.groups)
    row = row.row(0, named=True)
    return between(row["mean"], row["low"], row["high"])


def cell(summary, n_labels, other):
    chosen = (pl.col("n_labels") == n_labels) & (pl.col("arm") == "kd")
    return contrast(summary.filter(chosen).row(0, named=True), other)


if __name__ == "__main__":
    main()
