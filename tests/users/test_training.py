"""Negatives of the tower's training: drawn by popularity, and corrected for it."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from userlogfeat.networks.user_tower import UserTower
from userlogfeat.users.batches import Targets, Users
from userlogfeat.users.inputs import make_codes, merge_attributes
from userlogfeat.users.training import _Run

N_USERS, N_ITEMS = 60, 8


def make_run(**changes):
    """A training of which item i is played by the first users, ever fewer of them."""
    plays = np.tril(np.ones((N_USERS, N_ITEMS)), k=0)
    plays[N_ITEMS:] = 1
    plays[:, 5:] *= np.arange(N_USERS)[:, None] < 20
    plays[:, 7] = 0  # known only because it was disliked
    positives = sparse.csr_matrix(plays.astype(np.float32))
    users = Users(
        (positives,), np.zeros((N_USERS, 0), np.float32), np.zeros((N_USERS, 0), int)
    )
    network = UserTower(
        [torch.arange(N_ITEMS)],
        n_groups=1,
        n_numbers=0,
        n_categories=[],
        n_units=4,
        hidden=(8,),
    )
    settings = {
        "n_negatives": 5,
        "negatives": "popularity",
        "max_epochs": 1,
        "patience": 1,
        "batch_size": 16,
        "lr": 1e-2,
        "dropout": 0.0,
    } | changes
    targets = Targets(positives, np.full(N_USERS, -1))
    split = (np.arange(50), np.arange(50, 60))
    cpu = torch.device("cpu")
    run = _Run(network, users, targets, split, SimpleNamespace(**settings), cpu, 0)
    return run, plays[:50].sum(axis=0)


@pytest.mark.parametrize("negatives", ["popularity", "uniform"])
def test_draws_are_as_expected_by_the_correction(negatives):
    """The loop: count the plays of users learned from, an item none played as one."""
    run, counts = make_run(negatives=negatives)
    share = np.ones(N_ITEMS) if negatives == "uniform" else np.maximum(counts, 1)
    share = share / share.sum()
    found = np.zeros(N_ITEMS)
    for _ in range(1000):
        drawn, log_expected = run._draw_negatives()
        found += np.bincount(drawn, minlength=N_ITEMS)
    expected = np.log(5 * share[drawn.numpy()])
    np.testing.assert_allclose(log_expected, expected, rtol=1e-5)
    assert (np.abs(found - 5000 * share) < 5 * np.sqrt(5000 * share)).all()


def test_with_few_items_all_are_taken_and_nothing_is_corrected():
    run, _ = make_run(n_negatives=N_ITEMS)
    drawn, log_expected = run._draw_negatives()
    assert drawn.tolist() == list(range(N_ITEMS))
    assert (log_expected == 0).all()


def test_validation_is_the_exact_cross_entropy():
    """A loop over the held-out pairs and all items."""
    run, _ = make_run()
    weights = run.network.items.weight.detach().numpy()
    total = 0.0
    for user, target in zip(run.valid, run.valid_targets, strict=True):
        batch = run.users.batch(np.array([user]), targets=np.array([target]))
        embedded = run.network.eval()(batch)[0].detach().numpy()
        scores = [float(embedded @ row) for row in weights]
        total += np.log(sum(np.exp(s) for s in scores)) - scores[target]
    assert run.validate() == pytest.approx(total / len(run.valid), rel=1e-5)


def test_popularity_is_counted_some_users_at_a_time(monkeypatch):
    """Blocks of users that do not divide their number count like all at once."""
    whole, _ = make_run()
    monkeypatch.setattr("userlogfeat.users.training.COUNTED", 7)
    parts, _ = make_run()
    np.testing.assert_array_equal(parts.log_expected, whole.log_expected)


@pytest.mark.parametrize("missing", [pd.NA, pd.NaT, None, np.nan])
def test_attributes_that_are_missing(missing):
    plays = sparse.csr_matrix(np.ones((2, 3), np.float32))
    attributes = merge_attributes(3, None, None, {"genre": ["a", missing, "b"]})
    codes = make_codes([plays], np.arange(2), attributes)
    assert codes[1].tolist() == [0, -1, 1]


def test_attributes_without_a_name():
    with pytest.raises(TypeError, match="expected a dict of name to column"):
        merge_attributes(2, None, None, np.array(["a", "b"]))
