"""The real part of `recommendation_chen2021.py`: artists that no model has seen.

HetRec 2011 Last.fm knows 1,892 users and the artists they play, no dislikes and no
times. Clips are tracks by these artists, from every set of features whose artists join
the logs. A fifth of the artists with tracks is taken out of all logs: users are
embedded without them, nets learn without them. Then every user ranks them by what
their tracks sound like, and what the user plays of them is relevant.

No dislike is expressed in these logs: nets learn from artists that a user never played,
drawn at random, and an artist that is not played counts as not relevant.
"""

import warnings
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import polars as pl
from lastfm2k_weights import read_tracks
from reporting import HERE, data_folder
from scipy import sparse
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler
from transfer_images import gtzan_mel
from transfer_tasks import MIN_LISTENERS, gtzan_tracks, read_features, read_spotify

from userlogfeat import (
    CFEmbedding,
    CFRegressor,
    FeatureLookup,
    MetricEmbedder,
    MusicnnEmbedder,
    UserEmbedding,
    extract,
    read_logs,
)
from userlogfeat.estimators.metric import TABLE_1
from userlogfeat.evaluation.recommendation import evaluate_ranking
from userlogfeat.evaluation.recommendation_splits import split_items
from userlogfeat.feedback import Feedback, sample_dislikes

K = 10
MOST_TRACKS = {"spotify": 3, "gtzan": 5}  # of an artist, drawn
TEST_SHARE = 0.2
ALPHA = 10.0  # of the ALS, as in the transfer benchmarks
N_NEIGHBOURS = 20
DISLIKES = 4.0  # drawn for every like
MAX_EPOCHS = {"spotify": 6, "gtzan": 30}  # of as many examples as there are likes
PATIENCE = 4
SETS = {  # name -> draws of test artists, which all sets of GTZAN share
    "spotify": 3,
    "gtzan_convnet": 4,
    "gtzan_mfcc": 4,
    "gtzan_images": 4,
    "gtzan_taggram": 4,
    "gtzan_musicnn": 4,
}
TITLES = {
    "spotify": "Spotify's 12 features",
    "gtzan_convnet": "GTZAN, convnet features (Choi et al. 2017)",
    "gtzan_mfcc": "GTZAN, MFCC",
    "gtzan_images": "GTZAN, 96 mel bands of 5 s, mean and deviation",
    "gtzan_taggram": "GTZAN, musicnn's 50 tags, mean and deviation",
    "gtzan_musicnn": "100 GTZAN clips, musicnn's max_pool and tags",
}
LARGEST = {"spotify": "spotify", "gtzan": "gtzan_convnet"}  # set that has all artists
MUSICNN = ("gtzan_taggram", "gtzan_musicnn")


@cache
def read_set(name):
    """Features (n_tracks, d), and the Last.fm artist of each track, -1 if unknown."""
    if name == "spotify":
        known = read_spotify()
        return known.X, np.where(known.taught, known.ids, -1)
    if name == "gtzan_taggram":
        parts = [read_tracks(data_folder(), part) for part in ("train", "test")]
        features = np.concatenate([part.features for part in parts])
        return features, np.concatenate(
            [np.where(part.logged, part.artists, -1) for part in parts]
        )
    if name == "gtzan_musicnn":
        return _musicnn_clips()
    if name == "gtzan_images":
        known, mel = gtzan_tracks("gtzan_specgram5s_u8"), gtzan_mel()
        X = np.hstack([mel.mean(axis=2), mel.std(axis=2)])
    else:
        known = gtzan_tracks()
        X, _ = read_features("gtzan_genre", {"gtzan_mfcc": "MFCC"}.get(name, "convnet"))
    artists = np.full(len(X), -1)
    artists[known.taught] = known.artists[known.taught]
    return X, artists


