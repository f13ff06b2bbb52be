"""The sampler against loops, and the draws as a network gets them."""

import time
from collections import Counter
from itertools import permutations

import numpy as np
import pytest
import torch
from scipy import sparse

from userlogfeat.feedback.triplets import (
    TripletInputs,
    TripletSampler,
    check_verdicts,
    draw_places,
    say_nothing_to_draw,
)
from userlogfeat.training.batches import ArrayInputs

# Clips x users. User 0 has one like, user 1 no dislike, user 2 no like, user 3 nothing.
VERDICTS = np.array(
    [
        [1, 1, -1, 0, 1],
        [-1, 1, -1, 0, 1],
        [-1, 0, 0, 0, -1],
        [-1, 1, -1, 0, 0],
        [0, 0, 0, 0, 1],
    ]
)


def possible(verdicts):
    """Every (user, liked, disliked) by loops over users and clips."""
    found = []
    for user, column in enumerate(verdicts.T):
        for liked, verdict in enumerate(column):
            if verdict > 0:
                found += [
                    (user, liked, disliked)
                    for disliked, other in enumerate(column)
                    if other < 0
                ]
    return found


def share(counts, n):
    return {key: count / n for key, count in counts.items()}


def test_every_triplet_is_drawn_as_often_as_it_should():
    """A like is as probable as any other, then a dislike as any of the same user's."""
    n = 40_000
    draws = TripletSampler(VERDICTS).draw(n, np.random.default_rng(0))
    found = Counter(zip(draws.users, draws.liked, draws.disliked[:, 0], strict=True))
    triplets = possible(VERDICTS)
    likes = {(user, liked) for user, liked, _ in triplets}
    n_dislikes = Counter((user, liked) for user, liked, _ in triplets)
    expected = {t: 1 / len(likes) / n_dislikes[t[:2]] for t in triplets}
    assert set(found) == set(expected)
    for triplet, probability in expected.items():
        error = 5 * np.sqrt(probability * (1 - probability) / n)  # five deviations
        assert share(found, n)[triplet] == pytest.approx(probability, abs=error)


def test_who_can_be_drawn():
    sampler = TripletSampler(sparse.csr_matrix(VERDICTS))
    assert sampler.users.tolist() == [0, 4]
    assert sampler.n_likes == 4
    ratings = TripletSampler(VERDICTS * 2.5)  # the sign counts
    assert ratings.users.tolist() == [0, 4]


def test_a_stored_zero_is_no_verdict():
    """Neither a like nor a dislike, though a sparse matrix may hold it."""
    verdicts = sparse.csr_matrix(
        (np.array([1.0, 0.0, -1.0, 0.0]), ([0, 1, 2, 3], [0, 0, 0, 0])), shape=(4, 1)
    )
    assert verdicts.nnz == 4
    sampler = TripletSampler(verdicts)
    assert sampler.n_likes == 1
    draws = sampler.draw(200, np.random.default_rng(0))
    assert set(draws.liked) == {0}
    assert set(draws.disliked.ravel()) == {2}


def test_some_clips_only():
    draws = TripletSampler(VERDICTS, clips=[4, 2, 3]).draw(
        200, np.random.default_rng(0)
    )
    assert set(draws.users) == {4}
    assert set(draws.liked) == {4}
    assert set(draws.disliked.ravel()) == {2}


def test_large_logs_against_the_matrix():
    rng = np.random.default_rng(0)
    verdicts = rng.choice([-1, 0, 1], (300, 200), p=[0.05, 0.9, 0.05])
    draws = TripletSampler(verdicts, 3).draw(20_000, rng)
    assert (verdicts[draws.liked, draws.users] == 1).all()
    assert (verdicts[draws.disliked, draws.users[:, None]] == -1).all()
    for user, disliked in zip(draws.users[:2000], draws.disliked, strict=False):
        n_different = len(set(disliked.tolist()))
        assert n_different == min(3, (verdicts[:, user] < 0).sum())


@pytest.mark.parametrize(("count", "n"), [(1, 1), (2, 2), (4, 2), (4, 3), (3, 3)])
def test_places_are_any_ordered_choice(count, n):
    n_rows = 20_000
    places = draw_places(np.full(n_rows, count), n, np.random.default_rng(1))
    found = share(Counter(map(tuple, places.tolist())), n_rows)
    choices = list(permutations(range(count), n))
    assert set(found) == set(choices)
    for frequency in found.values():
        p = 1 / len(choices)
        assert frequency == pytest.approx(p, abs=5 * np.sqrt(p / n_rows))


