"""Arrays taken for sound: what is refused, and at which rate."""

import warnings

import numpy as np
import pytest
import soundfile

from userlogfeat import (
    ArtistEmbedder,
    CFRegressor,
    KDStudentClassifier,
    KDStudentRegressor,
    LogMel,
    MelStatistics,
    MetricEmbedder,
    MusicnnEmbedder,
    SharedLatentEmbedder,
    UserLogEmbedder,
)
from userlogfeat.audio.resampling import resample
from userlogfeat.audio.waveforms import check_sound

RATE = 16000


def tone(n_samples, rate=RATE, pitch=440.0):
    return 0.5 * np.sin(2 * np.pi * pitch * np.arange(n_samples) / rate)


def check(waveforms, sample_rate=None, model_rate=RATE, **settings):
    waveforms = [np.asarray(row, np.float32) for row in waveforms]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_sound(
            waveforms, sample_rate=sample_rate, model_rate=model_rate, **settings
        )


@pytest.fixture(scope="module")
def features():
    """60 clips of 160 standardised features."""
    return np.random.default_rng(0).normal(size=(60, 160))


# Whether an estimator is to be fitted before it transforms.
READERS = {
    "ArtistEmbedder": (ArtistEmbedder(frontend="musicnn", context=1.0), True),
    "CFRegressor": (CFRegressor(), True),
    "CFRegressor musicnn": (CFRegressor(encoder="MSD_musicnn"), True),
    "KDStudentClassifier": (KDStudentClassifier(), True),
    "KDStudentClassifier fix": (KDStudentClassifier("lastfm2k-musicnn", "fix"), True),
    "KDStudentClassifier mlp": (
        KDStudentClassifier("lastfm2k-musicnn", network="mlp"),
        True,
    ),
    "KDStudentRegressor": (KDStudentRegressor(), True),
    "LogMel": (LogMel("musicnn"), False),
    "MelStatistics": (MelStatistics(), False),
    "MetricEmbedder": (MetricEmbedder("lookup"), True),
    "MusicnnEmbedder": (MusicnnEmbedder(), False),
    "SharedLatentEmbedder": (SharedLatentEmbedder(4), True),
    "UserLogEmbedder": (UserLogEmbedder(), False),
}


@pytest.mark.parametrize("name", READERS)
def test_features_are_refused(name, features):
    """60 rows of 160 features were read as 60 clips of 10 ms."""
    estimator, fitted = READERS[name]
    y = np.arange(60) % 2
    if name == "MetricEmbedder":
        y = np.eye(60)
    with pytest.raises(ValueError, match=r"FeatureLookup|teacher_targets=") as error:
        estimator.fit(features, y)
    assert "mlp" in str(error.value) or name in ("MelStatistics",)
    if not fitted:
        with pytest.raises(ValueError, match="FeatureLookup"):
            estimator.transform(features)


