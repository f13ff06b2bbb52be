"""Controls of a teacher, with regularisation of their own and with the teacher's.

A teacher of permuted logs that chooses its regularisation finds nothing to learn. Which
one does it take, how do its estimates then differ from clip to clip, and what does an
SVM gain over it? Beside it: the same control with the teacher's head and strength.
On planted data it is known whether the logs matter, and so what the stricter of both
must still find.

    python benchmarks/control_strength.py [--only spotify] [--seeds 6]

A task is recorded as soon as it is measured; others stay as they are.
"""

import argparse
import json
from dataclasses import replace
from functools import partial

import numpy as np
import transfer_defaults as defaults
from reporting import RESULTS, record
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from transfer_defaults import CHANGES, N_TEACHERS, SEED, Task, Teaching

from userlogfeat.comparison import ARMS, compare, register_arm, summarise
from userlogfeat.estimators.cf_regressor import RIDGE_ALPHAS
from userlogfeat.evaluation.ranking import unit_rows

OWN = ", own choice"
ARM = "plain + {}"
REAL = ("spotify", "spotify_former", "playlists", "ballroom", "gtzan", "gtzan_tags")
REAL += ("taffc_quadrants",)
N_ARTISTS, N_CLIPS, N_LATENT, N_FACTORS, N_CLASSES = 300, 3, 60, 40, 4
N_LABELS = 20

for control in CHANGES:
    register_arm(
        ARM.format(control + OWN),
        mode="plain",
        description=f"{control}, its regularisation its own choice",
        is_control=True,
    )(ARMS[ARM.format(control)].function)


def planted(useful):
    """Clips of artists whose listeners say something about the labels, or nothing.

    Clips are points of `N_LATENT` independent qualities of falling strength, which all
    features mix. The teacher reads 60 features, the SVM only the first ten. Factors are
    a linear map of ten of the weaker qualities, and noise. Labels are made of the same
    ten, or of ten others.
    """
    rng = np.random.default_rng(SEED)
    qualities = rng.permutation(np.arange(10, 30))
    of_logs, of_others = qualities[:10], qualities[10:]
    artist = np.repeat(np.arange(2 * N_ARTISTS), N_CLIPS)
    own = rng.standard_normal((2 * N_ARTISTS, N_LATENT))[artist]
    latent = own + 0.5 * rng.standard_normal(own.shape)
    strength = (1 + np.arange(N_LATENT)) ** -0.75
    X = (latent * strength) @ rng.standard_normal((N_LATENT, N_LATENT))
    factors = own[:, of_logs] @ rng.standard_normal((10, N_FACTORS))
    noise = rng.standard_normal((2 * N_ARTISTS, N_FACTORS))[artist]
    factors = factors / factors.std() + noise
    seen = latent[:, of_logs if useful else of_others]
    y = np.argmax(seen @ rng.standard_normal((10, N_CLASSES)), axis=1).astype(str)
    teaching = artist < N_ARTISTS
    name = f"planted, the logs {'matter' if useful else 'do not matter'}"
    X = X.astype(np.float32)
    return Task(
        name,
        X[~teaching],
        y[~teaching],
        defaults.halves(y[~teaching], artist[~teaching]),
        Teaching(name, X[teaching], factors[teaching], artist[teaching]),
        artist[~teaching],
        n_labels=(N_LABELS,),
        plain_X=X[~teaching, :10],
    )


def chosen(teachers):
    """Loss of the MLP or strength of the ridge of some teachers, as text."""
    found = []
    for teacher in teachers:
        strength = getattr(teacher, "alpha_", None)
        loss = getattr(teacher, "chosen_", {}).get("loss", teacher.loss)
        text = f"mlp, {loss}" if strength is None else f"ridge, {strength:,.0f}"
        found += [text] if text not in found else []
    return " / ".join(found)


