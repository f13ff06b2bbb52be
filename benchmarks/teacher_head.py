"""Which head estimates the factors of unseen artists: defaults of CFRegressor.

On development artists of each set, in three folds of artists: the rank of the own
artist and the cosine of a ridge with every clip or every artist weighing the same, and
of an MLP of each loss; what ``head="auto"`` chooses, and what that costs. On sealed
artists, once: the former default, a ridge with clips of equal weight, and the default.

With ``--controls``, what each head and loss is worth to a task with few labels: an SVM
on the features and the estimates, on development artists that trained no teacher. The
teachers learn from true logs, from permuted ones, and from random factors of each
artist; a random projection of the features stands for no teacher.

    python benchmarks/teacher_head.py [--sealed | --controls]
"""

import argparse
import time

import numpy as np
import polars as pl
from reporting import data_folder, record
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from transfer_tasks import (
    ALS_SETTINGS,
    SEALED_SEED,
    SEED,
    fit_factors,
    read_spotify,
)
from user_scores import read_playlists, read_taffc

from userlogfeat import CFEmbedding, CFRegressor
from userlogfeat.comparison.projection import random_projection
from userlogfeat.evaluation.factors import mean_cosine, own_artist_percentile
from userlogfeat.evaluation.folds import n_per_class

N_FOLDS = 3
N_LABELS = (5, 20)
MAX_CLIPS = 2_000  # of development artists, a set: drawn at random
HEADS = {
    "ridge, clips weigh the same": {"head": "ridge", "clip_weight": "clip"},
    "ridge": {"head": "ridge"},
    "mlp, mse_cosine": {"head": "mlp", "loss": "mse_cosine"},
    "mlp, info_nce": {"head": "mlp", "loss": "info_nce"},
    "mlp, info_nce alone": {"head": "mlp", "loss": ("info_nce", {"anchor": 0.0})},
    "mlp, co_listen": {"head": "mlp", "loss": "co_listen"},
}


def sets():
    """Name -> features, factors, artists, and whether the artist is sealed."""
    known, factors = read_spotify(), fit_factors()

    def of(ids):
        return np.stack([factors[artist] for artist in ids.tolist()])

    rows = np.flatnonzero(known.has_logs)
    ids = known.ids[rows]
    yield "Spotify", known.X[rows], of(ids), ids, known.sealed[rows]
    table = np.load(data_folder() / "lfm2k_vggish" / "lfm2k_audio_features.npz")
    ids = table["hetrec_artist_id"]
    for name, column in (("VGGish", "vggish"), ("Whisper", "whisper")):
        yield name, table[column], of(ids), ids, seal(ids)
    X, ids = read_taffc()
    rows = np.flatnonzero([artist in factors for artist in ids.tolist()])
    yield "TAFFC", X[rows], of(ids[rows]), ids[rows], seal(ids[rows])
    lists = read_playlists()
    embedding = CFEmbedding(**ALS_SETTINGS, random_state=SEED).fit(lists.plays)
    artists = lists.artist[lists.item]
    Y = embedding.item_factors_[lists.item]
    yield "playlists", lists.X.astype(np.float32), Y, artists, seal(artists)


def seal(artists):
    """Whether each artist is of the half that is looked at once."""
    names, artist = np.unique(artists, return_inverse=True)
    return (np.random.default_rng(SEALED_SEED).random(len(names)) < 0.5)[artist]


def accuracy(settings, X, Y, artists, folds):
    """Own-artist rank and cosine of unseen artists, and the seconds of all fits."""
    estimates, start = np.empty_like(Y), time.perf_counter()
    for train, test in folds:
        teacher = CFRegressor("mlp", random_state=SEED, **settings)
        teacher.fit(X[train], Y[train], groups=artists[train])
        estimates[test] = teacher.predict(X[test])
    seconds = time.perf_counter() - start
    rank = own_artist_percentile(Y, estimates, artists=artists)
    return rank, mean_cosine(Y, estimates), seconds


