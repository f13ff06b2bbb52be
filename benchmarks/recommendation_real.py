"""The real part of `recommendation_chen2021.py`: artists that no model has seen.

Users are embedded, and nets learn, without the artists to test (see
`recommendation_sets.py`). Then these are ranked for every user by the sound of their
tracks; artists that the user plays are relevant.

No dislike is expressed in these logs: nets learn from artists that a user never played,
drawn at random, and an artist that is not played counts as not relevant.
"""

import numpy as np
from recommendation_sets import (
    DISLIKES,
    MOST_TRACKS,
    MUSICNN,
    TITLES,
    draw,
    read_plays,
)
from scipy import sparse
from sklearn.linear_model import RidgeCV
from transfer_tasks import MIN_LISTENERS

from userlogfeat import CFRegressor, MetricEmbedder
from userlogfeat.comparison.teachers import choices_of
from userlogfeat.estimators.metric import TABLE_1
from userlogfeat.evaluation.recommendation import evaluate_ranking

K = 10
N_NEIGHBOURS = 20
MAX_EPOCHS = {"spotify": 6, "gtzan": 30}  # of as many examples as there are likes
PATIENCE = 4


def _unit(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def at_random(world):
    """Scores drawn at random."""
    return np.random.default_rng(world.seed).random(world.relevance.shape)


def estimated_popularity(world):
    """Popularity of an artist, estimated from the features by ridge regression."""
    listeners = np.log1p(np.asarray(read_plays()[0].sum(axis=0)).ravel())
    ridge = RidgeCV(np.logspace(-2, 5, 15))
    ridge.fit(world.scaled[world.train], listeners[world.artist[world.train]])
    scores = world.of_artists(ridge.predict(world.scaled)[:, None])[:, 0]
    return np.tile(scores, (len(world.users), 1))


def true_popularity(world):
    """Number of users who play the artist, which is unknown for a new one."""
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
    """Scalar products of ALS users and of factors estimated from the features."""

    def score(world):
        settings = {"hidden": (256,)} if head == "mlp" else {}
        regressor = CFRegressor(
            network="mlp",
            head=head,
            factor_norm=norm,
            random_state=world.seed,
            **settings,
        )
        X, factors = world.X[world.train], world.cf.item_factors_
        own = world.artist[world.train]
        regressor.fit(X, factors[own], groups=own)
        if permuted:
            # With the strength of regularisation that the teacher chose.
            dealt = _deal(world)
            regressor.set_params(**choices_of(regressor))
            regressor.fit(X, factors[dealt], groups=dealt)
        estimated = world.of_artists(regressor.predict(world.X))
        return world.cf.user_factors_ @ estimated.T

    return score


def _deal(world):
    """Return the other artist whose listeners each training track gets."""
    own = world.artist[world.train]
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
        estimated = world.of_artists(_unit(embedder.transform(world.X)))
        return _unit(embedder.users_) @ _unit(estimated).T

    return score


def _rows_of(world):
    """Return for each training track a row of the artist that it gets when permuted."""
    own = world.artist[world.train]
    first = {artist: row for row, artist in reversed(list(enumerate(own.tolist())))}
    return [first[artist] for artist in _deal(world).tolist()]


BEST = "Metric-1vs4"
METHODS = {
    "random": at_random,
    "popularity, estimated from the features": estimated_popularity,
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
    n_new = [len(world.new) for world in worlds]
    n_known = [len(world.known) for world in worlds]
    few = ""
    if max(n_new) <= 3 * K:
        few = (
            f" Of so few artists, a list of {K} holds many or all: recall@{K} is to be "
            "compared to the random one."
        )
    features = "musicnn's" if name in MUSICNN else "no features of musicnn here"
    return (
        f"New artists for Last.fm users: {TITLES[name]}",
        [
            f"HetRec 2011 Last.fm, artists with {MIN_LISTENERS} listeners or more; "
            f"{len(worlds[0].X)} tracks, at most {MOST_TRACKS[worlds[0].pool]} of an "
            f"artist; {_span(n_known)} artists to learn from, {_span(n_new)} that no "
            f"model has seen, {seeds} draws. "
            f"Every one of {n_users} users ranks the new artists; "
            f"{_span(without)} users play none of them and are in no mean.",
            "Negatives are sampled, not expressed: these logs hold no dislikes. Nets "
            f"learn from {DISLIKES:g} artists drawn for each played one; in the test "
            f"an artist that a user does not play counts as not relevant.{few}",
            "95% intervals over users and draws; of the last column (for "
            "each new artist, AUC of users who play it before users who do not) over "
            f"artists and draws. kNN: {N_NEIGHBOURS} tracks by cosine of standardised "
            f"features ({features}). Popularity and artist mean know nothing of a new "
            "artist: the one is estimated, and given as nobody could know it; the "
            "other would be random.",
            '"Permuted artists": training artists\' listeners are exchanged. Users are '
            "the tower's unless it says ALS (alpha 10). Scores of ALS users are scalar "
            "products, so that active users score high: even permuted, the last column "
            "then is above a half.",
        ],
    )


def _span(numbers):
    """One number, or from the least to the most."""
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"
