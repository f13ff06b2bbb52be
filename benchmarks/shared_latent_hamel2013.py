"""Shared latent spaces of Hamel et al. 2013 on the available real data sets.

The paper's tables in its own layout: the classes nearest to each other across data sets
(table 3), accuracy of linear regression on base features and on embeddings (table 4),
precision@10 by L1 distance (table 5), accuracy by examples a class (figure 3); and how
much faster the vectorised WARP is than the loop. Embeddings are learned again for every
fold, never from the labels of its test clips.

    python benchmarks/shared_latent_hamel2013.py                # all
    python benchmarks/shared_latent_hamel2013.py --only images  # one part
"""

import argparse
from functools import partial
from itertools import chain

import numpy as np
import shared_latent_sources as sources
from reporting import HERE, record
from shared_latent_speed import measure_speed
from sklearn.preprocessing import StandardScaler

from userlogfeat import (
    MelStatistics,
    SharedLatentEmbedder,
    WindowRegressionClassifier,
)
from userlogfeat.evaluation.folds import stratified_folds
from userlogfeat.evaluation.intervals import mean_interval
from userlogfeat.evaluation.learning_curves import learning_curve, standard_error
from userlogfeat.evaluation.similarity import precision_at_k

SEED = 0
SIZES = (5, 20, 40, None)  # examples a class, of figure 3
N_NEAREST = 3
FIT = {"max_epochs": 8, "patience": 2, "random_state": SEED}
BASE, RANDOM, PERMUTED = "base features", "random projection", "own, permuted labels"


def learn(target, rows, others, *, own=True, permuted=False):
    """Fit an embedder to some clips of the target and to all clips of others."""
    training_sets = [target.subset(rows)] if own else []
    training_sets += [other.without(target, rows) for other in others]
    X, y, dataset = sources.join(training_sets)
    if permuted:
        order = np.random.default_rng(SEED).permutation(len(y))
        y = [y[i] for i in order]
    settings = {} if target.frames else {"network": "mlp"}
    embedder = SharedLatentEmbedder(
        window=target.window,
        frames_per_clip=target.frames_per_clip,
        **settings,
        **FIT,
    )
    return embedder.fit(X, y, dataset=dataset)


def project(target, rows):
    """A control: a map of standardised frames drawn at random, nothing learned."""
    X = target.subset(rows).X
    frames = np.concatenate([x.T for x in X]) if target.frames else X
    size = SharedLatentEmbedder().n_components
    V = np.random.default_rng(SEED).normal(size=(frames.shape[1], size))
    return (V / (frames.std(axis=0)[:, None] + 1e-6)).astype(np.float32)


def windows_of(target, embedder):
    """Features of the target's clips: list of (n_windows, n_features)."""
    if embedder is None:
        if not target.frames:
            return [row[None] for row in target.X]
        base = MelStatistics(window=target.window, pooling=None)
        return base.fit_transform(target.X)
    if isinstance(embedder, np.ndarray):
        if not target.frames:
            return [row[None] for row in target.X @ embedder]
        base = MelStatistics(window=target.window, pooling=None)
        return base.fit_transform([embedder.T @ x for x in target.X])
    if not target.frames:
        return [row[None] for row in embedder.transform(target.X)]
    return embedder.set_params(pooling=None).transform(target.X)


def make_arms(others):
    """Name -> function of (target, training rows) that gives an embedder."""
    arms = {BASE: lambda target, rows: None, RANDOM: project}
    arms["own labels"] = partial(learn, others=[])
    arms[PERMUTED] = partial(learn, others=[], permuted=True)
    for name, (sets, own) in others.items():
        arms[name] = partial(learn, others=sets, own=own)
    return arms


def run(target, folds, others, *, sizes):
    """Learning curves of every arm over the folds, and the embedders of each."""
    arms = make_arms(others)
    curves = {name: {} for name in arms}
    embedders = {name: [] for name in arms}
    for train, test in folds:
        for name, make in arms.items():
            embedder = make(target, train)
            embedders[name].append(embedder)
            X = windows_of(target, embedder)
            for kind, alpha in (("plain", 0.0), ("ridge", "cv")):
                curve = learning_curve(
                    WindowRegressionClassifier(alpha),
                    X,
                    target.labels,
                    sizes=sizes if kind == "plain" else (None,),
                    cv=[(train, test)],
                    groups=target.artists,
                    seed=SEED,
                )
                curves[name].setdefault(kind, []).append(curve)
        print(f"{target.name}: a fold of {len(test)} clips is done", flush=True)
    return curves, embedders


