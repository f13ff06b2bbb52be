"""The planted part of `recommendation_chen2021.py`: table 1 on a made-up world."""

import numpy as np
from recommendation_world import (
    N_ITEMS,
    N_JUDGES,
    N_LOGGED,
    SECONDS,
    draw,
    make_world,
    read_features,
)
from scipy import sparse
from sklearn.neighbors import KNeighborsRegressor
from sklearn.preprocessing import StandardScaler

from userlogfeat import CFEmbedding, MetricEmbedder
from userlogfeat.estimators.metric import TABLE_1
from userlogfeat.evaluation.recommendation import evaluate_ranking

CHANNELS, MAX_EPOCHS, PATIENCE = 16, 20, 5
AT_10_SECONDS = ("Basic-Binary", "DCUE-1vs1", "Metric-1vs1", "Metric-1vs4")
SHUFFLED = "Metric-1vs4, shuffled users"
N_NEIGHBOURS = 10
ALS_SETTINGS = {"alpha": 1.0, "regularization": 0.01}


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
        log_mel = read_features("log_mel")
        embedder.fit(log_mel[world.known], world.train[:, world.known].T.tocsr())
        return embedder.predict(log_mel).T

    return score


def at_random(world):
    """Scores drawn at random."""
    return np.random.default_rng(world.seed).random(world.train.shape)


def popularity(world):
    """Number of users who like the item in training, less those who dislike it."""
    return np.tile(world.train.sum(axis=0).A1, (N_JUDGES, 1))


def artist_mean(world):
    """Mean verdict of the user on the artist's items in training."""
    _, artist = np.unique(make_world().catalogue.artists, return_inverse=True)
    of = sparse.csr_matrix((np.ones(N_ITEMS), (np.arange(N_ITEMS), artist)))
    total, number = (world.train @ of).toarray(), (abs(world.train) @ of).toarray()
    return (total / np.maximum(number, 1))[:, artist]


def als(world):
    """Scalar products of ALS factors of everybody's plays."""
    cf = CFEmbedding(confidence="linear", random_state=world.seed, **ALS_SETTINGS).fit(
        world.history
    )
    return cf.user_factors_[:N_JUDGES] @ cf.item_factors_.T


def tower(world):
    """Scalar products of the user tower's own embeddings."""
    return world.users @ world.tower.item_embeddings_.T


def neighbours(kind):
    """Mean verdict of the user on the items that sound most alike."""

    def score(world):
        X = read_features(kind)
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
            "a half). 95% intervals over users and seeds. Every user has "
            "likes and dislikes in the test part, or is left out: none is, of the "
            "judges named above.",
            '"Shuffled users": the same embeddings, dealt to the users in another '
            "order. The first two columns are of items that other users judged in "
            "training, so that a network can learn them by heart for groups of users.",
        ],
    )
