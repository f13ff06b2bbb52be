"""How networks are trained here.

=============  =============================================================
loop           the loop that trains networks
batches        inputs of the loop: rows of arrays, or spectrograms kept once
epochs         the best epoch, and early stopping
checkpoints    the file from which a killed fit continues
heads          ridge regression in closed form, multilayer perceptrons
shared_maps    maps of frames and of labels, by stochastic descent
label_sets     labels of clips, of one data set or of several; ``label_pairs``, of
               whatever form as pairs of a clip and a label
processes      several processes that train one network together
songs          songs of each artist to learn from, validate on and test on
discriminants  linear discriminant analysis with many small classes
=============  =============================================================
"""

from userlogfeat.training.loop import (
    DecayingSGD,
    fit_network,
    seeded,
    validation_split,
)
from userlogfeat.training.processes import alone, is_first

__all__ = [
    "DecayingSGD",
    "alone",
    "fit_network",
    "is_first",
    "seeded",
    "validation_split",
]