def table_4(target, folds, curves, stem):
    """Accuracy with standard errors over folds, and differences to base features."""
    right = {name: outcomes(kinds["plain"], -1) for name, kinds in curves.items()}
    rows = []
    for name, kinds in curves.items():
        cells = [name]
        for kind in ("plain", "ridge"):
            scores = [curve.scores[-1, 0] for curve in kinds[kind]]
            cells.append(f"{np.mean(scores):.3f} ± {standard_error(scores):.3f}")
        drawn = {"groups": target.artists, "tested": ~np.isnan(right[name])}
        cells.append(interval(mean_interval(right[name], **drawn)))
        for other in (BASE, PERMUTED):
            if name == other:
                cells.append("")
                continue
            gain = right[name] - right[other]
            cells.append(interval(mean_interval(gain, bounds=(-1, 1), **drawn), "+"))
        rows.append(cells)
    record(
        f"shared_latent_hamel2013/{stem}_accuracy",
        f"Shared latent space, accuracy (table 4): {target.name}",
        [
            "features",
            "linear regression",
            "ridge",
            "95% (linear)",
            "minus base",
            "minus permuted labels",
        ],
        rows,
        [
            f"{target.note} {len(folds)} folds. Mean ± standard error over folds; "
            "intervals are over "
            + ("artists." if target.artists is not None else "clips."),
            "Linear regression of windows onto classes, averaged over the clip, as in "
            "the paper; ridge: its penalty chosen by 5 folds of the training part. "
            "Plain least squares fails where windows are about as many as features.",
        ],
        seed=SEED,
    )


def figure_3(target, curves, stem):
    """Accuracy by examples a class."""
    rows = []
    for name, kinds in curves.items():
        scores = np.hstack([curve.scores for curve in kinds["plain"]])
        rows.append(
            [name] + [f"{row.mean():.3f} ± {standard_error(row):.3f}" for row in scores]
        )
    heads = [f"{n} a class" if n else "all" for n in SIZES]
    record(
        f"shared_latent_hamel2013/{stem}_curve",
        f"Shared latent space, learning curve (figure 3): {target.name}",
        ["features", *heads],
        rows,
        [
            "Accuracy of plain linear regression, mean ± standard error over folds. "
            "The embedding has seen all labels of the training part, the classifier "
            "only few of them, as in the paper. Plain least squares is at its worst "
            "where windows are about as many as features.",
        ],
        seed=SEED,
    )
    draw_curves(target, curves, HERE / "figures" / f"shared_latent_{stem}.png")


def draw_curves(target, curves, path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, kinds in curves.items():
        scores = np.hstack([curve.scores for curve in kinds["plain"]])
        errors = [standard_error(row) for row in scores]
        axes.errorbar(range(len(SIZES)), scores.mean(axis=1), errors, label=name)
    axes.set_xticks(range(len(SIZES)), [n or "all" for n in SIZES])
    axes.set(xlabel="examples a class", ylabel="accuracy", title=target.name)
    axes.legend(fontsize="small")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)


def table_5(target, others, stem):
    """Precision@10 among clips that were not used for training: two halves, in turn."""
    halves = stratified_folds(target.labels, 2, groups=target.artists, seed=SEED)
    columns = [("any artist", None)]
    if target.artists is not None:
        columns.append(("other artists", target.artists))
    found = {}
    for name, make in make_arms(others).items():
        per_clip = {head: np.empty(len(target.labels)) for head, _ in columns}
        for train, test in halves:
            X = windows_of(target, make(target, train))
            X = np.stack([windows.mean(axis=0) for windows in X])
            X = StandardScaler().fit(X[train]).transform(X)[test]
            for head, artists in columns:
                own = None if artists is None else artists[test]
                precision = precision_at_k(X, target.labels[test], artists=own)
                per_clip[head][test] = precision.clips
        found[name] = per_clip
    rows = []
    for name, per_clip in found.items():
        cells = [name]
        for head, _ in columns:
            cells.append(interval(mean_interval(per_clip[head], bounds=(0, 1))))
            base = found[BASE][head]
            cells.append(
                ""
                if name == BASE
                else interval(mean_interval(per_clip[head] - base), "+")
            )
        rows.append(cells)
    heads = [[f"precision@10, {head}", "minus base"] for head, _ in columns]
    record(
        f"shared_latent_hamel2013/{stem}_similarity",
        f"Shared latent space, similarity (table 5): {target.name}",
        ["features", *chain.from_iterable(heads)],
        rows,
        [
            "L1 distance between standardised features averaged over windows. The "
            "clips of one half are queries and candidates, the embedding was trained "
            "on the other half; both halves in turn. Mean and 95% interval over "
            "clips.",
        ],
        seed=SEED,
    )


