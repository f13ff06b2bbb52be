"""Artists that no model has seen: draws of `recommendation_real.py`.

HetRec 2011 Last.fm knows 1,892 users and the artists they play, no dislikes and no
times. Clips are tracks by these artists, from every set of features whose artists join
the logs. A fifth of the artists with tracks is taken out of all logs.
"""

import warnings
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import polars as pl
from lastfm2k_weights import read_tracks
from reporting import HERE, data_folder
from scipy import sparse
from sklearn.preprocessing import StandardScaler
from transfer_images import gtzan_mel
from transfer_tasks import MIN_LISTENERS, gtzan_tracks, read_features, read_spotify

from userlogfeat import (
    CFEmbedding,
    FeatureLookup,
    MusicnnEmbedder,
    UserEmbedding,
    extract,
    read_logs,
)
from userlogfeat.evaluation.recommendation_splits import split_items
from userlogfeat.feedback import Feedback, sample_dislikes

MOST_TRACKS = {"spotify": 3, "gtzan": 5}  # of an artist, drawn
TEST_SHARE = 0.2
# Of the ALS, as in the transfer benchmarks.
ALS_SETTINGS = {"confidence": "linear", "alpha": 10.0, "regularization": 0.01}
DISLIKES = 4.0  # drawn for every like
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
        return known.X, np.where(known.has_logs, known.ids, -1)
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
    artists[known.has_logs] = known.artists[known.has_logs]
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
    """Return plays of artists with enough listeners: users x artists, binary; ids."""
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
        cf = CFEmbedding(random_state=self.seed, **ALS_SETTINGS)
        return cf.fit(self.history)

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