def development(name, X, Y, artists):
    """Rows of the table of one set."""
    if len(X) > MAX_CLIPS:
        rows = np.random.default_rng(SEED).permutation(len(X))[:MAX_CLIPS]
        X, Y, artists = X[rows], Y[rows], artists[rows]
    folds = list(GroupKFold(N_FOLDS).split(X, groups=artists))
    CFRegressor("mlp", head="mlp", max_epochs=1).fit(X[:64], Y[:64])  # imports
    rows, ridge = [], None
    for head, settings in HEADS.items():
        rank, cosine, seconds = accuracy(settings, X, Y, artists, folds)
        ridge = seconds if head == "ridge" else ridge
        ratio = "-" if ridge is None else f"{seconds / ridge:.0f}"
        rows.append([name, head, f"{rank:.3f}", f"{cosine:.3f}", seconds, ratio])
        print(rows[-1], flush=True)
    start = time.perf_counter()
    teacher = CFRegressor("mlp", random_state=SEED).fit(X, Y, groups=artists)
    seconds = N_FOLDS * (time.perf_counter() - start)
    chosen = "auto: " + ", ".join(map(str, teacher.chosen_.values()))
    rows.append([name, chosen, "", "", seconds, f"{seconds / ridge:.0f}"])
    print(rows[-1], flush=True)
    return [[*row[:4], f"{row[4] / N_FOLDS:.1f}", row[5]] for row in rows]


def sealed_once(name, X, Y, artists, sealed):
    """Rows of the former and the present default on the sealed artists."""
    rows = []
    for head, settings in (
        ("former default", HEADS["ridge, clips weigh the same"]),
        ("default", {}),
    ):
        folds = [(np.flatnonzero(~sealed), np.flatnonzero(sealed))]
        train, test = folds[0]
        teacher = CFRegressor("mlp", random_state=SEED, **settings)
        teacher.fit(X[train], Y[train], groups=artists[train])
        estimates = teacher.predict(X[test])
        rank = own_artist_percentile(Y[test], estimates, artists=artists[test])
        cosine = mean_cosine(Y[test], estimates)
        chosen = ", ".join(map(str, getattr(teacher, "chosen_", {}).values()))
        n_artists = len(np.unique(artists[test]))
        rows.append([name, head, chosen, n_artists, f"{rank:.3f}", f"{cosine:.3f}"])
        print(rows[-1], flush=True)
    return rows


def labelled():
    """Name -> features, labels, factors of the teacher's rows, their artists, rows.

    The rows are those that train teachers, students, and the test's: development
    artists, those of the teachers in the logs, the others not.
    """
    known, factors = read_spotify(), fit_factors()
    rng = np.random.default_rng(SEED)
    logged = np.flatnonzero(known.has_logs & ~known.sealed)
    logged = np.sort(rng.permutation(logged)[:MAX_CLIPS])
    others = ~known.sealed & ~known.has_logs & (known.genres != "")
    others &= ~np.isin(known.artists, known.artists[known.has_logs])
    yield (
        "Spotify, 6 genres",
        known.X,
        known.genres,
        np.stack([factors[artist] for artist in known.ids[logged].tolist()]),
        known.ids[logged],
        (logged, *halves(np.flatnonzero(others), known.artists)),
    )
    X, ids = read_taffc()
    clips = pl.read_csv(data_folder() / "taffc" / "clips.csv")
    artists, sealed = clips["artist"].to_numpy(), seal(clips["artist"].to_numpy())
    has_logs = np.array([artist in factors for artist in ids.tolist()])
    logged = np.flatnonzero(has_logs & ~sealed)
    yield (
        "TAFFC, 4 quadrants",
        X,
        clips["quadrant"].to_numpy(),
        np.stack([factors[artist] for artist in ids[logged].tolist()]),
        ids[logged],
        (logged, *halves(np.flatnonzero(~has_logs & ~sealed), artists)),
    )


def halves(rows, artists):
    """Rows of two halves of the artists."""
    first, second = next(GroupKFold(2).split(rows, groups=artists[rows]))
    return rows[first], rows[second]


