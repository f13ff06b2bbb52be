"""Train the bundled weights `lastfm2k-musicnn`, and evaluate them.

Logs: HetRec 2011 Last.fm, 1,892 users, 17,632 artists. Audio: musicnn's 50-tag frames
of GTZAN's fault-filtered train tracks (published features). The teacher is ridge
regression from the mean and standard deviation of the frames onto ALS factors, learned
from the tracks whose artist has three listeners or more and is not a test artist.
Settings of the ALS are chosen by the rank percentile of the true artist in
artist-grouped cross-validation over those tracks; the test tracks choose nothing.

    python benchmarks/lastfm2k_weights.py            # evidence: prints and records
    python benchmarks/lastfm2k_weights.py --save     # writes the weights as well
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from reporting import data_folder, record
from sklearn.base import clone
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    StratifiedGroupKFold,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

import userlogfeat
from userlogfeat import CFEmbedding, CFRegressor, read_logs
from userlogfeat.comparison.teachers import choices_of
from userlogfeat.evaluation.intervals import mean_interval

SEED = 0
MIN_LISTENERS = 3
ALPHAS, REGULARIZATIONS = (1.0, 10.0, 40.0), (0.01, 1.0, 10.0)
N_SEEDS = 5  # of the ALS, in the choice of its settings
N_CONTROLS = 20  # permuted logs, random projections, ALS seeds
C_GRID = np.logspace(-1, 2, 7)
WEIGHT_GRID = (0.25, 0.5, 1.0, 2.0)  # of the estimate beside the taggram
FOLDER = Path(userlogfeat.__file__).parent / "pretrained" / "lastfm2k-musicnn"
TRAINING_DATA = {
    "description": "ALS factors of HetRec 2011 Last.fm (1,892 users, 17,632 artists), "
    "estimated from 249 GTZAN tracks of 45 artists by MSD_musicnn",
    "licence": "HetRec 2011 Last.fm: non-commercial use; GTZAN: research use; "
    "musicnn: ISC",
    "non_commercial": True,
}


@dataclass
class Tracks:
    """Tracks of one part of the split."""

    names: np.ndarray  # (n,), "blues.00000"
    features: np.ndarray  # (n, 100): mean and deviation of the 50 tags over frames
    genres: np.ndarray  # (n,)
    artists: np.ndarray  # (n,): Last.fm artist id, -1 where unknown
    groups: np.ndarray  # (n,): artist by name; a track of its own where unknown
    logged: np.ndarray  # (n,): whether the artist has MIN_LISTENERS or more


def read_tracks(data, part):
    frames = np.load(data / "gtzan_taggram" / f"{part}.npz")
    names = np.unique(frames["track"])
    clips = [frames["taggram"][frames["track"] == name] for name in names]
    join = pl.read_csv(data / "gtzan_lastfm_join.csv")
    ids = dict(zip(join["track"], join["hetrec_artist_id"], strict=True))
    listeners = dict(zip(join["track"], join["n_users"], strict=True))
    groups = read_groups(data / "gtzan_splits" / "artist_filtered_3fold")
    return Tracks(
        names=names,
        features=np.stack([np.r_[c.mean(0), c.std(0)] for c in clips]),
        genres=np.array([name.split(".")[0] for name in names]),
        artists=np.array([ids.get(name, -1) for name in names]),
        groups=np.array([groups.get(name, name) for name in names]),
        logged=np.array([listeners.get(name, 0) >= MIN_LISTENERS for name in names]),
    )


def read_groups(folder):
    """Artist of each track, from the published artist-filtered lists."""
    groups = {}
    for path in sorted(folder.glob("*_groups.txt")):
        for line in path.read_text().splitlines():
            file, group = line.split("\t")
            groups[Path(file).stem.replace("_", ".")] = f"artist {group}"
    return groups


class Teacher:
    """A head trained on factors of artists, and its training tracks.

    A ridge with clips of equal weight, which were the defaults when the weights were
    made. A control has the strength of the teacher that it is `like`.
    """

    def __init__(self, tracks, trained_on, factors, like=None):
        self.tracks, self.trained_on = tracks, trained_on
        self.factors = np.stack([factors[a] for a in tracks.artists[trained_on]])
        self.groups = tracks.artists[trained_on]
        self.regressor = CFRegressor(
            network="mlp", head="ridge", clip_weight="clip", random_state=SEED
        )
        if like is not None:
            self.regressor.set_params(**choices_of(like.regressor))
        self.regressor.fit(
            tracks.features[trained_on], self.factors, groups=self.groups
        )

    def out_of_fold(self):
        """Estimate the training tracks, each by a head trained without its artist.

        All heads have the strength of regularisation and the mean of the whole teacher.
        Otherwise both would reveal the fold of a track, and the mean of a head's
        training factors would reveal which were held out: the SVM would learn that, and
        fail on the test.
        """
        estimate = np.zeros_like(self.factors)
        unit = normalise(self.factors)
        for train, held in GroupKFold(9).split(estimate, groups=self.groups):
            head = clone(self.regressor).set_params(**choices_of(self.regressor))
            rows = np.flatnonzero(self.trained_on)[train]
            head.fit(
                self.tracks.features[rows],
                self.factors[train],
                groups=self.groups[train],
            )
            held_rows = np.flatnonzero(self.trained_on)[held]
            estimate[held] = head.predict(self.tracks.features[held_rows])
            estimate[held] += unit.mean(axis=0) - unit[train].mean(axis=0)
        return estimate

    def estimates(self, test):
        """Estimate train tracks (out of fold if trained on) and test tracks."""
        train = self.regressor.predict(self.tracks.features)
        train[self.trained_on] = self.out_of_fold()
        return train, self.regressor.predict(test.features)


def rank_percentiles(estimates, artists, factors):
    """Return for each artist the fraction of other candidates that are farther away."""
    candidates = np.unique(artists)
    axes = normalise(np.stack([factors[a] for a in candidates]))
    scores = normalise(estimates) @ axes.T
    ranks = []
    for column, artist in enumerate(candidates):
        mean = scores[artists == artist].mean(axis=0)
        ranks.append((mean < mean[column]).sum() / (len(candidates) - 1))
    return np.array(ranks)


def normalise(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def fit_factors(logs, alpha, regularization, seed):
    """Factor of each artist id."""
    embedding = CFEmbedding(
        alpha=alpha,
        regularization=regularization,
        confidence="binary",
        random_state=seed,
    )
    factors = embedding.fit((logs.user_items > 0).astype(np.float32)).item_factors_
    return dict(zip(logs.item_ids.tolist(), factors, strict=True))


def choose_als(logs, train, trained_on):
    """Choose the ALS settings whose factors are estimated best for held-out artists.

    One seed of the ALS moves the rank percentile by as much as the settings do, so
    each has the mean of several.
    """
    rows, best = [], (-1.0, None, None)
    for alpha in ALPHAS:
        for regularization in REGULARIZATIONS:
            means = []
            for seed in range(N_SEEDS):
                factors = fit_factors(logs, alpha, regularization, seed)
                teacher = Teacher(train, trained_on, factors)
                ranks = rank_percentiles(teacher.out_of_fold(), teacher.groups, factors)
                means.append(ranks.mean())
            rows.append(f"({alpha:g}, {regularization:g}) {np.mean(means):.3f}")
            best = max(best, (np.mean(means), alpha, regularization))
    return best[1:], rows


def predict_genres(train, test, blocks, *, weights=(1.0,)):
    """Genres of the test tracks by an RBF SVM, C (and block weight) by grouped CV.

    `blocks` is one (train, test) pair of features, or two: taggram and estimate, the
    second multiplied by a weight after standardisation.
    """
    X, X_test = (np.hstack([block[part] for block in blocks]) for part in (0, 1))
    n_first = blocks[0][0].shape[1]

    def weigh(Z, weight=1.0):
        return np.hstack([Z[:, :n_first], weight * Z[:, n_first:]])

    pipeline = make_pipeline(StandardScaler(), FunctionTransformer(weigh), SVC())
    grid = {
        "functiontransformer__kw_args": [{"weight": weight} for weight in weights],
        "svc__C": C_GRID,
    }
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=SEED)
    search = GridSearchCV(pipeline, grid, cv=folds)
    search.fit(X, train.genres, groups=train.groups)
    return search.predict(X_test) == test.genres, search.best_score_


def interval(shares):
    """95% interval of the mean, as text."""
    _, low, high = mean_interval(shares, bounds=(0, 1))
    return f"{low:.3f} to {high:.3f}"


def permute(factors, artists, rng):
    """Permute the logs among the training artists."""
    ids = np.unique(artists)
    return {**factors, **{a: factors[b] for a, b in zip(ids, rng.permutation(ids))}}  # noqa: B905


def compare_arms(logs, train, test, trained_on, settings, rng):
    """Rows of the accuracy table."""
    taggram = (train.features, test.features)
    arms = {"taggram (100)": [predict_genres(train, test, [taggram])]}

    def add(name, estimates):
        for suffix, blocks, weights in (
            ("alone", [estimates], (1.0,)),
            ("beside the taggram", [taggram, estimates], (1.0,)),
            ("beside the taggram, weight by CV", [taggram, estimates], WEIGHT_GRID),
        ):
            result = predict_genres(train, test, blocks, weights=weights)
            arms.setdefault(f"{name} {suffix}", []).append(result)

    factors = fit_factors(logs, *settings, SEED)
    for number in range(N_CONTROLS):
        seeded = factors if number == 0 else fit_factors(logs, *settings, number)
        teacher = Teacher(train, trained_on, seeded)
        add("estimate (40)", teacher.estimates(test))
        permuted = permute(factors, train.artists[trained_on], rng)
        control = Teacher(train, trained_on, permuted, like=teacher)
        add("permuted logs", control.estimates(test))
        matrix = rng.normal(size=(100, 40))
        scaler = StandardScaler().fit(train.features)
        add(
            "random projection",
            tuple(scaler.transform(t.features) @ matrix for t in (train, test)),
        )
    rows = []
    for name, results in arms.items():
        accuracies = np.array([correct.mean() for correct, _ in results])
        spread = f"{accuracies.std(ddof=1):.3f}" if len(results) > 1 else "-"
        rows.append(
            [
                name,
                len(results),
                f"{accuracies.mean():.3f}",
                spread,
                interval(np.mean([correct for correct, _ in results], axis=0)),
                f"{np.mean([score for _, score in results]):.3f}",
            ]
        )
    return rows


def save_weights(data, teacher, settings):
    """Write the bundled folder: the head, and layer scales from the clips at hand."""
    clips = pl.read_csv(data / "gtzan_clips" / "clips.csv")
    names = teacher.tracks.names[teacher.trained_on]
    trained_on = [f for f in clips["file"] if f.removesuffix(".flac") in names]
    paths = [data / "gtzan_clips" / file for file in trained_on]
    regressor = CFRegressor(encoder="MSD_musicnn", head="ridge")
    regressor.head_ = teacher.regressor.head_
    regressor.alpha_ = teacher.regressor.alpha_
    regressor._single_output_ = False
    regressor.layer_scales_ = {}
    network = regressor.set_params(device="cpu", precision="fp32")._load_network()
    squares = dict.fromkeys(network.layer_sizes, 0.0)
    for clip in regressor.iter_features(paths, layers=tuple(squares)):
        for name in squares:
            squares[name] += np.square(clip.layers[name]).mean() / len(paths)
    regressor.layer_scales_ = {
        name: float(f"{1 / np.sqrt(square):.6g}") for name, square in squares.items()
    }
    als = dict(zip(("alpha", "regularization"), settings, strict=True))
    regressor.save(FOLDER, training_data=TRAINING_DATA | als)
    print(f"wrote {FOLDER.name}, layer scales from {len(paths)} clips")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--save", action="store_true", help="write the weights")
    parser.add_argument("--only-save", action="store_true", help="without the arms")
    arguments = parser.parse_args()
    data = data_folder()
    rng = np.random.default_rng(SEED)
    logs = read_logs(data / "hetrec2011-lastfm-2k", "hetrec-lastfm-2k")
    train, test = read_tracks(data, "train"), read_tracks(data, "test")
    trained_on = train.logged & ~np.isin(train.artists, test.artists)
    settings, als_rows = choose_als(logs, train, trained_on)
    factors = fit_factors(logs, *settings, SEED)
    teacher = Teacher(train, trained_on, factors)
    estimates = teacher.regressor.predict(test.features[test.logged])
    ranks = rank_percentiles(estimates, test.artists[test.logged], factors)
    n_artists = len(np.unique(teacher.groups))
    record(
        "lastfm2k_weights/rank",
        "lastfm2k-musicnn: does the teacher recognise unseen artists?",
        ["training tracks", "artists", "unseen artists", "rank percentile", "95%"],
        [
            [
                trained_on.sum(),
                n_artists,
                len(ranks),
                f"{ranks.mean():.3f}",
                interval(ranks),
            ]
        ],
        [
            "Rank percentile of the true artist among the unseen test artists by the "
            "cosine of estimate and factor, mean over artists; chance is 0.5. The "
            "interval is over artists.",
            f"ALS: alpha {settings[0]:g}, regularisation {settings[1]:g}, chosen by "
            "the same measure in artist-grouped cross-validation over the training "
            f"tracks, mean of {N_SEEDS} seeds: {'; '.join(als_rows)}.",
        ],
        seed=SEED,
    )
    if arguments.save or arguments.only_save:
        save_weights(data, teacher, settings)
    if arguments.only_save:
        return
    record(
        "lastfm2k_weights/genre",
        "lastfm2k-musicnn: genre of the 290 fault-filtered GTZAN test tracks",
        [
            "features",
            "runs",
            "accuracy",
            "sd of runs",
            "95% over tracks",
            "CV accuracy",
        ],
        compare_arms(logs, train, test, trained_on, settings, rng),
        [
            "RBF SVM on standardised columns; C by the same artist-grouped 5-fold "
            "cross-validation on the 443 train tracks for every arm. Estimates of "
            "tracks that the teacher was trained on are out of fold (by artist).",
            "Runs: 20 ALS seeds; 20 permutations of the logs among the training "
            "artists, whose teachers have the strength of the true ones; 20 random "
            "projections of the taggram. One track is 0.34 points.",
        ],
        seed=SEED,
    )


if __name__ == "__main__":
    main()
