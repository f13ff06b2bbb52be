"""Tables in text files: what is read is what is there, or an error names the lines."""

import bz2
import csv
import gzip
import io

import numpy as np
import pyarrow as pa
import pytest

from userlogfeat import _text_lines, read_catalogue, read_logs
from userlogfeat._text_tables import TextTable, read_text, whole_numbers
from userlogfeat.id_tables import read_id_table

BOM = b"\xef\xbb\xbf"
ROWS = [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]


def read(folder, raw, name="t.csv", **layout):
    (folder / name).write_bytes(raw)
    return read_text(folder / name, **layout).to_pylist()


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("t.csv", b"a,b\n1,2\n3,4\n"),
        ("t.csv", b"a,b\n1,2\n3,4"),  # no last line end
        ("t.csv", b"a,b\r\n1,2\r\n3,4\r\n"),
        ("t.csv", b"a,b\r1,2\r3,4\r"),
        ("t.csv", b"a,b\r\n1,2\r3,4\n"),  # mixed
        ("t.csv", BOM + b"a,b\n1,2\n3,4\n"),
        ("t.csv", b"\n\na,b\n\n1,2\n\n\n3,4\n\n"),
        ("t.csv", b" a,b \n1,2\n3,4\n"),
        ("t.csv", b'"a","b"\n"1","2"\n"3","4"\n'),
        ("t.csv", b",a,b\n0,1,2\n1,3,4\n"),  # the row numbers of pandas
        ("t.tsv", b'"a"\t"b"\n"1"\t"2"\n"3"\t"4"\n'),
        ("t.txt", b"a\tb\n1\t2\n3\t4\n"),
        ("t.csv.gz", gzip.compress(b"a,b\n1,2\n3,4\n", mtime=0)),
        (
            "t.csv.gz",
            gzip.compress(b"a,b\n1,2\n", mtime=0) + gzip.compress(b"3,4\n", mtime=0),
        ),
        ("t.tsv.bz2", bz2.compress(b"a\tb\n1\t2\n3\t4\n")),
    ],
)
def test_the_same_rows_in_any_writing(tmp_path, name, raw, monkeypatch):
    assert read(tmp_path, raw, name) == ROWS
    monkeypatch.setattr(_text_lines, "_BLOCK", 5)  # a line end falls on every border
    assert read(tmp_path, raw, name) == ROWS


@pytest.mark.parametrize(
    ("name", "written", "values"),
    [
        ("t.csv", ['"x, y"', '"12"" mix"', '""'], ["x, y", '12" mix', None]),
        ("t.csv", ['12" mix', 'a "b" c', 'x"'], ['12" mix', 'a "b" c', 'x"']),
        ("t.csv", ["a\\b", "\\N", " x "], ["a\\b", None, " x "]),
        ("t.tsv", ['"heroes', 'low"', '"the" band'], ['"heroes', 'low"', '"the" band']),
        ("t.tsv", ['"Weird Al"', '""', "a, b"], ['"Weird Al"', '""', "a, b"]),
    ],
)
def test_quotes(tmp_path, name, written, values):
    """In tab-separated files they are signs like others; no row is swallowed."""
    separator = "," if name == "t.csv" else "\t"
    lines = [f"{i}{separator}{text}" for i, text in enumerate(written)]
    raw = "\n".join([f"n{separator}b", *lines]).encode()
    assert [row["b"] for row in read(tmp_path, raw, name)] == values


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("t.csv", b"", "is empty"),
        ("t.csv", b"\n\r\n", "is empty"),
        ("t.csv", b"a,b\n1\n3,4\n5\n", r"lines 2 \('1'\), 4 .* 1 field, expected 2"),
        ("t.csv", b"a,b\n1,2\n3,4,5\n", r"line 3 .* 3 fields.* in quotes"),
        ("t.tsv", b"a\tb\n1\t2\t3\n", r"line 2 .* 3 fields.* as csv"),
        ("t.csv", b"a,b\n1,2\n3", "line 3 .* without a line end. Was the file cut"),
        # Spark's escapes; a quote that opens in one row and closes in the next.
        ("t.csv", b'a,b\n1,"12\\" mix"\n3,4\n', "line 2 .*Backslashes escape nothing"),
        ("t.csv", b'a,b\n1,"12 inch\n3,7 inch"\n', "line 2 .*quotes do not match"),
        ("t.csv", b'a,b\n"x" y,2\n', "line 2 .*quotes do not match"),
        ("t.csv", b'a,b\n1,2\n3,"4\n', "line 3 .*quotes do not match"),
        ("t.csv", b'"a,b\n1,2\n', "line 1, .*quotes do not match"),
        ("t.tsv", b'a\tb\n1\t"""Weird"" Al"\n', "line 2 .*quoted as in csv"),
        ("t.csv", b"a,b\n1,2\na,b\n3,4\n", r"line 3 \('a,b'\) that is the first line"),
        ("t.csv", BOM + b"a,b\r\n1,2\r\n" + BOM + b"a,b\r\n", "line 3 .*joined"),
        ("t.csv", b"a,b\na,b\n", "line 2 .*joined"),
        ("t.csv", b"a,b\n1,\xe9\n", "line 2 .*is no UTF-8.*iconv -f latin1"),
        ("t.csv", b"\xe9,b\n1,2\n", "line 1, .* that is no UTF-8"),
        ("t.csv", b"a,b\n1,2\n3,\0\n", "line 3 .*NUL"),
        ("t.csv", "a,b\n1,2\n".encode("utf-16"), "UTF-16.*iconv"),
        ("t.csv", "a,b\n1,2\n".encode("utf-32"), "UTF-32.*iconv -f utf-32"),
        ("t.csv", "a,b\n1,2\n".encode("utf-16-be"), "NUL bytes.*UTF-16"),
        ("t.csv", b"a,b,b\n1,2,3\n", "2 columns that are called 'b'"),
        ("t.csv", gzip.compress(b"a,b\n1,2\n", mtime=0), "compressed by gzip"),
        ("t.csv", b"PK\x03\x04..", "spreadsheet"),
        (
            "t.csv.gz",
            gzip.compress(b"a,b\n" + b"1,2\n" * 99, mtime=0)[:-12],
            "decompressed",
        ),
    ],
)
def test_what_cannot_be_right_is_refused(tmp_path, name, raw, message):
    with pytest.raises(ValueError, match=rf"{name} could not be read: .*{message}"):
        read(tmp_path, raw, name)


