"""The tasks of `transfer_lee2019.py`: labelled sets, their folds and their teachers.

Every teacher learns ALS factors of the Last.fm logs (HetRec 2011, 1,892 users, 17,632
artists; alpha 10 on the binary matrix) from tracks whose artist has three listeners or
more. It is trained again for each test fold without that fold's artists.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl
from reporting import data_folder
from sklearn.model_selection import StratifiedKFold

from userlogfeat import CFEmbedding, CFRegressor, read_logs
from userlogfeat.comparison import TeacherData
from userlogfeat.datasets.gtzan import artist_filtered, fault_filtered
from userlogfeat.evaluation.folds import (
    stratified_folds,
)

SEED = 0
SEALED_SEED = 777  # of the half of Spotify's artists that is only tested
MIN_LISTENERS = 3
ALS_SETTINGS = {"confidence": "binary", "alpha": 10.0, "regularization": 0.01}
FEATURES = {
    "convnet": [f"layer_{i}" for i in range(5)],  # Choi et al. 2017: 5 x 32
    "MFCC": ["mfcc"],  # 120
}


@dataclass(frozen=True)
class Task:
    """Data and settings of one comparison."""

    title: str
    X: np.ndarray
    y: np.ndarray
    folds: list
    teachers: TeacherData
    groups: np.ndarray | None = None
    n_labels: tuple = (5, 20, 100, None)
    seeds: int = 8
    note: str = ""


@cache
def fit_factors(**settings):
    """Factor of each Last.fm artist id."""
    logs = read_logs(data_folder() / "hetrec2011-lastfm-2k", "hetrec-lastfm-2k")
    embedding = CFEmbedding(**ALS_SETTINGS | {"random_state": SEED} | settings)
    factors = embedding.fit((logs.user_items > 0).astype(np.float32)).item_factors_
    return dict(zip(logs.item_ids.tolist(), factors, strict=True))


def teacher_data(X, artists, rows, *, clips=None, groups=None, estimator=None):
    """TeacherData of some rows, by the Last.fm id of each row's artist."""
    known = fit_factors()
    if estimator is None:
        estimator = CFRegressor(
            "mlp", head="mlp", hidden=(256,), patience=10, random_state=SEED
        )
    return TeacherData(
        estimator,
        X[rows],
        np.stack([known[artist] for artist in artists[rows].tolist()]),
        items=artists[rows],
        clips=clips,
        groups=groups,
    )


@dataclass(frozen=True)
class Spotify:
    """66,303 tracks of 12 features, and who may be looked at for what."""

    X: np.ndarray
    genres: np.ndarray  # "" where unknown
    artists: np.ndarray  # by name
    ids: np.ndarray  # Last.fm id, -1 where unknown
    has_logs: np.ndarray  # artist has MIN_LISTENERS or more
    sealed: np.ndarray  # artist is of the half that is tested; chose nothing


def read_spotify():
    table = np.load(data_folder() / "spotify_tracks.npz")
    names, artist = np.unique(table["artist_norm"], return_inverse=True)
    sealed = np.random.default_rng(SEALED_SEED).random(len(names)) < 0.5
    return Spotify(
        X=_spotify_features(table),
        genres=table["genre"],
        artists=table["artist_norm"],
        ids=table["hetrec_artist_id"],
        has_logs=(table["hetrec_artist_id"] >= 0)
        & (table["hetrec_listeners"] >= MIN_LISTENERS),
        sealed=sealed[artist],
    )


