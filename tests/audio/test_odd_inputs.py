"""Files that were read wrongly, without a word: what is right of each."""

import numpy as np
import pytest

from userlogfeat.audio import AudioError, read_audio

RATE = 44100
# Seconds that are there, or what the error says.
EXPECTED = {
    "au_size_zero.au": 1.13,
    "flac_two_joined.flac": "several recordings",
    "float_wav_int16_range.wav": "Divide them by 32768",
    "gsm_crop_refused.wav": 12.0,
    "mp3_in_wav_crop_shift.wav": 12.04,
    "mp3_no_xing_gap_100k.mp3": "100000 bytes .* neither sound nor a tag",
    "mp3_two_joined_with_xing.mp3": 24.05,
    "mp3_xing_frames_zero.mp3": 12.02,
    "ogg_flac_called_damaged.ogg": 12.0,
}


@pytest.mark.real
@pytest.mark.parametrize("name", EXPECTED)
def test_odd_inputs(data, name):
    path, expected = data / "odd_inputs" / name, EXPECTED[name]
    if name.startswith("ogg_flac"):
        pytest.importorskip("av")
    if isinstance(expected, str):
        for duration in (None, 0.5):
            with pytest.raises(AudioError, match=expected):
                read_audio(path, sample_rate=RATE, duration=duration)
        return
    whole = read_audio(path, sample_rate=RATE)
    assert abs(len(whole) / RATE - expected) < 0.05
    part = read_audio(path, sample_rate=RATE, duration=0.5)
    start = (len(whole) - RATE // 2) // 2
    np.testing.assert_allclose(part, whole[start : start + RATE // 2], atol=2e-4)