def test_line_numbers_across_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(_text_lines, "_BLOCK", 64)
    lines = ["a,b", *("1,2" for _ in range(200)), "", 'x,"y', *("1,2",) * 50]
    with pytest.raises(ValueError, match="line 203 "):
        read(tmp_path, "\r\n".join(lines).encode())


def test_names_that_are_given(tmp_path):
    layout = {"separator": ";", "columns": ["a", "b"]}
    assert read(tmp_path, b"1;2\n3;4\n", **layout) == ROWS
    with pytest.raises(ValueError, match=r"begins with a, b, .* Leave out columns="):
        read(tmp_path, b"a;b\n1;2\n", **layout)
    with pytest.raises(ValueError, match="expected one ASCII sign"):
        read(tmp_path, b"1;2\n", separator=";;")


def test_only_used_columns_must_be_utf8(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"a,b\n1,\xe9\n")
    (rows,) = TextTable(tmp_path / "t.csv").read(["a"])
    assert rows.to_pylist() == [{"a": "1"}]


def test_limits(tmp_path, monkeypatch):
    monkeypatch.setattr(_text_lines, "_BLOCK", 10)
    with pytest.raises(ValueError, match="more than 20 bytes"):
        read(tmp_path, b"a,b\n" + b"1,2\n" * 9, max_bytes=20)
    monkeypatch.setattr(_text_lines, "_MAX_LINE", 30)
    with pytest.raises(ValueError, match="more than 30 bytes, after line 2"):
        read(tmp_path, b"a,b\n1,2\n" + b"x" * 99)


@pytest.mark.parametrize("seed", range(5))
def test_against_the_standard_library(tmp_path, seed, monkeypatch):
    """Random fields, written and read by Python's csv: the judge."""
    monkeypatch.setattr(_text_lines, "_BLOCK", 100)
    rng = np.random.default_rng(seed)
    signs = np.array(list('ab",;\\ \t'))
    fields = [["".join(rng.choice(signs, 4)) for _ in range(3)] for _ in range(60)]
    text = io.StringIO()
    quoting = csv.QUOTE_ALL if seed % 2 else csv.QUOTE_MINIMAL
    csv.writer(text, quoting=quoting).writerows([["x", "y", "z"], *fields])
    found = read(tmp_path, text.getvalue().encode())
    assert [list(row.values()) for row in found] == fields


def test_fields_may_be_long_in_lines_with_quotes(tmp_path):
    long = "x" * (csv.field_size_limit() + 1)
    raw = f'"a",b,{long}\n1,{long}"x,3\n"2",4,"{long}"\n'.encode()
    rows = [{"a": "1", "b": f'{long}"x', long: "3"}, {"a": "2", "b": "4", long: long}]
    assert read(tmp_path, raw) == rows


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (["7", "-9", "0"], [7, -9, 0]),
        (["7.0", None, "10.0"], [7, None, 10]),  # pandas, of a column with gaps
        (["007", "7"], ["007", "7"]),
        (["7.5", "7.0"], ["7.5", "7.0"]),
        (["+7"], ["+7"]),
        (["99999999999999999999"], ["99999999999999999999"]),
        ([None], [None]),
    ],
)
def test_whole_numbers(written, expected):
    column = pa.array(written, pa.large_string())
    assert whole_numbers(column).to_pylist() == expected


def test_every_reader_has_these_rules(tmp_path):
    """Six rows of a tsv were three in catalogues, and four people two."""
    path = tmp_path / "t.tsv"
    names = ['"heroes', "b", 'low"', "d"]
    lines = [f"c{i}\t{name}\t{i}" for i, name in enumerate(names)]
    path.write_text("\n".join(["clip\titem\tuser", *lines]))
    assert read_catalogue(path, check_files=False).items.tolist() == names
    assert read_id_table(path, "item")["id"].to_list() == names
    assert sorted(read_logs(path).item_ids) == sorted(names)
    path.write_text("clip\titem\tuser\nc\ti\n")
    for reader in (read_catalogue, read_logs, lambda p: read_id_table(p, "item")):
        with pytest.raises(ValueError, match=r"line 2 .* 2 fields, expected 3"):
            reader(path)
