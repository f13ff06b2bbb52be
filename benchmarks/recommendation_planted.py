"""The planted part of `recommendation_chen2021.py`: users who judge what they hear.

A world of `make_listening_corpus`: what pulls the sound of an item is what its
listeners like. A few hundred users also judge: of a random part of the items they play
more to the end the nearer these are to their taste, and the rule ``played_ratio`` reads
likes and dislikes from that. Per user 60/20/20 (as in the
paper; the middle part is left alone), and a fifth of the artists is judged by
nobody in training.
"""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import polars as pl
import torch
from reporting import HERE
from scipy import sparse
from sklearn.neighbors import KNeighborsRegressor
from sklearn.preprocessing import StandardScaler

from userlogfeat import (
    CFEmbedding,
    MetricEmbedder,
    MusicnnEmbedder,
    UserEmbedding,
    read_logs,
)
from userlogfeat.datasets.synthetic import make_listening_corpus
from userlogfeat.estimators.metric import TABLE_1
from userlogfeat.evaluation.recommendation import evaluate_ranking
from userlogfeat.evaluation.recommendation_splits import split_items, split_per_user
from userlogfeat.feedback import read_feedback
from userlogfeat.frontends import FRONTENDS
from userlogfeat.networks.mel import LogMelSpectrogram

