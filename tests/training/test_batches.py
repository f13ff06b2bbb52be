"""Inputs of a network in training: windows, batches, spectrograms on disk."""

import os

import numpy as np
import pytest
import torch

from userlogfeat.training.batches import ArrayInputs, Batches, FrameStore


def numbered(clip, n_frames, n_bands=2):
    """A spectrogram whose values say clip, band and frame: 1000 clip + frame + band."""
    frames = np.arange(n_frames, dtype=np.float32)
    return 1000 * clip + frames + 0.25 * np.arange(n_bands, dtype=np.float32)[:, None]


def make_store(lengths, n_frames=None, **settings):
    store = FrameStore(n_frames, **settings)
    for clip, length in enumerate(lengths):
        store.append(numbered(clip, length))
    return store


def starts_of(windows):
    """Clip and first frame of each window, after checking that it is one."""
    first = windows[:, 0, 0]
    span = first[:, None] + torch.arange(windows.shape[2])
    torch.testing.assert_close(windows[:, 0], span)
    torch.testing.assert_close(windows[:, 1], span + 0.25)
    return [divmod(int(value), 1000) for value in first]


def test_windows_in_the_middle():
    """Of 10, 11, 4 and 5 frames, windows of 4 start at 3, 3, 0 and 0."""
    store = make_store([10, 11, 4, 5], 4)
    windows = store.batch(torch.tensor([3, 0, 1, 2]))
    assert (windows.shape, windows.dtype) == ((4, 2, 4), torch.float32)
    assert starts_of(windows) == [(3, 0), (0, 3), (1, 3), (2, 0)]


def test_random_windows_start_everywhere_and_nowhere_else():
    store = make_store([10, 4, 6], 4)
    generator = torch.Generator().manual_seed(0)
    found = [set(), set(), set()]
    for _ in range(100):
        for clip, start in starts_of(store.batch(torch.arange(3), generator)):
            found[clip].add(start)
    assert found == [set(range(7)), {0}, {0, 1, 2}]


def test_random_windows_are_equally_likely():
    store = make_store([9], 5)
    generator = torch.Generator().manual_seed(0)
    rows = torch.zeros(5000, dtype=torch.int64)
    starts = [start for _, start in starts_of(store.batch(rows, generator))]
    np.testing.assert_allclose(np.bincount(starts) / 5000, 0.2, atol=0.03)


def test_whole_clips():
    windows = make_store([7, 7]).batch(torch.tensor([1, 0]), torch.Generator())
    assert starts_of(windows) == [(1, 0), (0, 0)]
    assert windows.shape == (2, 2, 7)


@pytest.mark.parametrize("in_memory", [0, 1, 2, 5])
def test_what_is_on_disk_is_what_is_in_memory(in_memory):
    """Clips of several lengths; the first stay in memory, the rest do not."""
    lengths = [10, 4, 6, 11, 5]
    limit = sum(8 * length for length in lengths[:in_memory])
    judge, store = make_store(lengths, 4), make_store(lengths, 4, memory_limit=limit)
    kept = [isinstance(entry, np.ndarray) for entry in store.log_mels]
    assert kept == [True] * in_memory + [False] * (5 - in_memory)
    for clip in range(5):
        np.testing.assert_array_equal(store[clip], judge[clip])
    rows = torch.tensor([4, 0, 2, 2, 1, 3])
    for seed in (None, 0, 1):
        draws = [
            s.batch(rows, seed if seed is None else torch.Generator().manual_seed(seed))
            for s in (judge, store)
        ]
        assert torch.equal(*draws)


def test_reading_between_appends():
    store = make_store([5], 4, memory_limit=0)
    np.testing.assert_array_equal(store[0], numbered(0, 5))
    store.append(numbered(1, 9))
    np.testing.assert_array_equal(store[1], numbered(1, 9))
    np.testing.assert_array_equal(store[0], numbered(0, 5))
    assert len(store) == 2


def test_clips_in_any_order_of_memory():
    """A front end may give transposed arrays."""
    for limit in (0, 10**6):
        store = FrameStore(3, memory_limit=limit)
        store.append(np.asfortranarray(numbered(0, 5)))
        store.append(numbered(1, 10)[:, ::2])
        np.testing.assert_array_equal(store[0], numbered(0, 5))
        np.testing.assert_array_equal(store[1], numbered(1, 10)[:, ::2])


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no /proc here")
def test_thousands_of_clips_are_one_file():
    before = len(os.listdir("/proc/self/fd"))
    lengths = np.random.default_rng(0).integers(4, 12, size=3000)
    store = make_store(lengths, 4, memory_limit=1000)
    for rows in torch.randperm(3000).split(500):
        clips = [clip for clip, _ in starts_of(store.batch(rows))]
        assert clips == rows.tolist()
    # The file, and the system's own handle of its map.
    assert len(os.listdir("/proc/self/fd")) <= before + 2
    del store
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_full_disk_is_reported(monkeypatch):
    store = FrameStore(memory_limit=0)
    store.append(numbered(0, 5))

    def full(data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store._file, "write", full, raising=False)
    with pytest.raises(OSError, match="No space left"):
        store.append(numbered(1, 5))
    assert len(store) == 1


def test_rows_of_arrays():
    array = np.arange(12.0).reshape(4, 3)
    array.flags.writeable = False
    inputs = ArrayInputs(array)
    assert len(inputs) == 4
    batch = inputs.batch(torch.tensor([2, 0]), torch.Generator())
    torch.testing.assert_close(batch, torch.tensor([[6.0, 7, 8], [0, 1, 2]]))
    batch += 1  # a copy: augmentation in place does not reach the data
    assert array[2, 0] == inputs.array[2, 0] == 6


def make_batches(n, batch_size, *, seed=None, rows=None):
    inputs = ArrayInputs(np.arange(n, dtype=np.float32)[:, None])
    targets = {"y": torch.arange(n) * 10}
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    rows = range(n) if rows is None else rows
    return Batches(inputs, targets, rows, batch_size, generator)


@pytest.mark.parametrize(
    ("n", "sizes"),
    [(1, [1]), (2, [2]), (4, [4]), (5, [5]), (8, [4, 4]), (9, [4, 5]), (10, [4, 4, 2])],
)
def test_training_batches_are_never_one_clip_of_many(n, sizes):
    batches = list(make_batches(n, 4, seed=0))
    assert [len(x) for x, *_ in batches] == sizes
    batched = torch.cat([x[:, 0] for x, *_ in batches])
    assert sorted(batched.tolist()) == list(range(n))
    targets = torch.cat([targets["y"] for _, targets, *_ in batches])
    torch.testing.assert_close(targets.float(), 10 * batched)


def test_batches_of_a_part_in_order():
    batches = list(make_batches(20, 2, rows=[3, 17, 5]))
    assert [x[:, 0].tolist() for x, *_ in batches] == [[3, 17], [5]]
    assert [targets["y"].tolist() for _, targets, *_ in batches] == [[30, 170], [50]]


def test_every_epoch_has_another_order():
    batches = make_batches(30, 8, seed=0)
    orders = [torch.cat([x[:, 0] for x, *_ in batches]).tolist() for _ in range(3)]
    assert len({tuple(order) for order in orders}) == 3
    again = make_batches(30, 8, seed=0)
    assert [
        torch.cat([x[:, 0] for x, *_ in again]).tolist() for _ in range(3)
    ] == orders
