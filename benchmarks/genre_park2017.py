"""Genre from features trained on artist labels: planted songs, GTZAN, Spotify, ESC-10.

`ArtistEmbedder` learns to recognise the artist of a song, from artists outside the
genre task; then an SVM learns genre (or the sound's class) from few labels, and is
tested on artists that are new to it. It is compared with the network's input,
summarised without learning; the same network with random weights; the same with
permuted artists.

    python benchmarks/genre_park2017.py [--only planted images spotify esc10]

The embedding's columns go to the SVM as they are (their spread within artists is near
1, somewhat below it with shrinkage); all other features are standardised.
"""

import argparse
import warnings
from dataclasses import replace

import numpy as np
import polars as pl
from reporting import data_folder, record
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from userlogfeat import FRONTENDS, ArtistEmbedder, LogMel, MusicnnEmbedder
from userlogfeat.datasets.synthetic import make_listening_corpus
from userlogfeat.evaluation.intervals import mean_interval

SEED = 0
N_LABELS = (2, 5, 10, 20)  # a class
N_DRAWS = 30  # of labels and test artists
N_FITS = 3  # of networks: seeds, and permutations of the artists
BLIND = 1e-12  # a step that moves no weight: batch norm sees the songs, nothing learns
ARMS = ("input", "random network", "permuted artists", "artists: last layer", "artists")


def moments(log_mels):
    """Mean, variance, maximum and minimum over time, of every band."""
    parts = (log_mels.mean(2), log_mels.var(2), log_mels.max(2), log_mels.min(2))
    return np.hstack(parts)


