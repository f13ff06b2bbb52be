"""Rotations from one factor space to another."""

import numpy as np
import pytest
from scipy.stats import ortho_group

from userlogfeat._spaces import in_space, space_of
from userlogfeat.factorization import align_factors

RNG = np.random.default_rng(0)
USERS, ITEMS = RNG.normal(size=(30, 5)), RNG.normal(size=(20, 5))
TURN = ortho_group.rvs(5, random_state=0)


def test_a_rotation_is_undone_and_scores_stay():
    onto = in_space(ITEMS, "monday")
    users, items = align_factors(USERS @ TURN, ITEMS @ TURN, onto)
    np.testing.assert_allclose(items, ITEMS, atol=1e-6)
    np.testing.assert_allclose(users, USERS, atol=1e-6)
    assert space_of(users) == space_of(items) == "monday"
    assert items.dtype == np.float32
    scores = np.asarray(users) @ np.asarray(items).T
    np.testing.assert_allclose(scores, USERS @ ITEMS.T, atol=1e-5)


def test_items_are_found_by_ids_and_unplayed_ones_play_no_part():
    order = RNG.permutation(20)
    old_ids = np.array([f"i{n}" for n in range(20)])
    onto = ITEMS.copy()
    onto[3] = 0
    mine, ids = (ITEMS @ TURN)[order], old_ids[order]
    mine[5] = 0
    ids[7] = "new"
    _, items = align_factors(USERS, mine, onto, item_ids=ids, onto_ids=old_ids)
    expected = ITEMS[order]
    expected[5] = 0
    np.testing.assert_allclose(items, expected, atol=1e-6)


def test_noise_is_met_by_the_nearest_rotation():
    noisy = (ITEMS + 0.05 * RNG.normal(size=ITEMS.shape)) @ TURN
    _, items = align_factors(USERS, noisy, ITEMS)
    assert np.abs(items - ITEMS).max() < 0.25


def test_what_has_nothing_in_common_warns():
    with pytest.warns(UserWarning, match=r"mean cosine of only 0\.\d+ with the old"):
        align_factors(USERS, RNG.normal(size=(20, 5)), ITEMS)


def test_errors():
    with pytest.raises(ValueError, match=r"item_factors of 4 and onto of 5 columns"):
        align_factors(USERS, ITEMS[:, :4], ITEMS)
    with pytest.raises(ValueError, match=r"Only 4 items have factors on both sides"):
        align_factors(USERS, ITEMS[:4], ITEMS)
    with pytest.raises(ValueError, match=r"ids of one side only"):
        align_factors(USERS, ITEMS, ITEMS, item_ids=range(20))
    with pytest.raises(ValueError, match=r"Got 3 ids for 20 items"):
        align_factors(USERS, ITEMS, ITEMS, item_ids=range(3), onto_ids=range(20))
    ids = [f"x{n}" for n in range(20)]
    with pytest.raises(ValueError, match=r"None of the 20 items"):
        align_factors(USERS, ITEMS, ITEMS, item_ids=ids, onto_ids=range(20))
    with pytest.raises(ValueError, match=r"Got onto of shape \(5,\)"):
        align_factors(USERS, ITEMS, ITEMS[0])
