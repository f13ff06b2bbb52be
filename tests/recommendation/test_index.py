"""`ItemIndex`: exact and approximate search, ids, what was played, files, mixes."""

import json
import sys

import numpy as np
import pytest
from scipy import sparse

from userlogfeat import recommend
from userlogfeat._spaces import in_space
from userlogfeat.recommendation import ItemIndex
from userlogfeat.recommendation.index import CONFIG, TENSORS


@pytest.fixture(scope="module")
def embeddings():
    """Users and items around fifty tastes, items of very different lengths."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(50, 8))
    items = centres[rng.integers(50, size=4000)] + 0.3 * rng.normal(size=(4000, 8))
    items *= rng.uniform(0.2, 2, size=(4000, 1))
    items[[5, 77]] = 0
    users = centres[rng.integers(50, size=60)] + 0.3 * rng.normal(size=(60, 8))
    return users.astype(np.float32), items.astype(np.float32)


def make(items, **settings):
    if settings.get("method") == "approximate":
        pytest.importorskip("faiss", reason="pip install 'userlogfeat[search]'")
    return ItemIndex.build(items, **settings)


def recall(found, exact):
    return np.mean([np.isin(a, b).mean() for a, b in zip(exact, found, strict=True)])


@pytest.mark.parametrize("metric", ["dot", "cosine"])
def test_exact_is_recommend(embeddings, metric):
    users, items = embeddings
    owned = sparse.random(60, 4000, 0.01, "csr", random_state=0)
    index = make(items, metric=metric)
    for exclude in (None, owned):
        rows, scores = index.query_rows(users, 20, exclude=exclude)
        expected = recommend(users, items, 20, metric=metric, exclude=exclude)
        np.testing.assert_array_equal(rows, expected[0])
        np.testing.assert_allclose(scores, expected[1], rtol=1e-5)
    assert (index.recall, index.n_probes, len(index)) == (1.0, 0, 4000)
    alone = index.query_rows(users[3:4], 20)[0]
    np.testing.assert_array_equal(alone[0], index.query_rows(users, 20)[0][3])


@pytest.mark.parametrize("metric", ["dot", "cosine"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_approximate_reaches_its_recall(embeddings, metric):
    users, items = embeddings
    settings = {"metric": metric, "method": "approximate", "queries": users}
    index = make(items, recall=0.95, **settings)
    exact, best = recommend(users, items, 50, metric=metric)
    rows, scores = index.query_rows(users, 50)
    assert index.recall >= 0.95
    assert recall(rows, exact) >= 0.95
    assert index.n_probes < 40  # of 126 groups
    assert (scores <= best + 1e-5).all()
    assert not np.isin([5, 77], rows).any()  # nothing is known of these
    index.n_probes = 10_000  # every group
    np.testing.assert_allclose(index.query_rows(users, 50)[1], best, rtol=1e-5)
    played = [exact[user, :30].tolist() for user in range(60)]
    found = index.query(users, 20, exclude=played)[0]
    np.testing.assert_array_equal(found.astype(int), exact[:, 30:50])


@pytest.mark.parametrize("method", ["exact", "approximate"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_add_is_to_build_with_all(embeddings, method):
    """New items are found, and an id that is there gets its new vector."""
    users, items = embeddings
    index = make(items[:3000], ids=np.arange(3000), method=method)
    index.add(items[3000:])  # the next numbers
    index.n_probes = 10_000
    expected = recommend(users, items, 10)[0]
    np.testing.assert_array_equal(index.query(users, 10)[0].astype(int), expected)
    longest = np.linalg.norm(items, axis=1).max()
    index.add(1.1 * longest * users[:1] / np.linalg.norm(users[0]), [17])
    assert index.query(users[:1], 1)[0].tolist() == [[17]]
    assert len(index) == 4000
    with pytest.raises(ValueError, match=r"Got ids such as \['x'\] for an index of"):
        index.add(items[:1], ["x"])
    if method == "approximate":
        with pytest.raises(ValueError, match=r"length 1e\+06, more than the groups"):
            index.add(1e6 * items[:1] / np.linalg.norm(items[0]), [9000])


@pytest.mark.parametrize("method", ["exact", "approximate"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_save_and_load(embeddings, tmp_path, method):
    users, items = embeddings
    ids = np.array([f"t{number}" for number in range(4000)])
    space = in_space(items, "a1")
    index = make(space, ids=ids, method=method, metric="cosine")
    index.save(tmp_path / "index")
    again = ItemIndex.load(tmp_path / "index")
    for one, other in zip(index.query(users, 5), again.query(users, 5), strict=True):
        np.testing.assert_array_equal(one, other)
    assert repr(again) == repr(index)
    assert again.space == "a1"
    again.add(in_space(users[:1], "a1"), ["new"])
    assert again.query(users[:1], 1)[0].tolist() == [["new"]]


def test_mixes_are_refused(embeddings, tmp_path):
    users, items = embeddings
    index = make(in_space(items, "first"))
    index.save(tmp_path)
    for either in (index, ItemIndex.load(tmp_path)):
        with pytest.raises(ValueError, match="of training second and the index of"):
            either.query(in_space(users, "second"), 3)
        with pytest.raises(ValueError, match="items of training second"):
            either.add(in_space(users, "second"))
        either.query(in_space(users, "first"), 3)
        either.query(users, 3)  # nobody knows


def test_damaged_files(embeddings, tmp_path):
    with pytest.raises(ValueError, match=r"There is no index in .*ItemIndex\.save"):
        ItemIndex.load(tmp_path)
    make(embeddings[1]).save(tmp_path)
    whole = (tmp_path / TENSORS).read_bytes()
    (tmp_path / TENSORS).write_bytes(whole[:-4] + b"\1\1\1\1")
    with pytest.raises(ValueError, match=r"is damaged.*not the file that"):
        ItemIndex.load(tmp_path)
    (tmp_path / TENSORS).write_bytes(whole)
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(config | {"metric": "cosine"}))
    with pytest.raises(ValueError, match=r"is damaged.*was changed"):
        ItemIndex.load(tmp_path)


def test_a_failed_save_leaves_the_old_index(embeddings, tmp_path, monkeypatch):
    import safetensors.numpy

    items = embeddings[1]
    make(items).save(tmp_path)

    def dies(tensors, path):
        path.write_bytes(b"half")
        raise OSError("no room")

    monkeypatch.setattr(safetensors.numpy, "save_file", dies)
    with pytest.raises(OSError, match="no room"):
        make(items[:50]).save(tmp_path)
    assert len(ItemIndex.load(tmp_path)) == 4000


def test_fewer_and_nothing(embeddings):
    users, items = embeddings
    index = make(items[:2], ids=["a", "b"])
    found, scores = index.query(users[:1], 3, exclude=[["b", "of another shop"]])
    assert found.tolist() == [["a", None, None]]
    assert np.isneginf(scores[0, 1:]).all()
    known_and_not = np.vstack([users[:1], 0 * users[:1]])
    with pytest.warns(UserWarning, match=r"known of 1 of 2 users.*\(None\)") as caught:
        found, _ = index.query(known_and_not, 1)
    assert found[1].tolist() == [None]
    with pytest.warns(UserWarning, match=r"known of 1 of 2 users.*\(-1\)") as rows:
        assert index.query_rows(known_and_not, 1)[0][1].tolist() == [-1]
    assert {w.filename for w in [*caught, *rows]} == {__file__}  # the user's line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": ["a", "a"]}, "Some ids come twice"),
        ({"ids": ["a"]}, "Got 1 ids, expected 2"),
        ({"metric": "l2"}, "metric='l2', expected one of"),
        ({"method": "fast"}, "method='fast', expected one of"),
        ({"recall": 1.5}, r"recall=1\.5, expected a number in \(0, 1\)"),
        ({"item_embeddings": [[np.nan], [1.0]]}, "Row 0 of item_embeddings has NaN"),
        ({"item_embeddings": np.ones((0, 2))}, "Got no items"),
    ],
)
def test_wrong_input(change, message):
    with pytest.raises(ValueError, match=message):
        ItemIndex.build(**({"item_embeddings": [[1.0], [2.0]]} | change))


def test_wrong_queries(embeddings):
    users, items = embeddings
    index = make(items)
    with pytest.raises(ValueError, match="user_embeddings of 3 columns"):
        index.query(users[:, :3], 1)
    with pytest.raises(ValueError, match="Got 1 lists of ids to exclude for 60 users"):
        index.query(users, 1, exclude=[[1]])
    with pytest.raises(ValueError, match=r"exclude of shape \(60, 3\)"):
        index.query(users, 1, exclude=np.ones((60, 3)))
    with pytest.raises(TypeError, match=r"ItemIndex\.build or ItemIndex\.load"):
        ItemIndex()


def test_without_faiss_the_command_is_shown(embeddings, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match=r"pip install 'userlogfeat\[search\]'"):
        ItemIndex.build(embeddings[1], method="approximate")


def test_one_id_is_no_list_to_exclude():
    """The letters of "ab" were ids, so that nothing was left out."""
    index = ItemIndex.build(np.eye(2), ["ab", "c"])
    for exclude in (["ab"], [None]):
        with pytest.raises(TypeError, match=r"for a user, expected a list of ids"):
            index.query(np.eye(2)[:1], 1, exclude=exclude)


def test_an_index_is_not_saved_onto_a_file(tmp_path):
    (tmp_path / "index").write_text("mine")
    index = ItemIndex.build(np.eye(3), ["a", "b", "c"])
    with pytest.raises(NotADirectoryError, match="index is a file: an index is saved"):
        index.save(tmp_path / "index")
    assert (tmp_path / "index").read_text() == "mine"
