"""Factors on disk come back as they were."""

import json

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from scipy import sparse

from userlogfeat import CFEmbedding
from userlogfeat.factor_files import (
    DIGEST,
    ITEMS,
    PLAYS,
    USERS,
    Factors,
    read_factors,
    read_plays,
    write_factors,
    write_plays,
)
from userlogfeat.forgetting import forget_users


@pytest.fixture
def factors():
    values = np.arange(15, dtype=np.float32).reshape(5, 3)
    return Factors(
        np.array(["ann", "bob", "çem"], dtype=object),
        values[:3],
        np.array([7, 9]),
        values[3:],
        made_by={"alpha": 10.0},
    )


def test_round_trip(tmp_path, factors):
    write_factors(tmp_path / "new" / "f", factors)
    back = read_factors(tmp_path / "new" / "f")
    assert back.user_ids.tolist() == ["ann", "bob", "çem"]
    assert back.item_ids.dtype == np.int64
    np.testing.assert_array_equal(back.user_factors, factors.user_factors)
    np.testing.assert_array_equal(back.item_factors, factors.item_factors)
    assert (back.n_factors, back.made_by) == (3, {"alpha": 10.0})


def test_other_tools_read_it(tmp_path, factors):
    write_factors(tmp_path, factors)
    frame = pl.read_parquet(tmp_path / "item_factors.parquet")
    assert frame["factors"].to_list() == [[9, 10, 11], [12, 13, 14]]


def test_what_spark_wrote_is_replaced(tmp_path, factors):
    for name in (USERS, ITEMS):
        (tmp_path / name).mkdir()
        (tmp_path / name / "part-00000.parquet").write_bytes(b"PAR1")
    write_factors(tmp_path, factors)
    assert read_factors(tmp_path).item_ids.tolist() == [7, 9]


def test_a_part_of_the_rows_is_refused(tmp_path, factors):
    """A job that was stopped may leave some of Spark's files."""
    write_factors(tmp_path, factors)
    path = tmp_path / ITEMS
    table = pq.read_table(path)
    notes = json.loads(table.schema.metadata[b"userlogfeat"]) | {"n_rows": 2}
    table = table.replace_schema_metadata({"userlogfeat": json.dumps(notes)})
    pq.write_table(table, path)
    assert read_factors(tmp_path).item_ids.tolist() == [7, 9]
    pq.write_table(table[:1], path)
    with pytest.raises(ValueError, match=r"item_factors.* is damaged.*1 of 2 rows"):
        read_factors(tmp_path)


def test_missing_and_damaged_files_are_named(tmp_path, factors):
    with pytest.raises(ValueError, match=r"lacks user_factors\.parquet.*fit-cf"):
        read_factors(tmp_path)
    write_factors(tmp_path, factors)
    path = tmp_path / "item_factors.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"item_factors\.parquet is damaged"):
        read_factors(tmp_path)
    pl.DataFrame({"id": [1], "factors": [[1.0]]}).write_parquet(path)
    with pytest.raises(ValueError, match=r"not written by userlogfeat"):
        read_factors(tmp_path)


def test_plays_are_those_of_the_training(tmp_path):
    """What users played is read again, unless users were learned anew since."""
    ones = np.ones((3, 2), np.float32)
    made_by = {DIGEST: "a"}
    write_factors(tmp_path, Factors([1, 2, 3], ones, ["x", "y", "z"], ones, made_by))
    assert read_plays(tmp_path) is None
    plays = sparse.csr_matrix([[0, 2, 0], [0, 0, 0], [1, 0, 5.5]])
    write_plays(tmp_path, plays, "a")
    np.testing.assert_array_equal(read_plays(tmp_path).toarray(), plays.toarray())
    write_plays(tmp_path, plays, "b")
    assert read_plays(tmp_path) is None
    write_plays(tmp_path, plays, "a")
    forget_users(tmp_path, [1])
    np.testing.assert_array_equal(read_plays(tmp_path).toarray(), plays.toarray()[1:])
    (tmp_path / PLAYS).write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"plays.parquet is damaged.*pass the logs"):
        read_plays(tmp_path)


def test_factors_are_not_saved_onto_a_file(tmp_path):
    (tmp_path / "factors").write_text("mine")
    embedding = CFEmbedding(2, random_state=0).fit(sparse.eye(5, format="csr"))
    data = {"description": "planted", "licence": "none", "non_commercial": False}
    with pytest.raises(NotADirectoryError, match="is a file: an embedding is saved"):
        embedding.save(tmp_path / "factors", training_data=data)
    assert (tmp_path / "factors").read_text() == "mine"
