"""Blocks in threads: how many, how large, in which order; what the threads keep."""

import gc
import multiprocessing
import re
import threading
import time
import weakref

import pytest
import torch

from userlogfeat.networks.threads import map_blocks, map_threads


@pytest.fixture
def set_num_threads(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr("joblib.cpu_count", lambda: 8)  # a machine of many cores
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("n_rows", "n_threads", "sizes"),
    [
        (3, 4, [3]),  # too few for a second thread
        (8, 2, [4, 4]),
        (9, 2, [5, 4]),
        (40, 2, [10, 10, 10, 10]),  # at most 10 rows, and the threads end together
        (25, 1, [9, 9, 7]),
    ],
)
def test_known_blocks(set_num_threads, n_rows, n_threads, sizes):
    set_num_threads(n_threads)
    rows = torch.arange(n_rows)
    blocks = map_blocks(lambda block: block, rows, smallest=4, largest=10)
    assert [len(block) for block in blocks] == sizes
    assert torch.equal(torch.cat(blocks), rows)


def test_threads_share_the_processor(set_num_threads):
    def read(block):
        meeting.wait(timeout=30)  # passes only if two threads are at work
        return torch.get_num_threads()

    meeting = threading.Barrier(2)
    set_num_threads(2)
    assert map_blocks(read, torch.arange(8), smallest=4, largest=10) == [1, 1]
    assert torch.get_num_threads() == 2


def test_mkl_shares_the_processor_too(set_num_threads):
    """Once torch got a number, it sets it for MKL in every new thread."""

    def n_threads_of_mkl():
        found = re.search(r"mkl_get_max_threads\(\) : (\d+)", describe())
        return int(found[1])

    def read(_):
        meeting.wait(timeout=30)
        return n_threads_of_mkl()

    describe = torch.__config__.parallel_info
    if "mkl_get_max_threads" not in describe():
        pytest.skip("this torch has no MKL")
    set_num_threads(3)
    meeting = threading.Barrier(3)
    device = torch.device("cpu")
    assert map_threads(read, range(3), device=device) == [1, 1, 1]
    assert n_threads_of_mkl() == 3


def test_an_error_in_a_thread_is_raised(set_num_threads):
    set_num_threads(2)
    with pytest.raises(ZeroDivisionError):
        map_blocks(lambda block: 1 / 0, torch.arange(8), smallest=4, largest=10)


def test_no_thread_is_left_at_work_where_another_fails(set_num_threads):
    set_num_threads(2)
    ended = []

    def read(item):
        if item == 0:
            raise ValueError("of the first")
        time.sleep(0.2)
        ended.append(item)

    with pytest.raises(ValueError, match="of the first"):
        map_threads(read, [0, 1, 2, 3, 4, 5], device=torch.device("cpu"))
    left = len(ended)
    time.sleep(0.5)
    assert left == len(ended) < 5  # those that had not begun never do


def test_an_error_lets_go_of_what_it_held(set_num_threads):
    set_num_threads(2)
    held = []

    def read(item):
        maps = torch.zeros(3)
        held.append(weakref.ref(maps))
        raise ValueError(item)

    gc.disable()  # memory is to be free at once, not at some later time
    try:
        map_threads(read, [0, 1], device=torch.device("cpu"))
    except ValueError:
        pass
    finally:
        gc.enable()
    assert held
    assert [maps() for maps in held] == [None] * len(held)


def test_threads_are_kept_from_batch_to_batch(set_num_threads):
    set_num_threads(2)
    meeting = threading.Barrier(2)

    def read(_):
        meeting.wait(timeout=30)
        return threading.current_thread()  # numbers of threads are used again

    first, second = (
        map_threads(read, [0, 1], device=torch.device("cpu")) for _ in range(2)
    )
    assert len(set(first)) == 2
    assert set(first) == set(second)


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="nothing forks here"
)
def test_a_forked_process_has_threads_of_its_own(set_num_threads):
    set_num_threads(2)
    device = torch.device("cpu")
    expected = map_threads(lambda item: item + 1, [1, 2], device=device)
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    child = context.Process(
        target=lambda: results.put(
            map_threads(lambda item: item + 1, [1, 2], device=device)
        )
    )
    child.start()
    child.join(timeout=30)
    hung = child.is_alive()
    child.kill()
    assert not hung
    assert results.get() == expected == [2, 3]


def test_items_keep_their_order():
    device = torch.device("cpu")
    assert map_threads(lambda item: 2 * item, range(20), device=device) == [
        *range(0, 40, 2)
    ]
    assert map_threads(lambda item: item, [], device=device) == []