def spread(teachers, X, factors):
    """Standard deviation of estimates as a share of the factors', and their rank.

    The rank is (sum of s)^2 / sum of s^2, of the eigenvalues s of the correlations:
    of columns as a standardising SVM sees them.
    """
    deviation = np.sqrt(unit_rows(factors).var(axis=0).mean())
    shares, ranks = [], []
    for teacher in teachers:
        estimate = teacher.predict(X)
        shares.append(np.sqrt(estimate.var(axis=0).mean()) / deviation)
        values = np.linalg.eigvalsh(np.corrcoef(estimate.T))
        ranks.append(values.sum() ** 2 / np.square(values).sum())
    return f"{np.mean(shares):.3f}", f"{np.mean(ranks):.1f}"


def measure(task, seeds):
    """Rows of a task: the teacher, and each control in both ways."""
    own = replace(task.teaching, controls_choose=True)
    teachers = {"estimate": [task.teaching.teacher()]}
    for control in CHANGES:
        for way, teaching in (("", task.teaching), (OWN, own)):
            drawn = [teaching.teacher(control, seed) for seed in range(N_TEACHERS)]
            teachers[control + way] = drawn
    targets = {}
    for name, some in teachers.items():
        said = [teacher.predict(task.X) for teacher in some]
        targets[ARM.format(name)] = [said[seed % len(said)] for seed in range(seeds)]
    svm = make_pipeline(StandardScaler(), SVC())
    frame = compare(
        svm,
        task.X,
        task.y,
        teachers=targets,
        teacher_artists=np.unique(own.artists),
        cv=task.folds,
        seeds=seeds,
        groups=task.groups,
        arms=("plain", *targets),
        plain=svm,
        plain_X=task.plain_X,
        n_labels=[N_LABELS if N_LABELS in task.n_labels else task.n_labels[0]],
    )
    against = ("plain", *targets)
    summary = summarise(frame, groups=task.groups, against=against, corrected=False)
    by_arm = {row["arm"]: row for row in summary.iter_rows(named=True)}
    estimate, rows = by_arm[ARM.format("estimate")], []
    for name, some in teachers.items():
        arm = ARM.format(name)
        over = "" if name == "estimate" else gain(estimate, arm)
        cells = chosen(some), *spread(some, task.X, own.factors)
        rows.append([task.title, name, *cells, gain(by_arm[arm], "plain"), over])
    return rows


def gain(row, other):
    """Difference to another arm and its interval, in points."""
    parts = ("difference", "diff_low", "diff_high")
    mean, low, high = (100 * row[f"{part} to {other}"] for part in parts)
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"


def keep(rows):
    """Record rows beside those of tasks that are not measured now."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    others = results.get("control_strength", {}).get("rows", [])
    others = [row for row in others if row[0] != rows[0][0]]
    record(
        "control_strength",
        "Controls with the teacher's regularisation, and with their own",
        [
            *("task", "learned from", "head", "deviation", "rank"),
            *("minus plain", "estimate minus this"),
        ],
        sorted([*others, *rows], key=lambda row: row[0]),
        [
            f"{N_TEACHERS} teachers of each control. Head: strength of the ridge, of "
            f"{RIDGE_ALPHAS[0]:,.0f} to {RIDGE_ALPHAS[-1]:,.0f}, or the MLP's loss. "
            "Deviation: of the estimates for the task's clips, as a share of that of "
            "the factors. Rank: effective number of directions of standardised "
            "columns.",
            f"Points of accuracy of an SVM with {N_LABELS} labels a class (5 where the "
            "table of the defaults has no more), 95% intervals over artists and seeds.",
            f"Planted: {N_ARTISTS} teaching artists; the SVM reads 10 of the 60 "
            "features that the teacher reads, and the labels are made of ten qualities "
            "of the clips. Factors are made of these, or of ten others.",
        ],
        seed=SEED,
    )


# Name -> what makes the task.
TASKS = {
    "planted_useful": partial(planted, True),
    "planted_useless": partial(planted, False),
} | {name: defaults.TASKS[name] for name in REAL}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=6)
    arguments = parser.parse_args()
    defaults.FOLDER.mkdir(exist_ok=True)
    for name in arguments.only:
        keep(measure(TASKS[name](), arguments.seeds))


if __name__ == "__main__":
    main()
