"""MelStatistics: against loops, of any frames, per window and per clip."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from userlogfeat import FRONTENDS, FeatureTable, LogMel, MelStatistics, extract
from userlogfeat.frontends import FrontEnd

RATE = 8000
SMALL = FrontEnd(sample_rate=RATE, n_fft=256, hop=128, n_bands=10, power=1)


def noise(n, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, n).astype(np.float32)


def loop(log_mel, window):
    """Mean, variance, maximum, minimum of every band over every whole window."""
    rows = []
    for start in range(0, log_mel.shape[1] - window + 1, window):
        row = []
        for of in (np.mean, np.var, np.max, np.min):
            row += [of(band[start : start + window]) for band in log_mel]
        rows.append(row)
    return np.array(rows)


def test_against_the_loop():
    clips = [noise(n, n) for n in (4000, 6000, 9000)]
    to_mel = LogMel(SMALL)
    expected = [loop(to_mel.fit_transform([clip])[0], 16) for clip in clips]
    windows = MelStatistics(SMALL, window=16, pooling=None).fit_transform(clips)
    for found, rows in zip(windows, expected, strict=True):
        np.testing.assert_allclose(found, rows, rtol=1e-4, atol=1e-5)
    found = MelStatistics(SMALL, window=16).fit_transform(clips)
    assert found.dtype == np.float32
    np.testing.assert_allclose(
        found, [rows.mean(0) for rows in expected], rtol=1e-4, atol=1e-5
    )


def test_the_papers_settings_are_the_default():
    statistics = MelStatistics()
    assert statistics.fit_transform([noise(22050 * 2)]).shape == (1, 800)
    names = statistics.get_feature_names_out()
    assert names[[0, 199, 200, 799]].tolist() == [
        "base_mean_0",
        "base_mean_199",
        "base_var_0",
        "base_min_199",
    ]


def test_one_window_of_the_whole_clip():
    clips = [noise(4000), noise(9000)]
    found = MelStatistics(SMALL, window=None, pooling=None).fit_transform(clips)
    assert [clip.shape for clip in found] == [(1, 40), (1, 40)]
    log_mel = LogMel(SMALL).fit_transform(clips[1:])[0]
    np.testing.assert_allclose(found[1], loop(log_mel, log_mel.shape[1]), rtol=1e-4)


def test_frames_of_any_making_and_lengths():
    rng = np.random.default_rng(0)
    frames = [rng.normal(size=(3, n)).astype(np.float32) for n in (8, 21, 5)]
    statistics = MelStatistics(window=4).fit(frames)
    found = statistics.transform(frames)
    expected = [loop(clip, 4).mean(0) for clip in frames]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert len(statistics.get_feature_names_out()) == 12
    array = np.stack([clip[:, :5] for clip in frames])
    cut = MelStatistics(window=4).fit_transform(array)
    np.testing.assert_allclose(cut[2], expected[2], rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="expected 3 bands"):
        statistics.transform(rng.normal(size=(2, 6, 9)))
    with pytest.raises(ValueError, match="no front end"):
        statistics.transform([noise(8000)])


def test_other_poolings_and_statistics():
    clips = [noise(9000)]
    settings = {"window": 16, "statistics": ("max", "mean")}
    windows = MelStatistics(SMALL, pooling=None, **settings).fit_transform(clips)[0]
    both = MelStatistics(SMALL, pooling="meanstd", **settings)
    expected = np.r_[windows.mean(0), windows.std(0)]
    np.testing.assert_allclose(both.fit_transform(clips)[0], expected, rtol=1e-4)
    names = both.get_feature_names_out()
    assert names[[0, 20]].tolist() == ["base_mean_max_0", "base_std_max_0"]
    most = MelStatistics(SMALL, pooling="max", **settings).fit_transform(clips)[0]
    np.testing.assert_array_equal(most, windows.max(0))
    assert not hasattr(MelStatistics(pooling=None), "get_feature_names_out")


def test_the_first_thirty_seconds_of_songs(tmp_path):
    """What comes later changes nothing; a shorter clip is read as it is."""
    song = np.concatenate([noise(30 * 1000), noise(9000, 1)])
    slow = replace(SMALL, sample_rate=1000, duration=FRONTENDS["hamel2013"].duration)
    paths = [tmp_path / "song.wav", tmp_path / "short.wav"]
    soundfile.write(paths[0], song, 1000, subtype="FLOAT")
    soundfile.write(paths[1], song[:2500], 1000, subtype="FLOAT")
    statistics = MelStatistics(slow, window=4)
    expected = statistics.fit_transform([song[:30000]])[0]
    for X in ([song], paths[:1]):
        np.testing.assert_allclose(statistics.transform(X)[0], expected, rtol=1e-5)
    whole = MelStatistics(slow, window=4, duration=100).fit_transform([song])[0]
    middle = MelStatistics(slow, window=4, crop="middle").fit_transform([song])[0]
    for other in (whole, middle):
        assert not np.allclose(other, expected, rtol=1e-3)
    rows = MelStatistics(slow, window=4, pooling=None)
    for X in ([song[:2500]], paths[1:]):
        [windows] = rows.fit_transform(X)
        assert len(windows) == (1 + 2500 // slow.hop) // 4


def test_a_short_file_fills_a_window(tmp_path):
    short = noise(1000)
    soundfile.write(tmp_path / "short.wav", short, RATE, subtype="FLOAT")
    statistics = MelStatistics(SMALL, window=16)
    from_file = statistics.fit_transform([tmp_path / "short.wav"])
    repeated = np.resize(short, 15 * 128 + 1)
    np.testing.assert_allclose(from_file, statistics.transform([repeated]), rtol=1e-5)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"window": 0}, "Got window=0"),
        ({"window": 2.5}, "Got window=2.5"),
        ({"window": None, "window_hop": 3}, "takes each clip as one window"),
        ({"statistics": ()}, "Got statistics="),
        ({"statistics": ("mean", "mean")}, "Got statistics="),
        ({"statistics": "mean"}, "Got statistics="),
        ({"statistics": ("median",)}, "Got statistics="),
        ({"pooling": "sum"}, "Got pooling='sum'"),
        ({"frontend": "nobody2000"}, "Got frontend="),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        MelStatistics(**parameters).fit([noise(4000)])


@pytest.mark.parametrize("pooling", ["mean", "meanstd"])
def test_a_table_of_statistics(tmp_path, pooling):
    clip = tmp_path / "a.wav"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 66150)
    soundfile.write(clip, noise, 22050, subtype="FLOAT")
    statistics = MelStatistics(statistics=("mean", "max"), pooling=pooling)
    assert extract([clip], tmp_path / "table", embedder=statistics).n_done == 1
    found = FeatureTable(tmp_path / "table")
    assert found.layer_sizes == {"base": 2 * 200 * (1 + (pooling == "meanstd"))}
    assert found.fingerprint == statistics.fingerprint
    row = found.lookup([clip]).layers["base"]
    np.testing.assert_array_equal(row, statistics.transform([str(clip)]))


def test_fingerprints_distinguish_settings_and_nothing_else():
    others = [
        MelStatistics(),
        MelStatistics("musicnn"),
        MelStatistics(window=32),
        MelStatistics(window_hop=32),
        MelStatistics(statistics=("mean",)),
        MelStatistics(statistics=("var", "mean", "max", "min")),
        MelStatistics(pooling="max"),
        MelStatistics(duration=3),
        MelStatistics(crop="middle"),
        MelStatistics(short="pad"),
    ]
    prints = [other.fingerprint for other in others]
    assert len(set(prints)) == len(prints)
    same = MelStatistics(n_jobs=7, batch_size=1, device="cpu", duration=3.0)
    assert same.fingerprint == MelStatistics(duration=3).fingerprint
    with pytest.raises(ValueError, match=r"as many rows as windows.* Pass pooling="):
        _ = MelStatistics(pooling=None).layer_sizes


def test_bad_frames():
    with pytest.raises(ValueError, match="expected one number"):
        MelStatistics().fit([np.ones((3, 9)), np.ones((4, 9))])
    with pytest.raises(ValueError, match="Clip 1 of X"):
        MelStatistics().fit([np.ones((3, 9)), np.full((3, 8), np.nan)])


def test_one_or_two_units():
    """A 3-D array might be of channels, and the way out is named; a list is frames."""
    frames = np.random.default_rng(0).normal(size=(3, 2, 40)).astype(np.float32)
    statistics = MelStatistics(window=10)
    with pytest.raises(ValueError, match=r"of several channels, or .* list\(X\)"):
        statistics.fit(frames)
    assert statistics.fit_transform(list(frames)).shape == (3, 8)


@pytest.mark.parametrize("n_channels", [1, 2])
def test_lists_of_channels(n_channels):
    """As torchaudio and librosa read a file: its samples were frames of two units."""
    waves = [np.random.default_rng(0).uniform(-1, 1, (n_channels, 22050))] * 2
    with pytest.raises(ValueError, match=r"\(channels, samples\).*mean\(axis=0\)"):
        MelStatistics(SMALL).fit(waves)
    frames = [np.abs(wave) for wave in waves]  # such as loudness in two bands
    assert MelStatistics(SMALL).fit_transform(frames).shape == (2, 4 * n_channels)


@pytest.mark.parametrize("kind", ["array", "frame", "list"])
def test_features_are_no_waveforms(kind):
    """Rows of seven features were read as seven samples."""
    X = np.random.default_rng(0).normal(size=(5, 7))
    if kind == "frame":
        X = pytest.importorskip("pandas").DataFrame(X)
    X = list(X) if kind == "list" else X
    for method in ("fit_transform", "transform"):
        with pytest.raises(ValueError, match=r"have 7 numbers.*FeatureLookup"):
            getattr(MelStatistics(SMALL), method)(X)
        assert len(getattr(MelStatistics(SMALL, sample_rate=1000), method)(X)) == 5
