"""
Distil a teacher of listening logs into small students
======================================================

A teacher that was trained on logs helps a network for a small labelled task: as a
frozen encoder (`fix`), as initial weights (`init`) or through a second loss (`kd`).
`GridSearchCV` chooses among these modes and among widths, each with its own teacher.
"""

# %%
# Planted tastes shape the logs and the audio. One half of the artists has logs, on
# which the teacher is trained; clips of the other half are the labelled task.
import tempfile
import time
from pathlib import Path

import numpy as np
import sklearn
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from userlogfeat import (
    CFEmbedding,
    CFRegressor,
    KDStudentClassifier,
    LogMel,
    ScoreDisplay,
    read_logs,
)
from userlogfeat.datasets.synthetic import make_listening_corpus
from userlogfeat.evaluation.folds import StratifiedArtistKFold

folder = Path(tempfile.mkdtemp())
corpus = make_listening_corpus(200, 300, folder=folder / "corpus", random_state=0)
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
# Spectrograms are computed once, for teachers and students. Clips are short here, so
# the network has smaller pools than the paper's, which need 48 bands and 320 frames.
mel = LogMel("lee2019", duration=1.0).fit_transform(audio)
small = {
    "pools": ((4, 2), (3, 2), (2, 2), (2, 2)),
    "batch_size": 8,
    "max_epochs": 6,
    "lr": 3e-3,
    "random_state": 0,
}
start = time.perf_counter()
teachers = {
    channels: FrozenEstimator(
        CFRegressor(channels=channels, **small).fit(
            mel[rows], factors, groups=artists[rows]
        )
    )
    for channels in (8, 16)
}
print(f"two teachers in {time.perf_counter() - start:.0f} s")

# %%
# A teacher's estimate for a clip is computed once, not for every candidate and fold.
student = KDStudentClassifier(teachers, **small)
grid = [
    {"channels": [8, 16], "mode": ["base", "fix", "init"]},
    {"channels": [8], "mode": ["kd"], "kd_weight": [3.0, 10.0]},
]
search = GridSearchCV(student, grid, cv=folds)
search.fit(mel[labelled], labels[labelled], groups=artists[labelled])
results = search.cv_results_
for score, params in zip(results["mean_test_score"], results["params"], strict=True):
    print(f"{score:.2f}  {params}")
print(f"test {search.score(mel[test], labels[test]):.2f}")

# %%
# The best candidate of each mode. Intervals are over two folds, so they are wide.
ScoreDisplay.from_estimator(search, "mode")

# %%
# The same from files, in a pipeline. The teacher was trained on these spectrograms too,
# so it gets the output of `LogMel`.
pipeline = make_pipeline(
    LogMel("lee2019", duration=1.0),
    KDStudentClassifier(teachers[8], channels=8, **small),
)
pipeline.fit(audio[labelled], labels[labelled])
print(f"pipeline {pipeline.score(audio[test], labels[test]):.2f}")

# %%
# If a teacher reads other input than the student, its targets are computed beforehand.
# With metadata routing, they follow their clips into every fold.
targets = teachers[8].predict(mel[labelled])
with sklearn.config_context(enable_metadata_routing=True):
    student = KDStudentClassifier(mode="kd", channels=8, **small)
    student.set_fit_request(teacher_targets=True)
    search = GridSearchCV(student, {"kd_weight": [3.0, 10.0]}, cv=2)
    search.fit(mel[labelled], labels[labelled], teacher_targets=targets)
print(f"given targets: {search.best_params_}")
