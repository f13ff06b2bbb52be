"""`--json` of every command, where all goes well: objects for programs to read.

The commands of a service are run one after another on planted logs and audio, with
their bars. Each test then looks at what one of them printed.
"""

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from userlogfeat import cli
from userlogfeat.datasets.synthetic import make_listening_corpus

N_USERS, N_ITEMS = 40, 16
TOY = Path(__file__).parents[1] / "mirex" / "toy.py"
OWN = ("--pipeline", f"{TOY}:pipeline")
TRACKS = "corpus/catalogue.csv"
TEST = "parts/test.parquet"


def is_file(path):
    return Path(path).is_file()


# The command, in an order that works; and what its first object says.
CASES = [
    (
        "split corpus/logs.csv -o parts --count count",
        {"output": "parts", "test": lambda n: n == pl.read_parquet(TEST).height},
    ),
    (
        "fit-cf parts/train.parquet -o factors --count count --factors 4",
        {"output": "factors", "users": N_USERS, "items": N_ITEMS, "n_factors": 4},
    ),
    (
        f"fit-teacher {TRACKS} factors -o teacher --network se_cnn --epochs 1 "
        "--set channels=8 --set duration=7.6",
        {"output": "teacher", "clips": N_ITEMS},
    ),
    (
        "extract corpus/audio -o table --weights teacher --layer embedding",
        {"output": "table", "n_done": N_ITEMS, "n_skipped": 0, "failed": {}},
    ),
    (
        f"recommend factors table -o new.csv --catalogue {TRACKS} -k 3",
        {"output": "new.csv", "items": N_ITEMS, "users": N_USERS, "failed": []},
    ),
    (
        f"evaluate factors {TEST} -k 5",
        {"metric": "auc", "mean": lambda value: 0 <= value <= 1, "users": int},
    ),
    ("nearest-artists CLIP --weights teacher -k 2", {"clip": "CLIP", "rank": 1}),
    ("export teacher -o teacher.onnx", {"output": is_file, "megabytes": float}),
    ("push teacher me/teacher", {"address": "hub/me/teacher"}),
    ("explore table -o page.html", {"output": is_file, "clips": N_ITEMS}),
    ("info table", {"feature table": "table"}),
    ("weights", {"name": str, "licence": str}),
    ("table ls table", {"clip": is_file, "status": "ok", "seconds": float}),
    ("table merge table table -o both", {"n_clips": N_ITEMS}),
    ("table compact both", {"n_clips": N_ITEMS, "n_parts": 1}),
    ("table rename both --relative-to corpus", {"n_renamed": N_ITEMS}),
    ("table prune both --base corpus --dry-run", None),
    (
        "fit-users parts/train.parquet -o users --count count --epochs 1",
        {"output": "users", "users": N_USERS, "items": N_ITEMS, "best_epoch": 1},
    ),
    (
        f"fit-metric {TRACKS} parts/train.parquet -o metric --epochs 1 --set channels=8"
        " --users users --sample-dislikes 1 --min-liked 1 --min-disliked 1",
        {"output": "metric", "clips": N_ITEMS},
    ),
    (
        f"fit-artists {TRACKS} -o artists --epochs 1 --set channels=8 --min-songs 3",
        {"output": "artists", "clips": N_ITEMS, "artists": 4},
    ),
    ("forget corpus/logs.csv --id 3", {"path": "corpus/logs.csv", "removed": int}),
    (("mirex", "extract", "s", "toys.txt", *OWN), {"output": "s", "read": 12}),
    (("mirex", "train", "s", "train.txt", *OWN), {"output": os.path.exists}),
    (("mirex", "classify", "s", "test.txt", "out.txt", *OWN), {"output": is_file}),
    (
        ("mirex", "train-and-classify", "s2", "train.txt", "test.txt", "two.txt", *OWN),
        {"output": is_file},
    ),
    (
        ("mirex", "package", "sub", *OWN, "--measure", "none", "--name", "Toys"),
        {"output": "sub"},
    ),
    ("mirex evaluate folds good -o results", {"submission": "good"}),
]
CASES = [(c.split() if isinstance(c, str) else list(c), keys) for c, keys in CASES]


