"""Which head estimates the factors of unseen artists: defaults of CFRegressor.

On development artists of each set, in three folds of artists: the rank of the own
artist and the cosine of a ridge with every clip or every artist weighing the same, and
of an MLP of each loss; what ``head="auto"`` chooses, and what that costs. On sealed
artists: the former default, a ridge with clips of equal weight, and the default.

With ``--cold``, how well users' histories find the development artists that were taken
out of the logs, by estimates of each head, and by factors with an audio prior: these
are learned for a ridge, drawn to what it estimates, and so on in turn.

With ``--controls``, what each head and loss is worth to a task with few labels: an SVM
on the features and the estimates, on development artists that trained no teacher. The
teachers learn from true logs, from permuted ones, and from random factors of each
artist; a random projection of the features stands for no teacher.

    python benchmarks/teacher_head.py [--sealed | --cold | --controls]
"""

import argparse
import time

import numpy as np
import polars as pl
from reporting import data_folder, record
from scipy import sparse
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
from user_scores import K, artists_of, judge, read_playlists, read_set, read_taffc

from userlogfeat import CFEmbedding, CFRegressor
from userlogfeat.comparison.projection import random_projection
from userlogfeat.comparison.teachers import choices_of
from userlogfeat.evaluation.factors import mean_cosine, own_artist_percentile
from userlogfeat.evaluation.folds import n_per_class
from userlogfeat.evaluation.ranking import unit_rows
from userlogfeat.evaluation.recommendation_splits import split_per_user
from userlogfeat.recommendation import mean_histories

N_FOLDS = 3
N_LABELS = (5, 20)
N_DRAWS = 2  # of artists taken out of the logs
RARE = 5  # listeners at most
N_TURNS = 3  # of factors and their estimates
SEALED_NOTE = (
    "The second look at these artists: the first was when the default took the head "
    "that ranks best. It now takes an MLP where rank and cosine gain together. That "
    "rule was chosen on development artists, not on what the first look gave."
)
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
    estimates, start = np.empty_like(Y), time.process_time()
    for train, test in folds:
        teacher = CFRegressor("mlp", random_state=SEED, **settings)
        teacher.fit(X[train], Y[train], groups=artists[train])
        estimates[test] = teacher.predict(X[test])
    seconds = time.process_time() - start
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
    start = time.process_time()
    teacher = CFRegressor("mlp", random_state=SEED).fit(X, Y, groups=artists)
    seconds = N_FOLDS * (time.process_time() - start)
    chosen = "auto: " + ", ".join(map(str, teacher.chosen_.values()))
    rows.append([name, chosen, "", "", seconds, f"{seconds / ridge:.0f}"])
    print(rows[-1], flush=True)
    return [[*row[:4], f"{row[4] / N_FOLDS:.2f}", row[5]] for row in rows]


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


def cold(name, key):
    """Rows of the means over draws: users find artists that the logs did not know."""
    found = {}
    for draw in range(N_DRAWS):
        for teacher, numbers in cold_draw(key, draw):
            found.setdefault(teacher, []).append(numbers)
            print(name, draw, teacher, np.round(numbers, 3), flush=True)
    means = {teacher: np.mean(numbers, axis=0) for teacher, numbers in found.items()}
    return [
        [name, teacher, *(f"{x:.3f}" for x in row)] for teacher, row in means.items()
    ]


