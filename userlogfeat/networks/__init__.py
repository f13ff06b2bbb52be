"""Torch modules only: no scikit-learn, no files, no decoding."""
