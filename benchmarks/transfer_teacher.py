"""Choices in training the teacher, compared on development artists.

As in `transfer_rule.py`, on artists of `spotify_tracks.npz` that `transfer_lee2019.py`
uses neither for testing nor for training teachers: students with 20 and 100 labels a
class, whose teacher learned from other ALS settings, with artists weighted by their
listeners, or from artists of many listeners only. One thing is changed at a time.

    python benchmarks/transfer_teacher.py [--seeds 8] [--labels 20 100]
"""

import argparse
from dataclasses import replace

import numpy as np
from reporting import HERE, data_folder, record
from sklearn.base import clone
from transfer_lee2019 import CLASSIFIER, between, contrast
from transfer_tasks import SEED, fit_factors, spotify

from userlogfeat.comparison import compare, summarise

LABELS = (20, 100)
MANY_LISTENERS = 20
COLUMNS = (
    "labels a class",
    "teacher",
    "training tracks",
    "accuracy",
    "minus base",
    "minus the first teacher",
)
DEFAULT = "as in transfer_lee2019: alpha 10, 40 factors of unit length"


def listeners_of(task):
    """Return the number of listeners of the artist of each training track."""
    table = np.load(data_folder() / "spotify_tracks.npz")
    ids, listeners = table["hetrec_artist_id"], table["hetrec_listeners"]
    known = dict(zip(ids.tolist(), listeners.tolist(), strict=True))
    return np.array([known[artist] for artist in task.teachers.items.tolist()])


def variants(task):
    """Name -> TeacherData, each with one change."""
    data, listeners = task.teachers, listeners_of(task)

    def learned(**settings):
        factors = fit_factors(**settings)
        rows = np.stack([factors[artist] for artist in data.items.tolist()])
        return replace(data, factors=rows)

    def keep(rows):
        parts = {n: getattr(data, n)[rows] for n in ("X", "factors", "items", "groups")}
        return replace(data, clips=data.clips[rows], **parts)

    raw = clone(data.estimator).set_params(factor_norm="raw")
    tracks = dict(zip(*np.unique(data.items, return_counts=True), strict=True))
    alike = 1.0 / np.array([tracks[artist] for artist in data.items])
    return {
        DEFAULT: data,
        "alpha 1": learned(alpha=1.0),
        "alpha 40 (the paper's)": learned(alpha=40.0),
        "20 factors": learned(n_factors=20),
        "80 factors": learned(n_factors=80),
        "raw factors": replace(data, estimator=raw),
        "weight log(1 + listeners)": replace(data, sample_weight=np.log1p(listeners)),
        "every artist weighs the same": replace(data, sample_weight=alike),
        f"artists of {MANY_LISTENERS} listeners or more": keep(
            np.flatnonzero(listeners >= MANY_LISTENERS)
        ),
    }


def say(data, X):
    """Return a teacher's estimates for all clips."""
    teacher = clone(data.estimator)
    teacher.fit(
        data.X, data.factors, groups=data.groups, sample_weight=data.sample_weight
    )
    return teacher.predict(X)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", default="transfer_teacher.fits")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--labels", type=int, nargs="+", default=LABELS)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    task = spotify("development")
    choices = {f"kd {name}": data for name, data in variants(task).items()}
    frame = compare(
        CLASSIFIER,
        task.X,
        task.y,
        teachers={name: say(data, task.X) for name, data in choices.items()},
        arms=("base", *choices),
        cv=task.folds,
        groups=task.groups,
        teacher_artists=np.unique(task.teachers.groups),
        seeds=arguments.seeds,
        n_labels=arguments.labels,
        folder=HERE / arguments.folder,
        n_jobs=arguments.jobs,
        verbose=1,
    )
    report(frame, task, choices)


def report(frame, task, choices):
    """Record what each choice does to kd."""
    first = f"kd {DEFAULT}"
    summary = summarise(frame, against=("base", first), groups=task.groups)
    rows = []
    for row in summary.iter_rows(named=True):
        n_tracks = len(choices[row["arm"]].X) if row["arm"] in choices else ""
        rows.append(
            [
                row["n_labels"],
                row["arm"].removeprefix("kd "),
                n_tracks,
                between(row["mean"], row["low"], row["high"]),
                contrast(row, "base"),
                contrast(row, first),
            ]
        )
    record(
        "transfer_teacher",
        "What the teacher learns: development artists of the Spotify features",
        COLUMNS,
        rows,
        [
            f"{task.note} {frame['seed'].n_unique()} seeds. Mean and differences with "
            "95% over artists and seeds, and p of the t-test / of Wilcoxon's test, "
            "Holm-corrected over the table.",
        ],
        seed=SEED,
    )


if __name__ == "__main__":
    main()
