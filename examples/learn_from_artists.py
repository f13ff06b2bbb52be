"""
Learn from artist labels
========================

Nearly every song comes with the name of its artist. A network that was trained to
distinguish artists encodes what their songs have in common, and a few labels are then
enough for another task. Here the task is the genre of planted songs, whose artists the
network has not seen.
"""

# %%
import tempfile
import warnings
from pathlib import Path

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from userlogfeat import ArtistEmbedder, CFDisplay, LogMel, UserLogEmbedder
from userlogfeat.datasets.synthetic import make_listening_corpus

# Every song is mastered in its own way: an artist's songs have only their taste in
# common. (With ``equaliser="artist"`` each artist has a sound of their own, and a
# network that has learned to recognise it knows little about genre.)
corpus = make_listening_corpus(
    20,
    480,
    n_artists=60,
    duration=2.0,
    sample_rate=22050,
    noise=0.5,
    equaliser="item",
    random_state=0,
)
artists, genres = corpus.catalogue.artists, corpus.catalogue.labels
is_training = corpus.catalogue.groups("artist") < 40

# %%
# 40 artists are trained on. Some of their songs are kept for testing: does the network
# name the right artist? (The paper's network has 128 channels, 256 units and patches of
# 3 s.)
warnings.filterwarnings("ignore", message=".* artists have one song")
embedder = ArtistEmbedder(
    10,
    channels=32,
    n_units=64,
    context=1.0,
    pools=(4, 4, 2),
    lr=0.03,
    max_epochs=15,
    random_state=0,
)
embedder.fit(corpus.audio[is_training], artists[is_training])
print(
    f"{embedder.test_score_:.2f} of {len(embedder.test_clips_)} test songs get "
    f"the right one of {len(embedder.classes_)} artists"
)

# %%
# A saved model computes features like any other. The deviation of the embedding within
# artists is near 1 in every column (somewhat less, since the analysis shrinks), so the
# SVM needs no scaling.
folder = Path(tempfile.mkdtemp()) / "artists"
embedder.save(
    folder,
    training_data={
        "description": "planted corpus, 40 artists",
        "licence": "yours",
        "non_commercial": False,
    },
)
task = corpus.audio[~is_training]
learned = UserLogEmbedder(folder, layer="embedding").fit_transform(task)
log_mel = LogMel("park2017").fit_transform(task)
moments = np.hstack([log_mel.mean(2), log_mel.var(2), log_mel.max(2), log_mel.min(2)])

# %%
# Train on three labels a genre, by half of the other 20 artists; test on the other
# half.
labels, groups = genres[~is_training], artists[~is_training]
scores = {"mel statistics": [], "artist features": []}
for draw in range(20):
    rng = np.random.default_rng(draw)
    names = rng.permutation(np.unique(groups.astype(str)))
    train = np.isin(groups.astype(str), names[:10])
    few = np.concatenate(
        [
            rng.permutation(np.flatnonzero(train & (labels == genre)))[:3]
            for genre in np.unique(labels.astype(str))
        ]
    )
    for name, X, classifier in (
        ("mel statistics", moments, make_pipeline(StandardScaler(), SVC())),
        ("artist features", learned, SVC()),
    ):
        classifier.fit(X[few], labels[few])
        scores[name].append(classifier.score(X[~train], labels[~train]))
for name, values in scores.items():
    print(f"{name:16} {np.mean(values):.2f}")

# %%
# Songs of artists that the network has never met. It was trained on no genre, and yet
# genres have places of their own.
CFDisplay.from_predictions(learned, labels=labels)
