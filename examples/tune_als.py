"""
How much is one play worth? Tune alpha by ranking held-out plays
=================================================================

Collaborative filtering is confident, by 1 + alpha r, that a user likes what was played
r times. The right alpha depends on what r is (ones, counts, logarithms of counts) and
on the logs, and no formula gives it. So some plays are held out, and the alpha is kept
that ranks them highest: NDCG@10 among all items that the user has not played in the
rest.

Here on the planted corpus; on HetRec 2011 Last.fm 2K it takes about two minutes.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy import sparse
from sklearn.metrics import ndcg_score

from userlogfeat import CFEmbedding, read_logs
from userlogfeat.datasets.synthetic import make_listening_corpus

ALPHAS = (0.01, 0.1, 1.0, 10.0, 40.0, 100.0)
HELD_OUT = 0.2  # of all plays
N_RANKED = 10
SEED = 0

# %%
# What r may be
# -------------
# Counts of plays spread over orders of magnitude, so that one alpha cannot suit all.
KINDS = {
    "ones": lambda plays: plays.astype(bool).astype(np.float32),
    "log(1 + count)": lambda plays: plays.log1p(),
    "count": lambda plays: plays,
}


# %%
# Holding out plays
# -----------------
def split(user_items):
    """Divide the plays at random into two matrices of the same shape."""
    pairs = user_items.tocoo()
    is_held = np.random.default_rng(SEED).random(pairs.nnz) < HELD_OUT
    return tuple(
        sparse.csr_matrix(
            (pairs.data[part], (pairs.row[part], pairs.col[part])), pairs.shape
        )
        for part in (~is_held, is_held)
    )


# %%
# Ranking them
# ------------
def ndcg(cf, train, held):
    """Return NDCG@10 of the held-out items among those that were not trained on."""
    users = np.flatnonzero((np.diff(train.indptr) > 0) & (np.diff(held.indptr) > 0))
    scores = cf.user_factors_[users] @ cf.item_factors_.T
    scores[train[users].nonzero()] = scores.min() - 1  # items in training come last
    return ndcg_score(held[users].toarray() > 0, scores, k=N_RANKED)


def tune(user_items):
    """Print a table of NDCG and return it, by kind of r and alpha."""
    train, held = split(user_items)
    table = {}
    print(f"{'NDCG@10 with alpha =':22}", *(f"{alpha:>6g}" for alpha in ALPHAS))
    for kind, transform in KINDS.items():
        for alpha in ALPHAS:
            cf = CFEmbedding(alpha=alpha, random_state=SEED).fit(transform(train))
            table[kind, alpha] = ndcg(cf, train, held)
        row = [f"{table[kind, alpha]:6.3f}" for alpha in ALPHAS]
        print(f"{'r = ' + kind:22}", *row, flush=True)
    (kind, alpha), best = max(table.items(), key=lambda entry: entry[1])
    print(f"Best: r = {kind}, alpha = {alpha:g} ({best:.3f})")
    return table


# %%
# On planted tastes
# -----------------
# Small differences at the top do not matter; the wrong order of magnitude does.
corpus = make_listening_corpus(500, 400, 6, duration=0.1, random_state=SEED)
logs = read_logs(corpus.logs, count="count")
# logs = read_logs(FOLDER, "hetrec-lastfm-2k", min_users_per_item=3)  # real ones
table = tune(logs.user_items)

figure, axes = plt.subplots(figsize=(5.6, 3.8), layout="constrained")
for kind, style in zip(KINDS, ("o-", "s--", "^:"), strict=True):
    axes.plot(ALPHAS, [table[kind, alpha] for alpha in ALPHAS], style, label=kind)
axes.set(xscale="log", xlabel="alpha", ylabel="NDCG@10 of held-out plays")
axes.legend(title="r", frameon=False)
