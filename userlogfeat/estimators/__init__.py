"""Scikit-learn estimators: ``...Embedding`` learns from logs, ``...Embedder`` hears."""
