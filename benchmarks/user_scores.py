"""How users are scored against items that nobody has played: factors or histories.

Artists are held out of the logs, their factors estimated from features of their tracks,
and ranked for every user. A user is the ALS factor, or the mean of the unit item
vectors of the history. Estimates are of unit length (cosines) or raw (scalar products).

Half of the artists with features are for development: three draws hold a fifth of them
out, without the other half. The sealed half is ranked once.
Warm rows: known items, from which a fifth of each user's plays was held out.
"""

import argparse
from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl
from reporting import HERE, data_folder, record
from scipy import sparse

from userlogfeat import CFEmbedding, CFRegressor, MusicnnEmbedder, read_logs
from userlogfeat.evaluation.ranking import unit_rows
from userlogfeat.evaluation.recommendation import evaluate_ranking
from userlogfeat.evaluation.recommendation_splits import split_per_user
from userlogfeat.recommendation import mean_histories

SEED = 0
SEALED_SEED = 777  # of the half of the artists that is ranked once
MIN_LISTENERS = 3
ALPHA = 10.0
K = 10
N_DRAWS = 3
TEST_SHARE = 0.2
MOST_TRACKS = 3  # of an artist
TITLES = {
    "spotify": "Spotify's 12 features, HetRec",
    "vggish": "VGGish, HetRec",
    "whisper": "Whisper, HetRec",
    "taffc": "musicnn on TAFFC clips, HetRec",
    "playlists": "Spotify's 12 features, playlists",
}


@dataclass(frozen=True)
class Set:
    """Logs, and tracks whose artist or track they know.

    Attributes
    ----------
    plays : csr matrix, shape (n_users, n_items)
        Ones.
    X : ndarray, shape (n_tracks, d)
    item : ndarray of int, shape (n_tracks,)
        Column of each track in the logs.
    artist : ndarray of int, shape (n_items,)
        Artists by number.
    """

    plays: sparse.csr_matrix
    X: np.ndarray
    item: np.ndarray
    artist: np.ndarray


@cache
def read_hetrec():
    logs = read_logs(
        data_folder() / "hetrec2011-lastfm-2k",
        "hetrec-lastfm-2k",
        min_users_per_item=MIN_LISTENERS,
    )
    plays = (logs.user_items > 0).astype(np.float32).tocsr()
    return plays, {artist: n for n, artist in enumerate(logs.item_ids.tolist())}


def read_set(name):
    """The tracks of a set of features, and the logs that know them."""
    if name == "playlists":
        return read_playlists()
    plays, column_of = read_hetrec()
    if name == "spotify":
        stored = np.load(data_folder() / "spotify_tracks.npz")
        X, artists = stored["X"], stored["hetrec_artist_id"]
    elif name == "taffc":
        X, artists = read_taffc()
    else:
        stored = np.load(data_folder() / "lfm2k_vggish" / "lfm2k_audio_features.npz")
        X, artists = stored[name], stored["hetrec_artist_id"]
    item = np.array([column_of.get(artist, -1) for artist in artists.tolist()])
    rows = first_of_each(item)
    return Set(plays, X[rows], item[rows], np.arange(plays.shape[1]))


def first_of_each(item):
    """Rows of at most MOST_TRACKS drawn tracks of each item; -1 is none."""
    frame = pl.DataFrame({"row": np.arange(len(item)), "item": item})
    frame = frame.filter(pl.col("item") >= 0).sample(
        fraction=1, shuffle=True, seed=SEED
    )
    kept = frame.filter(pl.int_range(pl.len()).over("item") < MOST_TRACKS)
    return np.sort(kept["row"].to_numpy())


def read_taffc():
    """Read musicnn's max_pool of the clips; kept beside once it was computed."""
    clips = pl.read_csv(data_folder() / "taffc" / "clips.csv")
    path = HERE / "user_scores.fits" / "taffc.npy"
    if not path.exists():
        files = [str(data_folder() / "taffc" / file) for file in clips["file"]]
        path.parent.mkdir(exist_ok=True)
        np.save(path, MusicnnEmbedder(layer="max_pool").transform(files))
    artists = clips["hetrec_artist_id"].fill_null(-1).to_numpy()
    return np.load(path), artists


def read_playlists():
    plays = pl.read_parquet(data_folder() / "mpd_playlists.parquet")
    plays = plays.unique(["pid", "track_id"], maintain_order=True)
    plays = plays.filter(pl.len().over("track_id") >= 2)
    users = np.unique(plays["pid"].to_numpy(), return_inverse=True)[1]
    ids, items = np.unique(plays["track_id"].to_numpy(), return_inverse=True)
    matrix = sparse.csr_matrix((np.ones(len(items), np.float32), (users, items)))
    names = plays.unique("track_id").sort("track_id")["artist_norm"].to_numpy()
    stored = np.load(data_folder() / "spotify_tracks.npz")
    column_of = {track: n for n, track in enumerate(ids.tolist())}
    item = np.array([column_of.get(t, -1) for t in stored["track_id"].tolist()])
    rows = np.flatnonzero(item >= 0)
    rows = rows[np.unique(item[rows], return_index=True)[1]]
    artist = np.unique(names, return_inverse=True)[1]
    return Set(matrix, stored["X"][rows], item[rows], artist)


