"""The obvious alternative to a student: an SVM on the same features.

On tasks of `transfer_lee2019.py` whose teacher shares no artist with them, with the
same labels and seeds: an RBF SVM on the features, and on features and what a teacher of
listening logs says of the clip (of true logs, of permuted ones, a random projection),
beside the students of the same labels. C is searched in three folds of the training
clips, by artist where artists are known.

    python benchmarks/transfer_svm.py [--only spotify] [--seeds 8] [--labels 5 20 100]
"""

import argparse
from itertools import product

import joblib
import numpy as np
import polars as pl
from reporting import HERE, record
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from transfer_lee2019 import TASKS, between, contrast
from transfer_rule import targets_of
from transfer_tasks import SEED

from userlogfeat.comparison import compare, summarise
from userlogfeat.comparison.projection import random_projection
from userlogfeat.evaluation.folds import artist_groups, n_per_class, stratified_folds

NAMES = ("spotify", "ballroom", "urbansound")
LABELS = (5, 20, 100)
C = (0.3, 1.0, 3.0, 10.0, 30.0)
INNER_FOLDS = 3
ALONE = "SVM"
BESIDE = {
    "SVM + estimate": "kd",
    "SVM + permuted logs": "kd permuted logs",
    "SVM + random projection": None,
}


def say_beside(task, n_seeds):
    """Return the columns beside the features: seed -> arm -> (n_clips, 40)."""
    said = targets_of(task, n_seeds)
    train = task.folds[0][0]
    beside = []
    for seed in range(n_seeds):
        arms = {"kd": said["kd"], "kd permuted logs": said["kd permuted logs"][seed]}
        arms[None] = random_projection(
            task.X.astype(np.float64),
            train,
            n_factors=said["kd"].shape[1],
            length=None,
            seed=seed,
        )
        beside.append(arms)
    return beside


def fit_svm(task, columns, cell):
    """The row of one SVM, as `compare` has it."""
    arm, n_labels, seed, fold = cell
    train, test = task.folds[fold]
    groups = None if task.groups is None else artist_groups(task.groups)
    known = None if groups is None else groups[train]
    rows = train[n_per_class(task.y[train], n_labels, seed=seed, groups=known)]
    inner = stratified_folds(
        task.y[rows],
        INNER_FOLDS,
        groups=None if groups is None else groups[rows],
        seed=seed,
    )
    svm = make_pipeline(StandardScaler(), SVC())
    search = GridSearchCV(svm, {"svc__C": C}, cv=inner)
    search.fit(columns[rows], task.y[rows])
    correct = (search.predict(columns[test]) == task.y[test]).astype(float)
    return {
        "arm": arm,
        "n_labels": n_labels,
        "channels": None,
        "seed": seed,
        "fold": fold,
        "score": float(correct.mean()),
        "metric": "accuracy",
        "n_train": len(rows),
        "n_test": len(test),
        "clips": test.tolist(),
        "outcome": correct.tolist(),
    }


def run_svms(task, seeds, labels, n_jobs):
    """Rows of all SVMs of a task."""
    columns = []
    for said in say_beside(task, seeds):
        beside = {arm: np.hstack([task.X, said[of]]) for arm, of in BESIDE.items()}
        columns.append({ALONE: task.X, **beside})
    cells = product((ALONE, *BESIDE), labels, range(seeds), range(len(task.folds)))
    jobs = (joblib.delayed(fit_svm)(task, columns[c[2]][c[0]], c) for c in cells)
    return pl.DataFrame(
        joblib.Parallel(n_jobs)(jobs), schema_overrides={"channels": pl.Int64}
    )


def report(name, frame, task):
    """Record accuracy and differences of a task."""
    corrected = len(task.folds) > 1
    against = ("kd", ALONE, "SVM + permuted logs")
    summary = summarise(frame, against=against, groups=task.groups, corrected=corrected)
    rows = [
        [
            row["n_labels"],
            row["arm"],
            between(row["mean"], row["low"], row["high"]),
            *[contrast(row, other) for other in against],
        ]
        for row in summary.iter_rows(named=True)
    ]
    record(
        f"transfer_svm/{name}",
        f"SVMs beside students: {task.title}",
        ["labels a class", "arm", "accuracy", *[f"minus {arm}" for arm in against]],
        rows,
        [
            f"{task.note} {len(task.folds)} folds, {frame['seed'].n_unique()} seeds. "
            f"C of the SVMs among {C}, by {INNER_FOLDS} folds of the training clips; "
            "students (base, kd) as by default. Columns are standardised. Intervals "
            "and tests as in the tables of transfer_lee2019.",
        ],
        seed=SEED,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--folder", default="transfer_lee2019.fits")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--labels", type=int, nargs="+", default=LABELS)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    for name in arguments.only:
        student, make = TASKS[name]
        task = make()
        students = compare(
            student,
            task.X,
            task.y,
            teachers=task.teachers,
            cv=task.folds,
            seeds=arguments.seeds,
            groups=task.groups,
            arms=("base", "kd"),
            n_labels=arguments.labels,
            folder=HERE / arguments.folder / name,
            n_jobs=arguments.jobs,
            verbose=1,
        )
        svms = run_svms(task, arguments.seeds, arguments.labels, arguments.jobs)
        frame = pl.concat([students.select(svms.columns), svms], how="vertical_relaxed")
        report(name, frame, task)


if __name__ == "__main__":
    main()