def _musicnn_clips():
    folder = data_folder() / "gtzan_clips"
    clips = pl.read_csv(folder / "clips.csv").filter(
        pl.col("lastfm_artist_id").is_not_null()
    )
    embedder = MusicnnEmbedder(layer=("max_pool", "taggram"))
    table = HERE / "recommendation_chen2021.fits" / "gtzan_musicnn.table"
    paths = [folder / file for file in clips["file"]]
    extract(paths, table, embedder=embedder)
    return FeatureLookup(table).fit_transform(paths), clips[
        "lastfm_artist_id"
    ].to_numpy()


@cache
def read_plays():
    """Who plays which artist with enough listeners: users x artists, binary; ids."""
    logs = read_logs(
        data_folder() / "hetrec2011-lastfm-2k",
        "hetrec-lastfm-2k",
        min_users_per_item=MIN_LISTENERS,
    )
    return (logs.user_items > 0).astype(np.float32).tocsr(), logs.item_ids


@dataclass(frozen=True)
class Draw:
    """One draw of test artists.

    Attributes
    ----------
    pool : {"spotify", "gtzan"}
        Where tracks are from.
    X : ndarray (n_tracks, d)
        At most MOST_TRACKS of an artist.
    artist : ndarray (n_tracks,)
        Column of `plays`.
    known, new : ndarray
        Columns of the artists with tracks to learn from, and of those to test.
    users : ndarray (n_users, 40)
        By the user tower of plays without the new ones.
    """

    pool: str
    seed: int
    X: np.ndarray
    artist: np.ndarray
    known: np.ndarray
    new: np.ndarray
    users: np.ndarray

    @cached_property
    def history(self):
        """Plays without the artists to test."""
        return _without(read_plays()[0], self.new)

    @cached_property
    def relevance(self):
        """Plays of the artists to test."""
        return read_plays()[0][:, self.new]

    @cached_property
    def train(self):
        """Rows of the tracks to learn from."""
        return np.flatnonzero(np.isin(self.artist, self.known))

    @cached_property
    def scaled(self):
        """Features, standardised by those to learn from."""
        return StandardScaler().fit(self.X[self.train]).transform(self.X)

    @cached_property
    def cf(self):
        """ALS of the history."""
        return CFEmbedding(alpha=ALPHA, random_state=self.seed).fit(self.history)

    @cached_property
    def verdicts(self):
        """Tracks to learn from x users: played +1, drawn from the others -1."""
        plays, ids = read_plays()
        plays = plays[:, self.known]
        liked = Feedback(plays, np.arange(plays.shape[0]), ids[self.known], "played")
        drawn = sample_dislikes(
            liked, plays, n_per_like=DISLIKES, random_state=self.seed
        )
        return drawn.of_clips(ids[self.artist[self.train]])

    def of_artists(self, rows):
        """Mean of what test tracks have, over each test artist: (n_new, d)."""
        return np.stack(
            [rows[self.artist == column].mean(axis=0) for column in self.new]
        )


@cache
def read_columns(name):
    """Features of the tracks that join the logs, and the column of their artists."""
    X, artists = read_set(name)
    ids = read_plays()[1].tolist()
    column_of = {artist: column for column, artist in enumerate(ids)}
    columns = np.array([column_of.get(artist, -1) for artist in artists.tolist()])
    return X[columns >= 0].astype(np.float32), columns[columns >= 0]


@cache
def split_artists(pool, seed):
    """Columns of artists to learn from and to test, and users embedded without these.

    The user tower takes a minute, so what it says is kept.
    """
    artists = np.unique(read_columns(LARGEST[pool])[1])
    parts = split_items(len(artists), (1 - TEST_SHARE, TEST_SHARE), seed=seed)
    known, new = (artists[part] for part in parts)
    path = HERE / "recommendation_chen2021.fits" / f"users-{pool}-{seed}.npy"
    if not path.exists():
        history = _without(read_plays()[0], new)
        tower = UserEmbedding(random_state=seed, device="cpu")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of users who played only new artists
            users = tower.fit(history).transform(history)
        path.parent.mkdir(exist_ok=True)
        np.save(path, users)
    return known, new, np.load(path)