def accuracies(columns, y, train, test, n_draws):
    """Accuracy in % of an SVM, for each number of labels and draw (n_labels, n_draws).

    The columns of all clips come in parts.
    """
    columns = np.hstack(columns)
    svm, scores = make_pipeline(StandardScaler(), SVC()), []
    for n in N_LABELS:
        for draw in range(n_draws):
            rows = train[n_per_class(y[train], n, seed=draw)]
            svm.fit(columns[rows], y[rows])
            scores.append(100 * svm.score(columns[test], y[test]))
    return np.reshape(scores, (len(N_LABELS), n_draws))


def controls(n_draws):
    """Rows of the table of losses: gains of an SVM, and what controls leave of them."""
    table = []
    for name, X, y, Y, artists, (logged, train, test) in labelled():
        _, first, item = np.unique(artists, return_index=True, return_inverse=True)
        rng = np.random.default_rng(SEED)
        factors = {
            "true": Y,
            "permuted": Y[first][rng.permutation(len(first))][item],
            "same artist": rng.normal(size=(len(first), Y.shape[1]))[item],
        }
        projected = random_projection(
            X.astype(np.float64), logged, n_factors=Y.shape[1], length=None, seed=SEED
        )
        rest = y, train, test, n_draws
        features = accuracies([X], *rest)
        projection = accuracies([X, projected], *rest)
        for head, settings in HEADS.items():
            found = {}
            for arm, targets in factors.items():
                teacher = CFRegressor("mlp", random_state=SEED, **settings)
                teacher.fit(X[logged], targets, groups=artists)
                found[arm] = accuracies([X, teacher.predict(X)], *rest)
            true = found.pop("true")
            for i, n in enumerate(N_LABELS):
                gains = [
                    true[i] - a[i] for a in (features, *found.values(), projection)
                ]
                cells = [
                    f"{gain.mean():+.1f} ± {gain.std(ddof=1) / n_draws**0.5:.1f}"
                    for gain in gains
                ]
                table.append([name, n, head, f"{true[i].mean():.1f}", *cells])
                print(table[-1], flush=True)
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sealed", action="store_true", help="look at sealed artists")
    parser.add_argument("--controls", action="store_true", help="losses of a task")
    parser.add_argument("--draws", type=int, default=8, help="of labels")
    arguments = parser.parse_args()
    if arguments.controls:
        header = ["task", "labels a class", "head", "accuracy, %", "minus the features"]
        header += ["minus permuted logs", "minus same artist", "minus projection"]
        note = (
            "SVM on features and estimates. Means and standard errors of "
            f"{arguments.draws} draws of labels; no artist is in two of teacher, "
            f"training and test. At most {MAX_CLIPS} clips train teachers. "
            "VGGish's and Whisper's features have no labels."
        )
        title = "Losses of teachers, beyond three controls: development artists"
        rows = controls(arguments.draws)
        record("teacher_head/controls", title, header, rows, [note], seed=SEED)
        return
    rows = []
    for name, X, Y, artists, sealed in sets():
        if arguments.sealed:
            rows += sealed_once(name, X, Y, artists, sealed)
        else:
            rows += development(name, X[~sealed], Y[~sealed], artists[~sealed])
    note = (
        "Factors: ALS of HetRec's Last.fm logs, as in the tables of transfer_lee2019; "
        "for the playlists, of these. TAFFC: musicnn's max_pool."
    )
    if arguments.sealed:
        header = ["set", "head", "chosen", "artists", "own-artist rank", "cosine"]
        title = "Heads of teachers: sealed artists"
        record("teacher_head/sealed", title, header, rows, [note], seed=SEED)
        return
    header = ["set", "head", "own-artist rank", "cosine", "s a fit", "ridge = 1"]
    title = "Heads of teachers: unseen development artists"
    notes = [
        f"{note} Three folds of artists; at most {MAX_CLIPS} clips a set. The last row "
        "of a set is the default, whose choice is among ridge, mse_cosine and info_nce."
    ]
    record("teacher_head/development", title, header, rows, notes, seed=SEED)


if __name__ == "__main__":
    main()
