"""Tables with one row per id, in the order of the logs."""

import polars as pl
import pytest

from userlogfeat.id_tables import read_id_table, rows_for


def write(path, text):
    path.write_text(text)
    return path


def test_text_becomes_what_it_is(tmp_path):
    path = write(
        tmp_path / "people.csv",
        "name,user,age,postcode,land\nA,7,31, 0123,is\nB,9,,1234,\n",
    )
    frame = read_id_table(path, "user", text=["postcode"])
    assert frame.columns == ["id", "name", "age", "postcode", "land"]
    assert frame.row(0) == (7, "A", 31.0, "0123", "is")
    assert frame.row(1) == (9, "B", None, "1234", None)
    assert read_id_table(path, "user", columns=["age"]).columns == ["id", "age"]


@pytest.mark.parametrize(
    ("ages", "message"),
    [
        (["31", "NA", "40"], r"'age' .* has numbers, but 'NA' .* 1 rows \(1, "),
        (["1,5", "2,5", "3,25"], r"but '1,5' .* 3 rows \(0, 1, 2, "),
        (["1 000", "2.000,5", "12'000"], "separators of thousands"),
    ],
)
def test_numbers_that_would_become_categories(tmp_path, ages, message):
    """One "NA" made every age a name of its own."""
    lines = [f"{user}\t{age}" for user, age in enumerate(ages)]
    path = write(tmp_path / "p.tsv", "\n".join(["user\tage", *lines]))
    with pytest.raises(ValueError, match=message):
        read_id_table(path, "user")
    assert read_id_table(path, "user", text=["age"])["age"].to_list() == ages


def test_codes_with_leading_zeros_are_categories(tmp_path):
    """01234 was the number 1234, and 10% a category."""
    path = tmp_path / "users.csv"
    path.write_text("user,code,age\n1,01234,0\n2,99999,0.5\n")
    assert read_id_table(path, "user").rows() == [(1, "01234", 0.0), (2, "99999", 0.5)]
    path.write_text("user,share\n1,10%\n2,2.5 %\n")
    with pytest.raises(ValueError, match=r"'share' .* has numbers, but '10%'"):
        read_id_table(path, "user")


def test_nan_is_missing_and_words_are_categories(tmp_path):
    path = write(tmp_path / "p.csv", "user,age,size\n1,nan,L\n2,4,38\n3,5,XL\n")
    frame = read_id_table(path, "user")
    assert frame["age"].to_list() == [None, 4.0, 5.0]
    assert frame["size"].to_list() == ["L", "38", "XL"]


def test_ids_keep_their_zeros(tmp_path):
    path = write(tmp_path / "people.tsv", "user\tage\n07\t1\n7\t2\n")
    assert read_id_table(path, "user")["id"].to_list() == ["07", "7"]


def test_types_of_parquet_are_kept(tmp_path):
    path = tmp_path / "people.parquet"
    frame = pl.DataFrame({"user": ["a", "b"], "land": ["1", "2"], "old": [True, None]})
    frame.write_parquet(path)
    found = read_id_table(path, "user", columns=["old"])
    assert found.schema["old"] == pl.Boolean


def test_rows_follow_the_ids():
    frame = pl.DataFrame({"id": [3, 1], "artist": ["c", "a"]})
    found = rows_for(frame, [1, 2, 3], path="t.csv", id_column="track")
    assert found.to_dict(as_series=False) == {"artist": ["a", None, "c"]}


def test_several_clips_of_an_item_are_one_row(tmp_path):
    path = write(tmp_path / "t.csv", "clip,item,artist\na.wav,1,x\nb.wav,1,x\n")
    assert read_id_table(path, "item", columns=["artist"]).height == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user,age\n1,2\n1,3\n", r"1 values of 'user' have several rows .*\[1\]"),
        ("user,age\n1,2\n,3\n", "1 rows of .* have no 'user' .first: row 1"),
        ("name,age\n1,2\n", "no column 'user' in .*: 'name', 'age'"),
        ("user;age\n1;2\n", r"no column 'user' .* separated by ';'\?"),
    ],
)
def test_bad_tables_are_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_id_table(write(tmp_path / "people.csv", text), "user")


def test_no_file_or_no_id_of_the_logs(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not there"):
        read_id_table(tmp_path / "people.csv", "user")
    with pytest.raises(FileNotFoundError, match="is a folder"):
        read_id_table(tmp_path, "user")
    frame = pl.DataFrame({"id": ["1", "2"], "age": [3, 4]})
    with pytest.raises(ValueError, match="As text they would match"):
        rows_for(frame, [1, 2], path="p.csv", id_column="user")
    with pytest.raises(ValueError, match="another kind of id"):
        rows_for(frame, [8, 9], path="p.csv", id_column="user")
