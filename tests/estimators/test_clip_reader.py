"""Clips of any kind as waveforms of one rate and length."""

import numpy as np
import pytest
import soundfile

from userlogfeat._check import check_audio
from userlogfeat.audio import AudioError
from userlogfeat.estimators._clip_reader import ClipReader

RATE = 8000
WAVE = np.linspace(-0.5, 0.5, RATE, dtype=np.float32)  # 1 s


def read(X, **settings):
    settings = {"duration": 0.5, "crop": "middle", "short": "pad"} | settings
    return list(ClipReader(RATE, **settings).read(check_audio(X)))


def test_files_and_arrays_are_read_alike(tmp_path):
    soundfile.write(tmp_path / "a.wav", WAVE, RATE, subtype="FLOAT")
    (of_file,), (of_array,) = read([tmp_path / "a.wav"]), read([WAVE])
    np.testing.assert_array_equal(of_file.layers["input"], WAVE[2000:6000])
    np.testing.assert_array_equal(of_array.layers["input"], WAVE[2000:6000])
    assert of_file.seconds == of_array.seconds == 0.5
    assert (of_file.clip, of_array.clip) == (tmp_path / "a.wav", 0)


@pytest.mark.parametrize(
    ("settings", "n_samples", "seconds"),
    [
        ({"duration": 2.0}, 2 * RATE, 2.0),  # filled
        ({"duration": 2.0, "any_length": True}, RATE, 1.0),
        ({"duration": None}, RATE, 1.0),
        ({"duration": None, "min_samples": RATE + 5}, RATE + 5, 1.0),  # of the sound
        ({"duration": None, "given_rate": 2 * RATE}, RATE // 2, 0.5),
    ],
)
def test_lengths(settings, n_samples, seconds):
    (clip,) = read([WAVE], **settings)
    assert len(clip.layers["input"]) == n_samples
    assert clip.seconds == seconds


def test_a_file_that_is_none_is_an_entry(tmp_path):
    soundfile.write(tmp_path / "a.wav", WAVE, RATE)
    good, bad = read([tmp_path / "a.wav", tmp_path / "no.wav"])
    assert good.error is None
    assert isinstance(bad.error, AudioError)
    assert (bad.index, bad.layers) == (1, None)
    assert np.isnan(bad.seconds)
