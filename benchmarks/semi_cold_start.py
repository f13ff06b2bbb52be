"""New tracks by known artists: artist mean, audio, or both, on playlists.

The playlists know tracks, 8,319 of which have Spotify's twelve audio features. A fifth
of the tracks with features, by artists who have other tracks, is taken out of all logs
before anything is learned; then it comes back with 0, 1, 2 or 4 playlists. Users are
the playlists that are left. Choices (none but k0 and the artist's worth, which
`ColdStartItems` measures inside) see the other tracks only.
"""

import argparse

import numpy as np
import polars as pl
from reporting import data_folder, record
from scipy import sparse
from sklearn.frozen import FrozenEstimator

from userlogfeat import CFEmbedding, CFRegressor, ColdStartItems
from userlogfeat.evaluation.ranking import unit_rows
from userlogfeat.evaluation.recommendation import evaluate_ranking

SEED = 0
MIN_PLAYLISTS = 2  # of a track
TEST_SHARE = 0.2
LEVELS = (0, 1, 2, 4)  # playlists that know the new track already
ALPHA = 10.0
K = 10


def read_playlists():
    """Playlists x tracks; artists of the tracks, and their features or NaN."""
    plays = pl.read_parquet(data_folder() / "mpd_playlists.parquet")
    plays = plays.unique(["pid", "track_id"], maintain_order=True)
    plays = plays.filter(pl.len().over("track_id") >= MIN_PLAYLISTS)
    users = np.unique(plays["pid"].to_numpy(), return_inverse=True)[1]
    ids, items = np.unique(plays["track_id"].to_numpy(), return_inverse=True)
    entries = (np.ones(len(items), np.float32), (users, items))
    first = plays.unique("track_id").sort("track_id")
    stored = np.load(data_folder() / "spotify_tracks.npz")
    row_of = {track: row for row, track in enumerate(stored["track_id"].tolist())}
    rows = np.array([row_of.get(track, -1) for track in ids.tolist()])
    features = np.where(rows[:, None] >= 0, stored["X"][rows], np.nan)
    return sparse.csr_matrix(entries), first["artist_norm"].to_list(), features


def estimate(features, factors, rows, artists, seed):
    """Estimates of all tracks with features, out of fold for those learned from."""
    known = ~np.isnan(features[:, 0])
    estimates = np.full(factors.shape, np.nan, np.float32)
    rng = np.random.default_rng(seed)
    names, groups = np.unique(np.array(artists)[rows], return_inverse=True)
    fold_of = rng.integers(5, size=len(names))[groups]
    settings = {"head": "mlp", "hidden": (256,), "random_state": seed}
    for fold in [*range(5), None]:
        learned = rows if fold is None else rows[fold_of != fold]
        asked = np.setdiff1d(np.flatnonzero(known), rows)
        asked = asked if fold is None else rows[fold_of == fold]
        head = CFRegressor("mlp", **settings).fit(
            features[learned], factors[learned], groups=np.array(artists)[learned]
        )
        estimates[asked] = head.predict(features[asked])
    return estimates


def judge(plays, seen, embedded, users, new):
    """AUC and NDCG of the new tracks, for the playlists that have more of them."""
    held = sparse.csr_matrix(plays[:, new] - seen)
    held.eliminate_zeros()
    scores = (unit_rows(users), unit_rows(embedded))
    found = evaluate_ranking(held, scores, k=K, exclude=seen).means
    return found["auc"], found[f"ndcg@{K}"]


