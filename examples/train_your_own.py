"""
Train a teacher on your own logs
================================

Logs and a catalogue in files, as a service has them, become a saved model that computes
features in any scikit-learn pipeline.
"""

# %%
# Six hundred planted tracks, written as flac files with ``catalogue.csv`` and
# ``logs.csv`` beside them. Put your own folder here.
import tempfile
from pathlib import Path

from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from userlogfeat import (
    CFDisplay,
    CFEmbedding,
    CFRegressor,
    UserLogEmbedder,
    read_catalogue,
    read_logs,
)
from userlogfeat.datasets.synthetic import make_listening_corpus

folder = Path(tempfile.mkdtemp())
make_listening_corpus(400, 600, folder=folder / "corpus", random_state=0)

# %%
# Logs become factors of users and items. Items that fewer than five people played carry
# little information, and are left out.
logs = read_logs(folder / "corpus" / "logs.csv", count="count", min_users_per_item=5)
factors = CFEmbedding(random_state=0).fit(logs.user_items).item_factors_
print(f"{logs.user_items.shape[0]} users, {logs.user_items.shape[1]} items")

# %%
# The catalogue lists the item of each clip. A teacher learns to estimate the factors of
# most of them from audio; its regularisation is chosen on artists it was not trained
# on.
catalogue = read_catalogue(folder / "corpus" / "catalogue.csv", item="item")
rows, Y = catalogue.align(factors, logs.item_ids, unknown="ignore")
N_TRAIN = 480
train = rows < N_TRAIN
artists = catalogue.groups("artist")
teacher = CFRegressor(encoder="MSD_musicnn", random_state=0).fit(
    catalogue.clips[rows[train]], Y[train], groups=artists[rows[train]]
)
teacher.save(
    folder / "teacher",
    training_data={
        "description": "planted corpus, first 480 tracks",
        "licence": "yours",
        "non_commercial": False,
    },
)

# %%
# A pipeline needs nothing but the saved folder.
held = list(range(N_TRAIN, len(catalogue)))
for layer in ("taggram", "embedding", ("taggram", "embedding")):
    pipeline = make_pipeline(
        UserLogEmbedder(folder / "teacher", layer=layer, cache=folder / "cache"),
        StandardScaler(),
        SVC(),
    )
    scores = cross_val_score(
        pipeline,
        catalogue.clips[held],
        catalogue.labels[held],
        groups=artists[held],
        cv=GroupKFold(5),
    )
    print(f"{layer!s:30} {scores.mean():.2f}")

# %%
# Why it works: the map of taste. Tracks that the same people play are near each other,
# and they have the same label, which the factors have never seen.
CFDisplay.from_predictions(Y, labels=catalogue.labels[rows])
