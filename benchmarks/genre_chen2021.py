"""Genre from musicnn's patches with and without a place among listeners.

The pipeline of Chen & Liang (2020) and of Chen, Liang, Ma, Gu (2021): patches of
MSD_musicnn's max_pool, alone and beside an embedding learned from listeners, whitened
PCA to 128, an RBF SVM with C=1 and gamma 1/128, a majority vote over each clip. What
stands beside is also taught by users in another order, by permuted logs, and is a
random projection of the same tags (`genre_embedding.py`).

    python benchmarks/genre_chen2021.py                     # clips at hand
    python benchmarks/genre_chen2021.py --gtzan genres      # 443/197/290, all of GTZAN
    python benchmarks/genre_chen2021.py --fma FOLDER        # FMA-small, 7:3 per genre

Patches are kept in `genre_chen2021.fits/`.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from genre_embedding import ARMS, embed_once, hear, read_frames
from recommendation_real import read_plays
from reporting import data_folder, record
from sklearn.decomposition import PCA
from sklearn.model_selection import (
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
)
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from userlogfeat import PatchVotingClassifier
from userlogfeat.datasets.fma import read_fma
from userlogfeat.datasets.gtzan import read_gtzan
from userlogfeat.evaluation.folds import fault_filtered, gtzan_tracks
from userlogfeat.evaluation.significance import bootstrap_interval

SEED = 0
N_SEEDS = 3  # of embedders, permutations and projections
N_COMPONENTS = 128
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
    artists : ndarray (n_clips,)
        Column of the plays, -1 where unknown.
    groups : ndarray (n_clips,) or None
        Artists by name, for intervals.
    excluded : frozenset
        Last.fm ids of artists that must not teach.
    taught_by : tuple of str
        Parts of the published frames that teach.
    patches : tuple or None
        Patches and tags, where no audio is heard.
    """

    title: str
    paths: np.ndarray
    labels: np.ndarray
    folds: list
    artists: np.ndarray
    groups: np.ndarray | None = None
    excluded: frozenset = frozenset()
    taught_by: tuple = ("train", "test")
    patches: tuple | None = None
    notes: tuple = ()


def make_classifier(n_columns):
    """The paper's, of patches."""
    n_components = min(N_COMPONENTS, n_columns)
    steps = [
        PCA(n_components, whiten=True, random_state=SEED),
        SVC(kernel="rbf", C=1.0, gamma=1 / n_components),
    ]
    return PatchVotingClassifier(make_pipeline(*steps))


def outcomes(clips, task):
    """Which clips are classified right, NaN where not tested: (n_folds, n_clips)."""
    right = np.full((len(task.folds), len(clips)), np.nan)
    for fold, (train, test) in enumerate(task.folds):
        classifier = make_classifier(clips[0].shape[1])
        classifier.fit([clips[i] for i in train], task.labels[train])
        found = classifier.predict([clips[i] for i in test])
        right[fold, test] = found == task.labels[test]
    return np.nanmean(right, axis=0) if len(right) > 1 else right[0]


def beside(first, second):
    """Two kinds of columns, each brought to unit mean square, side by side."""
    scales = [
        1 / np.sqrt(np.mean([np.square(clip).mean() for clip in clips]))
        for clips in (first, second)
    ]
    return [
        np.hstack([a * scales[0], b * scales[1]])
        for a, b in zip(first, second, strict=True)
    ]


def run(name, task, n_seeds):
    """Outcomes (n_seeds, n_clips) of each arm."""
    main, tags = task.patches or hear(task.paths, name)
    frames = read_frames(task.excluded, task.taught_by)
    first = "tags" if main is tags else "max_pool"
    found = {first: [outcomes(main, task)]}
    if main is not tags:
        found["tags alone"] = [outcomes(tags, task)]
    for arm in ARMS:
        for seed in range(n_seeds):
            embedded = embed_once(name, tags, task.artists, frames, arm, seed)
            for words, clips in (
                (f"{first} + {WORDS[arm]}", beside(main, embedded)),
                (f"{WORDS[arm]}, alone", embedded),
            ):
                found.setdefault(words, []).append(outcomes(clips, task))
            print(name, arm, seed, flush=True)
    return {arm: np.stack(rows) for arm, rows in found.items()}, frames


WORDS = {"true": "embedding"} | {arm: f"embedding, {arm}" for arm in ARMS[1:]}
WORDS["random projection"] = "random projection of the tags"


