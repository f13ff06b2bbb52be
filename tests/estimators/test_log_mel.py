"""LogMel: spectrograms as a transformer."""

import numpy as np
import pytest
import soundfile
import torch
from sklearn.base import clone

from userlogfeat import FRONTENDS, LogMel
from userlogfeat._threads import limit_torch
from userlogfeat.audio import MissingAudioError
from userlogfeat.frontends import FrontEnd
from userlogfeat.networks.mel import LogMelSpectrogram

RATE = 16000
SMALL = FrontEnd(sample_rate=8000, n_fft=256, hop=100, n_bands=20)


def noise(*shape):
    rng = np.random.default_rng(0)
    return rng.uniform(-0.5, 0.5, shape).astype(np.float32)


@pytest.fixture
def paths(tmp_path):
    """Clips of 1.0, 1.5 and 2.0 s."""
    files = [tmp_path / f"{i}.wav" for i in range(3)]
    for i, file in enumerate(files):
        soundfile.write(file, noise(RATE + i * RATE // 2), RATE, subtype="FLOAT")
    return files


@pytest.mark.parametrize("name", FRONTENDS)
def test_as_the_module(name):
    front_end = FRONTENDS[name]
    rows = noise(3, 20000)
    n_samples = 20000
    if front_end.duration is not None:
        n_samples = round(front_end.duration * front_end.sample_rate)
    rows_filled = np.stack([np.resize(row, n_samples) for row in rows])
    found = LogMel(name).fit_transform(rows)
    with limit_torch(1):  # more would round otherwise
        expected = LogMelSpectrogram(front_end)(torch.from_numpy(rows_filled))
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, expected)


def test_the_papers_context_is_the_default(paths):
    assert LogMel("lee2019").fit_transform(paths).shape == (3, 96, 1280)
    assert LogMel("chen2021").fit_transform(paths).shape == (3, 128, 130)
    assert LogMel("lee2019", duration=1.0).fit_transform(paths).shape == (3, 96, 42)


def test_files_rows_and_lists_agree(paths):
    log_mel = LogMel("musicnn", duration=1.2).fit(paths)
    waveforms = [soundfile.read(path, dtype="float32")[0] for path in paths]
    from_files = log_mel.transform(paths)
    np.testing.assert_array_equal(log_mel.transform(waveforms), from_files)
    rows = clone(log_mel).fit_transform(np.stack([w[:RATE] for w in waveforms]))
    np.testing.assert_array_equal(rows[:1], from_files[:1])
    np.testing.assert_array_equal(log_mel.transform(from_files), from_files)
    np.testing.assert_array_equal(log_mel.transform(paths[1:2]), from_files[1:2])


def test_own_settings_and_clone():
    log_mel = LogMel(SMALL, short="pad")
    copy = clone(log_mel)
    assert copy.get_params() == log_mel.get_params()
    found = copy.fit_transform(noise(2, 4000))
    assert found.shape == (2, 20, 41)


def test_clips_of_several_lengths_need_a_duration(paths):
    with pytest.raises(
        ValueError, match=r"1.wav'\) has 94 frames, but the first has 63"
    ):
        LogMel("musicnn").fit_transform(paths)
    assert LogMel("musicnn", duration=1.0).fit_transform(paths).shape == (3, 96, 63)


def test_a_missing_file_is_named(paths):
    with pytest.raises(MissingAudioError, match=r"gone\.wav"):
        LogMel("lee2019").fit_transform([paths[0], "gone.wav"])


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"frontend": "vggish"}, r"frontend='vggish', expected one of \['lee2019'"),
        ({"frontend": 3}, "frontend=3"),
        ({"frontend": ["musicnn"]}, r"frontend=\['musicnn'\]"),
        ({"duration": 0}, "duration=0"),
        ({"crop": "end"}, "crop='end'"),
        ({"device": "tpu9"}, "device='tpu9'"),
    ],
)
def test_parameters_are_checked_in_fit(settings, match):
    log_mel = LogMel(**settings)
    with pytest.raises(ValueError, match=match):
        log_mel.fit(noise(2, 4000))


def test_wrong_bands():
    with pytest.raises(ValueError, match="expected 96 bands"):
        LogMel("musicnn").fit_transform(noise(2, 20, 50))


def test_no_feature_names():
    assert not hasattr(LogMel(), "get_feature_names_out")
