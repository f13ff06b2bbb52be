"""Two processes that train together are one: losses, weights, files, errors."""

import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from joblib import Parallel, delayed

from userlogfeat.training import alone, is_first
from userlogfeat.training.processes import (
    PATIENCE,
    join,
    means_of_some,
    on_first,
    refuse,
    share_each,
    share_rows,
)

HERE = Path(__file__).parent
LIMIT = 400  # seconds for two processes on a busy machine
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]


def load(stem):
    spec = importlib.util.spec_from_file_location(stem, HERE / f"{stem}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def fits():
    """The fits, to be done by one process."""
    return load("together")


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """What each of two processes got that torchrun started, and their folder."""
    folder = tmp_path_factory.mktemp("together")
    command = [*TORCHRUN, "--nproc-per-node", "2", HERE / "together.py", folder]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=LIMIT, env=environment()
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]
    return *said, folder, done.stdout


def environment(**changes):
    return {**os.environ, "OMP_NUM_THREADS": "1", **changes}


@pytest.mark.long
@pytest.mark.parametrize("name", ["se_cnn", "mlp", "student", "metric", "artist"])
def test_two_processes_have_the_losses_of_one(fits, both, name):
    """At the same total batch; the last one of an epoch is not even in shares."""
    expected, found = getattr(fits, name)().history_, both[0][name]["history"]
    assert len(found) == len(expected) == 4
    for mine, theirs in zip(expected, found, strict=True):
        assert theirs == pytest.approx(mine, abs=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("name", ["se_cnn", "mlp", "student", "metric", "artist"])
def test_all_processes_end_with_the_same_weights(both, name):
    first, second, *_ = both
    assert first[name] == second[name]


@pytest.mark.long
def test_seeds_are_those_of_the_first_process(both):
    """random_state=None draws another in every process."""
    assert both[0]["head"] == both[1]["head"]


@pytest.mark.long
def test_the_first_is_the_one_to_print_and_to_save(both):
    first, second, _, printed = both
    assert (first["was_first"], second["was_first"]) == (True, False)
    # Gloo itself writes to stdout in torch 2.8.
    assert [x for x in printed.splitlines() if not x.startswith("[Gloo]")] == []


@pytest.mark.long
def test_inside_alone_each_process_trains_for_itself(fits, both):
    assert both[0]["alone"] == both[1]["alone"] == fits.digest(fits.mlp())


@pytest.mark.long
def test_a_killed_fit_goes_on(both):
    """The first process writes; where it cannot, all hear of it; all go on as if

    nothing had happened.
    """
    first, second, *_ = both
    assert first["killed"] == ["No space left on device after 2"] * 2
    assert second["killed"] == ["No space left on device after 0"] * 2
    assert first["resumed"] == second["resumed"]
    assert [epoch["epoch"] for epoch in first["resumed"]] == [1, 2, 3, 4]


@pytest.mark.long
def test_a_fit_of_two_processes_goes_on_in_one(fits, both, tmp_path):
    """What a checkpoint keeps does not depend on how many made it."""
    first, _, folder, _ = both
    never_killed = fits.kill(tmp_path, 99)
    assert len(list((folder / "one").iterdir())) == 1
    alone_on = fits.kill(folder / "one", 99)
    assert not list((folder / "one").iterdir())
    for history in (first["resumed"], alone_on):
        for mine, theirs in zip(never_killed, history, strict=True):
            assert theirs == pytest.approx(mine, abs=1e-4)
    assert fits.kill(tmp_path, 1) == "No space left on device after 1"


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("differing_data", "ValueError: .*differ in the number of clips.*(41 and 40)"),
        ("differing_values", r"ValueError: .*differ in the targets \(y\)"),
        ("differing_rates", r"ValueError: .*differ in lr \(0.001 and 0.002\)"),
        ("unreadable_file", "MissingAudioError: 'missing.wav': there is no such file"),
        ("no_number", "ValueError: The train_loss became nan in epoch 1. Lower lr"),
        ("part_alone", "TypeError: .* from the clips of this one only"),
        ("several_losses", ".*: SharedLatentEmbedder trains in one process, and this"),
        ("in_a_thread", "RuntimeError: .* in a thread of process . of 2 .* n_jobs=1"),
        ("out_of_memory", "OutOfMemoryError: Training with batch_size=8 does not"),
    ],
)
def test_all_processes_raise_the_same_error(both, name, words):
    for said in both[:2]:
        assert re.match(words, said["errors"][name])


@pytest.mark.long
def test_they_go_on_after_errors(both):
    assert both[0]["after"] == both[1]["after"] == both[0]["mlp"]["weights"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("how", "words"), [("stall", "gradients or moments were added up"), ("end", "")]
)
def test_a_lost_process_does_not_hold_the_others_for_ever(how, words):
    """One stops answering for longer than the program's timeout, or ends."""
    port = str(_free_port())
    start, started = time.monotonic(), []
    for rank in "01":
        variables = {"RANK": rank, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
        started.append(
            subprocess.Popen(
                [sys.executable, HERE / "lost.py", how],
                env=environment(**variables, MASTER_PORT=port),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        )
    try:
        said, _ = started[0].communicate(timeout=LIMIT)
        assert started[0].returncode == 3
        assert said.startswith("Process 0 lost another that trains with it, when ")
        assert words in said
        assert "it has ended, or did not answer in time" in said
        assert time.monotonic() - start < LIMIT
    finally:
        for process in started:
            process.kill()
            process.communicate()


def test_a_process_waits_for_half_an_hour_at_most():
    assert PATIENCE.total_seconds() == 1800


def test_without_torchrun_a_process_is_alone():
    assert join() is None
    assert is_first()
    refuse("Nothing")


def launched(monkeypatch, rank="1", size="2"):
    for name, value in {"RANK": rank, "WORLD_SIZE": size}.items():
        monkeypatch.setenv(name, value)
    for name, value in {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)


def test_torchrun_of_one_process_is_alone(monkeypatch):
    launched(monkeypatch, rank="0", size="1")
    assert join() is None


def test_the_first_is_known_before_any_fit(monkeypatch):
    launched(monkeypatch)
    assert not is_first()
    with alone():
        assert is_first()
        assert join() is None


@pytest.mark.long
def test_processes_within_a_process_are_alone(monkeypatch):
    """Those of joblib have the variables of torchrun, and its rank."""
    launched(monkeypatch)
    assert Parallel(n_jobs=2)(delayed(join)() for _ in range(2)) == [None, None]


def test_alone_is_of_a_thread(monkeypatch):
    launched(monkeypatch)
    said = []
    with alone():
        thread = threading.Thread(target=lambda: said.append(is_first()))
        thread.start()
        thread.join()
    assert said == [False]


def test_a_process_alone_asks_itself():
    rows = np.arange(6.0).reshape(3, 2)
    assert on_first(None, max, 2, 3) == 3
    np.testing.assert_array_equal(share_rows(rows, lambda part: part + 1), rows + 1)
    assert list(share_each([1, 2], lambda part: (n * 10 for n in part))) == [10, 20]


def test_means_are_of_rows_spread_evenly():
    rows = np.arange(1000.0)[:, None] * [1, 3]
    some = means_of_some(rows)
    assert (len(some), some[0], some[-1]) == (256, 0, 1998)
    assert means_of_some([]).shape == (0,)


def _free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