@cache
def draw(name, seed):
    """The draw of a set of features."""
    X, columns = read_columns(name)
    pool = name.split("_")[0]
    known, new, users = split_artists(pool, seed)
    frame = pl.DataFrame({"row": np.arange(len(X)), "column": columns})
    frame = frame.sample(fraction=1, shuffle=True, seed=seed)
    place = pl.int_range(pl.len()).over("column")
    rows = np.sort(frame.filter(place < MOST_TRACKS[pool])["row"].to_numpy())
    known, new = (np.intersect1d(part, columns) for part in (known, new))
    return Draw(pool, seed, X[rows], columns[rows], known, new, users)


def _without(plays, columns):
    kept = np.ones(plays.shape[1], np.float32)
    kept[columns] = 0
    plays = sparse.csr_matrix(plays @ sparse.diags_array(kept))
    plays.eliminate_zeros()
    return plays


def _unit(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def at_random(world):
    """Scores drawn at random."""
    return np.random.default_rng(world.seed).random(world.relevance.shape)


def heard_popularity(world):
    """How popular an artist is, estimated from the features by ridge regression."""
    listeners = np.log1p(np.asarray(read_plays()[0].sum(axis=0)).ravel())
    ridge = RidgeCV(np.logspace(-2, 5, 15))
    ridge.fit(world.scaled[world.train], listeners[world.artist[world.train]])
    scores = world.of_artists(ridge.predict(world.scaled)[:, None])[:, 0]
    return np.tile(scores, (len(world.users), 1))


def true_popularity(world):
    """How many play the artist: what nobody knows of a new one."""
    counts = np.asarray(world.relevance.sum(axis=0)).ravel()
    return np.tile(counts, (world.relevance.shape[0], 1))


def warm_als(world):
    """Factors of the new artists from half of the users, for the other half."""
    plays = read_plays()[0]
    half = np.random.default_rng(world.seed).random(plays.shape[0]) < 0.5
    scores = np.empty(world.relevance.shape)
    for side in (half, ~half):
        # The other side's plays; nobody's own are in the factors they are scored by.
        others = sparse.diags_array((~side).astype(np.float32)) @ world.relevance
        factors = world.cf.transform_items(sparse.csr_matrix(others))
        scores[side] = world.cf.user_factors_[side] @ factors.T
    return scores


def neighbours(world):
    """Share of the nearest known tracks, by cosine, that the user plays."""
    rows = _unit(world.scaled)
    near = rows @ rows[world.train].T
    order = np.argsort(-near, axis=1)[:, :N_NEIGHBOURS]
    plays = read_plays()[0]
    found = plays[:, world.artist[world.train]].T.tocsr()  # tracks x users
    pick = sparse.csr_matrix(
        (
            np.ones(order.size, np.float32),
            (np.repeat(np.arange(len(rows)), N_NEIGHBOURS), order.ravel()),
        ),
        shape=(len(rows), len(world.train)),
    )
    return world.of_artists((pick @ found).toarray() / N_NEIGHBOURS).T


def estimate(head, norm="unit", permuted=False):
    """Scalar products of ALS users and factors that features tell."""

    def score(world):
        taught = _deal(world, permuted)
        factors = world.cf.item_factors_[taught]
        settings = {"head": "mlp", "hidden": (256,)} if head == "mlp" else {}
        regressor = CFRegressor(
            network="mlp", factor_norm=norm, random_state=world.seed, **settings
        )
        regressor.fit(world.X[world.train], factors, groups=taught)
        heard = world.of_artists(regressor.predict(world.X))
        return world.cf.user_factors_ @ heard.T

    return score


def _deal(world, permuted):
    """The artist whose listeners each training track is taught by."""
    own = world.artist[world.train]
    if not permuted:
        return own
    others = np.random.default_rng(world.seed).permutation(world.known)
    return others[np.searchsorted(world.known, own)]


def metric(name, users="tower", permuted=False):
    """A row of table 1 on features."""

    def score(world):
        known = {"tower": lambda: world.users, "als": lambda: world.cf.user_factors_}
        embedder = MetricEmbedder(
            **{"users": known[users](), **TABLE_1[name]},
            network="mlp",
            max_epochs=MAX_EPOCHS[world.pool],
            patience=PATIENCE,
            device="cpu",
            random_state=world.seed,
        )
        verdicts, artists = world.verdicts, world.artist[world.train]
        if permuted:
            verdicts = verdicts[_rows_of(world)]
        embedder.fit(world.X[world.train], verdicts, groups=artists)
        heard = world.of_artists(_unit(embedder.transform(world.X)))
        return _unit(embedder.users_) @ _unit(heard).T

    return score


def _rows_of(world):
    """For each training track, a row of the artist that it is dealt when permuted."""
    own = world.artist[world.train]
    first = {artist: row for row, artist in reversed(list(enumerate(own.tolist())))}
    return [first[artist] for artist in _deal(world, True).tolist()]


BEST = "Metric-1vs4"
METHODS = {
    "random": at_random,
    "popularity, heard in the features": heard_popularity,
    "popularity, true (not known of new artists)": true_popularity,
    "ALS (warm only: half of the users)": warm_als,
    "kNN on features": neighbours,
    "ridge CF estimate": estimate("ridge"),
    "ridge CF estimate, raw length": estimate("ridge", "raw"),
    "mlp CF estimate": estimate("mlp"),
    **{name: metric(name) for name in TABLE_1},
    f"{BEST}, ALS users": metric(BEST, "als"),
    "ridge CF estimate, permuted artists": estimate("ridge", permuted=True),
    f"{BEST}, permuted artists": metric(BEST, permuted=True),
}


def methods_of(name):
    """Rows of the table of a set of features."""
    return METHODS


def judge_of(name):
    """The judge of a set of features: a function of method and seed."""

    def judge(method, seed):
        world = draw(name, seed)
        scores = METHODS[method](world)
        found = evaluate_ranking(world.relevance, scores, k=K)
        values = {
            metric: found.per_user[metric]
            for metric in ("auc", f"recall@{K}", f"ndcg@{K}")
        }
        # The other side: who will play this artist? One value for each artist.
        by_artist = evaluate_ranking(world.relevance.T.tocsr(), scores.T, k=1)
        values["artist auc"] = np.full(read_plays()[0].shape[1], np.nan)
        values["artist auc"][world.new] = by_artist.per_user["auc"]
        return values

    return judge


def words(name, seeds):
    """Title and notes of the table."""
    worlds = [draw(name, seed) for seed in range(seeds)]
    n_users = worlds[0].relevance.shape[0]
    without = [int((w.relevance.sum(axis=1).A1 == 0).sum()) for w in worlds]
    n_new, n_known = len(worlds[0].new), len(worlds[0].known)
    features = "musicnn's" if name in MUSICNN else "no features of musicnn here"
    return (
        f"New artists for Last.fm users: {TITLES[name]}",
        [
            f"HetRec 2011 Last.fm, artists with {MIN_LISTENERS} listeners or more; "
            f"{len(worlds[0].X)} tracks, at most {MOST_TRACKS[worlds[0].pool]} of an "
            f"artist; {n_known} artists to learn from, {n_new} that no model has seen, "
            f"{seeds} draws. "
            f"Every one of {n_users} users ranks the new artists; {min(without)} to "
            f"{max(without)} users play none of them and are in no mean.",
            "Negatives are sampled, not expressed: these logs hold no dislikes. Nets "
            f"learn from {DISLIKES:g} artists drawn for each played one; in the test "
            "an artist that a user does not play counts as not relevant.",
            "95% bootstrap intervals over users and draws; of the last column (for "
            "each new artist, AUC of users who play it before users who do not) over "
            f"artists and draws. kNN: {N_NEIGHBOURS} tracks by cosine of standardised "
            f"features ({features}). Popularity and artist mean know nothing of a new "
            "artist: the one is estimated, and given as nobody could know it; the "
            "other would be random.",
            '"Permuted artists": training artists\' listeners are exchanged. Users are '
            "the tower's unless it says ALS (alpha 10).",
        ],
    )
