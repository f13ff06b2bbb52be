"""
Hand in a MIREX submission
==========================

A pipeline of your own becomes the folder that MIREX's organisers run. Then we take the
organisers' side and run it on two folds.
"""

# %%
# Planted clips of two tastes, as flac files. In MIREX only the organisers have the
# clips; to try a submission, use labelled clips of your own.
import os
import sys
import tempfile
from pathlib import Path

from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import StratifiedGroupKFold

from userlogfeat.datasets.synthetic import make_listening_corpus
from userlogfeat.mirex import write_labels
from userlogfeat.mirex.evaluate import evaluate
from userlogfeat.mirex.package import write_package

folder = Path(tempfile.mkdtemp())
corpus = make_listening_corpus(50, 60, 2, folder=folder / "corpus", random_state=0)
clips = [str(clip) for clip in corpus.catalogue.clips]
labels = corpus.catalogue.labels
artists = corpus.catalogue.groups("artist")

# %%
# The pipeline is an embedder and any classifier of scikit-learn. It is made by a
# function in a file of its own, which is copied into the folder if it is needed there.
(folder / "my_pipeline.py").write_text(
    """
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from userlogfeat import MusicnnEmbedder


def make():
    embedder = MusicnnEmbedder(layer="penultimate")
    return make_pipeline(embedder, StandardScaler(), SVC())
"""
)

# %%
# The folder to hand in. ``measure="planted"`` (the default) would run its scripts and
# write their run time and memory into its README.
submission = write_package(
    folder / "submission",
    pipeline=f"{folder}/my_pipeline.py:make",
    name="Example",
    measure=None,
)
for path in sorted(submission.iterdir()):
    print(path.name)

# %%
# One of the scripts.
print((submission / "TrainAndClassify.sh").read_text())

# %%
# The organisers' lists: training clips with classes, and the true classes of the test
# clips. Groups are the artists; here none is on both sides.
lists = folder / "lists"
splits = StratifiedGroupKFold(2).split(clips, labels, artists)
for number, parts in enumerate(splits, 1):
    for part, rows in zip(("train", "evaluate"), parts, strict=True):
        names = [clips[row] for row in rows]
        write_labels(lists / f"f{number}_{part}.txt", names, labels[rows])
        write_labels(lists / f"f{number}_{part}_groups.txt", names, artists[rows])

# %%
# Organisers rely on nothing but the names of the scripts. ``setup.sh`` would install
# the requirements; instead, the scripts run with the Python of this page.
os.environ["USERLOGFEAT_PYTHON"] = sys.executable
evaluation = evaluate(lists, {"example": submission}, folder / "results", n_threads=1)
print((folder / "results" / "report.txt").read_text())

# %%
# The same as a table.
print(evaluation.to_frame())

# %%
# Which classes are confused? ``answers`` has every answer to every clip.
answers = evaluation.answers
ConfusionMatrixDisplay.from_predictions(
    answers["class"].to_list(), answers["answer"].to_list(), cmap="cividis"
)
