"""The tables of `genre_chen2021.py`: clips, labels, folds, excluded artists."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from reporting import data_folder
from sklearn.model_selection import (
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
)

from userlogfeat.datasets.fma import read_fma
from userlogfeat.datasets.gtzan import fault_filtered, gtzan_tracks, read_gtzan

SEED = 0
N_FMA_DRAWS = 1  # of 7:3; the paper's number is not stated
EVERY = 3  # of the published frames, which are a second apart
FEWEST_ARTISTS = 4  # of a genre, to be tested by artist


@dataclass(frozen=True)
class Task:
    """Clips of one table.

    Attributes
    ----------
    paths, labels : ndarray (n_clips,)
    folds : list of (train, test)
    groups : ndarray (n_clips,) or None
        Artists by name, for intervals.
    excluded : frozenset
        Last.fm ids of artists that must not train the embedder.
    published : list of (train, test) or None
        The published split, if `folds` leave out clips whose artists train the
        embedder.
    training_parts : tuple of str
        Parts of the published frames that train the embedder.
    patches : tuple or None
        Patches and tags, if no audio is read.
    """

    title: str
    paths: np.ndarray
    labels: np.ndarray
    folds: list
    groups: np.ndarray | None = None
    excluded: frozenset = frozenset()
    published: list | None = None
    training_parts: tuple = ("train", "test")
    patches: tuple | None = None
    notes: tuple = ()


def gtzan_by_artist():
    """The GTZAN clips at hand, of genres with several artists, who are kept apart."""
    return gtzan_clips(by_artist=True)


def gtzan_clips(by_artist=False):
    """The 100 GTZAN clips at hand."""
    folder = data_folder() / "gtzan_clips"
    clips = pl.read_csv(folder / "clips.csv")
    artists = np.array(
        [row["artist"] or row["file"] for row in clips.iter_rows(named=True)]
    )
    labels = clips["genre"].to_numpy()
    title = "GTZAN, 100 clips, 10 random folds"
    note = (
        "Tracks 0 to 9 of each genre, four of them by one artist: folds share artists, "
        "which raises the accuracy in every row."
    )
    if by_artist:
        several = [g for g in np.unique(labels) if _n_artists(artists, labels, g)]
        clips = clips.filter(pl.col("genre").is_in(several))
        keep = np.isin(labels, several)
        labels, artists = labels[keep], artists[keep]
        title = (
            f"GTZAN, {len(labels)} clips of {len(several)} genres, 4 folds by artist"
        )
        note = f"Genres with {FEWEST_ARTISTS} artists or more: {', '.join(several)}."
        deal = StratifiedGroupKFold(4, shuffle=True, random_state=SEED)
        folds = list(deal.split(labels, labels, artists))
    else:
        deal = StratifiedKFold(10, shuffle=True, random_state=SEED)
        folds = list(deal.split(labels, labels))
    return Task(
        title,
        np.array([str(folder / file) for file in clips["file"]]),
        labels,
        folds,
        artists,
        _gtzan_artists(),
        notes=(note,),
    )


def _gtzan_artists():
    """Last.fm ids of the artists of the clips at hand."""
    clips = pl.read_csv(data_folder() / "gtzan_clips" / "clips.csv")
    return frozenset(clips["lastfm_artist_id"].drop_nulls().to_list())


def _n_artists(artists, labels, genre):
    return len(np.unique(artists[labels == genre])) >= FEWEST_ARTISTS


def esc10():
    """ESC-10's sounds in its five folds: not music."""
    paths = sorted((data_folder() / "esc10").glob("*/*.ogg"))
    fold = np.array([int(path.name[0]) for path in paths])
    return Task(
        "ESC-10 (not music), its 5 folds",
        np.array([str(path) for path in paths]),
        np.array([path.parent.name for path in paths]),
        [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(1, 6)],
        excluded=_gtzan_artists(),  # so that one embedder serves all clips at hand
    )


