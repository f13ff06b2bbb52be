"""
A classifier from few labels, class by class
============================================

How many labels does a feature set need, and which classes does it confuse? The estimate
of a teacher of listening logs is compared with the statistics of the spectrogram that
the teacher itself reads.
"""

# %%
# One half of the artists has logs and trains the teacher; the other half is the task.
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from userlogfeat import (
    CFEmbedding,
    CFRegressor,
    ClasswiseDisplay,
    LogMel,
    TransferDisplay,
    read_logs,
)
from userlogfeat.datasets.synthetic import make_listening_corpus
from userlogfeat.evaluation.folds import StratifiedArtistKFold
from userlogfeat.evaluation.learning_curves import learning_curve

corpus = make_listening_corpus(400, 800, duration=1.5, random_state=0)
catalogue, labels = corpus.catalogue, corpus.catalogue.labels
artists = catalogue.groups("artist")
folds = StratifiedArtistKFold(2, random_state=0)
with_logs, task = next(folds.split(labels, labels, artists))

log_mel = LogMel("musicnn").fit_transform(corpus.audio)
features = np.hstack([log_mel.mean(axis=2), log_mel.std(axis=2)])
logs = read_logs(corpus.logs, count="count", weights="binary", min_users_per_item=0)
cf = CFEmbedding(random_state=0).fit(logs.user_items[:, with_logs])
teacher = CFRegressor(network="mlp", random_state=0)
teacher.fit(features[with_logs], cf.item_factors_, groups=artists[with_logs])

# %%
# Learning curves, on folds that share no artist.
y, groups = labels[task], artists[task]
sets = {
    "spectrogram": features[task],
    "estimate of listeners": teacher.predict(features[task]),
}
model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
cv = list(StratifiedArtistKFold(4, random_state=0).split(y, y, groups))
curves = {
    name: learning_curve(model, X, y, sizes=(2, 5, 10, 20), cv=cv, groups=groups)
    for name, X in sets.items()
}
for name, curve in curves.items():
    print(f"{name:22}", *(f"{accuracy:.2f}" for accuracy in curve.mean))
TransferDisplay.from_curves(curves)

# %%
# Class by class, with all labels.
predicted = {name: cross_val_predict(model, X, y, cv=cv) for name, X in sets.items()}
ClasswiseDisplay.from_predictions(y, predicted)

# %%
# What is confused with what.
ConfusionMatrixDisplay.from_predictions(
    y, predicted["estimate of listeners"], cmap="cividis"
)