SEED = 0
N_ITEMS, N_LOGGED, N_JUDGES, N_TASTES = 300, 1000, 250, 6
SECONDS = 12.0  # of a clip
N_HEARD = 120  # items a judge hears, of which about a third gets no verdict
STEEPNESS, UNSURE = 1.5, 0.7  # of the share played, in the spread of a user's tastes
CHANNELS, MAX_EPOCHS, PATIENCE = 16, 20, 5
AT_10_SECONDS = ("Basic-Binary", "DCUE-1vs1", "Metric-1vs1", "Metric-1vs4")
SHUFFLED = "Metric-1vs4, shuffled users"
N_NEIGHBOURS = 10
ALPHA = 1.0  # of the ALS


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
def hear(kind):
    """Log-mel (n, 128, frames), or musicnn's max_pool (n, 753), of all items; kept."""
    path = HERE / "recommendation_chen2021.fits" / f"planted_{kind}.npy"
    if not path.exists():
        audio = make_world(SECONDS).audio
        heard = _log_mel(audio) if kind == "log_mel" else _musicnn(audio)
        path.parent.mkdir(exist_ok=True)
        np.save(path, heard)
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
    """Who judges what, and what of it is held out."""
    corpus = make_world()
    rng = np.random.default_rng([SEED, seed])
    near = corpus.user_tastes[:N_JUDGES] @ corpus.item_tastes.T
    near = (near - near.mean(axis=1, keepdims=True)) / near.std(axis=1, keepdims=True)
    heard = rng.random(near.shape).argsort(axis=1) < N_HEARD
    share = STEEPNESS * near + UNSURE * STEEPNESS * rng.standard_normal(near.shape)
    users, items = np.nonzero(heard)
    plays = pl.DataFrame(
        {"user": users, "item": items, "share": 1 / (1 + np.exp(-share[heard]))}
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


def metric(name, context):
    """A row of table 1: scores from a function of a Draw."""
    variant = TABLE_1[name.split(",")[0]]

    def score(world):
        users = world.users
        if name == SHUFFLED:
            users = np.random.default_rng(world.seed).permutation(users)
        embedder = MetricEmbedder(
            **{"users": users, **variant},
            channels=CHANNELS,
            context=context,
            duration=SECONDS,
            max_epochs=MAX_EPOCHS,
            patience=PATIENCE,
            device="cpu",
            random_state=world.seed,
        )
        log_mel = hear("log_mel")
        embedder.fit(log_mel[world.known], world.train[:, world.known].T.tocsr())
        return embedder.predict(log_mel).T

    return score


def at_random(world):
    """Scores drawn at random."""
    return np.random.default_rng(world.seed).random(world.train.shape)


def popularity(world):
    """How many like the item in training, less those who dislike it."""
    return np.tile(world.train.sum(axis=0).A1, (N_JUDGES, 1))


def artist_mean(world):
    """Mean verdict of the user on the artist's items in training."""
    _, artist = np.unique(make_world().catalogue.artists, return_inverse=True)
    of = sparse.csr_matrix((np.ones(N_ITEMS), (np.arange(N_ITEMS), artist)))
    total, number = (world.train @ of).toarray(), (abs(world.train) @ of).toarray()
    return (total / np.maximum(number, 1))[:, artist]


def als(world):
    """Scalar products of ALS factors of everybody's plays."""
    cf = CFEmbedding(alpha=ALPHA, random_state=world.seed).fit(world.history)
    return cf.user_factors_[:N_JUDGES] @ cf.item_factors_.T


def tower(world):
    """Scalar products of the user tower's own embeddings."""
    return world.users @ world.tower.item_embeddings_.T


def neighbours(kind):
    """Mean verdict of the user on the items that sound most alike."""

    def score(world):
        X = hear(kind)
        X = X.mean(axis=2) if X.ndim == 3 else X
        X = StandardScaler().fit(X[world.known]).transform(X)
        X /= np.linalg.norm(X, axis=1, keepdims=True)
        verdicts, scores = world.train.toarray(), np.zeros(world.train.shape)
        for user, row in enumerate(verdicts):
            judged = np.flatnonzero(row)
            if len(judged):
                k = min(N_NEIGHBOURS, len(judged))
                model = KNeighborsRegressor(k, weights="distance")
                scores[user] = model.fit(X[judged], row[judged]).predict(X)
        return scores

    return score


def true_tastes(world):
    """The tastes that the world was made of: what could be known at best."""
    corpus = make_world()
    return corpus.user_tastes[:N_JUDGES] @ corpus.item_tastes.T


WARM_ONLY = ("artist mean", "ALS (warm only)", "user tower (warm only)")
METHODS = {
    "random": at_random,
    "popularity": popularity,
    "artist mean": artist_mean,
    "ALS (warm only)": als,
    "user tower (warm only)": tower,
    "kNN, musicnn features": neighbours("musicnn"),
    "kNN, mean log-mel": neighbours("log_mel"),
    **{f"{name}, 3 s": metric(name, 3.0) for name in TABLE_1},
    f"{SHUFFLED}, 3 s": metric(SHUFFLED, 3.0),
    **{f"{name}, 10 s": metric(name, 10.0) for name in AT_10_SECONDS},
    f"{SHUFFLED}, 10 s": metric(SHUFFLED, 10.0),
    "true tastes (the most there is)": true_tastes,
}


def judge(name, seed):
    """Values of each user by metric: arrays (N_JUDGES,), NaN where undefined."""
    world = draw(seed)
    scores = METHODS[name](world)
    values = {}
    for part, verdicts in (("", world.test), ("cold ", world.cold)):
        if part and name in WARM_ONLY:
            continue
        found = evaluate_ranking(
            (verdicts > 0).astype(np.float32), scores, candidates=abs(verdicts)
        )
        values[f"{part}auc"] = found.per_user["auc"]
        values[f"{part}precision"] = r_precision(verdicts, scores)
    return values


def r_precision(verdicts, scores):
    """Share of likes among each user's n best of what is judged, of which n are liked.

    Of users who have likes and dislikes; at which length of list the paper measured
    precision is not stated.
    """
    precision = np.full(len(scores), np.nan)
    for user in range(len(scores)):
        row = verdicts[[user]]
        liked = row.data > 0
        if 0 < liked.sum() < len(liked):
            order = np.argsort(-scores[user, row.indices], kind="stable")
            precision[user] = liked[order[: liked.sum()]].mean()
    return precision


def words():
    """Title and notes of the table."""
    counts = [draw(seed) for seed in range(3)]
    judges = [int((abs(d.train).sum(axis=1) > 0).sum()) for d in counts]
    pairs = [d.train.nnz for d in counts]
    return (
        "Table 1 of Chen et al. 2021 on a planted corpus",
        [
            f"{N_ITEMS} items of {SECONDS:g} s, {N_LOGGED} users with plays, of whom "
            f"{min(judges)} to {max(judges)} have judged 10 likes and 10 dislikes "
            f"({min(pairs)} to {max(pairs)} verdicts to learn from). Per user "
            "60/20/20, the middle part left alone; a fifth of the artists is new to "
            "all, and its plays are in no history.",
            "Users are the user tower's, from plays without what is held out, but of "
            "DCUE, which learns them. The network has "
            f"{CHANNELS} maps and at most {MAX_EPOCHS} epochs (the paper's sizes are "
            "not stated), contexts are drawn from the whole clip; all else as by "
            "default. Nothing was chosen on these verdicts but this size.",
            "AUC and precision are means over users: precision is that of a user's n "
            "best of the judged held-out items, of which n are liked (chance is about "
            "a half). 95% bootstrap intervals over users and seeds. Every user has "
            "likes and dislikes in the test part, or is left out: none is, of the "
            "judges named above.",
            '"Shuffled users": the same embeddings, dealt to the users in another '
            "order. The first two columns are of items that other users judged in "
            "training, so that a network can learn them by heart for groups of users.",
        ],
    )
