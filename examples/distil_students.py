"""
Distil a teacher of listening logs into small students
======================================================

A teacher that was trained on logs helps a network for a small labelled task: as a
frozen encoder (`fix`), as initial weights (`init`) or through a second loss (`kd`).
`GridSearchCV` chooses among these modes and the weights of that loss.
"""

# %%
# Planted tastes shape the logs and the audio. One half of the artists has logs, on
# which the teacher is trained; clips of the other half are the labelled task.
import tempfile
from pathlib import Path

import numpy as np
import sklearn
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from userlogfeat import (
    CFEmbedding,
    CFRegressor,
    KDStudentClassifier,
    LogMel,
    MelStatistics,
    ScoreDisplay,
    read_logs,
)
from userlogfeat.datasets.synthetic import make_listening_corpus
from userlogfeat.evaluation.folds import StratifiedArtistKFold

folder = Path(tempfile.mkdtemp())
corpus = make_listening_corpus(200, 480, folder=folder / "corpus", random_state=0)
catalogue, audio = corpus.catalogue, np.asarray(corpus.audio)
logs = read_logs(corpus.logs, count="count")
factors = CFEmbedding(8, random_state=0).fit(logs.user_items).item_factors_
rows, factors = catalogue.align(factors, logs.item_ids, unknown="ignore")
artists, labels = catalogue.groups("artist"), catalogue.labels

folds = StratifiedArtistKFold(2, random_state=0)
with_logs, task = next(folds.split(labels, labels, artists))
is_training = np.isin(rows, with_logs)
rows, factors = rows[is_training], factors[is_training]
labelled, test = next(folds.split(labels[task], labels[task], artists[task]))
labelled, test = task[labelled], task[test]

# %%
# Statistics of the mel bands, of teacher and students alike: networks on features
# train in a second. On spectrograms, the last cell, it is the same with the paper's
# network.
features = MelStatistics()
X = features.fit_transform(audio)
small = {"network": "mlp", "hidden": (64,), "random_state": 0}
teacher = CFRegressor(head="mlp", **small)
teacher = FrozenEstimator(teacher.fit(X[rows], factors, groups=artists[rows]))

# %%
# A teacher's estimate for a clip is computed once, not for every candidate and fold.
student = KDStudentClassifier(teacher, max_epochs=40, lr=3e-3, **small)
grid = [
    {"mode": ["base", "fix", "init"]},
    {"mode": ["kd"], "kd_weight": [1.0, 10.0]},
]
search = GridSearchCV(student, grid, cv=StratifiedArtistKFold(4, random_state=0))
search.fit(X[labelled], labels[labelled], groups=artists[labelled])
results = search.cv_results_
for score, params in zip(results["mean_test_score"], results["params"], strict=True):
    print(f"{score:.2f}  {params}")
print(f"test {search.score(X[test], labels[test]):.2f}")

# %%
# The best candidate of each mode. With all labels no mode is clearly ahead, as is
# often so: intervals are over four folds. With few labels,
# :func:`userlogfeat.compare` finds more, with seeds, controls and tests.
ScoreDisplay.from_estimator(search, "mode")

# %%
# The same from files, in a pipeline: the teacher gets what the student gets.
pipeline = make_pipeline(features, KDStudentClassifier(teacher, **small))
pipeline.fit(audio[labelled], labels[labelled])
print(f"pipeline {pipeline.score(audio[test], labels[test]):.2f}")

# %%
# A student on spectrograms cannot ask a teacher that reads features: the targets are
# computed beforehand. With metadata routing, they follow their clips into every fold.
# Clips are short here, so the network has smaller pools than the paper's, which need
# 48 bands and 320 frames. Eight channels and few epochs keep the example short.
targets = teacher.predict(X[labelled])
student = KDStudentClassifier(
    channels=8,
    pools=((4, 2), (3, 2), (2, 2), (2, 2)),
    max_epochs=6,
    batch_size=8,
    lr=3e-3,
    random_state=0,
)
mel = LogMel("lee2019", duration=1.0).fit_transform(audio[labelled])
with sklearn.config_context(enable_metadata_routing=True):
    student.set_fit_request(teacher_targets=True)
    scores = cross_val_score(
        student, mel, labels[labelled], cv=2, params={"teacher_targets": targets}
    )
print(f"spectrograms {scores.mean():.2f}")
