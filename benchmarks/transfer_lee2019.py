"""Knowledge transfer from listening logs to small task models, after Lee et al. 2019.

Each task is one `compare`: base, fix, init, kd, kd from permuted logs (the teacher is
trained again) and kd from a random projection, on the same folds, labels and seeds. All
students have the defaults of `KDStudentClassifier`, which were chosen on artists that
are tested nowhere in the Spotify task (`transfer_rule.py`). No arm is searched further,
but in `spotify_searched`, where every arm chooses its own inside the training clips.

    python benchmarks/transfer_lee2019.py                     # all: hours
    python benchmarks/transfer_lee2019.py --only spotify      # one task

Every finished fit is kept in `--folder`; a killed run goes on where it ended.
"""

import argparse
import time
from dataclasses import replace
from functools import partial

import transfer_images as images
import transfer_tasks as tasks
from reporting import HERE, record

from userlogfeat import KDStudentClassifier, KDStudentRegressor
from userlogfeat.comparison import compare, summarise
from userlogfeat.report import TransferDisplay

FIGURES = HERE / "figures"
PERMUTED = "kd permuted logs"
CLASSIFIER = KDStudentClassifier(network="mlp")
REGRESSOR = KDStudentRegressor(network="mlp")
GATED = KDStudentClassifier(network="mlp", kd_weight="auto")
FAULT, ARTIST, TEN = "fault-filtered", "artist-filtered 3-fold", "10-fold"
# Name -> (student, task).
TASKS = {
    "spotify": (CLASSIFIER, tasks.spotify),
    "spotify_searched": (CLASSIFIER, partial(tasks.spotify, n_labels=(20, 100))),
    "gtzan": (CLASSIFIER, partial(tasks.gtzan, "convnet", FAULT)),
    "gtzan_mfcc": (CLASSIFIER, partial(tasks.gtzan, "MFCC", FAULT)),
    "gtzan_artists": (CLASSIFIER, partial(tasks.gtzan, "convnet", ARTIST)),
    "gtzan_artists_mfcc": (CLASSIFIER, partial(tasks.gtzan, "MFCC", ARTIST)),
    "gtzan_10fold": (CLASSIFIER, partial(tasks.gtzan, "convnet", TEN)),
    "gtzan_10fold_mfcc": (CLASSIFIER, partial(tasks.gtzan, "MFCC", TEN)),
    "arousal": (REGRESSOR, partial(tasks.emomusic, "convnet", "arousal")),
    "arousal_mfcc": (REGRESSOR, partial(tasks.emomusic, "MFCC", "arousal")),
    "valence": (REGRESSOR, partial(tasks.emomusic, "convnet", "valence")),
    "valence_mfcc": (REGRESSOR, partial(tasks.emomusic, "MFCC", "valence")),
    "ballroom": (CLASSIFIER, partial(tasks.ballroom, "convnet")),
    "ballroom_mfcc": (CLASSIFIER, partial(tasks.ballroom, "MFCC")),
    "ballroom_mfcc_gated": (GATED, partial(tasks.ballroom, "MFCC")),
    "urbansound": (CLASSIFIER, partial(tasks.urbansound, "convnet")),
    "gtzan_images": (images.student(), images.gtzan_images),
    "esc10_images": (images.student(), images.esc10_images),
    "taffc_images": (images.student(images.SHORTER), images.taffc_images),
}
# Name -> settings that every arm is searched over.
SEARCHES = {"spotify_searched": {"lr": [3e-4, 1e-3, 3e-3], "kd_weight": [1.0, 10.0]}}
# Name -> arms, where not all: a gated student is fitted twenty times.
ARMS = {
    "ballroom_mfcc_gated": ["base", "kd"],
    "taffc_images": ["base", "fix", "init", "kd", PERMUTED],
}
CHANNELS = {"taffc_images": (32, 64)}  # the paper's Figure 4 has 128 and 256 too


def run(name, folder, *, n_jobs, seeds=None, n_labels=None, n_folds=None):
    """The frame of one task, and the task."""
    student, make = TASKS[name]
    task = make()
    if n_folds is not None:
        title = f"{task.title}, {n_folds} of {len(task.folds)} folds"
        task = replace(task, folds=task.folds[:n_folds], title=title)
    start = time.perf_counter()
    frame = compare(
        student,
        task.X,
        task.y,
        teachers=task.teachers,
        cv=task.folds,
        seeds=seeds or task.seeds,
        groups=task.groups,
        n_labels=n_labels or task.n_labels,
        arms=ARMS.get(name),
        search=SEARCHES.get(name),
        channels=CHANNELS.get(name, (None,)),
        folder=folder / part_of(name, n_folds),
        n_jobs=n_jobs,
        verbose=1,
    )
    print(f"{name}: {time.perf_counter() - start:.0f} s")
    return frame, task


