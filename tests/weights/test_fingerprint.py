"""The test tone, and how far from what was saved an answer to it may be."""

import numpy as np
import pytest

from userlogfeat.weights.config import ModelError
from userlogfeat.weights.fingerprint import check_fingerprint, make_tone


def test_the_tone():
    tone = make_tone(16000, 4.0)
    assert tone.shape == (64000,)
    assert tone.abs().max() == pytest.approx(0.5)
    # struck twice a second: periods of half a second decay alike
    assert tone[:800].square().sum() > 20 * tone[7200:8000].square().sum()


def test_answers_that_are_too_far():
    expected = np.array([3.0, 4.0])
    near, far = np.array([3.0, 4.004]), np.array([3.0, 4.006])  # of a length of 5
    check_fingerprint("m", near, expected, "fp32")
    check_fingerprint("m", far, expected, "bf16")
    for found in (far, expected[:1], expected * np.nan):
        with pytest.raises(ModelError, match="Model 'm' does not answer its test tone"):
            check_fingerprint("m", found, expected, "fp32")
