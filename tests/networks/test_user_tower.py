"""The user tower against a loop, and what it leaves out of its means."""

import pytest
import torch

from userlogfeat.networks.user_tower import LEAK, UserBatch, UserTower

N_UNITS = 3
# Five items: the fourth is not known, the fifth has no artist.
ITEMS = torch.tensor([0, 1, 2, -1, 3])
ARTISTS = torch.tensor([0, 0, 1, -1, -1])
HISTORIES = [[0, 1, 2], [4], [], [2, 3, 4]]
LIKED = [[], [2, 0], [3], [1]]
NUMBERS = torch.tensor([[0.5], [-1.0], [0.0], [2.0]])
CATEGORIES = torch.tensor([[1], [0], [2], [1]])


@pytest.fixture
def tower():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return UserTower(
            [ITEMS, ARTISTS],
            n_groups=2,
            n_numbers=1,
            n_categories=(2,),
            n_units=N_UNITS,
            hidden=(7,),
        )


def batch_of(users=range(4)):
    groups = []
    for histories in (HISTORIES, LIKED):
        pairs = [(i, r) for r, user in enumerate(users) for i in histories[user]]
        items, rows = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T
        groups.append((items, rows))
    items, rows = zip(*groups, strict=True)
    users = list(users)
    return UserBatch(items, rows, NUMBERS[users], CATEGORIES[users])


def loop_embedding(tower, user):
    """One user, one item after the other."""
    parts = []
    for history in (HISTORIES[user], LIKED[user]):
        for table, codes in zip(tower.tables, (ITEMS, ARTISTS), strict=True):
            rows = [table.weight[codes[item]] for item in history if codes[item] >= 0]
            mean = sum(rows) / len(rows) if rows else torch.zeros(N_UNITS)
            parts.append(mean)
    parts.append(NUMBERS[user])
    category = int(CATEGORIES[user, 0])
    parts.append(tower.categories[0].weight[category])
    x = torch.cat(parts)
    first, _, last = tower.layers
    x = first.weight @ x + first.bias
    x = torch.where(x > 0, x, LEAK * x)
    return last.weight @ x + last.bias


def test_tower_is_the_loop(tower):
    found = tower(batch_of())
    assert found.shape == (4, N_UNITS)
    for user in range(4):
        torch.testing.assert_close(found[user], loop_embedding(tower, user))


def test_alone_is_in_a_batch(tower):
    together = tower(batch_of())
    for user in range(4):
        torch.testing.assert_close(tower(batch_of([user]))[0], together[user])


def test_an_unknown_category_and_an_empty_history_add_nothing(tower):
    assert (tower.categories[0].weight[0] == 0).all()
    nothing = torch.zeros(0, dtype=torch.int64)
    batch = UserBatch(
        (nothing, nothing), (nothing, nothing), torch.zeros(1, 1), torch.tensor([[0]])
    )
    expected = tower.layers(torch.zeros(1, tower.layers[0].in_features))
    torch.testing.assert_close(tower(batch), expected)


def test_groups_have_places_of_their_own(tower):
    """The same item, played or liked: the same row of the table, another embedding."""
    nothing, item = torch.zeros(0, dtype=torch.int64), torch.tensor([1])
    row, rest = torch.tensor([0]), (torch.zeros(1, 1), torch.tensor([[0]]))
    played = tower(UserBatch((item, nothing), (row, nothing), *rest))
    liked = tower(UserBatch((nothing, item), (nothing, row), *rest))
    assert (played - liked).abs().max() > 1e-5


def test_gradients_of_lookups_are_sparse(tower):
    tower(batch_of()).sum().backward()
    tower.items(torch.tensor([2])).sum().backward()
    gradients = [p.grad for p in tower.lookup_parameters]
    assert all(gradient.is_sparse for gradient in gradients)
    touched = gradients[0].coalesce().indices().ravel()
    assert touched.tolist() == [0, 1, 2, 3]  # item 3 has no row, item 4 the fourth
    assert gradients[-1].coalesce().indices().ravel().tolist() == [2]
    assert not any(p.grad.is_sparse for p in tower.dense_parameters)


def test_tables_are_as_long_as_what_is_known(tower):
    assert [table.num_embeddings for table in tower.tables] == [4, 2]
    assert tower.items.num_embeddings == 4
