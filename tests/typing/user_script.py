"""What a user may write: mypy finds every line that says "error", and no other.

Read by ``tests/test_typing.py``; it is never run.
"""

from pathlib import Path

import numpy as np

import userlogfeat
from userlogfeat import (  # error: no name nothing_at_all
    CFEmbedding,
    CFRegressor,
    FeatureTable,
    KDStudentClassifier,
    UserLogEmbedder,
    compare,
    extract,
    load_model,
    nothing_at_all,
    read_audio,
    read_catalogue,
    read_logs,
    recommend,
)
from userlogfeat.datasets.gtzan import read_gtzan
from userlogfeat.evaluation.folds import artist_groups, stratified_folds
from userlogfeat.evaluation.recommendation import evaluate_ranking

print(nothing_at_all)
read_logs("plays.csv", users="user_id")  # error: misspelt keyword
read_logs("s3a://logs/", backend="spark").collect()
logs = read_logs(Path("plays.csv"), user="user_id", count="n", min_items_per_user=2)
print(logs.user_item)  # error: misspelt attribute
logs.collect()  # error: not on Spark

cf = CFEmbedding(n_factors=40, random_state=np.random.default_rng(0))
users: np.ndarray = cf.fit(logs.user_items).transform([[0, 1], [2, 0]])
label: str = cf.transform([[0, 1]])  # error: an array, not text
CFEmbedding(n_factors="forty")  # error: text for a number
CFEmbedding(40, backend="sparks")  # error: no such choice

catalogue = read_catalogue("catalogue.csv", artist="artist")
rows, factors = catalogue.align(users, logs.item_ids, by="artist")
rows, factors, more = catalogue.align(users, [1, 2])  # error: two arrays
catalogue.groups(by="singer")  # error: no such choice

teacher = CFRegressor("mlp", hidden=(256, 128), random_state=0)
teacher.fit(catalogue.clips[rows], factors, groups=["a", None, "b"])
teacher.save("teacher")  # error: what did it learn from?
CFRegressor(network="cnn")  # error: no such network
student = KDStudentClassifier("teacher", "kd", frontend="lee2019", checkpoint=None)
student.fit([Path("a.wav"), Path("b")], ["calm", "loud"]).predict([np.zeros(16000)])
student.fit(["a.wav"])  # error: no labels
KDStudentClassifier(mode="distil")  # error: no such mode
KDStudentClassifier(Path("teacher"), kd_epoch=50)  # error: misspelt keyword

embedder = UserLogEmbedder(cache="features", layer=["max_pool", "embedding"])
print(embedder.fit(["a.wav"]).transform(["a.wav"]).shape)
extract(["a.wav", b"b.wav"], "features", embedder=embedder, on_error="row")
extract("music", Path("features"), on_error="skip")  # error: no such choice
print(FeatureTable("features").status_counts()["ok"] + 1)
FeatureTable("features").status_counts().upper()  # error: a dict

waveform = read_audio(b"a.wav", sample_rate=16000, duration=3.0, crop="start")
read_audio("a.wav")  # error: at which rate?
read_audio("a.wav", sample_rate=16000, crop="end")  # error: no such part

gtzan = read_gtzan("genres", missing="ignore")
folds = stratified_folds(gtzan.y, groups=gtzan.artists, n_splits=10)
print(folds["first"])  # error: a list
print([artist_groups(gtzan.items[train]) for train, _ in folds])
compare(student, gtzan.X, gtzan.y, cv=folds, seeds=range(3), n_labels=(20, None))
evaluate_ranking([[0, 1]], (users, users), k=(1, 10)).overall["ndcg@10"].is_integer()
recommend(users, users, 10, metric="euclid")  # error: no such metric
print(load_model("lastfm2k-musicnn", precision="fp32").layer_sizes["embedding"] + 1)
userlogfeat.load_models("lastfm2k-musicnn")  # error: no such name
