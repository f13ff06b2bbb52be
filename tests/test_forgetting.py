"""Users who ask to be forgotten: nothing of them is left, and nothing else is lost."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from userlogfeat import read_logs
from userlogfeat._stamps import sha256
from userlogfeat.cli import app
from userlogfeat.factor_files import Factors, read_factors, write_factors, write_side
from userlogfeat.forgetting import forget_users
from userlogfeat.recommendation import ItemIndex

GONE = "zaphod-beeblebrox"
USERS = ["arthur", GONE, "trillian"]
VECTORS = np.array([[1, 2], [7.25, 8.5], [5, 6]], np.float32)


def traces(folder, ids=(GONE,), vectors=VECTORS[1:2]):
    """Files below a folder that hold an id as text or a vector as bytes, anywhere."""
    needles = [str(value).encode() for value in ids]
    needles += [vector.tobytes() for vector in vectors]
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    return [path for path in files if any(n in path.read_bytes() for n in needles)]


def test_text_logs_keep_the_bytes_of_others(tmp_path):
    path = tmp_path / "plays.csv"
    others = b'\r\nuser,note,item\r\narthur,"a, zaphod",x\rtrillian,caf\xc3\xa9,y\r\n\n'
    mine = f'"{GONE}",hello,x\r\n'.encode()
    path.write_bytes(others + mine + b"arthur,,z\r\n" + f"{GONE},,q".encode())
    assert forget_users(path, [GONE]) == 2
    assert path.read_bytes() == others + b"arthur,,z\r\n"
    assert forget_users(path, [GONE]) == 0
    assert traces(tmp_path) == []


def test_text_is_read_by_the_rules_of_logs(tmp_path, monkeypatch):
    """A stray quote hid the rows up to the next: their users were not forgotten."""
    path = tmp_path / "plays.csv"
    path.write_text(f'user,item\na,"12 inch\n{GONE},x\nb,7 inch"\n')
    with pytest.raises(ValueError, match=r"line 2 .*quotes do not match"):
        forget_users(path, [GONE])
    monkeypatch.setattr("userlogfeat.forgetting._BLOCK", 7)  # lines over two blocks
    path.write_bytes(b"user,item\r7.0,a\r8,b\r7,c")
    assert forget_users(path, [7]) == 2  # as pandas writes a column with gaps
    assert path.read_bytes() == b"user,item\r8,b\r"
    path.write_bytes(b"user,item\n7.0,a\nann,b\n7,c\n")
    assert forget_users(path, ["7"]) == 1  # beside a name they differ
    assert path.read_bytes() == b"user,item\n7.0,a\nann,b\n"


@pytest.mark.parametrize("compression", ["zstd", "uncompressed"])
def test_folders_of_parquet(tmp_path, compression):
    plays = pl.DataFrame({"uid": [7, 8, 9, 8], "item": list("abcd")})
    for name, part in (("a", plays[:2]), ("sub/b", plays[2:])):
        path = tmp_path / f"{name}.parquet"
        path.parent.mkdir(exist_ok=True)
        part.write_parquet(path, compression=compression)
    assert forget_users(tmp_path, ["8"], user="uid") == 2
    left = pl.read_parquet(tmp_path / "**/*.parquet")
    assert left.rows() == [(7, "a"), (9, "c")]
    assert left.schema == plays.schema
    with pytest.raises(ValueError, match=r"no column 'user' in .*'uid', 'item'"):
        forget_users(tmp_path, [8])


def test_folders_of_compressed_text(tmp_path):
    for day, suffix in enumerate(("gz", "zst", "bz2")):
        path = tmp_path / f"{day}.csv.{suffix}"
        with pa.output_stream(path, compression="detect") as file:
            file.write(f"user,item\n{USERS[day]},1\narthur,2\n".encode())
    (tmp_path / "3.csv").write_text(f"user,item\n{GONE},7\n")
    assert forget_users(tmp_path, [GONE]) == 2
    assert traces(tmp_path) == []
    left = read_logs(tmp_path)
    assert left.user_ids.tolist() == ["arthur", "trillian"]
    assert left.user_items.sum() == 5
    packed = [path.read_bytes() for path in sorted(tmp_path.glob("*.csv.*"))]
    assert packed[1][:4] == b"\x28\xb5\x2f\xfd"  # still zstd


def factors(folder):
    write_factors(folder, Factors(USERS, VECTORS, [1, 2], VECTORS[[0, 2]] + 9))


def test_factors(tmp_path):
    factors(tmp_path)
    assert traces(tmp_path) != []
    assert forget_users(tmp_path, [GONE, "nobody"]) == 1
    assert traces(tmp_path) == []
    left = read_factors(tmp_path)
    assert left.user_ids.tolist() == ["arthur", "trillian"]
    np.testing.assert_array_equal(left.user_factors, VECTORS[[0, 2]])
    assert left.item_ids.tolist() == [1, 2]


@pytest.fixture(params=["folder of users", "lookup"])
def model(request, tmp_path):
    """The files of fit-metric that know users: below it, and beside the network."""
    users, drawn = VECTORS, np.array([0, 2])
    if request.param == "lookup":  # only users who were drawn are in the folder
        users = np.vstack([np.zeros((1, 2), np.float32), VECTORS])
        drawn = np.array([1, 2, 3])
        made_by = {"class": "MetricEmbedder"}
        write_side(
            tmp_path / "users", "user_factors.parquet", USERS, VECTORS, made_by=made_by
        )
    else:
        factors(tmp_path / "users")
    save_file({"users": users, "drawn_users": drawn}, tmp_path / "users.safetensors")
    config = {"fitted": {"users_sha256": sha256(tmp_path / "users.safetensors")}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


def test_audio_models(model, monkeypatch):
    """The rows of others move up, and the config notes the new file."""
    monkeypatch.setattr(
        "userlogfeat.forgetting.read_model_config",
        lambda folder: json.loads((folder / "config.json").read_text()),
    )
    before = load_file(model / "users.safetensors")
    assert forget_users(model, [GONE]) == 1
    assert traces(model) == []
    after = load_file(model / "users.safetensors")
    assert len(after["users"]) == len(before["users"]) - 1
    kept = [d for d in before["drawn_users"] if before["users"][d, 0] != 7.25]
    expected = before["users"][kept]
    np.testing.assert_array_equal(after["users"][after["drawn_users"]], expected)
    config = json.loads((model / "config.json").read_text())
    assert config["fitted"]["users_sha256"] == sha256(model / "users.safetensors")
    assert forget_users(model, [GONE]) == 0


def test_a_kill_between_two_files_is_mended(model, monkeypatch):
    """The users beside the network are replaced first, those with ids last."""
    monkeypatch.setattr(
        "userlogfeat.forgetting.read_model_config",
        lambda folder: json.loads((folder / "config.json").read_text()),
    )
    name = "userlogfeat.forgetting.write_side"
    with monkeypatch.context() as patch:
        patch.setattr(name, lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            forget_users(model, [GONE])
    assert forget_users(model, [GONE]) == 1
    assert traces(model) == []
    assert len(load_file(model / "users.safetensors")["users"]) in (2, 3)


def test_what_cannot_be_searched_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        forget_users(tmp_path / "gone", [1])
    with pytest.raises(ValueError, match="neither users of a model"):
        forget_users(tmp_path, [1])
    (tmp_path / "plays.xlsx").touch()
    with pytest.raises(ValueError, match=r"cannot be rewritten: expected \.csv"):
        forget_users(tmp_path / "plays.xlsx", [1])
    with pytest.raises(TypeError, match="single user 'ann'"):
        forget_users(tmp_path, "ann")


def test_the_command(tmp_path):
    factors(tmp_path / "factors")
    pl.DataFrame({"u": USERS, "item": [1, 2, 3]}).write_csv(tmp_path / "plays.csv")
    (tmp_path / "gone.txt").write_text(f"{GONE}\n")
    paths = [str(tmp_path / name) for name in ("plays.csv", "factors")]
    settings = ["--list", str(tmp_path / "gone.txt"), "--user", "u"]
    result = CliRunner().invoke(app, ["forget", *paths, *settings])
    assert result.exit_code == 0
    assert result.output.count("1 rows removed") == 2
    (tmp_path / "gone.txt").unlink()
    assert traces(tmp_path) == []
    result = CliRunner().invoke(app, ["forget", *paths, "--id", GONE, "--user", "u"])
    assert "None of these users is in them. Are the ids right?" in result.output
    result = CliRunner().invoke(app, ["forget", *paths])
    assert result.exit_code == 2
    assert "pass --id USER" in result.output


def mentions(folder):
    """Names of files that hold the id: in text, packed or not, in columns, as bytes."""
    found = {path.name for path in traces(folder, vectors=())}
    for path in Path(folder).rglob("*.parquet"):
        if any(GONE in map(str, column.to_list()) for column in pl.read_parquet(path)):
            found.add(path.name)
    return found


@pytest.mark.long
def test_nothing_is_left_in_what_the_commands_write(tmp_path):
    """Logs, their parts, factors and plays, users of a tower, an index, lists."""
    users = [f"user-{n}" for n in range(9)] + [GONE]
    plays = pl.DataFrame({"user": users * 4, "item": [n % 11 for n in range(40)]})
    plays.write_csv(tmp_path / "plays.csv")
    place = lambda name: str(tmp_path / name)  # noqa: E731
    small = ["--set", "n_factors=2", "--set", "iterations=1"]
    commands = [
        ["fit-cf", place("plays.csv"), "-o", place("factors"), *small],
        ["fit-users", place("plays.csv"), "-o", place("tower")],
        ["split", place("plays.csv"), "-o", place("parts"), "--by", "plays"],
        ["recommend", place("factors"), place("factors"), "-o", place("lists.csv")],
    ]
    commands[1] += ["--set", "n_units=2", "--epochs", "1"]
    commands[3] += ["--include-played"]
    for command in commands:
        result = CliRunner().invoke(app, [*command, "--json"])
        assert result.exit_code == 0, result.output
        assert all(map(json.loads, result.stdout.splitlines()))  # progress is on stderr
    left = read_factors(tmp_path / "factors")
    ItemIndex.build(left.item_factors, left.item_ids).save(tmp_path / "index")
    held = {"plays.csv", "user_factors.parquet", "train.parquet", "lists.csv"}
    assert mentions(tmp_path) >= held
    names = ["plays.csv", "factors", "tower", "parts", "lists.csv"]
    result = CliRunner().invoke(app, ["forget", *map(place, names), "--id", GONE])
    assert result.exit_code == 0, result.output
    assert mentions(tmp_path) == set()
    after = read_factors(tmp_path / "factors")
    row = left.user_factors[left.user_ids.tolist().index(GONE)]
    assert traces(tmp_path, vectors=[row]) == []
    assert len(after.user_ids) == len(left.user_ids) - 1
    np.testing.assert_array_equal(after.item_factors, left.item_factors)
