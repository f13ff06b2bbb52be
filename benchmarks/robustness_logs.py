"""Damaged logs, catalogues and tables of users, judged by plain loops over the text.

All are read by the rules of ``userlogfeat._text_tables``.
"""

import bz2
import csv
import gzip
import io
import json
import re

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from robustness_kinds import Kind, Wrong, require

from userlogfeat import read_catalogue, read_logs
from userlogfeat.id_tables import read_id_table

N_ROWS = 60
HEADER = ("user", "item", "plays")
BOM = b"\xef\xbb\xbf"


def rows():
    """Planted plays."""
    rng = np.random.default_rng(0)
    users = [f"u{number}" for number in rng.integers(9, size=N_ROWS)]
    items = [f"song {number}" for number in rng.integers(7, size=N_ROWS)]
    return list(zip(users, items, map(str, rng.integers(1, 20, N_ROWS)), strict=True))


def text(separator, quote="", end="\n"):
    """The plays as a text file."""
    lines = [HEADER, *((quote + u + quote, i, n) for u, i, n in rows())]
    return "".join(separator.join(line) + end for line in lines).encode()


def titles():
    """Plays of titles with quotes, which mean nothing between tabs."""
    names = ['"heroes', "song", 'low"', '"the" band']
    lines = [f"u{i % 5}\t{names[i % 4]}\t{i + 1}\n" for i in range(20)]
    return "".join(["user\titem\tplays\n", *lines]).encode()


def parquet():
    """The plays as Parquet, with checksums."""
    users, items, plays = zip(*rows(), strict=True)
    table = pa.table({"user": users, "item": items, "plays": [int(n) for n in plays]})
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=25, write_page_checksum=True)
    return file.getvalue()


def playlists():
    """The plays as a slice of the Million Playlist Dataset."""
    lists = {}
    for user, item, _ in rows():
        lists.setdefault(int(user[1:]), []).append({"track_uri": item, "pos": 0})
    made = [{"pid": user, "tracks": tracks} for user, tracks in lists.items()]
    return json.dumps({"playlists": made}, indent=1).encode()


def log_kind():
    """csv, tsv, compressed text, Parquet and playlists; line ends, marks and quotes."""
    seeds = {
        "tsv": text("\t"),
        "csv": text(",", quote='"'),
        "titles.tsv": titles(),
        "old-mac.csv": text(",", end="\r"),
        "marked.csv": BOM + text(",", end="\r\n"),
        "tsv.gz": gzip.compress(text("\t"), mtime=0),
        "tsv.bz2": bz2.compress(text("\t")),
        "parquet": parquet(),
        "json": playlists(),
        "marked.json": BOM + playlists(),
    }
    original = add_up(rows())

    def check(seed, data, folder):
        is_json = seed.endswith("json")
        name = "mpd.slice.0-999.json" if is_json else f"plays.{seed}"
        path = folder / name
        path.write_bytes(data)
        if is_json:
            found = plays_of(read_logs(path, "mpd", weights="binary"))
            require(found == judge_playlists(data), "other plays")
            return
        found = plays_of(read_logs(path, count="plays"))
        if seed == "parquet":
            require(found == original, "other plays")
        else:
            judge_text(seed, data, found)

    clear = ("The logs hold", "leaves nothing of the logs")
    return Kind("logs", seeds, check, clear=clear)


def plays_of(logs):
    """Interactions as {(user, item): plays}, with ids as text."""
    pairs = logs.user_items.tocoo()
    users, items = logs.user_ids.tolist(), logs.item_ids.tolist()
    entries = zip(pairs.row, pairs.col, pairs.data.tolist(), strict=True)
    return {(str(users[u]), str(items[i])): n for u, i, n in entries if n}


def add_up(table):
    """Plays of each pair, by a loop."""
    total = {}
    for user, item, plays in table:
        total[user, item] = total.get((user, item), 0) + float(plays)
    return {pair: plays for pair, plays in total.items() if plays}


