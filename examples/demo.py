"""From listening logs to a better classifier of new tracks, on a planted corpus.

Six tastes shape who plays what, and how it sounds. The logs of 60 % of the artists
train a network to estimate taste from audio. A small task labels clips of the *other*
artists, whose plays are never read: do a few labels go further when the classifier also
gets the estimate of what listeners would think? Two controls show whether it is the
listeners: a teacher of logs with permuted items, and a random projection of the audio
features.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import t as student_t
from sklearn.linear_model import RidgeClassifierCV
from sklearn.preprocessing import StandardScaler

from userlogfeat import CFEmbedding, CFRegressor, MusicnnEmbedder, read_logs
from userlogfeat.comparison.teachers import choices_of
from userlogfeat.datasets.synthetic import make_listening_corpus

SIZES, N_CONTROLS = (5, 10, 20), 5  # labels per class; permutations and projections
COLOURS = ("#000000", "#0072B2", "#56B4E9", "#D55E00", "#CC79A7")  # Okabe and Ito


def estimate(features, factors, artists, new_features, **like):
    """Train a teacher; return its estimates for new clips, of unit length, and it."""
    teacher = CFRegressor(network="mlp", random_state=0, **like)
    known = teacher.fit(features, factors, groups=artists).predict(features)
    new = teacher.predict(new_features) - known.mean(0)
    return new / np.sqrt(known.var(0).sum()), teacher


def make_arms(corpus, rng):
    """Return {arm: feature arrays of the task's clips}, and the catalogue of these."""
    features = MusicnnEmbedder(layer="max_pool").fit_transform(corpus.audio)
    artists = corpus.catalogue.groups("artist")
    task = rng.random(artists.max() + 1)[artists] > 0.6
    hidden = corpus.logs["item"].is_in(corpus.catalogue.items[task].tolist())
    logs = read_logs(corpus.logs.filter(~hidden), count="count")
    cf = CFEmbedding(random_state=0).fit(logs.user_items)
    rows, Y = corpus.catalogue.align(cf.item_factors_, logs.item_ids, unknown="ignore")
    audio = StandardScaler().fit(features[rows]).transform(features[task])
    audio /= np.sqrt(audio.shape[1])  # of unit length, like the estimate
    estimated, teacher = estimate(features[rows], Y, artists[rows], features[task])
    permuted, projected = [], []
    like = choices_of(teacher)  # a control is as able as the teacher
    for _ in range(N_CONTROLS):
        given = features[rows], rng.permutation(Y), artists[rows], features[task]
        wrong, _ = estimate(*given, **like)
        permuted.append(np.hstack([audio, wrong]))
        random = rng.standard_normal((audio.shape[1], Y.shape[1])) / np.sqrt(Y.shape[1])
        projected.append(np.hstack([audio, audio @ random]))
    arms = {"audio": [audio], "audio + estimate": [np.hstack([audio, estimated])]}
    arms |= {"audio + permuted logs": permuted, "audio + random projection": projected}
    return arms | {"estimate alone": [estimated]}, corpus.catalogue.subset(task)


def evaluate(arms, clips, n_draws, rng):
    """Return accuracies {arm: (sizes, draws)}; training and test artists differ."""
    y, artists = clips.labels, clips.groups("artist")
    accuracy = {arm: np.empty((len(SIZES), n_draws)) for arm in arms}
    for i, draw in np.ndindex(len(SIZES), n_draws):
        pool = np.isin(artists, rng.permutation(artists.max() + 1)[::2])
        of_class = [np.flatnonzero(pool & (y == c)) for c in np.unique(y)]
        train = np.concatenate([rng.permutation(rows)[: SIZES[i]] for rows in of_class])
        for arm, versions in arms.items():
            X = versions[draw % len(versions)]
            model = RidgeClassifierCV(np.logspace(-3, 3, 13)).fit(X[train], y[train])
            accuracy[arm][i, draw] = model.score(X[~pool], y[~pool])
    return accuracy


def interval(values):
    """Return the mean over draws and half of its 95 % t interval, for each size."""
    half = student_t.ppf(0.975, values.shape[1] - 1) / np.sqrt(values.shape[1])
    return values.mean(axis=1), half * values.std(axis=1, ddof=1)


def show(title, accuracy, form, minus=0):
    """Print a table: arms down, labels per class across."""
    print(f"\n{title:26}" + "".join(f"{f'{size} per class':>16}" for size in SIZES))
    for arm, draws in accuracy.items():
        cells = zip(*interval(draws - minus), strict=True)
        print(f"{arm:26}" + "".join(f"{f'{m:{form}} ±{h:.3f}':>16}" for m, h in cells))


def plot(accuracy, path):
    """Save accuracy against labels per class, with intervals."""
    axes = Figure(figsize=(6.4, 4.2), layout="constrained").subplots()
    for k, (arm, draws) in enumerate(accuracy.items()):
        x = np.arange(len(SIZES)) + 0.03 * (k - 2)  # side by side, not on top
        axes.errorbar(x, *interval(draws), c=COLOURS[k], marker="osD^v"[k], label=arm)
    axes.set(xlabel="labelled clips per class", ylabel="accuracy, 95 % interval")
    axes.set_xticks(range(len(SIZES)), SIZES)
    axes.legend(frameon=False)
    axes.figure.savefig(path, dpi=150)


def main(arguments=None):
    """Run the demo; return {arm: accuracies (sizes, draws)}."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--items", type=int, default=1200, help="one clip each")
    parser.add_argument("--draws", type=int, default=30, help="draws of labels a size")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("demo_output"))
    options = parser.parse_args(arguments)
    start, rng = time.perf_counter(), np.random.default_rng(options.seed)
    corpus = make_listening_corpus(n_items=options.items, random_state=rng)
    print(f"{corpus.catalogue}, {corpus.logs.height} pairs of user and item")
    accuracy = evaluate(*make_arms(corpus, rng), options.draws, rng)
    show("accuracy, 95 % interval", accuracy, ".3f")
    show("gain over audio", accuracy, "+.3f", minus=accuracy["audio"])
    options.output.mkdir(parents=True, exist_ok=True)
    plot(accuracy, options.output / "transfer.png")
    print(f"\nplot: {options.output}/transfer.png, {time.perf_counter() - start:.0f} s")
    return accuracy


if __name__ == "__main__":
    main()
