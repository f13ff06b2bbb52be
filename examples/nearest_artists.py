"""
Who sounds like this clip, and who likes it?
============================================

A clip that nobody has played is embedded by a teacher of listening logs. Its nearest
artists are those whose listeners would like it, and its nearest users are these
listeners.
"""

# %%
# Planted tastes shape logs and audio. The teacher learns from the first 320 tracks; the
# others are new, by artists who have no other tracks.
import numpy as np

from userlogfeat import (
    CFDisplay,
    CFEmbedding,
    CFRegressor,
    ClipDisplay,
    LogMel,
    nearest_users,
    read_logs,
)
from userlogfeat.datasets.synthetic import make_listening_corpus
from userlogfeat.evaluation.recommendation_splits import split_items

corpus = make_listening_corpus(300, 400, n_tastes=4, duration=2.0, random_state=0)
catalogue = corpus.catalogue
old, new = split_items(400, (0.8, 0.2), artists=catalogue.artists, seed=0)
logs = read_logs(corpus.logs, count="count", min_users_per_item=0)
factors = CFEmbedding(8, alpha=10, random_state=0).fit(logs.user_items[:, old])

# %%
# The teacher reads means and deviations of the log-mel bands.
log_mel = LogMel("musicnn").fit_transform(corpus.audio)
features = np.hstack([log_mel.mean(axis=2), log_mel.std(axis=2)])
teacher = CFRegressor(network="mlp", random_state=0)
teacher.fit(features[old], factors.item_factors_, groups=catalogue.artists[old])

# %%
# A new clip, and the artists nearest to it in taste. (Labels name the strongest
# taste; tracks mix several.)
clip = new[0]
print(f"{catalogue.items[clip]}: {catalogue.labels[clip]}")
names = [
    f"{artist} ({label})"
    for artist, label in zip(catalogue.artists[old], catalogue.labels[old], strict=True)
]
ClipDisplay.from_predictions(
    log_mel[clip],
    teacher.predict(features[[clip]])[0],
    factors.item_factors_,
    names,
    seconds=2.0,
)

# %%
# Its nearest listeners: do they play this track, which the factors have never seen?
estimate = teacher.predict(features[new])
users, _ = nearest_users(estimate, factors.user_factors_, 30, metric="cosine")
played = logs.user_items[:, new].toarray() > 0
among = np.mean([played[users[i], i].mean() for i in range(len(new))])
print(
    f"of the 30 nearest users {among:.0%} play a new track, of all {played.mean():.0%}"
)

# %%
# The neighbourhoods of users: each is marked by the taste that is strongest in them,
# which the logs do not say.
tastes = np.char.add("taste ", corpus.user_tastes.argmax(axis=1).astype(str))
CFDisplay.from_predictions(factors.user_factors_, labels=tastes)
