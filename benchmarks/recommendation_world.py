"""Users who judge items: the planted world of `recommendation_planted.py`.

A corpus of `make_listening_corpus`: the tastes of its listeners shape the sound of an
item. A few hundred users also judge: they play a random part of the items, and the
nearer an item is to their taste the longer they play it. The rule ``played_ratio``
derives likes and dislikes from that. Per user 60/20/20, as in the paper (the middle
part is left alone); and a fifth of the artists is judged by nobody in training.
"""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import polars as pl
import torch
from reporting import HERE
from scipy import sparse

from userlogfeat import MusicnnEmbedder, UserEmbedding, read_logs
from userlogfeat.datasets.synthetic import make_listening_corpus
from userlogfeat.evaluation.recommendation_splits import split_items, split_per_user
from userlogfeat.feedback import read_feedback
from userlogfeat.frontends import FRONTENDS
from userlogfeat.networks.mel import LogMelSpectrogram

SEED = 0
N_ITEMS, N_LOGGED, N_JUDGES, N_TASTES = 300, 1000, 250, 6
SECONDS = 12.0  # of a clip
N_PLAYED = 120  # items that a judge plays, of which about a third gets no verdict
STEEPNESS, UNSURE = 1.5, 0.7  # of the share played, in the spread of a user's tastes


@cache
def make_world(duration=0.1):
    """The corpus; the length of its clips changes nothing else."""
    return make_listening_corpus(
        N_LOGGED,
        N_ITEMS,
        N_TASTES,
        duration=duration,
        sample_rate=FRONTENDS["chen2021"].sample_rate,
        random_state=SEED,
    )


@cache
def read_features(kind):
    """Log-mel (n, 128, frames), or musicnn's max_pool (n, 753), of all items; kept."""
    path = HERE / "recommendation_chen2021.fits" / f"planted_{kind}.npy"
    if not path.exists():
        audio = make_world(SECONDS).audio
        features = _log_mel(audio) if kind == "log_mel" else _musicnn(audio)
        path.parent.mkdir(exist_ok=True)
        np.save(path, features)
    return np.load(path)


def _log_mel(audio):
    front_end = LogMelSpectrogram(FRONTENDS["chen2021"])
    parts = np.array_split(audio, len(audio) // 20)
    return np.concatenate([front_end(torch.from_numpy(x)).numpy() for x in parts])


def _musicnn(audio):
    import soxr

    rates = FRONTENDS["chen2021"].sample_rate, FRONTENDS["musicnn"].sample_rate
    clips = np.stack([soxr.resample(clip, *rates) for clip in audio])
    return MusicnnEmbedder().fit_transform(clips)


@dataclass(frozen=True)
class Draw:
    """Verdicts of one draw, users x items: +1 liked, -1 disliked."""

    seed: int
    train: sparse.csr_matrix
    test: sparse.csr_matrix  # of items that others judged in training
    cold: sparse.csr_matrix  # of items of artists that nobody judged in training
    known: np.ndarray  # items that can be in training

    @cached_property
    def history(self):
        """Plays of everybody, without the judges' pairs that are held out."""
        corpus = make_world()
        items = corpus.catalogue.items.tolist()
        logs = read_logs(corpus.logs, item="item", count="count")
        plays = sparse.lil_matrix((N_LOGGED, N_ITEMS), dtype=np.float32)
        columns = [items.index(item) for item in logs.item_ids.tolist()]
        plays[np.asarray(logs.user_ids, int)[:, None], columns] = logs.user_items
        held = np.zeros(plays.shape, bool)
        held[:N_JUDGES] = ((abs(self.test) + abs(self.cold)) > 0).toarray()
        unknown = np.setdiff1d(np.arange(N_ITEMS), self.known)
        held[:, unknown] = True
        return sparse.csr_matrix(np.where(held, 0, plays.toarray()))

    @cached_property
    def users(self):
        """The judges, by the user tower of everybody's plays."""
        return self.tower.transform(self.history[:N_JUDGES])

    @cached_property
    def tower(self):
        """The user tower of everybody's plays."""
        catalogue = make_world().catalogue
        tower = UserEmbedding(random_state=self.seed, device="cpu")
        return tower.fit(
            self.history,
            item_artists=catalogue.artists,
            item_albums=catalogue.column("album"),
        )


@cache
def draw(seed):
    """Draw the verdicts of all judges, and the held-out part."""
    corpus = make_world()
    rng = np.random.default_rng([SEED, seed])
    near = corpus.user_tastes[:N_JUDGES] @ corpus.item_tastes.T
    near = (near - near.mean(axis=1, keepdims=True)) / near.std(axis=1, keepdims=True)
    played = rng.random(near.shape).argsort(axis=1) < N_PLAYED
    share = STEEPNESS * near + UNSURE * STEEPNESS * rng.standard_normal(near.shape)
    users, items = np.nonzero(played)
    plays = pl.DataFrame(
        {"user": users, "item": items, "share": 1 / (1 + np.exp(-share[played]))}
    )
    feedback = read_feedback(plays, "played_ratio", played="share")
    verdicts = sparse.csr_matrix((N_JUDGES, N_ITEMS), dtype=np.float32).tolil()
    verdicts[feedback.user_ids[:, None], feedback.item_ids] = feedback.user_items
    verdicts = verdicts.tocsr()
    known, new = split_items(
        N_ITEMS, (0.8, 0.2), artists=corpus.catalogue.artists, seed=seed
    )
    warm, cold = (_only(verdicts, columns) for columns in (known, new))
    liked = split_per_user(warm > 0, seed=seed)
    disliked = split_per_user(warm < 0, seed=seed + 1000)
    train, _, test = (
        a.astype(np.float32) - b.astype(np.float32)
        for a, b in zip(liked, disliked, strict=True)
    )
    enough = np.ones(N_JUDGES, bool)
    for sign in (1, -1):
        enough &= ((sign * warm) > 0).sum(axis=1).A1 >= 10
    keep = sparse.diags_array(enough.astype(np.float32))
    train, test, cold = (sparse.csr_matrix(keep @ part) for part in (train, test, cold))
    return Draw(seed, train, test, cold, known)


def _only(matrix, columns):
    kept = np.zeros(matrix.shape[1], np.float32)
    kept[columns] = 1
    return sparse.csr_matrix(matrix @ sparse.diags_array(kept))
