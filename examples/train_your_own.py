"""
Train a teacher on your own logs
================================

Logs and a catalogue in files, as a service has them, become a saved model that any
scikit-learn pipeline can hear with.
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
# Logs become factors of users and items. Items that fewer than five people played say
# little, and are left out.
logs = read_logs(folder / "corpus" / "logs.csv", count="count", min_users_per_item=5)
factors = CFEmbedding(alpha=10, random_state=0).fit(logs.user_items).item_factors_
print(f"{logs.user_items.shape[0]} users, {logs.user_items.shape[1]} items")

# %%
# The catalogue says which clip is which item. A teacher learns to hear the factors of
# most of them; its regularisation is chosen on artists it has not heard.
catalogue = read_catalogue(folder / "corpus" / "catalogue.csv", item="item")
rows, Y = catalogue.align(factors, logs.item_ids, unknown="ignore")
N_TEACH = 480
teach = rows < N_TEACH
artists = catalogue.groups("artist")
teacher = CFRegressor(encoder="MSD_musicnn", random_state=0).fit(
    catalogue.clips[rows[teach]], Y[teach], groups=artists[rows[teach]]
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
# The saved folder is all that a pipeline needs.
held = list(range(N_TEACH, len(catalogue)))
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
