"""Embeddings of patches among listeners, for `genre_chen2021.py`.

A `MetricEmbedder` learns from the published 50-tag frames of GTZAN's tracks (a frame a
patch of 3 s), where their artists are in the logs of HetRec Last.fm: users like the
patches of artists they play, and dislike drawn patches of others. The embedder reads a
patch as musicnn's tags. It is not trained on artists whose clips are classified,
neither for training nor for testing the classifier: embeddings of training clips differ
from those of new ones.
"""

import warnings
from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl
from recommendation_sets import DISLIKES, read_plays
from reporting import HERE, data_folder

from userlogfeat import MetricEmbedder, MusicnnEmbedder, UserEmbedding
from userlogfeat.feedback import Feedback, sample_dislikes

FOLDER = HERE / "genre_chen2021.fits"
ARMS = ("true", "shuffled users", "permuted logs", "random projection")
N_HIDDEN, N_UNITS = 256, 40  # of random projections, as of embedders
MAX_EPOCHS = 20  # of the embedder
CHUNK = 50  # clips in a file of patches


@dataclass(frozen=True, eq=False)
class Frames:
    """Published tag frames of the tracks whose artist is in the logs."""

    tags: np.ndarray  # (n_frames, 50)
    artists: np.ndarray  # (n_frames,): column of the plays


@cache
def read_frames(excluded=frozenset(), parts=("train", "test")):
    """Frames without those of some artists, by Last.fm id."""
    join = pl.read_csv(data_folder() / "gtzan_lastfm_join.csv")
    ids = dict(zip(join["track"], join["hetrec_artist_id"], strict=True))
    column_of = {artist: i for i, artist in enumerate(read_plays()[1].tolist())}
    tags, artists = [], []
    for part in parts:
        table = np.load(data_folder() / "gtzan_taggram" / f"{part}.npz")
        known = [ids.get(track) for track in table["track"].tolist()]
        columns = [-1 if a in excluded else column_of.get(a, -1) for a in known]
        keep = np.array(columns) >= 0
        tags.append(table["taggram"][keep])
        artists.append(np.array(columns)[keep])
    return Frames(np.concatenate(tags), np.concatenate(artists))


@cache
def read_users():
    """Last.fm users by the user tower of all their plays; kept, it takes a minute."""
    path = FOLDER / "users.npy"
    if not path.exists():
        plays, _ = read_plays()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of users without plays
            users = UserEmbedding(random_state=0, device="cpu").fit_transform(plays)
        path.parent.mkdir(exist_ok=True)
        np.save(path, users)
    return np.load(path)


@cache
def fit_embedder(frames, arm, seed):
    """Fit an embedder of tag frames to listeners or to a control of them."""
    plays, ids = read_plays()
    artists, own = np.unique(frames.artists, return_inverse=True)
    rng, users = np.random.default_rng(seed), read_users()
    if arm == "shuffled users":
        users = rng.permutation(users)
    if arm == "permuted logs":
        own = rng.permutation(len(artists))[own]
    plays = plays[:, artists]
    liked = Feedback(plays, np.arange(plays.shape[0]), ids[artists], "played")
    drawn = sample_dislikes(liked, plays, n_per_like=DISLIKES, random_state=seed)
    # One row a track's frame would make each play count by frames: an epoch would have
    # millions of examples. Some frames of each artist are enough.
    keep = _at_most(own, 20, rng)
    embedder = MetricEmbedder(
        users,
        n_negatives=4,
        network="mlp",
        max_epochs=MAX_EPOCHS,
        patience=4,
        device="cpu",
        random_state=seed,
    )
    verdicts = drawn.of_clips(ids[artists][own[keep]])
    return embedder.fit(frames.tags[keep], verdicts, groups=own[keep])


def _at_most(groups, n, rng):
    """Rows, at most n of each group, drawn."""
    order = rng.permutation(len(groups))
    frame = pl.DataFrame({"row": order, "group": groups[order]})
    return np.sort(frame.filter(pl.int_range(pl.len()).over("group") < n)["row"])


def embed(tags, frames, arm, seed):
    """Embeddings of the patches of clips.

    Parameters
    ----------
    tags : list of ndarray (n_patches, 50)
        Tags of the patches of each clip.
    frames : Frames
        Training frames.
    arm : str
        One of ARMS.
    seed : int

    Returns
    -------
    list of ndarray (n_patches, 40)
    """
    if arm != "random projection":
        embedder = fit_embedder(frames, arm, seed)
        return [embedder.transform(clip) for clip in tags]
    # Through a hidden layer: beside the tags themselves, a matrix times them would add
    # no information, and whitening would turn these columns into noise.
    rng = np.random.default_rng(seed)
    n_tags = frames.tags.shape[1]
    into = rng.normal(size=(n_tags, N_HIDDEN)) / np.sqrt(n_tags)
    out = rng.normal(size=(N_HIDDEN, N_UNITS)) / np.sqrt(N_HIDDEN)
    center, spread = frames.tags.mean(axis=0), frames.tags.std(axis=0)
    return [np.maximum((clip - center) / spread @ into, 0) @ out for clip in tags]


def embed_once(name, tags, frames, arm, seed):
    """Return the result of `embed`, kept in a file by the name of the task."""
    path = FOLDER / f"embedded-{name}" / f"{arm.replace(' ', '_')}-{seed}.npz"
    if not path.exists():
        clips = embed(tags, frames, arm, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".part.npz")
        np.savez(temporary, sizes=[len(clip) for clip in clips], rows=np.vstack(clips))
        temporary.rename(path)
    kept = np.load(path)
    return np.split(kept["rows"], np.cumsum(kept["sizes"])[:-1])


def embed_patches(paths, name):
    """Patches of clips by musicnn, max_pool and tags; kept in files of CHUNK clips.

    A feature table has one row per clip; a clip has many patches.

    Returns
    -------
    max_pool, tags : list of ndarray (n_patches, 753) and (n_patches, 50)
    """
    embedder = MusicnnEmbedder(layer=("max_pool", "taggram"), pooling=None)
    found = []
    for start in range(0, len(paths), CHUNK):
        path = FOLDER / f"patches-{name}" / f"{start:06d}.npz"
        chunk = [str(p) for p in paths[start : start + CHUNK]]
        if not path.exists() or np.load(path)["paths"].tolist() != chunk:
            clips = embedder.transform(chunk)
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".part.npz")
            sizes = [len(clip) for clip in clips]
            rows = np.concatenate(clips).astype(np.float32)
            np.savez(temporary, paths=chunk, sizes=sizes, rows=rows)
            temporary.rename(path)
        kept = np.load(path)
        found += np.split(kept["rows"], np.cumsum(kept["sizes"])[:-1])
    return [clip[:, :753] for clip in found], [clip[:, 753:] for clip in found]
