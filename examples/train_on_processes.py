"""
Train on several processes
==========================

The same `fit` on several processes, which may be on several machines with several GPUs
each. Run this file with ``python`` and one process does all the work; with

    torchrun --nproc-per-node 2 examples/train_on_processes.py

two share the work. Nothing in the file changes: `fit` finds the other processes, each
process trains on its shard of every batch, and all end with the same weights. These are
the weights that one process would have, up to rounding errors, which grow with the
steps.
"""

# %%
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
from sklearn.model_selection import GroupShuffleSplit

from userlogfeat import KDStudentClassifier
from userlogfeat.datasets.synthetic import make_listening_corpus
from userlogfeat.training import is_first

# %%
# Every process has all of the data: the planted corpus is the same for the same seed.
# `fit` decides which clips a process turns into spectrograms, and which it gets in a
# step.
corpus = make_listening_corpus(8, 240, duration=1.0, random_state=0)
artists = corpus.catalogue.groups("artist")
split = GroupShuffleSplit(1, test_size=0.25, random_state=0)
train, test = next(split.split(corpus.audio, groups=artists))
labels = corpus.catalogue.labels

# %%
# `batch_size` counts the clips of all processes together. Clips of one second are
# short, so the network has small pools.
student = KDStudentClassifier(
    channels=16,
    pools=((4, 2), (3, 2), (2, 2)),
    duration=1.0,
    batch_size=16,
    max_epochs=8,
    random_state=0,
)
start = time.perf_counter()
student.fit(corpus.audio[train], labels[train], groups=artists[train])

# %%
# Score, print and save in the first process only.
if is_first():
    accuracy = student.score(corpus.audio[test], labels[test])
    print(f"{len(student.history_)} epochs in {time.perf_counter() - start:.0f} s")
    print("losses", [round(epoch["valid_task_loss"], 4) for epoch in student.history_])
    print(f"accuracy {accuracy:.2f}")
    student.save(
        Path(tempfile.mkdtemp()) / "student",
        training_data={
            "description": "the planted corpus of userlogfeat",
            "licence": "BSD-3-Clause",
            "non_commercial": False,
        },
    )
    figure, axes = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
    epochs = range(1, len(student.history_) + 1)
    for key, dashes in (("train_loss", "o-"), ("valid_task_loss", "s--")):
        losses = [epoch[key] for epoch in student.history_]
        axes.plot(epochs, losses, dashes, label=key)
    axes.set(xlabel="epoch", ylabel="loss")
    axes.legend(frameon=False)

# %%
# From Spark, its `TorchDistributor` starts the processes, a function in each:
#
# .. code-block:: python
#
#     from pyspark.ml.torch.distributor import TorchDistributor
#
#     def train(folder):
#         ...  # the lines above
#         return student.history_  # of the first process
#
#     distributor = TorchDistributor(num_processes=2, local_mode=False, use_gpu=False)
#     history = distributor.run(train, "/shared/corpus")
