"""
Recommend tracks that nobody has played
=======================================

A new track has no listeners, so collaborative filtering knows nothing of it. Chen et
al. (2021) place it by its sound: users are embedded by their histories, an audio
network learns to embed a track near the users who like it, and a track is recommended
to the nearest users. From files, the same is three commands: ``userlogfeat
fit-users``, ``fit-metric`` and ``recommend``.
"""

# %%
# Planted tastes shape the logs and the audio. A fifth of the tracks, by artists who
# have no other tracks, come out tomorrow: today nobody has played them.
import numpy as np
from sklearn.neighbors import KNeighborsRegressor

from userlogfeat import (
    Interactions,
    LogMel,
    MetricEmbedder,
    ScoreDisplay,
    UserEmbedding,
    nearest_users,
    read_logs,
    recommend,
)
from userlogfeat.datasets.synthetic import make_listening_corpus
from userlogfeat.evaluation.recommendation import evaluate_ranking
from userlogfeat.evaluation.recommendation_splits import split_items
from userlogfeat.feedback import feedback_of_logs, sample_dislikes

corpus = make_listening_corpus(
    200, 300, n_tastes=4, noise=0.3, sample_rate=22050, random_state=0
)
items, artists = corpus.catalogue.items, corpus.catalogue.artists
logs = read_logs(corpus.logs, count="count")
assert logs.item_ids.tolist() == items.tolist()  # every track was played by someone
old, new = split_items(len(items), (0.8, 0.2), artists=artists, seed=0)
today = Interactions(logs.user_items[:, old], logs.user_ids, items[old])
tomorrow = logs.user_items[:, new]

# %%
# The user tower reads who played which tracks today. New users need no training:
# ``tower.transform`` embeds any history.
tower = UserEmbedding(random_state=0)
tower.fit(today.user_items, item_artists=artists[old])
users = tower.transform(today.user_items)

# %%
# These logs have no dislikes. So for each user, as many dislikes as played tracks are
# drawn from the tracks that the user never played. The result is marked as drawn.
feedback = sample_dislikes(
    feedback_of_logs(today, "played"), today.user_items, random_state=0
)
print(feedback)

# %%
# The audio network reads log-mel spectrograms, and is validated on artists that it was
# not trained on.
mel = LogMel("chen2021", duration=3.0).fit_transform(corpus.audio)
settings = {
    "channels": 16,
    "duration": 3.0,
    "max_epochs": 8,
    "patience": 3,
    "random_state": 0,
}
embedder = MetricEmbedder(users, n_negatives=4, **settings)
embedder.fit(mel[old], feedback.of_clips(items[old]), groups=artists[old])
embedded = embedder.transform(mel)
print(f"network: {len(embedder.history_)} epochs")


# %%
# Who will play the new tracks? Metric learning is compared with chance, with the mean
# embedding of the ten old tracks whose spectrograms are nearest, with a network trained
# on users in another order, and with the planted tastes, which nobody knows.
def unit(rows):
    """Scale rows to length 1, for cosines."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


rng = np.random.default_rng(0)
shuffled = MetricEmbedder(rng.permutation(users), n_negatives=4, **settings)
shuffled.fit(mel[old], feedback.of_clips(items[old]), groups=artists[old])
sounds = mel.mean(axis=2)
near = KNeighborsRegressor(10).fit(sounds[old], tower.item_embeddings_)
embeddings = {
    "chance": (rng.normal(size=users.shape), rng.normal(size=(len(new), 40))),
    "plain spectrogram": (users, near.predict(sounds[new])),
    "shuffled users": (shuffled.users_, shuffled.transform(mel[new])),
    "metric learning": (users, embedded[new]),
    "planted tastes": (corpus.user_tastes, corpus.item_tastes[new]),
}
print(f"{'':18}    AUC  NDCG@10")
auc = {}
for name, (user_vectors, item_vectors) in embeddings.items():
    ranking = evaluate_ranking(tomorrow, (unit(user_vectors), unit(item_vectors)))
    means, auc[name] = ranking.means, ranking.per_user["auc"]
    print(f"{name:18}  {means['auc']:.3f}    {means['ndcg@10']:.3f}")

# %%
# Three new tracks for each of the first users, and the users to recommend the first new
# track to.
chosen, scores = recommend(users, embedded[new], 3, metric="cosine")
for user in range(3):
    print(f"user {user}: {', '.join(items[new][chosen[user]])}")
listeners, _ = nearest_users(embedded[new][:1], users, 5, metric="cosine")
played = tomorrow[listeners[0], 0].toarray().ravel() > 0
print(f"{items[new][0]}: for users {listeners[0].tolist()}; {played.sum()} play it")

# %%
# The same as a figure; intervals are over users. Hatched: what metric learning has to
# beat.
ScoreDisplay.from_predictions(
    auc, baselines=["chance", "plain spectrogram", "shuffled users"], score="AUC"
)
