"""MIREX train/test submissions: the four calls, the folder to hand in, the judge.

``lists`` reads and writes the files of the task, ``features`` keeps a feature table in
the scratch folder, ``pipeline`` says what hears and what classifies, ``fitting``
teaches it, ``classifier`` keeps what was learned as arrays and ``models`` on disk,
``submission`` has the four calls, ``package`` makes the folder to hand in. The
organisers' side: ``folds``, ``black_box`` and ``evaluate`` run submissions, ``scores``
and ``tag_scores`` judge them, ``results``, ``tag_results`` and the reports tell.
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