def cold_draw(key, draw):
    """Yield the name of each teacher, and its measures."""
    data = read_set(key)
    artist, (names, _) = data.artist[data.item], artists_of(data)
    names = np.random.default_rng(SEED + draw).permutation(names)
    n_new = len(names) // 5
    test = np.isin(artist, names[:n_new])
    kept = ~np.isin(data.artist, names[:n_new])
    known = sparse.csr_matrix(data.plays @ sparse.diags_array(kept.astype(np.float32)))
    known.eliminate_zeros()
    known, held = split_per_user(known, (0.8, 0.2), seed=draw)
    n_listeners = np.bincount(known.indices, minlength=known.shape[1])
    cf = CFEmbedding(random_state=draw).fit(known)
    learned = np.isin(artist, names[n_new:]) & (n_listeners[data.item] > 0)
    items, artist, X = data.item[learned], artist[learned], data.X[learned]

    def train(**settings):
        teacher = CFRegressor("mlp", random_state=draw, **settings)
        return teacher.fit(X, cf.item_factors_[items], groups=artist)

    def measure(teacher):
        users = mean_histories(known, cf.item_factors_)
        estimates = teacher.predict(data.X[test])
        asked, mean = means_of(estimates, data.item[test])
        factors = np.asarray(cf.transform_items(data.plays[:, data.item[test]]))
        rank = own_artist_percentile(factors, estimates, artists=data.item[test])
        numbers = [rank, mean_cosine(factors, estimates)]
        numbers += judge(data.plays[:, asked], (users, unit_rows(mean)))
        for columns in (np.unique(items), np.unique(items[n_listeners[items] <= RARE])):
            sides = users, unit_rows(np.asarray(cf.item_factors_)[columns])
            found = judge(held[:, columns], sides, exclude=known[:, columns])
            numbers.append(found[1])
        return numbers

    for head in ("ridge", "mlp, mse_cosine", "mlp, info_nce"):
        yield head, measure(train(**HEADS[head]))
    for _ in range(N_TURNS):
        estimates = train(head="ridge", factor_norm="raw").predict(X)
        rows, mean = means_of(estimates, items)
        prior = np.full(cf.item_factors_.shape, np.nan)
        prior[rows] = mean
        cf.update(known, item_prior=prior)
    yield "ridge, factors with its estimates as prior", measure(train(head="ridge"))


def means_of(rows, items):
    """The items, and the mean row of each."""
    names, place = np.unique(items, return_inverse=True)
    sums = np.zeros((len(names), rows.shape[1]))
    np.add.at(sums, place, rows)
    return names, sums / np.bincount(place)[:, None]


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
    own = pl.format("clip {}", pl.int_range(pl.len()))  # where it is not known
    artists = clips.select(pl.coalesce("artist", own))["artist"].to_numpy()
    sealed = seal(artists)
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
            found, like = {}, settings
            for arm, targets in factors.items():
                teacher = CFRegressor("mlp", random_state=SEED, **like)
                teacher.fit(X[logged], targets, groups=artists)
                like = settings | choices_of(teacher)  # the first is the true one's
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
    parser.add_argument("--cold", action="store_true", help="artists of no logs")
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
    if arguments.cold:
        for name in ("Spotify", "VGGish", "Whisper"):
            rows += cold(name, name.lower())
        header = ["set", "head", "own-artist rank", "cosine", "AUC", f"NDCG@{K}"]
        header += [f"NDCG@{K}, known artists", f"{RARE} listeners at most"]
        note = (
            f"HetRec, CFEmbedding(). Means of {N_DRAWS} draws: a fifth of the "
            "development artists is taken out of all logs and ranked by cosine, by its "
            "estimates, for users who are means of their histories. Known artists: a "
            "fifth of each user's plays was held out; those with features are ranked. "
            f"Prior: {N_TURNS} turns of a raw ridge and update(item_prior=)."
        )
        title = "Heads of teachers, and an audio prior: artists of no logs"
        record("teacher_head/cold", title, header, rows, [note], seed=SEED)
        return
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
        notes = [note, SEALED_NOTE]
        record("teacher_head/sealed", title, header, rows, notes, seed=SEED)
        return
    header = [
        "set",
        "head",
        "own-artist rank",
        "cosine",
        "processor s a fit",
        "ridge = 1",
    ]
    title = "Heads of teachers: unseen development artists"
    notes = [
        f"{note} Three folds of artists; at most {MAX_CLIPS} clips a set. The last row "
        "of a set is the default, whose choice is among ridge, mse_cosine and info_nce."
    ]
    record("teacher_head/development", title, header, rows, notes, seed=SEED)


if __name__ == "__main__":
    main()