def report(name, task, found, frames):
    """Record accuracies, and differences to max_pool on the same clips."""
    first = next(iter(found))
    alone, rows = found[first][0], []
    for arm, right in found.items():
        cells = []
        for values in (right, right - alone):
            mean, low, high = bootstrap_interval(
                values, tested=~np.isnan(values), groups=task.groups
            )
            cells.append(f"{mean:.3f} ({low:.3f} to {high:.3f})")
        rows.append([arm, len(right), cells[0], "" if arm == first else cells[1]])
    n_artists = len(np.unique(frames.artists))
    tested = ~np.isnan(alone)
    record(
        f"genre_chen2021/{name}",
        task.title,
        ["patches of", "runs", "accuracy", f"minus {first}"],
        rows,
        [
            *task.notes,
            f"{tested.sum()} clips are tested. MSD_musicnn, patches of 3 s, "
            f"PCA({N_COMPONENTS}, whiten=True), or as many as there are columns, SVC("
            "C=1, gamma=1/components), majority vote. The embedding is "
            f"taught by published tag frames of {n_artists} artists in HetRec "
            "Last.fm's logs, none of whom is an artist of a tested clip; dislikes are "
            "drawn, not expressed. Columns of both kinds at unit mean square.",
            "95% bootstrap intervals over clips"
            + (", by artist," if task.groups is not None else "")
            + " and runs.",
        ],
        seed=SEED,
    )


def column_of(ids):
    """Column of the plays of Last.fm ids, -1 where there is none."""
    known = {artist: i for i, artist in enumerate(read_plays()[1].tolist())}
    return np.array([known.get(artist, -1) for artist in ids])


def gtzan_clips(by_artist):
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
        "which flatters every row."
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
        np.full(len(labels), -1),
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
        np.full(len(paths), -1),
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
    known = [ids.get(track) for track in tracks]
    rows = np.arange(len(tracks))
    return Task(
        f"GTZAN, fault-filtered {sizes[0]}/-/{sizes[1]}, published tags",
        np.array(tracks),
        np.array([track.split(".")[0] for track in tracks]),
        [(rows[: sizes[0]], rows[sizes[0] :])],
        column_of(known),
        excluded=frozenset(a for a in known[sizes[0] :] if a is not None),
        taught_by=("train",),
        patches=(clips, clips),
        notes=(
            f"Patches are musicnn's 50 tags, every {EVERY}th of the published frames: "
            "max_pool is published of none. Train and test share some artists; what "
            "stands beside a train track is by an embedder that has not heard its "
            "artist.",
        ),
    )


def full_gtzan(folder, lists):
    """All of GTZAN in the fault-filtered split: learn from 443, test 290."""
    clips = read_gtzan(folder, missing="ignore")
    train, valid, test = fault_filtered(clips.X, lists, missing="warn")
    join = pl.read_csv(data_folder() / "gtzan_lastfm_join.csv")
    ids = dict(zip(join["track"], join["hetrec_artist_id"], strict=True))
    known = [ids.get(track) for track in gtzan_tracks(clips.X).tolist()]
    return Task(
        f"GTZAN, fault-filtered: {len(train)}/{len(valid)}/{len(test)}",
        np.array(clips.X),
        clips.y,
        [(train, test)],
        column_of(known),
        excluded=frozenset(known[row] for row in test if known[row] is not None),
        notes=(
            f"{len(train)} clips are learned from; the {len(valid)} validation clips "
            "choose nothing. Train and test share some artists, as published.",
        ),
    )


def full_fma(folder):
    """FMA-small, 7:3 in every genre, at random."""
    clips = read_fma(folder, "small", missing="ignore")
    deal = StratifiedShuffleSplit(N_FMA_DRAWS, test_size=0.3, random_state=SEED)
    return Task(
        "FMA small, 7:3 in every genre",
        np.array(clips.X),
        clips.y,
        list(deal.split(clips.y, clips.y)),
        np.full(len(clips), -1),
        clips.artists,
        notes=("Train and test share artists, as in the paper's protocol.",),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gtzan", type=Path, help="folder with all of GTZAN")
    parser.add_argument("--lists", type=Path, help="folder with the published lists")
    parser.add_argument("--fma", type=Path, help="folder with fma_small and metadata")
    parser.add_argument("--only", nargs="+", help="tables of the clips at hand")
    parser.add_argument("--seeds", type=int, default=N_SEEDS)
    arguments = parser.parse_args()
    tasks = {}
    if arguments.gtzan:
        lists = arguments.lists or data_folder() / "gtzan_splits"
        tasks["gtzan_full"] = full_gtzan(arguments.gtzan, lists)
    if arguments.fma:
        tasks["fma_small"] = full_fma(arguments.fma)
    if not tasks:
        tasks = {
            "gtzan_clips": gtzan_clips(by_artist=False),
            "gtzan_by_artist": gtzan_clips(by_artist=True),
            "esc10": esc10(),
            "gtzan_tags": gtzan_frames(),
        }
        tasks = {n: task for n, task in tasks.items() if n in (arguments.only or tasks)}
    for name, task in tasks.items():
        report(name, task, *run(name, task, arguments.seeds))


if __name__ == "__main__":
    main()
