"""
Learn from artist labels
========================

Nearly every song says who made it. A network that learned to tell artists apart hears
what their songs have in common, and a few labels are then enough for another task: here
genre, of planted songs by artists that the network has not met.
"""

# %%
import tempfile
import warnings
from pathlib import Path

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from userlogfeat import ArtistEmbedder, LogMel, UserLogEmbedder
from userlogfeat.datasets.synthetic import make_listening_corpus

# Every song is mastered in its own way: what an artist's songs share is their taste.
# (With ``equaliser="artist"`` the artist's sound gives the artist away, and a network
# that has learned that knows little about genre.)
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
taught = corpus.catalogue.groups("artist") < 40

# %%
# 40 artists teach. Some of their songs are kept aside, to test whether they are named.
# (The paper's network has 128 channels, 256 units and patches of 3 s.)
warnings.filterwarnings("ignore", message=".* artists have one song")
embedder = ArtistEmbedder(
    10,
    channels=32,
    n_units=64,
    context=1.0,
    pools=(4, 4, 2),
    lr=0.03,
    max_epochs=20,
    random_state=0,
)
embedder.fit(corpus.audio[taught], artists[taught])
print(
    f"{embedder.test_score_:.2f} of {len(embedder.test_clips_)} test songs are said to "
    f"be by the right one of {len(embedder.classes_)} artists"
)

# %%
# A saved model is a feature like any other. The spread of the embedding within artists
# is near 1 in every column (somewhat below it, as the analysis shrinks), so it goes to
# the SVM as it is.
folder = Path(tempfile.mkdtemp()) / "artists"
embedder.save(
    folder,
    training_data={
        "description": "planted corpus, 40 artists",
        "licence": "yours",
        "non_commercial": False,
    },
)
task = corpus.audio[~taught]
learned = UserLogEmbedder(folder, layer="embedding").fit_transform(task)
log_mel = LogMel("park2017").fit_transform(task)
moments = np.hstack([log_mel.mean(2), log_mel.var(2), log_mel.max(2), log_mel.min(2)])

# %%
# Three labels a genre, from half of the other 20 artists; tested on the other half.
labels, groups = genres[~taught], artists[~taught]
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
