"""MIREX train/test submissions: the four calls, the folder to hand in, the evaluation.

==============  ======================================================================
lists           lists of clips, classes and tags, and the outputs
pipeline        the default pipeline, or one's own, by name
features        a feature table in the scratch folder
training        fits the steps after the embedder, to classes or tags
models          trained models in the scratch folder, kept by skops
submission      the four calls: extract, train, classify, train and classify
package         writes the folder to hand in
package_texts   its scripts, requirements and README, from ``templates/``
measure         its run time, memory and scratch space
folds           fold lists of the organisers
black_box       runs a script within a time limit, and measures it
evaluate        runs submissions on folds
answers         reads their outputs, faults included
scores, report  scores as tables; a page and a text of them
==============  ======================================================================
"""

from userlogfeat.mirex.lists import (
    read_clips,
    read_labels,
    read_tags,
    write_labels,
    write_tags,
)
from userlogfeat.mirex.pipeline import default_pipeline, load_pipeline
from userlogfeat.mirex.submission import (
    classify,
    extract_features,
    train,
    train_and_classify,
)

__all__ = [
    "classify",
    "default_pipeline",
    "extract_features",
    "load_pipeline",
    "read_clips",
    "read_labels",
    "read_tags",
    "train",
    "train_and_classify",
    "write_labels",
    "write_tags",
]
