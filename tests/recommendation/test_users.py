"""Users of folders: known ones by id, new ones by history, by tower or by fold-in."""

import shutil
import warnings

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from userlogfeat import CFEmbedding, UserEmbedding, read_logs
from userlogfeat.estimators.user_tower import EmptyHistoryWarning
from userlogfeat.factor_files import USERS, Factors, write_factors, write_side
from userlogfeat.recommendation.users import (
    embed_users,
    find_users,
    histories_for,
    keep_users,
    read_users,
)

DATA = {"description": "planted", "licence": "none", "non_commercial": False}


@pytest.fixture(scope="module")
def logs():
    """Two circles: users 0-19 play items 100-109, users 20-39 items 110-119."""
    rng = np.random.default_rng(0)
    rows = [
        (user, 100 + 10 * (user >= 20) + item)
        for user in range(40)
        for item in rng.choice(10, 6, replace=False)
    ]
    return read_logs(pl.DataFrame(rows, ["user", "item"], orient="row"))


@pytest.fixture(scope="module")
def tower(logs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tower")
    people = {"age": np.arange(40) % 7 + 20.0}
    tower = UserEmbedding(8, max_epochs=3, random_state=0)
    tower.fit(logs.user_items, demographics=people)
    tower.save(folder, training_data=DATA)
    embedded = tower.transform(logs.user_items, people)
    factors = (logs.user_ids, embedded, logs.item_ids, tower.item_embeddings_)
    made_by = {"class": "UserEmbedding"}
    write_factors(folder, Factors(*factors, made_by=made_by))
    return folder, tower


@pytest.fixture(scope="module")
def factors(logs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("factors")
    cf = CFEmbedding(4, alpha=5, confidence="binary", random_state=0).fit(logs)
    cf.save(folder, training_data=DATA)
    return folder, cf


def new_people():
    """Ann is of the second circle, and played something that nobody knows."""
    plays = {"user": ["ann", "ann", "ann", "bob"], "item": [119, 111, 999, 102]}
    return read_logs(pl.DataFrame(plays | {"n": [7, 1, 3, 1]}), count="n")


def matrix(items, n=20):
    row = np.zeros((1, n), np.float32)
    row[0, np.array(items) - 100] = 1
    return row


def test_histories_are_moved_by_ids():
    logs = read_logs(pl.DataFrame({"user": ["b", "a"], "item": [5, 9]}))
    found = histories_for(logs, ["a", "c", "b"], [9, 7, 5])["user_items"].toarray()
    assert found.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 1]]


def test_users_that_spark_left_in_a_folder_of_parts(factors, tmp_path):
    """Parquet as a cluster leaves it: parts, in a folder of the file's name."""
    folder, cf = factors
    table = pq.read_table(folder / "user_factors.parquet")
    source = tmp_path / "source"
    shutil.copytree(folder, source)
    (source / "user_factors.parquet").unlink()
    (source / "user_factors.parquet").mkdir()
    for part, rows in enumerate((table[:15], table[15:])):
        pq.write_table(
            rows, source / "user_factors.parquet" / f"part-0000{part}.parquet"
        )
    (tmp_path / "model").mkdir()
    keep_users(tmp_path / "model", source, None, None)
    ids, embeddings = read_users(tmp_path / "model")
    assert sorted(ids) == sorted(read_users(folder)[0])
    np.testing.assert_array_equal(embeddings, cf.user_factors_)
    _, new = embed_users(tmp_path / "model", new_people())
    np.testing.assert_array_equal(new, embed_users(folder, new_people())[1])


def test_new_users_of_a_tower(tower):
    folder, fitted = tower
    ids, embedded = embed_users(folder, new_people())
    assert ids.tolist() == ["ann", "bob"]
    expected = fitted.transform(matrix([119, 111]))
    np.testing.assert_allclose(embedded[:1], expected, rtol=1e-6)  # alone, and not
    items = fitted.item_embeddings_
    assert (embedded[0] @ items[10:].T).mean() > (embedded[0] @ items[:10].T).mean()


def test_demographics_alone_embed(tower):
    folder, fitted = tower
    people = pl.DataFrame({"id": ["cleo", "ann"], "age": [25.0, 24.0]})
    ids, embedded = embed_users(folder, new_people(), people)
    assert ids.tolist() == ["ann", "bob"]
    with pytest.warns(EmptyHistoryWarning, match="2 of 2 users .first: row 0."):
        others, alone = embed_users(folder, demographics=people)
    assert others.tolist() == ["cleo", "ann"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EmptyHistoryWarning)
        expected = fitted.transform(matrix([119, 111]), {"age": [24.0]})
        np.testing.assert_allclose(embedded[:1], expected, rtol=1e-6)
        nobody = np.zeros((1, 20), np.float32)
        expected = fitted.transform(nobody, {"age": [25.0]})
        np.testing.assert_allclose(alone[:1], expected, rtol=1e-6)


def test_new_users_of_factors_are_folded_in(factors):
    """As ones, which the logs of the factors were read as."""
    folder, cf = factors
    ids, embedded = embed_users(folder, new_people())
    assert ids.tolist() == ["ann", "bob"]
    expected = cf.transform(matrix([119, 111]))
    np.testing.assert_allclose(embedded[:1], expected, rtol=1e-6)  # alone, and not


def test_known_users_are_found_below_a_model(factors, tmp_path):
    write_side(tmp_path / "users", USERS, [3, 4], np.eye(2), made_by={"class": "X"})
    assert find_users(tmp_path) == tmp_path / "users"
    ids, embeddings = read_users(tmp_path)
    assert ids.tolist() == [3, 4]
    np.testing.assert_array_equal(embeddings, np.eye(2))
    with pytest.raises(ValueError, match=r"learned one by one .a lookup table."):
        embed_users(tmp_path, new_people())
    with pytest.raises(ValueError, match=r"no users in .*nor its folder 'users'"):
        read_users(tmp_path / "nowhere")


def test_what_does_not_fit_is_explained(tower, factors):
    text = read_logs(pl.DataFrame({"user": ["ann"], "item": ["119"]}))
    with pytest.raises(ValueError, match=r"\['119'\].*As text they would match"):
        embed_users(tower[0], text)
    other = read_logs(pl.DataFrame({"user": ["ann"], "item": ["song"]}))
    with pytest.raises(ValueError, match="the right files and columns"):
        embed_users(factors[0], other)
    people = pl.DataFrame({"id": ["ann"], "age": [25.0]})
    with pytest.raises(ValueError, match=r"factors of `fit-cf`.*no demographics"):
        embed_users(factors[0], new_people(), people)
    with pytest.raises(ValueError, match="neither histories nor demographics"):
        embed_users(tower[0])
    people = pl.DataFrame({"id": [7], "age": [25.0]})
    with pytest.raises(ValueError, match=r"different types .'ann' and 7."):
        embed_users(tower[0], new_people(), people)