def table_3(embedders, name, stem):
    """The classes nearest to each class, over the models of all folds."""
    known = [list(zip(e.label_datasets_, e.labels_, strict=True)) for e in embedders]
    # A rare tag may be in the test part alone: those that all models know.
    common = [pair for pair in known[0] if all(pair in pairs for pairs in known)]
    sets, labels = (np.array(column) for column in zip(*common, strict=True))
    distances = []
    for embedder, pairs in zip(embedders, known, strict=True):
        own = embedder.label_embeddings_[[pairs.index(pair) for pair in common]]
        distances.append(np.abs(own[:, None] - own).sum(axis=-1))
    mean, error = np.mean(distances, axis=0), 1.96 * np.std(distances, axis=0, ddof=1)
    rows = []
    for i, label in enumerate(labels):
        cells = [sets[i], label]
        for order in (sets == sets[i], sets != sets[i]):
            near = [j for j in np.argsort(mean[i]) if order[j] and j != i]
            cells.append(
                ", ".join(
                    f"{labels[j]} {mean[i, j]:.2f}±{error[i, j]:.2f}"
                    for j in near[:N_NEAREST]
                )
            )
        rows.append(cells)
    record(
        f"shared_latent_hamel2013/{stem}_nearest",
        f"Shared latent space, nearest classes (table 3): {name}",
        ["set", "class", "nearest of its own set", "nearest of other sets"],
        rows,
        [
            f"L1 distance between label embeddings, mean over {len(embedders)} models "
            "(one a fold) ± 1.96 standard deviations of the models.",
        ],
        seed=SEED,
    )


def outcomes(curves, place):
    """1 where a clip was classified right in the fold that tested it."""
    return np.nanmean([curve.outcomes[place] for curve in curves], axis=0)


def interval(found, sign=""):
    mean, low, high = found
    return f"{mean:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


def report(target, folds, others, stem, *, tables, curve=False):
    nearest = list(others)[-1]  # of the arm with the most sets
    if "accuracy" in tables:
        sizes = SIZES if curve else (None,)
        curves, embedders = run(target, folds, others, sizes=sizes)
        table_4(target, folds, curves, stem)
        if curve:
            figure_3(target, curves, stem)
    if "nearest" in tables:
        if "accuracy" not in tables:
            make = make_arms(others)[nearest]
            embedders = {nearest: [make(target, train) for train, _ in folds]}
        table_3(embedders[nearest], target.name, stem)
    if "similarity" in tables:
        table_5(target, others, stem)


def images(tables):
    """GTZAN's images, ESC-10 rendered alike, and musicnn's tags of GTZAN tracks."""
    gtzan, esc10, tags = sources.read_images()
    others = {
        "own labels + ESC-10": ([esc10], True),
        "tags": ([tags], False),
        "own labels + ESC-10 + tags": ([esc10, tags], True),
    }
    folds = stratified_folds(gtzan.labels, 10, groups=gtzan.artists, seed=SEED)
    report(gtzan, folds, others, "images", tables=tables, curve=True)


def audio(tables):
    """ESC-10 with the paper's own front end, beside the GTZAN clips."""
    esc10, gtzan = sources.read_audio_sets()
    others = {"own labels + GTZAN clips": ([gtzan], True)}
    report(esc10, esc10.folds(), others, "audio", tables=tables)


def features(tables):
    """Published features of four sets, each row treated as a frame."""
    ballroom, gtzan, emomusic, urbansound = sources.read_feature_sets()
    others = {
        "own labels + GTZAN, EmoMusic, UrbanSound": (
            [gtzan, emomusic, urbansound],
            True,
        ),
    }
    folds = stratified_folds(ballroom.labels, 10, seed=SEED)
    report(ballroom, folds, others, "features", tables=tables)


def speed(tables):
    """The vectorised WARP against the loop."""
    measure_speed()


PARTS = {"speed": speed, "images": images, "audio": audio, "features": features}
TABLES = ("accuracy", "nearest", "similarity")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES)
    arguments = parser.parse_args()
    for name in arguments.only:
        PARTS[name](arguments.tables)


if __name__ == "__main__":
    main()
