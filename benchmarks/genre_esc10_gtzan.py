"""Genre and sound classes from musicnn with and without the estimate: ESC-10, GTZAN.

`make_pipeline(UserLogEmbedder("lastfm2k-musicnn"), PCA(128), SVC())`, against musicnn
alone, the estimate alone, teachers of permuted logs with the strength of the bundled
one, and random projections, cross-validated over the same folds: the published five of
ESC-10; GTZAN's clips are assigned to them by artist. The GTZAN clips whose tracks the
teacher was trained on are left out.

    python benchmarks/genre_esc10_gtzan.py
"""

import warnings

import numpy as np
import polars as pl
from lastfm2k_weights import (
    SEED,
    Teacher,
    fit_factors,
    interval,
    permute,
    read_tracks,
)
from reporting import data_folder, record
from sklearn.decomposition import PCA
from sklearn.model_selection import (
    PredefinedSplit,
    StratifiedGroupKFold,
    cross_val_predict,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from userlogfeat import UserLogEmbedder, load_model, read_logs
from userlogfeat.weights import NonCommercialWarning

N_CONTROLS = 10
WEIGHTS = "lastfm2k-musicnn"
LAYERS = ("max_pool", "embedding", "head_input")


def read_clips(data, trained_on):
    """Paths, labels and folds of ESC-10, then of the GTZAN clips."""
    esc = sorted((data / "esc10").glob("*/*.ogg"))
    folds = [int(path.name[0]) - 1 for path in esc]
    clips = pl.read_csv(data / "gtzan_clips" / "clips.csv")
    tracks = clips["file"].str.strip_suffix(".flac")
    clips = clips.filter(~tracks.is_in(list(trained_on)))
    artists = [row["artist"] or row["file"] for row in clips.to_dicts()]
    deal = StratifiedGroupKFold(5, shuffle=True, random_state=SEED)
    fold_of = np.empty(len(clips), dtype=int)
    for fold, (_, held) in enumerate(deal.split(artists, clips["genre"], artists)):
        fold_of[held] = fold
    paths = esc + [data / "gtzan_clips" / file for file in clips["file"]]
    labels = [path.parent.name for path in esc] + clips["genre"].to_list()
    return paths, np.array(labels), np.array([*folds, *fold_of]), len(esc)


def unit_mean_square(X):
    return X / np.sqrt(np.square(X).mean())


def correct(X, labels, folds):
    """Return whether each clip is classified correctly in cross-validation."""
    steps = [PCA(128, random_state=SEED), SVC()] if X.shape[1] > 128 else [SVC()]
    found = cross_val_predict(
        make_pipeline(*steps), X, labels, cv=PredefinedSplit(folds)
    )
    return found == labels


def control_heads(data, train, trained_on, settings):
    """Yield heads trained on permuted logs, and random projections, as functions."""
    rng = np.random.default_rng(SEED)
    logs = read_logs(data / "hetrec2011-lastfm-2k", "hetrec-lastfm-2k")
    factors = fit_factors(logs, *settings, SEED)
    teacher = Teacher(train, trained_on, factors)  # the bundled one
    scaler = StandardScaler().fit(train.features)
    for _ in range(N_CONTROLS):
        permuted = permute(factors, train.artists[trained_on], rng)
        control = Teacher(train, trained_on, permuted, like=teacher)
        yield "permuted logs", control.regressor.predict
        matrix = rng.normal(size=(100, 40))
        yield "random projection", lambda X, m=matrix: scaler.transform(X) @ m


def main():
    warnings.filterwarnings("ignore", category=NonCommercialWarning)
    data = data_folder()
    train, test = read_tracks(data, "train"), read_tracks(data, "test")
    trained_on = train.logged & ~np.isin(train.artists, test.artists)
    paths, labels, folds, n_esc = read_clips(data, train.names[trained_on])
    embedder = UserLogEmbedder(WEIGHTS)
    clips = [clip.layers for clip in embedder.iter_features(paths, layers=LAYERS)]
    layers = {name: np.stack([clip[name] for clip in clips]) for name in LAYERS}
    scales = load_model(embedder.weights).layer_scales
    musicnn = layers["max_pool"] * scales["max_pool"]
    estimate = layers["embedding"] * scales["embedding"]
    settings = [
        load_model(embedder.weights).config["training_data"][key]
        for key in ("alpha", "regularization")
    ]
    arms = {
        "musicnn max_pool (753)": [musicnn],
        "estimate (40)": [estimate],
        "both (793)": [np.hstack([musicnn, estimate])],
    }
    for name, head in control_heads(data, train, trained_on, settings):
        control = unit_mean_square(head(layers["head_input"]))
        arms.setdefault(f"{name} (40)", []).append(control)
        arms.setdefault(f"both, {name}", []).append(np.hstack([musicnn, control]))
    for stem, title, rows in (
        ("esc10", "the 400 clips of ESC-10", slice(n_esc)),
        ("together", "ESC-10 and 66 GTZAN clips together, 20 classes", slice(None)),
    ):
        table = []
        for name, runs in arms.items():
            right = [correct(X[rows], labels[rows], folds[rows]) for X in runs]
            mean = np.mean(right, axis=0)
            cells = [name, len(runs), f"{mean.mean():.3f}", interval(mean)]
            if stem == "together":
                cells.append(f"{mean[n_esc:].mean():.3f}")
            table.append(cells)
        columns = ["features", "runs", "accuracy", "95% over clips"]
        record(
            f"genre_esc10_gtzan/{stem}",
            f"PCA(128) and an RBF SVM on {title}",
            columns + (["GTZAN clips alone"] if stem == "together" else []),
            table,
            [
                "Five folds: the published ones of ESC-10; GTZAN clips assigned to "
                "them by artist. SVC with its default C; PCA only where there are "
                "more than 128 columns. Controls: 10 teachers from permuted logs with "
                "the strength of the bundled one, 10 random projections of the head's "
                "input.",
                f"The older weights, {WEIGHTS}.",
            ],
            seed=SEED,
        )


if __name__ == "__main__":
    main()