def spotify(tested="sealed", n_labels=(5, 20, 100, 500, None)):
    """Six genres from 12 high-level features.

    Of one half of the artists, those in the logs train the teacher and the others the
    students; the sealed half is for testing. ``tested="development"`` leaves the sealed
    half out, and tests on a third of the artists that otherwise train students.
    """
    known = read_spotify()
    open_ = ~known.sealed
    is_training = known.has_logs & open_
    # An artist trains the teacher or the students, not both, even if a track has no id.
    is_labelled = open_ & ~np.isin(known.artists, known.artists[is_training])
    tests = known.sealed
    if tested == "development":
        names = np.unique(known.artists[is_labelled])
        names = np.random.default_rng(SEED).permutation(names)[: len(names) // 3]
        tests = is_labelled & np.isin(known.artists, names)
        is_labelled &= ~tests
    labelled = known.genres != ""
    rows = np.flatnonzero(labelled & (is_labelled | tests))
    train, test = (np.flatnonzero(part[rows]) for part in (is_labelled, tests))
    n_artists = len(np.unique(known.ids[is_training]))
    return Task(
        "Spotify features, 6 genres (noisy: the playlist's)",
        known.X[rows],
        known.genres[rows],
        [(train, test)],
        teacher_data(
            known.X,
            known.ids,
            np.flatnonzero(is_training),
            clips=np.full(is_training.sum(), -1),
            groups=known.artists[is_training],
        ),
        known.artists[rows],
        n_labels=n_labels,
        note=f"{is_training.sum()} tracks of {n_artists} artists are for training the "
        f"teacher; {len(train)} of other artists are labelled for training, "
        f"{len(test)} of yet others for testing.",
    )


def _spotify_features(table):
    """13 columns: the key as a point on a circle, the duration as a logarithm."""
    columns = dict(zip(table["feature_names"].tolist(), table["X"].T, strict=True))
    angle = 2 * np.pi * columns.pop("key") / 12
    duration = np.log(np.maximum(columns.pop("duration_ms"), 1000))
    return np.stack(
        [*columns.values(), duration, np.sin(angle), np.cos(angle)], axis=1
    ).astype(np.float32)


@dataclass(frozen=True)
class Gtzan:
    """GTZAN's 1000 tracks: names, genres, artists, and training tracks of teachers."""

    tracks: np.ndarray
    genres: np.ndarray
    groups: np.ndarray  # artist; a track of its own where unknown
    artists: np.ndarray  # Last.fm id, -1 where unknown
    has_logs: np.ndarray  # rows whose artist has MIN_LISTENERS or more


@cache
def gtzan_tracks(stem="convnet_features/gtzan_genre"):
    """The tracks in the order of a file of features."""
    table = np.load(data_folder() / f"{stem}.npz")
    if "track" in table:
        tracks = table["track"]
    else:
        tracks = np.array([p.split("/")[-1][:-3] for p in table["meta_filepath"]])
    join = pl.read_csv(data_folder() / "gtzan_lastfm_join.csv")
    ids = dict(zip(join["track"], join["hetrec_artist_id"], strict=True))
    listeners = dict(zip(join["track"], join["n_users"], strict=True))
    groups = {}
    folder = data_folder() / "gtzan_splits" / "artist_filtered_3fold"
    for path in sorted(folder.glob("*_groups.txt")):
        for line in path.read_text().splitlines():
            file, group = line.split("\t")
            groups[file.split("/")[-1].rpartition(".")[0].replace("_", ".")] = group
    return Gtzan(
        tracks=tracks,
        genres=np.array([track.split(".")[0] for track in tracks]),
        groups=np.array([groups.get(track, track) for track in tracks]),
        artists=np.array([ids.get(track, -1) for track in tracks]),
        has_logs=np.flatnonzero(
            [listeners.get(track, 0) >= MIN_LISTENERS for track in tracks]
        ),
    )


def read_features(stem, kind):
    """Published features of a set (n_clips, n), and its table."""
    table = np.load(data_folder() / "convnet_features" / f"{stem}.npz")
    columns = [table[name] for name in FEATURES[kind]]
    return np.hstack(columns).astype(np.float32), table


def gtzan_folds(known, protocol):
    """Folds of GTZAN: the fault-filtered split, artist-filtered, or ten."""
    splits = data_folder() / "gtzan_splits"
    if protocol == "fault-filtered":
        train, valid, test = fault_filtered(known.tracks, splits)
        return [(np.concatenate([train, valid]), test)]
    if protocol == "artist-filtered 3-fold":
        return artist_filtered(known.tracks, splits / "artist_filtered_3fold")
    return stratified_folds(known.genres, 10, seed=SEED)


def gtzan(kind, protocol):
    """GTZAN's genres from published features."""
    X, _ = read_features("gtzan_genre", kind)
    known = gtzan_tracks()
    teachers = teacher_data(
        X,
        known.artists,
        known.has_logs,
        clips=known.has_logs,
        groups=known.groups[known.has_logs],
    )
    return Task(
        f"GTZAN, {protocol}, {kind}",
        X,
        known.genres,
        gtzan_folds(known, protocol),
        teachers,
        known.groups,
        n_labels=(5, 20, None) if "10" in protocol else (5, 20, 40, None),
    )


def gtzan_teachers(X, kind):
    """A teacher of the same features, from GTZAN's tracks: for sets without artists."""
    known = gtzan_tracks()
    features, _ = read_features("gtzan_genre", kind)
    return teacher_data(
        features,
        known.artists,
        known.has_logs,
        clips=np.full(len(known.has_logs), -1),
    )


def ballroom(kind):
    """Extended Ballroom's 13 dances, in ten folds; no artists are known."""
    X, table = read_features("ballroom_extended", kind)
    y = np.array([path.split("/")[1] for path in table["meta_filepath"]])
    return Task(
        f"Extended Ballroom, 10-fold, {kind}",
        X,
        y,
        list(StratifiedKFold(10, shuffle=True, random_state=SEED).split(X, y)),
        gtzan_teachers(X, kind),
        n_labels=(5, 20, None),
        note="The teacher was trained on GTZAN's tracks. If a class has fewer clips, "
        "all are used.",
    )


def emomusic(kind, target):
    """EmoMusic's valence or arousal, in ten folds."""
    X, table = read_features("emoMusic", kind)
    y = table[f"meta_label_{target}"].astype(np.float64)
    order = np.random.default_rng(SEED).permutation(len(y))
    return Task(
        f"EmoMusic {target}, 10-fold, {kind}",
        X,
        y,
        [
            (np.setdiff1d(order, test), np.sort(test))
            for test in np.array_split(order, 10)
        ],
        gtzan_teachers(X, kind),
        n_labels=(None,),
        note="Ten random folds: these features do not have the published split. "
        "The teacher was trained on GTZAN's tracks.",
    )


def urbansound(kind):
    """UrbanSound's ten classes in its ten folds: not music."""
    X, table = read_features("urbansound", kind)
    fold = table["meta_fold"].astype(int)
    return Task(
        f"UrbanSound8K (not music), its 10 folds, {kind}",
        X,
        table["meta_label"],
        [
            (np.flatnonzero(fold != test), np.flatnonzero(fold == test))
            for test in range(1, 11)
        ],
        gtzan_teachers(X, kind),
        n_labels=(5, 20, None),
        note="The teacher was trained on GTZAN's tracks.",
    )