def part_of(name, n_folds):
    """Name of a task's results, which are others' with fewer folds."""
    return name if n_folds is None else f"{name}_{n_folds}_folds"


def report(name, frame, task, n_folds=None):
    """Record a task's table, and draw its figure."""
    # Nadeau and Bengio correct for folds; seeds of one test set share it anyway.
    corrected = len(task.folds) > 1
    summary = summarise(frame, groups=task.groups, corrected=corrected)
    x = "channels" if name in CHANNELS else "n_labels"
    rows = []
    for row in summary.iter_rows(named=True):
        rows.append(
            [
                "all" if row[x] is None else row[x],
                row["arm"],
                between(row["mean"], row["low"], row["high"]),
                contrast(row, "base"),
                contrast(row, PERMUTED),
            ]
        )
    if name in SEARCHES:
        searched = f"{task.note} Every arm is searched over {SEARCHES[name]}."
        task = replace(task, title=f"{task.title}, searched", note=searched)
    if name.endswith("_gated"):
        gated = f'{task.note} kd has kd_weight="auto".'
        task = replace(task, title=f"{task.title}, gated", note=gated)
    metric = "R2" if frame["metric"][0] == "r2" else "accuracy"
    with_teacher = frame.filter(frame["arm"] == "kd")["n_teacher_clips"]
    notes = [
        f"{len(task.y)} clips, {len(task.folds)} fold(s), {frame['seed'].n_unique()} "
        f"seed(s); {with_teacher.min()} to {with_teacher.max()} teacher clips. "
        f"{task.note}".strip(),
        "Mean and differences with 95% intervals over "
        + ("artists" if task.groups is not None else "clips")
        + " and seeds; p of the t-test over folds and seeds ("
        + ("corrected for folds that share clips" if corrected else "one test set")
        + ") / of Wilcoxon's test, Holm-corrected over the table.",
    ]
    if frame[x].n_unique() > 1:
        notes.append(f"Figure: `{draw(name, summary, task, x)}`.")
    record(
        f"transfer_lee2019/{part_of(name, n_folds)}",
        f"Transfer: {task.title}",
        [
            "labels a class" if x == "n_labels" else x,
            "arm",
            metric,
            "minus base",
            "minus permuted logs",
        ],
        rows,
        notes,
        seed=tasks.SEED,
    )


def draw(name, summary, task, x):
    """Accuracy by labels or channels, one line per arm; return the figure's path."""
    display = TransferDisplay.from_comparison(summary, x=x)
    display.figure_.suptitle(task.title, fontsize="medium", y=1.05)
    FIGURES.mkdir(exist_ok=True)
    path = FIGURES / f"transfer_{name}.png"
    display.figure_.savefig(path, dpi=110, bbox_inches="tight")
    return path.relative_to(HERE)


def between(mean, low, high):
    return f"{mean:.3f} ({low:.3f} to {high:.3f})"


def contrast(row, other):
    """Difference to another arm, its interval, and p of t-test and Wilcoxon."""
    difference = row.get(f"difference to {other}")
    if difference is None:
        return ""
    low, high = row[f"diff_low to {other}"], row[f"diff_high to {other}"]
    p = [row[f"p_{test}_holm to {other}"] for test in ("ttest", "wilcoxon")]
    text = f"{difference:+.3f} ({low:+.3f} to {high:+.3f})"
    return text + ", p " + " / ".join("-" if x is None else f"{x:.2g}" for x in p)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--folder", default=HERE / "transfer_lee2019.fits")
    parser.add_argument("--seeds", type=int, help="fewer than a task's own")
    parser.add_argument("--labels", type=int, nargs="+", help="a class; 0 for all")
    parser.add_argument("--folds", type=int, help="fewer than a task's own")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    labels = arguments.labels and [n or None for n in arguments.labels]
    for name in arguments.only:
        frame, task = run(
            name,
            HERE / arguments.folder,
            n_jobs=arguments.jobs,
            seeds=arguments.seeds,
            n_labels=labels,
            n_folds=arguments.folds,
        )
        report(name, frame, task, arguments.folds)


if __name__ == "__main__":
    main()