def test_short_clips_are_sound():
    check([tone(RATE // 2)], seconds=30.0)  # as of ESC
    check([tone(RATE // 4), tone(160)], seconds=3.0)
    check([tone(800)], seconds=0.05)  # an estimator of short clips
    check([tone(160)], sample_rate=RATE, seconds=3.0)
    with pytest.raises(ValueError, match=r"160 numbers.* last 10 ms.*takes in 3 s"):
        check([tone(160)] * 60, seconds=3.0)


@pytest.mark.parametrize("sample_rate", [None, RATE, 44100])
def test_time_along_rows(sample_rate):
    stereo = np.stack([tone(4000), tone(4000, pitch=600)], axis=1)
    with pytest.raises(ValueError, match=r"\(4000, 2\).*\[X.mean\(axis=1\)\]"):
        check(stereo, sample_rate)


def test_short_stereo_is_not_taken_for_features():
    with pytest.raises(ValueError, match=r"X is one clip.*\[X.mean\(axis=1\)\]"):
        check(np.ones((400, 2)))


@pytest.mark.parametrize("sample_rate", [None, RATE])
@pytest.mark.parametrize(
    ("scale", "full_scale"), [(1 << 15, 32768), (1 << 23, 8388608), (1 << 31, 1 << 31)]
)
def test_integers_cast_to_float(sample_rate, scale, full_scale):
    quiet = tone(RATE)
    with pytest.raises(ValueError, match=f"Waveform 1 .*Divide X by {full_scale}"):
        check([quiet, np.round(scale * 2 * tone(RATE))], sample_rate)
    with pytest.raises(ValueError, match="Divide X by 32768"):
        check([quiet, np.round(40 * tone(RATE))], sample_rate)  # all are quiet
    with pytest.raises(UserWarning, match="20 dB above it"):
        check([quiet, np.round(20 * tone(RATE))], sample_rate)


def test_loud_floats():
    check([8 * tone(RATE)])  # 12 dB above full scale
    with pytest.raises(UserWarning, match="26 dB above it"):
        check([40 * tone(RATE)])
    with pytest.raises(ValueError, match="is it audio"):
        check([1e30 * tone(RATE)])


def test_no_change_of_sign():
    rng = np.random.default_rng(0)
    spectra = rng.gamma(1, size=(5, 96 * 188))
    for X in (spectra, -80 * rng.uniform(size=(5, 96 * 188)) / 80):
        with pytest.raises(ValueError, match=r"No clip of X changes its sign"):
            check(X, instead="pass")
        with pytest.raises(UserWarning, match="No clip of X changes its sign"):
            check(X, RATE)
    check([tone(RATE), spectra[0]])
    check(np.zeros((2, RATE)))  # silence


@pytest.mark.parametrize("model_rate", [16000, 22050])
@pytest.mark.parametrize("rate", [16000, 22050, 44100, 48000])
@pytest.mark.parametrize("seconds", [1, 3, 10])
def test_length_that_reveals_another_rate(model_rate, rate, seconds):
    """Whole seconds at a usual rate, and no twentieth at the model's: that is it."""
    n = seconds * rate
    clip = np.tile([0.5, -0.5], n // 2)
    if (model_rate, rate) in AMBIGUOUS or model_rate == rate:
        check([clip], model_rate=model_rate)
    else:
        with pytest.raises(ValueError, match=rf"s at \d+ Hz.*\b{rate}\b.*resampled"):
            check([clip, clip], model_rate=model_rate)
    check([clip], sample_rate=model_rate, model_rate=model_rate)
    check([clip, clip[1:]], model_rate=model_rate)  # of any lengths


def test_length_of_the_model_at_another_rate():
    with pytest.raises(ValueError, match=r"3.445 s .*but 2.5 s at 22050 Hz"):
        check([tone(round(2.5 * 22050))], seconds=2.5)
    check([tone(round(2.5 * 22050))])


AMBIGUOUS = [(16000, 48000), (22050, 44100)]  # 3 s of the one are 9 s of the other


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_stated_rate_is_as_a_file_of_that_rate(rate, tmp_path):
    clips = [tone(2 * rate + 77, rate), tone(3 * rate // 2, rate, 880.0)]
    paths = [tmp_path / f"{i}.wav" for i in range(2)]
    for path, clip in zip(paths, clips, strict=True):
        soundfile.write(path, clip, rate, subtype="FLOAT")
    for settings in ({"duration": 1.0}, {"duration": 4.0, "short": "pad"}):
        expected = LogMel("musicnn", **settings).transform(paths)
        found = LogMel("musicnn", sample_rate=rate, **settings).transform(clips)
        # A crop of a file is resampled without the rest of it.
        np.testing.assert_allclose(found, expected, atol=2e-3)


def test_bad_rates():
    for rate in (0, 44.1, "16000", True):
        with pytest.raises(ValueError, match=r"Got sample_rate=.*positive finite int"):
            LogMel(sample_rate=rate).fit([tone(RATE)])
    with pytest.raises(ValueError, match=r"Got sample_rate=44.*Is it in kHz"):
        LogMel(sample_rate=44).fit([tone(RATE)])


def test_resampling_keeps_a_tone():
    found = resample(tone(44100, 44100), 44100, RATE)
    assert len(found) == RATE
    np.testing.assert_allclose(found[500:-500], tone(RATE)[500:-500], atol=1e-3)
    same = np.ones(5, np.float32)
    assert resample(same, RATE, RATE) is same
