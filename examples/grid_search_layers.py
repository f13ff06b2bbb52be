"""
Search over layers without decoding twice
=========================================

`UserLogEmbedder` in a `GridSearchCV`: with a `cache`, every file is decoded only once
for all layers, candidates and folds.
"""

# %%
import tempfile
import time
import warnings
from pathlib import Path

from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from userlogfeat import FeatureTable, ScoreDisplay, UserLogEmbedder
from userlogfeat.datasets.synthetic import make_listening_corpus

# The bundled weights were trained on logs that are for non-commercial use.
warnings.filterwarnings("ignore", message="Weights .* non-commercial")

folder = Path(tempfile.mkdtemp())
corpus = make_listening_corpus(10, 120, folder=folder / "corpus", random_state=0)

# %%
# A tuple of layers is one candidate: their columns stand side by side.
pipeline = make_pipeline(UserLogEmbedder(cache=folder / "cache"), PCA(), SVC())
grid = {
    "userlogembedder__layer": ["taggram", "embedding", ("taggram", "embedding")],
    "pca__n_components": [10, 20],
    "svc__C": [1, 10],
}
search = GridSearchCV(pipeline, grid, cv=GroupKFold(3))
start = time.perf_counter()
search.fit(corpus.audio, corpus.catalogue.labels, groups=corpus.catalogue.groups())
n_fits = len(search.cv_results_["params"]) * search.n_splits_
print(f"{n_fits} fits in {time.perf_counter() - start:.1f} s")
print(search.best_params_, f"{search.best_score_:.2f}")

# %%
# The cache is a feature table: one row for each file, all layers of the model.
table = FeatureTable(next((folder / "cache").iterdir()))
print(len(table), "files;", ", ".join(table.layer_sizes))

# %%
# Which layer? The best candidate with each, and its interval over the folds.
ScoreDisplay.from_estimator(search, "userlogembedder__layer")