def artists_of(data):
    """Artists with features: those for development, and the sealed ones."""
    artists = np.unique(data.artist[data.item])
    sealed = np.random.default_rng(SEALED_SEED).random(len(artists)) < 0.5
    return artists[~sealed], artists[sealed]


def rank(data, new, learned, seed, head):
    """AUC and NDCG of each way of scoring, on the items of the artists `new`."""
    hidden = np.isin(data.artist, new)  # all their items leave the logs
    keep = sparse.diags_array((~hidden).astype(np.float32))
    history = sparse.csr_matrix(data.plays @ keep)
    history.eliminate_zeros()
    cf = CFEmbedding(alpha=ALPHA, random_state=seed).fit(history)
    items = cf.item_factors_
    train = np.isin(data.artist[data.item], learned)
    train &= items[data.item].any(axis=1)
    test = np.isin(data.artist[data.item], new)
    asked, place = np.unique(data.item[test], return_inverse=True)
    relevance = data.plays[:, asked]
    estimates = {}
    for norm in ("unit", "raw"):
        regressor = CFRegressor("mlp", factor_norm=norm, random_state=seed, **head)
        own = data.item[train]
        regressor.fit(data.X[train], items[own], groups=data.artist[own])
        rows = regressor.predict(data.X[test])
        sums = np.zeros((len(asked), rows.shape[1]), np.float32)
        np.add.at(sums, place, rows)
        estimates[norm] = sums / np.bincount(place)[:, None]
    means = mean_histories(history, items)
    ways = {
        "factors, cosine": (cf.user_factors_, unit_rows(estimates["unit"])),
        "history, cosine": (means, unit_rows(estimates["unit"])),
        "factors, dot of raw": (cf.user_factors_, estimates["raw"]),
        "history, dot of raw": (means, estimates["raw"]),
    }
    return {way: judge(relevance, sides) for way, sides in ways.items()}


def warm(data, seed):
    """AUC and NDCG of known items, from held-out plays."""
    train, test = split_per_user(data.plays, (0.8, 0.2), seed=seed)
    cf = CFEmbedding(alpha=ALPHA, random_state=seed).fit(train)
    means = mean_histories(train, cf.item_factors_)
    units = unit_rows(cf.item_factors_)
    ways = {
        "factors, dot of raw": (cf.user_factors_, cf.item_factors_),
        "factors, cosine": (cf.user_factors_, units),
        "history, cosine": (means, units),
        "history, dot of raw": (means, cf.item_factors_),
    }
    return {way: judge(test, sides, exclude=train) for way, sides in ways.items()}


def judge(relevance, sides, **more):
    means = evaluate_ranking(relevance, sides, k=K, **more).means
    return means["auc"], means[f"ndcg@{K}"]


def measure(name, head):
    """Rows of the table for a set of features."""
    data = read_set(name)
    development, sealed = artists_of(data)
    parts = {"development": [], "sealed": []}
    for draw in range(N_DRAWS):
        order = np.random.default_rng(SEED + draw).permutation(development)
        n_test = round(TEST_SHARE * len(order))
        found = rank(data, order[:n_test], order[n_test:], SEED + draw, head)
        parts["development"].append(found)
    parts["sealed"].append(rank(data, sealed, development, SEED, head))
    rows = []
    for part, draws in parts.items():
        for way in draws[0]:
            auc, ndcg = np.mean([draw[way] for draw in draws], axis=0)
            rows.append([TITLES[name], part, way, f"{auc:.3f}", f"{ndcg:.3f}"])
            print(*rows[-1], sep=" | ", flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=TITLES, default=list(TITLES))
    parser.add_argument("--head", choices=("ridge", "mlp"), default="ridge")
    arguments = parser.parse_args()
    head = {"head": arguments.head}
    if arguments.head == "mlp":
        head["hidden"] = (256,)
    rows = []
    for name in arguments.only:
        rows += measure(name, head)
    for title, data in (
        ("HetRec, known artists", read_set("vggish")),
        ("playlists, known tracks", read_playlists()),
    ):
        for way, (auc, ndcg) in warm(data, SEED).items():
            rows.append([title, "warm", way, f"{auc:.3f}", f"{ndcg:.3f}"])
            print(*rows[-1], sep=" | ", flush=True)
    record(
        "user_scores",
        "Scoring users: ALS factors, or the mean of their histories",
        ["features and logs", "part", "users and score", "AUC", f"NDCG@{K}"],
        rows,
        [
            f"Estimates by CFRegressor, head {arguments.head}, onto 40 ALS factors "
            f"(alpha {ALPHA:g}, ones). Development: mean of {N_DRAWS} draws of "
            "held-out artists; sealed: all artists of the other half, once.",
            "Cold rows rank items of artists that no log knew, warm rows known items.",
        ],
        seed=SEED,
    )


if __name__ == "__main__":
    main()