def gtzan_frames():
    """The published tags of GTZAN's fault-filtered tracks: learn from 443, test 290."""
    clips, tracks, sizes = [], [], []
    for part in ("train", "test"):
        table = np.load(data_folder() / "gtzan_taggram" / f"{part}.npz")
        names = np.unique(table["track"])
        clips += [table["taggram"][table["track"] == n][::EVERY] for n in names]
        tracks += names.tolist()
        sizes.append(len(names))
    join = pl.read_csv(data_folder() / "gtzan_lastfm_join.csv")
    ids = dict(zip(join["track"], join["hetrec_artist_id"], strict=True))
    labels = np.array([track.split(".")[0] for track in tracks])
    train, test = np.split(np.arange(len(tracks)), sizes[:1])
    known = np.array([ids.get(track) or -1 for track in tracks])
    learned, excluded = split_artists(labels, known, train, test)
    return Task(
        f"GTZAN, fault-filtered {len(train)}/-/{len(test)}, published tags",
        np.array(tracks),
        labels,
        [(learned, test)],
        excluded=excluded,
        published=[(train, test)],
        training_parts=("train",),
        patches=(clips, clips),
        notes=(
            f"Patches are musicnn's 50 tags, every {EVERY}rd of the published frames: "
            "max_pool is not published. Half of each genre's train artists in the "
            f"logs train the embedder; {len(learned)} tracks of the others train the "
            "classifier. Train and test share some artists, as published.",
        ),
    )


def full_gtzan(folder, lists):
    """All of GTZAN in the fault-filtered split: learn from 443, test 290."""
    clips = read_gtzan(folder, missing="ignore")
    train, valid, test = fault_filtered(clips.X, lists, missing="warn")
    join = pl.read_csv(data_folder() / "gtzan_lastfm_join.csv")
    ids = dict(zip(join["track"], join["hetrec_artist_id"], strict=True))
    known = [ids.get(track) or -1 for track in gtzan_tracks(clips.X).tolist()]
    learned, excluded = split_artists(clips.y, np.array(known), train, test)
    return Task(
        f"GTZAN, fault-filtered: {len(train)}/{len(valid)}/{len(test)}",
        np.array(clips.X),
        clips.y,
        [(learned, test)],
        excluded=excluded,
        published=[(train, test)],
        training_parts=("train",),
        notes=(
            f"The {len(valid)} validation clips choose nothing. Half of each genre's "
            f"train artists in the logs train the embedder; {len(learned)} train "
            "clips of the others train the classifier. Train and test share some "
            "artists, as published.",
        ),
    )


def split_artists(labels, artists, train, test):
    """Split the training artists between embedder and classifier.

    Of each genre, every other artist in the logs trains the embedder, except tested
    ones.

    Parameters
    ----------
    labels, artists : ndarray (n_clips,)
        `artists` by Last.fm id, -1 where unknown.
    train, test : ndarray
        Rows.

    Returns
    -------
    learned : ndarray
        Rows of `train` whose artist does not train the embedder.
    excluded : frozenset
        Ids of artists that do not train the embedder.
    """
    trains_embedder = set()
    for genre in np.unique(labels):
        own = np.unique(artists[train[labels[train] == genre]])
        trains_embedder |= set(np.setdiff1d(own, [-1, *artists[test]])[1::2].tolist())
    excluded = frozenset(artists.tolist()) - trains_embedder - {-1}
    return train[~np.isin(artists[train], list(trains_embedder))], excluded


def full_fma(folder):
    """FMA-small, 7:3 in every genre, at random."""
    clips = read_fma(folder, "small", missing="ignore")
    deal = StratifiedShuffleSplit(N_FMA_DRAWS, test_size=0.3, random_state=SEED)
    return Task(
        "FMA small, 7:3 in every genre",
        np.array(clips.X),
        clips.y,
        list(deal.split(clips.y, clips.y)),
        clips.artists,
        notes=("Train and test share artists, as in the paper's protocol.",),
    )
