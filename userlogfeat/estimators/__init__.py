"""Estimators: ``...Embedding`` learns from logs, ``...Embedder`` embeds audio."""
