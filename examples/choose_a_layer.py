"""
Choose a layer of a pretrained encoder
======================================

Which layer of a network suits a task is found by cross-validation. Each file is encoded
once, for all layers; the choice is made within every training part. Here the encoder is
musicnn, whose weights are at hand; ``EncoderEmbedder("hf:owner/model")`` has the layers
of a model of the Hugging Face hub.
"""

# %%
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from userlogfeat import EncoderEmbedder, LayerSelector
from userlogfeat.datasets.synthetic import make_listening_corpus

folder = Path(tempfile.mkdtemp())
corpus = make_listening_corpus(10, 120, folder=folder / "corpus", random_state=0)
paths, y = corpus.audio, corpus.catalogue.labels
artists = corpus.catalogue.groups()

# %%
# One pass through the network gives all layers, which stay in the cache.
embedder = EncoderEmbedder("MSD_musicnn", layer="all", cache=folder / "cache")
start = time.perf_counter()
X = embedder.transform(paths)
print(f"{X.shape} in {time.perf_counter() - start:.1f} s")

# %%
# The selector scores every layer by a ridge model, clips of one artist together.
selector = LayerSelector(layer_sizes=embedder.layer_sizes)
selector.fit(X, y, groups=artists)
print(selector.layer_, f"{selector.scores_[selector.layer_]:.2f}")

# %%
# That score is of the best of several layers, so it is a little too good. In a
# pipeline, the layer is chosen anew in every training part: this score is honest.
pipeline = make_pipeline(selector, StandardScaler(), LogisticRegression(max_iter=500))
folds = GroupKFold(3)
scores = cross_val_score(pipeline, X, y, groups=artists, cv=folds)
print(f"accuracy on clips of other artists: {scores.mean():.2f}")

# %%
figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
names = list(selector.scores_)
bars = axes.bar(names, selector.scores_.values(), color="#0072B2", edgecolor="white")
bars[names.index(selector.layer_)].set(hatch="///", label="chosen")
axes.axhline(1 / len(set(y)), color="black", linestyle=":", label="chance")
axes.set_ylim(0, 1)
axes.set_ylabel("accuracy (cross-validation)")
axes.set_title("Layers of musicnn on the planted corpus")
axes.tick_params(axis="x", rotation=30)
axes.legend(frameon=False, loc="upper left", ncols=2)
plt.show()
