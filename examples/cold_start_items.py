"""
How many listeners is the sound worth?
======================================

A new track is known by its sound alone. Later it has one listener, ten, a hundred: from
when on should one believe them? ``ColdStartItems`` measures it. It takes listeners away
from known tracks and looks how well the rest, the sound, and a blend of both find the
factor of all listeners.
"""

# %%
# Planted tastes shape logs and audio.
import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GroupKFold, cross_val_predict

from userlogfeat import (
    CFEmbedding,
    CFRegressor,
    ColdStartDisplay,
    ColdStartItems,
    LogMel,
    read_logs,
)
from userlogfeat.datasets.synthetic import make_listening_corpus

corpus = make_listening_corpus(400, 400, n_tastes=4, duration=2.0, random_state=0)
artists = corpus.catalogue.groups("artist")
logs = read_logs(corpus.logs, count="count", weights="binary", min_users_per_item=0)
cf = CFEmbedding(8, alpha=10, random_state=0).fit(logs.user_items)

# %%
# Estimates of tracks that the teacher was trained on are too good. So every track is
# estimated by a teacher that has met neither it nor its artist.
log_mel = LogMel("musicnn").fit_transform(corpus.audio)
features = np.hstack([log_mel.mean(axis=2), log_mel.std(axis=2)])
teacher = CFRegressor(network="mlp", random_state=0)
estimates = cross_val_predict(
    teacher, features, cf.item_factors_, groups=artists, cv=GroupKFold(4)
)

# %%
# The fit holds tracks out and measures.
items = ColdStartItems(FrozenEstimator(cf), random_state=0)
items.fit(estimates, logs.user_items.T.tocsr())
print(f"an estimate is worth {items.k0_:.1f} listeners")
blended = items.transform(estimates, logs.user_items.T.tocsr())
print(f"{len(blended)} embeddings, of new and of popular tracks, in one space")

# %%
# With few listeners the sound is better, with many the factor, and the blend with both.
ColdStartDisplay.from_estimator(items)
