"""A batch on several processes is one batch: threads stand for processes."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from userlogfeat.networks.data_parallel import (
    Shard,
    all_gather,
    average_gradients,
    on_shard,
    synchronised,
)
from userlogfeat.networks.se_cnn import SECNN

SMALL = ((2, 2), (2, 2))


class Threads:
    """What `Processes` is, for the threads of one program."""

    def __init__(self, size):
        self.size, self.rank = size, None
        self._barrier, self._sent = threading.Barrier(size, timeout=20), [None] * size

    def of(self, rank):
        other = object.__new__(Threads)
        other.__dict__ = {**self.__dict__, "rank": rank}
        return other

    def gather(self, tensor):
        self._sent[self.rank] = tensor.detach().clone()
        self._barrier.wait()
        parts = [part.clone() for part in self._sent]
        self._barrier.wait()
        return parts

    def sum(self, tensor):
        return tensor.copy_(torch.stack(self.gather(tensor)).sum(0))


def together(size, function):
    """What ``function(processes)`` returns in each of `size` threads."""
    threads = Threads(size)
    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(lambda rank: function(threads.of(rank)), range(size)))


def spread(y):
    """A loss that mixes the rows of a batch, and no mean of rows."""
    return (y[:, None] - y[None]).square().sum(2).add(1).log().mean() + y[0].sum()


def step_of_one(network, x):
    """Loss, gradients and state after a step of one process."""
    loss = spread(network(x))
    loss.backward()
    return loss.item(), [p.grad for p in network.parameters()], network.state_dict()


def step_of_many(make, x, size):
    """The same of the first process, after a check that all have the same."""

    def step(processes):
        network, shard = make(), Shard(len(x), processes)
        with synchronised(network), on_shard(shard):
            loss = spread(all_gather(network(x[shard.place])))
        loss.backward()
        average_gradients(network.parameters(), processes)
        assert not [m for m in network.modules() if "forward" in vars(m)]
        return loss.item(), [p.grad for p in network.parameters()], network.state_dict()

    first, *others = together(size, step)
    for other in others:
        assert other[0] == first[0]
        torch.testing.assert_close(other[1:], first[1:], rtol=0, atol=0)
    return first


def compare(make, x, size, **tolerance):
    expected, found = step_of_one(make(), x), step_of_many(make, x, size)
    assert found[0] == pytest.approx(expected[0], rel=1e-9)
    torch.testing.assert_close(found[1:], expected[1:], **tolerance)


def seeded(make):
    lock = threading.Lock()  # threads shard the generator that processes do not

    def build():
        with lock, torch.random.fork_rng():
            torch.manual_seed(0)
            return make().double()

    return build


@pytest.mark.parametrize(("n", "size"), [(8, 2), (7, 2), (7, 3), (2, 3)])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_batch_norm_is_over_all_shares(n, size, momentum):
    """With 2 clips for 3 processes, one has none and still changes nothing."""
    make = seeded(
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 3),
            nn.BatchNorm2d(3, momentum=momentum),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(3 * 9, 4),
            nn.BatchNorm1d(4, affine=False),
            nn.Linear(4, 2),
        )
    )
    x = torch.randn(n, 2, 5, 5, dtype=torch.float64) + 3
    compare(make, x, size, rtol=1e-8, atol=1e-10)


def test_gradients_reach_back_through_the_moments():
    """Of the input as well, where nothing else is between."""
    x = torch.randn(6, 3, dtype=torch.float64)
    one = x.clone().requires_grad_()
    spread(nn.BatchNorm1d(3).double()(one)).backward()

    def step(processes):
        shard, network = Shard(6, processes), nn.BatchNorm1d(3).double()
        own = x[shard.place].clone().requires_grad_()
        with synchronised(network), on_shard(shard):
            loss = spread(all_gather(network(own)))
        loss.backward()
        return own.grad / processes.size

    torch.testing.assert_close(torch.cat(together(3, step)), one.grad)


@pytest.mark.parametrize(("n", "size"), [(5, 2), (2, 3)])
def test_the_folded_first_block_is_over_all_shares(n, size):
    make = seeded(lambda: SECNN(3, channels=4, pools=SMALL))
    x = torch.randn(n, 8, 12, dtype=torch.float64)
    compare(make, x, size, rtol=1e-7, atol=1e-9)


def train(network, take_step, n_steps=40):
    """Losses of steps of Adam; `take_step` returns a step's loss and its gradients."""
    optimizer, losses = torch.optim.Adam(network.parameters(), lr=1e-2), []
    for _ in range(n_steps):
        optimizer.zero_grad()
        losses.append(take_step(network))
        optimizer.step()
    return losses


