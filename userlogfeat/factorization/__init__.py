"""Alternating least squares on implicit feedback, and exact fold-in of new rows.

=========  ==================================================================
als        on one machine, with implicit: ``fit_als``, ``fold_in``
on_spark   on a Spark cluster, with its ALS and the same fold-in
=========  ==================================================================
"""

from userlogfeat.factorization.als import confidences, fit_als, fold_in

__all__ = ["confidences", "fit_als", "fold_in"]
