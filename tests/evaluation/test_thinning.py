"""Thinned histories: nested parts of the full ones, at every level that fits."""

import numpy as np
import pytest
from scipy import sparse

from userlogfeat.evaluation.thinning import thin_histories


def test_thinned_histories_are_nested_parts_of_the_full_ones():
    draw = np.random.default_rng(0).random((40, 300))
    played = draw < np.linspace(0, 0.9, 40)[:, None] ** 2
    item_users = sparse.csr_matrix(played * np.ceil(9 * draw))
    thinned, owners, n_users = thin_histories(item_users, np.random.RandomState(0))
    np.testing.assert_array_equal(np.diff(thinned.indptr), n_users)
    assert (2 * n_users <= np.diff(item_users.indptr)[owners]).all()
    expected = [
        (level, item)
        for level in (1, 2, 4, 8, 16, 32, 64, 128, 256)
        for item in range(item_users.shape[0])
        if 2 * level <= item_users[[item]].nnz
    ]
    assert list(zip(n_users.tolist(), owners.tolist(), strict=True)) == expected
    before = {}
    for row, owner in enumerate(owners):
        own = set(thinned[[row]].indices)
        plays = item_users[[owner]].toarray()[0]
        assert (plays[thinned[[row]].indices] == thinned[[row]].data).all()
        assert before.get(owner, set()) <= own
        before[owner] = own


def test_every_listener_is_as_likely_to_be_left():
    item_users = sparse.csr_matrix(np.ones((4000, 8)))
    thinned, _, n_users = thin_histories(item_users, np.random.RandomState(0))
    for level in (1, 2, 4):
        left = thinned[n_users == level].mean(axis=0).A1
        np.testing.assert_allclose(left, level / 8, atol=0.03)


def test_items_of_one_listener_cannot_be_thinned():
    with pytest.raises(ValueError, match="No item has two listeners"):
        thin_histories(sparse.csr_matrix(np.eye(3)), np.random.RandomState(0))