def test_over_many_steps_only_rounding_parts_them():
    """In double precision, in which rounding has no time to grow."""
    make = seeded(lambda: SECNN(3, channels=4, pools=SMALL))
    x = torch.randn(5, 8, 12, dtype=torch.float64)

    def step_on_all(network):
        loss = spread(network(x))
        loss.backward()
        return loss.item()

    def of_process(processes):
        shard = Shard(5, processes)

        def take_step(network):
            with synchronised(network), on_shard(shard):
                loss = spread(all_gather(network(x[shard.place])))
            loss.backward()
            average_gradients(network.parameters(), processes)
            return loss.item()

        return train(make(), take_step)

    expected = train(make(), step_on_all)
    assert expected[-1] < expected[0] - 1
    for losses in together(2, of_process):
        assert losses == pytest.approx(expected, rel=1e-6)


def test_a_single_value_a_map_has_no_variance():
    def step(processes):
        shard, network = Shard(1, processes), nn.BatchNorm1d(2)
        with synchronised(network), on_shard(shard):
            all_gather(network(torch.ones(1, 2)))

    with pytest.raises(ValueError, match="more than 1 value per channel"):
        together(2, step)


@pytest.mark.parametrize("kind", [nn.Dropout, nn.Dropout1d, nn.AlphaDropout])
@pytest.mark.parametrize("n", [7, 2])
def test_dropout_is_drawn_for_the_whole_batch(kind, n):
    network, x = kind(0.4), torch.randn(n, 5, 4)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        expected, after = network(x), torch.rand(())
        torch.manual_seed(3)
        state = torch.get_rng_state()
    lock = threading.Lock()  # threads shard the generator that processes do not

    def take_step(processes):
        own, shard = kind(0.4), Shard(n, processes)
        with synchronised(own), on_shard(shard), lock, torch.random.fork_rng():
            torch.set_rng_state(state)
            dropped = own(x[shard.place])
            next_draw = torch.rand(())
            lock.release()
            every = all_gather(dropped)
            lock.acquire()
        return every, next_draw

    for every, next_draw in together(3, take_step):
        torch.testing.assert_close(every, expected, rtol=1e-6, atol=1e-6)
        assert next_draw == after


def test_layers_after_the_whole_are_as_ever():
    """Dropout and batch norm there treat the rows of all, which they see."""
    network = nn.BatchNorm1d(2).double()
    x = torch.randn(6, 2, dtype=torch.float64)

    def take_step(processes):
        own, shard = nn.BatchNorm1d(2).double(), Shard(6, processes)
        with synchronised(own), on_shard(shard):
            return own(all_gather(x[shard.place]))

    for found in together(2, take_step):
        torch.testing.assert_close(found, network(x))


def test_augmentation_is_drawn_for_the_whole_batch():
    x = torch.arange(5.0)[:, None] + 1
    factors = torch.tensor([1.0, 10, 100, 1000, 1e4])[:, None]
    parts = [
        Shard(5, Threads(2).of(rank)).augment(
            lambda clips: clips * factors, x[place : place + 3]
        )
        for rank, place in ((0, 0), (1, 3))
    ]
    assert torch.cat(parts).flatten().tolist() == [1, 20, 300, 4000, 50000]


def test_shares_are_neighbours_of_nearly_one_size():
    shards = [Shard(7, Threads(3).of(rank)) for rank in range(3)]
    assert shards[0].sizes == [3, 2, 2]
    assert [shard.place for shard in shards] == [slice(0, 3), slice(3, 5), slice(5, 7)]
    none = Shard(1, Threads(2).of(1))
    assert (none.n_own, none.place) == (0, slice(0, 1))


def test_a_loss_of_a_part_is_refused():
    shard = Shard(4, Threads(2).of(0))
    with (
        pytest.raises(TypeError, match=r"of this one only. Pass .*all_gather"),
        on_shard(shard),
    ):
        torch.ones(2).sum()


def test_alone_nothing_changes():
    network, x = nn.BatchNorm1d(2), torch.randn(3, 2)
    with synchronised(network), on_shard(None):
        y = network(x)
        assert all_gather(y) is y
    torch.testing.assert_close(y, nn.BatchNorm1d(2)(x), rtol=0, atol=0)


def test_a_batch_norm_refuses_other_axes():
    """As torch's does, whose check has a private name."""
    norm, shard = nn.BatchNorm2d(2), Shard(4, Threads(2).of(0))
    with (
        pytest.raises(ValueError, match="3 axes for BatchNorm2d, expected 4"),
        synchronised(norm),
        on_shard(shard),
    ):
        norm(torch.ones(4, 2, 3))
