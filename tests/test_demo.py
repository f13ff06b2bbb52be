"""The demo, small: the logs add what a few labels cannot; permuted logs do not."""

import runpy
from importlib import util
from pathlib import Path

import numpy as np
import pytest

DEMO = Path(__file__).resolve().parents[1] / "examples" / "demo.py"


@pytest.mark.long
@pytest.mark.skipif(
    util.find_spec("musicnn") is None,
    reason="needs musicnn's weights: pip install --no-deps musicnn==0.1.0",
)
def test_logs_help_where_labels_are_few_and_permuted_logs_do_not(tmp_path, capsys):
    demo = runpy.run_path(str(DEMO))
    main = demo["main"]
    main.__globals__.update(SIZES=(5,), N_CONTROLS=2)
    options = ["--items", "600", "--draws", "12", "--output", str(tmp_path)]
    accuracy = main(options)
    assert {values.shape for values in accuracy.values()} == {(1, 12)}

    # Six classes: chance is about one in five, and audio alone is better.
    assert 0.35 < accuracy["audio"].mean() < 0.75
    gain = accuracy["audio + estimate"] - accuracy["audio"]
    mean, half = demo["interval"](gain)
    assert mean - half > 0
    assert mean > 0.04
    for control in ("audio + permuted logs", "audio + random projection"):
        of_control = accuracy[control] - accuracy["audio"]
        assert of_control.mean() < 0.03
        assert np.mean(gain - of_control) > 0.04

    printed = capsys.readouterr().out
    assert all(arm in printed for arm in accuracy)
    assert (tmp_path / "transfer.png").read_bytes().startswith(b"\x89PNG")


def test_interval_is_that_of_student():
    """Of 1, 2, 3: mean 2, s = 1, t(0.975, 2) = 4.303, half width 4.303 / sqrt(3)."""
    mean, half = runpy.run_path(str(DEMO))["interval"](np.array([[1.0, 2.0, 3.0]]))
    assert mean == pytest.approx([2.0])
    assert half == pytest.approx([4.303 / np.sqrt(3)], abs=1e-3)
