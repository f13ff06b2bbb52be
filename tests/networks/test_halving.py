"""Where memory runs out, batches are halved: once, with a warning."""

import pytest
import torch

from userlogfeat.networks.halving import Halving


def needs(most):
    """A function that has memory for so many clips."""

    def hear(clips):
        if len(clips) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        return sum(clips)

    return hear


def test_enough_memory():
    memory = Halving(4)
    assert memory.run(needs(4), [1, 2, 3]) == [6]
    assert (memory.batch_size, memory.halved) == (4, False)


@pytest.mark.parametrize(("n", "sums"), [(8, [10, 26]), (5, [6, 9])])
def test_half_as_many_at_once(n, sums):
    memory = Halving(8)
    with pytest.warns(
        UserWarning, match=f"for {n} clips at once: clips go .* {n // 2}"
    ):
        heard = memory.run(needs(4), list(range(1, n + 1)))
    assert heard == sums
    assert (memory.batch_size, memory.halved) == (4, True)
    assert memory.run(needs(4), [1, 2, 3, 4]) == [10]


def test_not_twice():
    memory = Halving(8)
    with (
        pytest.warns(UserWarning, match="does not suffice for 8 clips"),
        pytest.raises(torch.OutOfMemoryError, match=r"for 4 clip\(s\), after"),
    ):
        memory.run(needs(3), [1] * 8)
    message = r"memory for 4 clip\(s\), after the batches were halved. Pass a small"
    with pytest.raises(torch.OutOfMemoryError, match=message):
        memory.run(needs(3), [1] * 4)


def test_one_clip_has_no_half():
    with pytest.raises(torch.OutOfMemoryError, match=r"for 1 clip\(s\), at once"):
        Halving(8).run(needs(0), [1])


def test_other_errors_are_not_of_memory():
    with pytest.raises(ZeroDivisionError):
        Halving(8).run(lambda clips: 1 / 0, [1, 2])