@pytest.mark.parametrize("n", [5, 8])
def test_few_items_come_as_often_as_each_other(n):
    counts = np.array([1, 2, 3, 4, 7, 20] * 50)
    places = draw_places(counts, n, np.random.default_rng(2))
    for count, row in zip(counts, places, strict=True):
        times = np.bincount(row, minlength=count)
        assert len(times) == count
        assert set(times) <= {n // count, -(-n // count)}


def test_a_seed_decides():
    sampler = TripletSampler(VERDICTS, 2)
    first, second, other = (
        sampler.draw(50, np.random.default_rng(seed)) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first.disliked, second.disliked)
    np.testing.assert_array_equal(first.liked, second.liked)
    assert (first.disliked != other.disliked).any()


def test_nobody_to_draw():
    with pytest.raises(ValueError, match="No user has both a liked and a disliked"):
        TripletSampler(np.ones((3, 2))).draw(1, np.random.default_rng(0))


@pytest.mark.slow
@pytest.mark.parametrize("n_negatives", [1, 4])
def test_a_million_draws_a_second(n_negatives):
    rng = np.random.default_rng(0)
    shape, n = (50_000, 20_000), 2_000_000
    places = tuple(rng.integers(size, size=n) for size in shape)
    verdicts = sparse.coo_matrix((rng.choice([-1.0, 1.0], n), places), shape).tocsr()
    sampler = TripletSampler(verdicts, n_negatives)
    seconds = []
    for _ in range(5):
        start = time.process_time()  # other programs do not count
        sampler.draw(500_000, rng)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.5


def make_inputs(n_draws=6):
    clips = ArrayInputs(np.arange(5, dtype=np.float32)[:, None])
    sampler = TripletSampler(VERDICTS, 2)
    validation = sampler.draw(4, np.random.default_rng(0))
    return TripletInputs(clips, sampler, n_draws, validation), validation


def test_validation_draws_are_fixed():
    inputs, validation = make_inputs()
    train, valid = inputs.split
    assert train.tolist() == [0, 1, 2, 3, 4, 5]
    assert valid.tolist() == [6, 7, 8, 9]
    batch = inputs.batch(torch.tensor([9, 6]))
    computed = batch.clips[batch.places][:, :, 0].numpy()  # a clip's feature is its row
    np.testing.assert_array_equal(computed[:, 0], validation.liked[[3, 0]])
    np.testing.assert_array_equal(computed[:, 1:], validation.disliked[[3, 0]])
    np.testing.assert_array_equal(batch.users, validation.users[[3, 0]])


def test_training_draws_are_new_and_each_clip_is_read_once():
    inputs, _ = make_inputs()
    generator = torch.Generator().manual_seed(0)
    rows = torch.arange(6)
    one, two = inputs.batch(rows, generator), inputs.batch(rows, generator)
    assert len(one) == 6
    assert one.shape == (6, 3, 1)
    assert len(torch.unique(one.clips)) == len(one.clips)
    assert not torch.equal(one.clips[one.places], two.clips[two.places])
    again = inputs.batch(rows, torch.Generator().manual_seed(0))
    assert torch.equal(one.clips[one.places], again.clips[again.places])
    doubled = one.with_clips(2 * one.clips).to("cpu")
    assert torch.equal(doubled.clips, 2 * one.clips)


def test_without_validation_draws():
    inputs = TripletInputs(make_inputs()[0].inputs, TripletSampler(VERDICTS), 3)
    assert len(inputs) == 3
    assert len(inputs.split[1]) == 0


def test_a_batch_knows_its_clips_and_a_checkpoint_its_draws():
    inputs, validation = make_inputs()
    batch = inputs.batch(torch.tensor([9, 6, 7]))
    assert batch.n_clips == len(batch.clips)
    arrays = inputs.arrays
    for found, drawn in zip(
        arrays[-3:],
        (validation.users, validation.liked, validation.disliked),
        strict=True,
    ):
        np.testing.assert_array_equal(found, drawn)
    alone = TripletInputs(inputs.inputs, inputs.sampler, 3).arrays
    assert len(alone) == len(arrays) - 3


def test_what_is_said_where_there_is_nothing_to_draw():
    """Of four users one likes, one dislikes, one does both, the last has no verdict."""
    verdicts = sparse.csr_matrix(np.array([[0.5, -1, 1, 0], [1, 0, -1, 0]]))
    assert "of 4 users, 2 have likes and 2 dislikes" in say_nothing_to_draw(verdicts)


def test_verdicts_are_checked():
    some = sparse.csr_matrix((np.array([0, 1, -1]), ([0, 1, 2], [0, 0, 1])), (3, 2))
    checked = check_verdicts(some, range(3))
    assert checked.dtype == np.float32
    assert checked.nnz == 2
    stored_zero = sparse.csr_matrix((np.zeros(1), ([0], [0])), shape=(3, 2))
    assert check_verdicts(stored_zero, range(3)).nnz == 0
    assert stored_zero.nnz == 1  # the caller's is left as it was
    with pytest.raises(ValueError, match=r"shape \(3,\), expected \(n_clips, n_users"):
        check_verdicts(np.ones(3), range(3))
    with pytest.raises(ValueError, match=r"pass y\.T\.tocsr\(\)"):
        check_verdicts(np.ones((2, 3)), range(3))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        check_verdicts(np.ones((4, 2)), range(3))
    with pytest.raises(ValueError, match="y contains NaN"):
        check_verdicts(np.full((3, 2), np.nan), range(3))
    with pytest.raises(ValueError, match="requires y to be passed"):
        check_verdicts(None, range(3))
