"""
Hand in a MIREX submission
==========================

A pipeline of one's own becomes the folder that MIREX's organisers run; then we are the
organisers, and run it on two folds.
"""

# %%
# Planted clips of two tastes, as flac files. In MIREX nobody but the organisers has
# them; to try a submission, take labelled clips of your own.
import os
import sys
import tempfile
from pathlib import Path

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
# The pipeline: an embedder, then whatever scikit-learn classifies with. It is a
# function in a file of its own, which goes into the folder if it has to.
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
# The folder to hand in. ``measure="planted"`` (the default) would run its scripts, and
# write into its README what they cost.
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
# The organisers' lists: training clips with classes, and the truth of the test clips.
# Groups are the artists; here none is on both sides.
lists = folder / "lists"
splits = StratifiedGroupKFold(2).split(clips, labels, artists)
for number, parts in enumerate(splits, 1):
    for part, rows in zip(("train", "evaluate"), parts, strict=True):
        names = [clips[row] for row in rows]
        write_labels(lists / f"f{number}_{part}.txt", names, labels[rows])
        write_labels(lists / f"f{number}_{part}_groups.txt", names, artists[rows])

# %%
# They know nothing of the folder but the scripts' names. In place of its ``setup.sh``,
# which installs the requirements, it gets the Python that runs this page.
os.environ["USERLOGFEAT_PYTHON"] = sys.executable
evaluation = evaluate(lists, {"example": submission}, folder / "results", n_threads=1)
print((folder / "results" / "report.txt").read_text())

# %%
# The same as a table.
print(evaluation.to_frame())
