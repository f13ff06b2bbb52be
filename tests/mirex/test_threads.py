"""Threads inside a call, and after it."""

import joblib
import pytest
import torch
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from threadpoolctl import threadpool_info

from userlogfeat import FeatureLookup, UserLogEmbedder
from userlogfeat.mirex.submission import threads


def test_threads_are_as_asked_inside_and_as_before_outside():
    before = torch.get_num_threads()
    pipeline = make_pipeline(UserLogEmbedder(n_jobs=7), SVC())
    with threads(3, pipeline) as copied:
        assert torch.get_num_threads() == 3
        assert all(pool["num_threads"] <= 3 for pool in threadpool_info())
        assert copied[0].n_jobs == 3
    assert torch.get_num_threads() == before
    assert pipeline[0].n_jobs == 7


def test_as_before_after_an_error():
    before = torch.get_num_threads()
    pipeline = make_pipeline(FeatureLookup("table"), SVC())
    with pytest.raises(KeyError), threads(before + 1, pipeline):
        raise KeyError
    assert torch.get_num_threads() == before


def test_all_processors_by_default(monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)
    pipeline = make_pipeline(UserLogEmbedder(), SVC())
    with threads(None, pipeline) as copied:
        assert copied[0].n_jobs == 2