def thin(plays, level, rng):
    """Keep `level` playlists of each track; those with as few lose all but one less."""
    columns = plays.T.tocsr()
    kept = sparse.lil_matrix(columns.shape, dtype=np.float32)
    for row in range(columns.shape[0]):
        users = columns.indices[columns.indptr[row] : columns.indptr[row + 1]]
        n_kept = min(level, len(users) // 2)
        kept[row, rng.permutation(users)[:n_kept]] = 1
    return sparse.csr_matrix(kept.T)


def measure(seed):
    plays, artists, features = read_playlists()
    rng = np.random.default_rng(seed)
    known = ~np.isnan(features[:, 0])
    counts = pl.Series(artists).value_counts()
    n_tracks = dict(counts.iter_rows())
    several = np.array([n_tracks[artist] > 1 for artist in artists])
    candidates = np.flatnonzero(known & several)
    n_test = round(TEST_SHARE * len(candidates))
    new = np.sort(rng.permutation(candidates)[:n_test])
    old = np.setdiff1d(np.arange(plays.shape[1]), new)
    before = sparse.csr_matrix(plays[:, old])
    old_artists = [artists[row] for row in old]
    kept = np.flatnonzero(np.diff(before.tocsc().indptr))
    assert len(kept) == len(old)
    cf = CFEmbedding(alpha=ALPHA, random_state=seed).fit(before)
    learned = np.flatnonzero(known[old])
    both = np.concatenate([features[old], features[new]])
    factors = np.zeros((len(both), cf.n_factors), np.float32)
    factors[: len(old)] = cf.item_factors_
    estimates = estimate(both, factors, learned, old_artists + ["new"] * n_test, seed)
    X, X_new = estimates[: len(old)], estimates[len(old) :]
    new_artists = [artists[row] for row in new]
    silent = np.full_like(X, np.nan)
    models = {
        "audio": ColdStartItems(FrozenEstimator(cf), random_state=seed).fit(
            X, before.T
        ),
        "artist": ColdStartItems(FrozenEstimator(cf), random_state=seed).fit(
            silent, before.T, artists=old_artists
        ),
        "both": ColdStartItems(FrozenEstimator(cf), random_state=seed).fit(
            X, before.T, artists=old_artists
        ),
    }
    worths = (models["both"].k0_, models["both"].artist_worth_)
    rows = {}
    for level in LEVELS:
        seen = thin(plays[:, new], level, rng)
        history = seen.T.tocsr()
        missing = np.full_like(X_new, np.nan)
        ways = {
            "history alone": models["audio"].transform(missing, history),
            "audio": models["audio"].transform(X_new, history),
            "artist": models["artist"].transform(missing, history, artists=new_artists),
            "both": models["both"].transform(X_new, history, artists=new_artists),
        }
        for way, embedded in ways.items():
            if level == 0 and way == "history alone":
                continue
            rows[level, way] = judge(plays, seen, embedded, cf.user_factors_, new)
    return rows, worths, (len(new), models["both"].evidence(X_new, artists=new_artists))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    n_seeds = parser.parse_args().seeds
    found = [measure(SEED + seed) for seed in range(n_seeds)]
    rows = []
    for level, way in found[0][0]:
        values = np.array([each[level, way] for each, _, _ in found])
        mean = [f"{value:.3f}" for value in values.mean(axis=0)]
        spread = [f"{value:.3f}" for value in values.std(axis=0)]
        cells = [f"{m} ± {s}" for m, s in zip(mean, spread, strict=True)]
        rows.append([level, way, *cells])
    worths = "; ".join(f"{k0:.1f} and {artist:.1f}" for _, (k0, artist), _ in found)
    n_new, evidence = found[0][2]
    record(
        "semi_cold_start",
        "Semi-cold start: new tracks by known artists, on playlists",
        ["playlists that know it", "from", "AUC", f"NDCG@{K}"],
        rows,
        [
            f"{n_new:,} tracks with Spotify's twelve features are new, and ranked by "
            "cosine for the playlists that hold them. Mean and standard deviation of "
            f"{n_seeds} draws.",
            "Measured by ColdStartItems on the known tracks: the audio is worth, and "
            f"very many tracks by the artist are worth, in playlists: {worths}.",
            "Mean weight of the artist where nobody has played the track: "
            f"{evidence['artist'].mean():.2f}, of the audio "
            f"{evidence['audio'].mean():.2f}.",
        ],
        seed=SEED,
    )


if __name__ == "__main__":
    main()
