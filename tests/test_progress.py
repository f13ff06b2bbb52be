"""Progress bars: one switch; on terminals, not in logs; nested ones leave nothing."""

import io
import logging
import os
import sys

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.model_selection import cross_val_score

from userlogfeat import (
    CFEmbedding,
    CFRegressor,
    KDStudentClassifier,
    LogMel,
    MusicnnEmbedder,
    UserEmbedding,
    _progress,
    show_progress,
)
from userlogfeat._check import check_audio
from userlogfeat._progress import VARIABLE, is_shown, progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def _as_at_first(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(_progress, "DELAY", 0)
    yield
    show_progress(None)


def test_terminals_have_bars_and_logs_do_not(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert not is_shown()
    assert is_shown(asked=True)
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert is_shown()
    assert is_shown(asked=False)


def test_one_switch_for_all(monkeypatch):
    monkeypatch.setenv(VARIABLE, "1")
    assert is_shown()
    monkeypatch.setenv(VARIABLE, "off")
    assert not is_shown(asked=True)
    show_progress()
    assert is_shown()
    show_progress(False)
    assert not is_shown(asked=True)
    with pytest.raises(ValueError, match="Got shown='no'"):
        show_progress("no")


def test_a_bar_has_rate_and_estimated_time(monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    show_progress()
    for _ in progress_bar(
        range(3), desc="outer", unit="clip", leave=True, mininterval=0
    ):
        list(progress_bar(range(2), desc="inner", unit="epoch"))
    text = terminal.getvalue()
    assert "outer: 100%" in text
    assert "3/3" in text
    assert "clip/s" in text
    assert "inner" in text
    assert text.rstrip().splitlines()[-1].endswith("clip/s]")  # inner ones are gone


@pytest.mark.parametrize("size", [(0, 0), (80, 0), (0, 24), None])
def test_consoles_without_a_size_and_logs_get_lines(monkeypatch, size):
    """tqdm draws nothing on a console of no rows, as of `script` or a CI."""
    stream = Terminal() if size else io.StringIO()
    monkeypatch.setattr(stream, "fileno", lambda: 2)
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size(size))
    monkeypatch.setattr(sys, "stderr", stream)
    show_progress()
    for _ in progress_bar(range(3), desc="outer", unit="clip"):
        list(progress_bar(range(2), desc="inner", unit="epoch"))
    lines = stream.getvalue().splitlines()
    assert all(ord(letter) >= 32 for line in lines for letter in line)
    outer = [line for line in lines if line.startswith("outer: ")]
    assert ["0% 0/3" in outer[0], "100% 3/3" in outer[-1]] == [True, True]
    assert outer[-1].endswith("clip/s]")
    assert sum("inner: 100% 2/2" in line for line in lines) == 3
    assert len(lines) == 2 * (1 + 3)  # begin and end: within ten seconds no more


def test_lines_of_a_log_are_seconds_apart(monkeypatch):
    monkeypatch.setattr(_progress, "LINE_SECONDS", 0)
    monkeypatch.setattr(sys, "stderr", log := io.StringIO())
    list(progress_bar(range(3), asked=True, mininterval=0))
    assert [line.split()[1] for line in log.getvalue().splitlines()] == [
        "0/3", "1/3", "2/3", "3/3",
    ]  # fmt: skip


def test_short_steps_print_nothing(monkeypatch):
    monkeypatch.setattr(_progress, "DELAY", 2.0)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    list(progress_bar(range(100)))
    assert terminal.getvalue() == ""


@pytest.mark.parametrize("shown", [True, False])
def test_embedders_and_als_follow_the_switch(monkeypatch, shown):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    show_progress(shown)
    LogMel(sample_rate=16000).fit_transform(
        np.random.default_rng(0).normal(size=(2, 3000))
    )
    CFEmbedding(n_factors=2, iterations=3, random_state=0).fit(np.eye(4))
    assert ("LogMel: " in terminal.getvalue()) == shown
    assert ("ALS: " in terminal.getvalue()) == shown


def test_what_was_decided_is_logged(caplog):
    with caplog.at_level(logging.INFO, logger="userlogfeat"):
        LogMel(device="cpu", sample_rate=16000).fit_transform(
            np.ones((2, 3000)) * [[0.1], [0.2]]
        )
    (record,) = caplog.records
    assert record.name == "userlogfeat.estimators._audio_transformer"
    assert record.getMessage() == "LogMel: 2 clips (waveforms) on cpu, fp32"


def test_the_encoder_is_logged(caplog):
    embedder = MusicnnEmbedder("MTT_musicnn", device="cpu")
    with caplog.at_level(logging.INFO, logger="userlogfeat"):
        embedder._log_decisions(check_audio(["a.wav"]))
    (message,) = caplog.messages
    assert message.startswith("MusicnnEmbedder MTT_musicnn: 1 clips (paths) on cpu, ")


STUDENT = (
    "KDStudentClassifier: training on cpu in fp32: {} examples, and {} for validation"
)


def decided(caplog, fit):
    """Lines of the log of a fit: (module, message)."""
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="userlogfeat"):
        fit()
    names = [record.name.removeprefix("userlogfeat.") for record in caplog.records]
    return list(zip(names, caplog.messages, strict=True))


def test_training_is_logged_once_with_what_it_counts(caplog):
    """The tower and shared maps said nothing, and likes were called clips."""
    rng = np.random.default_rng(0)
    X, plays = rng.normal(size=(40, 6)), csr_matrix(np.ones((20, 5), np.float32))
    few = {"max_epochs": 2, "device": "cpu", "random_state": 0}
    student = KDStudentClassifier(network="mlp", hidden=(4,), **few)
    found = decided(caplog, lambda: student.fit(X, np.arange(40) % 2))
    assert found == [
        ("estimators._training", STUDENT.format(32, 8)),
        ("training.loop", "threads of a step: 1"),
    ]
    tower = UserEmbedding(4, validation_fraction=0.1, **few)
    found = decided(caplog, lambda: tower.fit(plays))
    words = "training the user tower on cpu: 18 users, and 2 for validation; threads: 1"
    assert found == [("users.training", words)]


def test_factors_and_heads_are_logged_once(caplog):
    rng = np.random.default_rng(0)
    cf = CFEmbedding(3, iterations=2, random_state=0)
    found = decided(caplog, lambda: cf.fit(np.ones((4, 5))))
    words = "ALS: 4 users, 5 items, 20 pairs; 3 factors; threads: 1"
    assert found == [("factorization.als", words)]
    teacher = CFRegressor(network="mlp", random_state=0)
    X, Y = rng.normal(size=(20, 6)), rng.normal(size=(20, 3))
    found = decided(caplog, lambda: teacher.fit(X, Y))
    assert [name for name, _ in found] == ["estimators._factor_head"]
    assert found[0][1].startswith("head='auto' chose ridge in ")


def test_each_fit_of_a_cross_validation_is_logged_once(caplog):
    X, y = np.random.default_rng(0).normal(size=(40, 6)), np.arange(40) % 2
    student = KDStudentClassifier(network="mlp", max_epochs=1, random_state=0)
    found = decided(caplog, lambda: cross_val_score(student, X, y, cv=2))
    assert [message for _, message in found].count(STUDENT.format(16, 4)) == 2
    assert len(found) == 4


def test_ctrl_c_says_how_to_go_on():
    def stop():
        with _progress.resumable("Kept in A."), _progress.resumable("Kept in B."):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as error:
        stop()
    assert error.value.__notes__ == ["Kept in A."]  # the outermost step's