def judge_text(seed, data, found):
    """Compare what was read with a loop over the lines of the same bytes."""
    if seed.endswith(".gz"):
        data = opened(gzip.decompress, data)
    elif seed.endswith(".bz2"):
        data = opened(bz2.decompress, data)
    decoded = data.removeprefix(BOM).decode("utf-8", "surrogateescape")
    lines = [line for line in re.split("\r\n|\n|\r", decoded) if line]
    if seed.endswith("csv"):
        lines = list(csv.reader(io.StringIO(decoded, newline="")))
        lines = [line for line in lines if line]
    else:
        lines = [line.split("\t") for line in lines]
    places = places_of(HEADER, lines[0])
    rows = [[line[place].strip() for place in places] for line in lines[1:]]
    expected = add_up(rows)
    users = {user for user, _ in found} - {user for user, _ in expected}
    require(not users, f"users that the file does not name: {sorted(users)[:3]}")
    same = found.keys() == expected.keys() and all(
        np.isclose(found[pair], expected[pair], rtol=1e-5) for pair in found
    )
    require(same, f"{len(found)} pairs, expected {len(expected)}")


def places_of(names, header):
    """Find the columns of some names, ignoring blanks around these."""
    header = [name.strip() for name in header]
    require(all(name in header for name in names), "read without such a column")
    return [header.index(name) for name in names]


def opened(decompress, data):
    """The text in a compressed file that was read without an error."""
    try:
        return decompress(data)
    except (OSError, EOFError, ValueError) as error:
        raise Wrong(f"read, although {error}") from error


def judge_playlists(data):
    """Pairs of playlists and tracks, by a loop."""
    lists = json.loads(data.decode("utf-8-sig"))["playlists"]
    pairs = {(str(p["pid"]), t["track_uri"]) for p in lists for t in p["tracks"]}
    return dict.fromkeys(pairs, 1.0)


def catalogue_kind():
    """Catalogues and tables of users as csv and Parquet."""
    clips = [f"c{i}.wav" for i in range(20)]
    frame = {
        "clip": clips,
        "item": [f"i{i % 9}" for i in range(20)],
        "artist": ["a"] * 20,
    }
    people = {"user": [f"u{i}" for i in range(20)], "land": ["is", "fo"] * 10}
    frames = {"clips": pl.DataFrame(frame), "people": pl.DataFrame(people)}
    seeds = {}
    for name, table in frames.items():
        seeds[f"{name}.csv"] = table.write_csv().encode()
        quoted = table.with_columns(pl.last().str.replace("^", '"', n=1))
        raw = quoted.write_csv(separator="\t", quote_style="never")
        seeds[f"{name}.tsv"] = raw.encode()
        file = io.BytesIO()
        pq.write_table(table.to_arrow(), file, write_page_checksum=True)
        seeds[f"{name}.parquet"] = file.getvalue()

    def check(seed, data, folder):
        path = folder / seed
        path.write_bytes(data)
        if seed.startswith("clips"):
            found = read_catalogue(
                path, check_files=False, artist_conflicts="ignore"
            ).frame
            names = ("clip", "item")
        else:
            found, names = read_id_table(path, "user"), ("id",)
        if seed.endswith("parquet"):
            expected = frames[seed.split(".")[0]].rename({"user": "id"}, strict=False)
            require(found.equals(expected), "other rows")
        else:
            judge_table(data, found, names, {"id": "user"}, tabs=seed.endswith("tsv"))

    clear = ("The catalogue", "of the catalogue", "the catalogue has", "The clip")
    return Kind("catalogues", seeds, check, clear=clear)


def judge_table(data, found, names, renamed, *, tabs):
    """Every value of some columns stands in the text, in its order."""
    decoded = data.removeprefix(BOM).decode("utf-8", "surrogateescape")
    quoting = csv.QUOTE_NONE if tabs and decoded[:1] != '"' else csv.QUOTE_MINIMAL
    lines = csv.reader(
        io.StringIO(decoded, newline=""),
        delimiter="\t" if tabs else ",",
        quoting=quoting,
    )
    lines = [line for line in lines if line]
    for name in names:
        (place,) = places_of([renamed.get(name, name)], lines[0])
        cells = [line[place].strip() if place < len(line) else "" for line in lines[1:]]
        values = ["" if value is None else str(value) for value in found[name]]
        if name == "id":
            require(set(values) == {*cells}, "other ids than the file has")
        else:
            require(values == cells, f"other values of {name}")
