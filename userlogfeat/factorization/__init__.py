"""Alternating least squares on implicit feedback, and exact fold-in of new rows.

==========  =================================================================
confidence  ``weigh`` and ``confidences``: what a count of plays is worth
als         on one machine, with implicit: ``fit_als``, ``fold_in``
alignment   from the space of one training to that of another
on_spark    on a Spark cluster, with its ALS and the same fold-in
==========  =================================================================

The estimator over both is :class:`userlogfeat.CFEmbedding`, in ``estimators/cf.py``.
"""

from userlogfeat.factorization.alignment import align_factors
from userlogfeat.factorization.als import fit_als, fold_in
from userlogfeat.factorization.confidence import confidences

__all__ = ["align_factors", "confidences", "fit_als", "fold_in"]