def name_of(words):
    return " ".join(words[: 2 if words[0] in ("table", "mirex") else 1])


def make_world():
    """Write the planted files below the present folder."""
    corpus = make_listening_corpus(N_USERS, N_ITEMS, 2, folder="corpus", random_state=0)
    toys = [f"toy {i}.wav" for i in range(12)]
    for i, toy in enumerate(toys):
        Path(toy).write_text(f"{i % 2} {i}")
    labelled = [f"{toy}\tclass {i % 2}\n" for i, toy in enumerate(toys[:6])]
    Path("train.txt").write_text("".join(labelled))
    Path("test.txt").write_text("".join(f"{toy}\n" for toy in toys[6:]))
    Path("toys.txt").write_text("".join(f"{toy}\n" for toy in toys))
    Path("folds").mkdir()
    for part in ("train", "evaluate"):
        Path(f"folds/f1_{part}.txt").write_text(f"{part}.wav\tpop\n")
    Path("good").mkdir()
    script = Path("good", "TrainAndClassify.sh")
    script.write_text('#!/bin/sh\nsed \'s/$/\\tpop/\' "$3" > "$4"\n')
    script.chmod(0o755)
    return corpus.catalogue.clips[0]


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """Folder, a clip, and for each command its exit code, stdout and stderr."""
    folder, found = tmp_path_factory.mktemp("service"), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("USERLOGFEAT_PROGRESS", "1")
        patch.setattr("userlogfeat._progress.DELAY", 0)
        patch.setattr("userlogfeat._progress.LINE_SECONDS", 0)
        patch.setattr("userlogfeat.mirex.package._check_alone", lambda *_: None)
        patch.setattr(
            "userlogfeat.export.push_to_hub", lambda _, repo, **_s: f"hub/{repo}"
        )
        clip = make_world()
        for words, _ in CASES:
            given = [clip if word == "CLIP" else word for word in words]
            done = CliRunner().invoke(cli.app, [*given, "--json"])
            found[name_of(words)] = done
    yield SimpleNamespace(folder=folder, clip=clip, found=found)
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("words", "keys"), CASES, ids=[name_of(words) for words, _ in CASES]
)
def test_stdout_is_objects_with_what_users_need(printed, monkeypatch, words, keys):
    monkeypatch.chdir(printed.folder)
    done = printed.found[name_of(words)]
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    if keys is None:  # nothing is to be listed
        assert rows == []
        return
    for key, expected in keys.items():
        value = rows[0][key]
        if isinstance(expected, type):
            assert isinstance(value, expected), (key, value)
        elif callable(expected):
            assert expected(value), (key, value)
        else:
            assert value == (printed.clip if expected == "CLIP" else expected), key


def test_no_command_is_left_out():
    group, found = typer.main.get_command(cli.app), set()
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        found |= {name} if inner is None else {f"{name} {one}" for one in inner}
    assert found == {name_of(words) for words, _ in CASES}


def test_bars_are_on_stderr(printed):
    """With bars on: they were in no test of what stdout holds."""
    for name, label in {"fit-cf": "ALS: 100%", "extract": "clip/s"}.items():
        assert label in printed.found[name].stderr, name


def test_a_row_for_each_thing_that_is_listed(printed):
    rows = {
        name: [json.loads(line) for line in printed.found[name].stdout.splitlines()]
        for name in ("table ls", "nearest-artists", "evaluate", "forget")
    }
    assert len({row["clip"] for row in rows["table ls"]}) == N_ITEMS
    assert [row["rank"] for row in rows["nearest-artists"]] == [1, 2]
    assert "ndcg@5" in {row["metric"] for row in rows["evaluate"]}
    assert rows["forget"][0]["removed"] > 0


def test_a_served_page_is_no_object(printed, run, monkeypatch):
    """Its address was a line on stdout that no program can read as JSON."""
    monkeypatch.chdir(printed.folder)
    monkeypatch.setattr(
        "userlogfeat.exploration.page.serve_explorer",
        lambda page, *, port, ready: ready(f"http://127.0.0.1:{port}"),
    )
    done = run("explore", "table", "--serve", "--port", 8000, "--json")
    assert done.stdout == ""
    assert "http://127.0.0.1:8000 " in done.stderr