def few_labels(features, labels, artists, n_per_class, scale):
    """Accuracies of an SVM, for draws of labels and of the artists tested on."""
    scores = []
    for draw in range(N_DRAWS):
        rng = np.random.default_rng(draw)
        names = rng.permutation(np.unique(artists))
        train = np.isin(artists, names[: len(names) // 2])
        rows = [np.flatnonzero(train & (labels == label)) for label in set(labels)]
        few = np.concatenate([rng.permutation(own)[:n_per_class] for own in rows])
        steps = [StandardScaler()] if scale else []
        classifier = make_pipeline(*steps, SVC())
        classifier.fit(features[few], labels[few])
        scores.append(classifier.score(features[~train], labels[~train]))
    return scores


def interval(values):
    """Mean, and a 95 % interval of it over draws."""
    mean, low, high = mean_interval(values, bounds=(0, 1))
    return f"{mean:.3f} ({low:.3f} to {high:.3f})"


def transform(embedder, X, layer):
    return clone_fitted(embedder, layer).transform(X)


def clone_fitted(embedder, layer):
    """The fitted embedder with another layer."""
    again = clone(embedder).set_params(layer=layer)
    again.__dict__.update({k: v for k, v in vars(embedder).items() if k[-1] == "_"})
    again._spec = embedder._spec
    return again


def arms_of(embedder, training_clips, artists, task, inputs):
    """Features of the task's clips: {arm: list of (features, scale), one a fit}."""
    inner = "embedding" if embedder.network == "mlp" else "context_mean"
    found, named = {"input": [(inputs, True)]}, []
    for seed in range(N_FITS):
        rng = np.random.default_rng(seed)
        own = clone(embedder).set_params(random_state=seed)
        blind = clone(own).set_params(lr=BLIND, max_epochs=1)
        runs = {
            "artists": (own, artists),
            "permuted artists": (clone(own), rng.permutation(artists)),
            "random network": (blind, rng.permutation(artists)),
        }
        for arm, (model, names) in runs.items():
            model.fit(training_clips, names)
            layer = inner if arm == "random network" else "embedding"
            entry = (transform(model, task, layer), layer != "embedding")
            found.setdefault(arm, []).append(entry)
            if arm == "artists":
                named.append(model.test_score_)
        if embedder.network != "mlp":
            last = (transform(own, task, "context_mean"), True)
            found.setdefault("artists: last layer", []).append(last)
    return found, np.mean(named)


def table_of(found, labels, artists, n_labels=N_LABELS):
    """Rows of a table, and the accuracies behind them."""
    rows = []
    for arm in (*ARMS, *(name for name in found if name not in ARMS)):
        if arm not in found:
            continue
        cells = [arm, found[arm][0][0].shape[1]]
        for n in n_labels:
            runs = [few_labels(X, labels, artists, n, scale) for X, scale in found[arm]]
            cells.append(interval(np.mean(runs, axis=0)))
        rows.append(cells)
    return rows


def planted(_):
    """Two worlds: every song its own equaliser, or every artist."""
    front = replace(
        FRONTENDS["park2017"], sample_rate=11025, n_fft=512, hop=256, n_bands=64
    )
    for equaliser in ("item", "artist"):
        corpus = make_listening_corpus(
            20,
            1000,
            n_artists=120,
            duration=2.0,
            sample_rate=11025,
            noise=0.5,
            equaliser=equaliser,
            random_state=SEED,
        )
        log_mels = LogMel(front).fit_transform(corpus.audio)
        artists = corpus.catalogue.groups("artist")
        labels = np.asarray(corpus.catalogue.labels)
        is_training = artists < 80
        embedder = ArtistEmbedder(
            frontend=front, context=1.0, pools=(4, 4, 2), max_epochs=30, channels=64
        )
        found, named = arms_of(
            embedder,
            log_mels[is_training],
            artists[is_training],
            log_mels[~is_training],
            moments(log_mels[~is_training]),
        )
        record_table(
            f"planted_{equaliser}",
            f"Genre of planted songs, an equaliser for each {equaliser}",
            table_of(found, labels[~is_training], artists[~is_training]),
            [
                f"{is_training.sum()} songs of 80 artists are for training, "
                f"{(~is_training).sum()} of 40 others are the task (six tastes, "
                f"chance {largest(labels[~is_training])}). The teacher names the "
                f"artist of {named:.2f} of its test songs. Input: mean, variance, "
                "maximum, minimum of the mel bands.",
            ],
        )


def images(data):
    """GTZAN's spectrogram images: folds without common artists, in turn."""
    kept = np.load(data / "gtzan_specgram5s_u8.npz")
    row_of = {str(track): row for row, track in enumerate(kept["track"])}
    n_bands = 68  # eight linear bands each
    X = kept["S"].reshape(1000, n_bands, 8, 57).mean(axis=2).astype(np.float32) / 32
    groups = np.full(1000, -1)
    fold_of = np.full(1000, -1)
    folder = data / "gtzan_splits" / "artist_filtered_3fold"
    for fold in range(3):
        for part in ("train", "evaluate"):
            for line in (folder / f"f{fold + 1}_{part}_groups.txt").open():
                name, group = line.split("\t")
                row = row_of[name.strip("./").removesuffix(".wav").replace("_", ".")]
                groups[row] = int(group)
                if part == "evaluate":
                    fold_of[row] = fold
    labels = kept["genre"].astype(str)
    all_rows, namings = [], []
    for fold in range(3):
        is_training = (fold_of >= 0) & (fold_of != fold)
        n_songs = np.bincount(groups[is_training], minlength=groups.max() + 1)
        is_training &= n_songs[groups] > 1
        task = fold_of == fold
        embedder = ArtistEmbedder(
            context=0.9, pools=(4, 4, 2), max_epochs=40, channels=64
        )
        found, named = arms_of(
            embedder, X[is_training], groups[is_training], X[task], moments(X[task])
        )
        namings.append(named)
        scores = {
            arm: [
                np.mean(
                    [
                        few_labels(F, labels[task], groups[task], n, scale)
                        for F, scale in runs
                    ],
                    axis=0,
                )
                for n in N_LABELS[:3]
            ]
            for arm, runs in found.items()
        }
        all_rows.append((scores, {a: r[0][0].shape[1] for a, r in found.items()}))
    rows = []
    for arm in ARMS:
        pooled = [
            interval(np.mean([scores[arm][i] for scores, _ in all_rows], axis=0))
            for i in range(len(N_LABELS[:3]))
        ]
        rows.append([arm, all_rows[0][1][arm], *pooled])
    record_table(
        "images",
        "Genre of GTZAN tracks, from their spectrogram images",
        rows,
        [
            "Mean of three rotations: the network is trained on two of the published "
            "artist-filtered folds (artists of two songs or more), the third is the "
            "task; its labels and its test tracks are of different artists as well. "
            "If a draw has fewer labels of a class than requested, all of them are "
            "used. 5 s a track, 68 linear bands. The teacher names the artist of "
            f"{np.mean(namings):.2f} of its test songs.",
        ],
        n_labels=N_LABELS[:3],
    )


def spotify(data):
    """12 numbers a track: many artists, precomputed features."""
    kept = np.load(data / "spotify_tracks.npz")
    names, artists = np.unique(kept["artist_norm"], return_inverse=True)
    has_genre = kept["genre"] != ""
    rng = np.random.default_rng(SEED)
    mine = rng.random(len(names)) < 0.3  # artists of the task
    task = np.flatnonzero(has_genre & mine[artists])
    task = rng.permutation(task)[:6000]
    n_songs = np.bincount(artists, minlength=len(names))
    is_training = np.flatnonzero(~mine[artists] & (n_songs[artists] >= 10))
    embedder = ArtistEmbedder(
        n_components=11, network="mlp", batch_size=256, max_epochs=30, patience=5
    )
    X = kept["X"].astype(np.float32)
    found, named = arms_of(
        embedder, X[is_training], artists[is_training], X[task], X[task]
    )
    labels, own = kept["genre"][task].astype(str), artists[task]
    record_table(
        "spotify",
        "Genre of Spotify tracks, from 12 published numbers a track",
        table_of(found, labels, own, (2, 5, 20, 100)),
        [
            f"{len(is_training)} tracks of {len(np.unique(artists[is_training]))} "
            f"artists of ten songs or more are for training; {len(task)} tracks of "
            f"other artists are the task (six genres, chance {largest(labels)}). An "
            "MLP of 256 hidden units and a last layer of 256; 11 discriminants. The "
            "random network is its discriminants of permuted artists. The teacher "
            f"names the artist of {named:.3f} of its test songs.",
        ],
        n_labels=(2, 5, 20, 100),
    )


def esc10(data):
    """A task that is not music; trained on GTZAN clips of repeated artists."""
    clips = pl.read_csv(data / "gtzan_clips" / "clips.csv").drop_nulls("artist")
    clips = clips.filter(pl.len().over("artist") > 1)
    n_artists = clips["artist"].n_unique()
    training_clips = [data / "gtzan_clips" / file for file in clips["file"]]
    sounds = sorted((data / "esc10").glob("*/*.ogg"))
    labels = np.array([path.parent.name for path in sounds])
    folds = np.array([int(path.name[0]) for path in sounds])
    log_mels = LogMel("park2017", duration=5.0).fit_transform(sounds)
    embedder = ArtistEmbedder(max_epochs=30, channels=64, duration=15.0)
    found, named = arms_of(
        embedder, training_clips, clips["artist"].to_numpy(), sounds, moments(log_mels)
    )
    musicnn = MusicnnEmbedder().fit_transform(sounds)
    found["musicnn max_pool"] = [(musicnn, True)]
    record_table(
        "esc10",
        f"Classes of ESC-10, network trained on {n_artists} artists of GTZAN clips",
        table_of(found, labels, folds),
        [
            "A check that the code runs rather than evidence: the network is trained "
            f"on {len(training_clips)} clips of {n_artists} artists, of which nearly "
            "each has a genre of its own. Draws are of ESC-10's folds, which share "
            f"no recording. The teacher names the artist of {named:.2f} of its test "
            "songs.",
        ],
    )


def largest(labels):
    """Accuracy of always naming the most frequent label."""
    return f"{np.unique(labels, return_counts=True)[1].max() / len(labels):.3f}"


def record_table(part, title, rows, notes, n_labels=N_LABELS):
    record(
        f"genre_park2017/{part}",
        title,
        ["features", "columns", *(f"{n} labels a class" for n in n_labels)],
        rows,
        [
            *notes,
            f"Accuracy, mean of {N_DRAWS} draws of labels and test artists and of "
            f"{N_FITS} networks, 95 % interval over draws.",
        ],
        seed=SEED,
    )


PARTS = {"planted": planted, "images": images, "spotify": spotify, "esc10": esc10}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    arguments = parser.parse_args()
    # Permuted artists, and GTZAN's, may have a single song in a part.
    warnings.filterwarnings("ignore", message=".* artists have one song")
    for part in arguments.only:
        PARTS[part](None if part == "planted" else data_folder())


if __name__ == "__main__":
    main()
