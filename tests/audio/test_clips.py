"""Waveforms from files: the right samples, the right length, only what is needed."""

import os
import threading
import time
import tracemalloc
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import soxr

from userlogfeat.audio import (
    EmptyAudioError,
    MissingAudioError,
    decode_ahead,
    find_audio,
    fit_length,
    folders,
    read_audio,
)
from userlogfeat.audio import ahead as ahead_module

RATE = 8000


def noise(n_samples, *channels):
    rng = np.random.default_rng(0)
    return rng.uniform(-0.5, 0.5, (n_samples, *channels)).astype(np.float32)


@pytest.fixture(scope="module")
def long_file(tmp_path_factory):
    """Two hours at 8 kHz whose sample k is k, modulo 2 ** 22, in units of 2 ** -23."""
    path = tmp_path_factory.mktemp("long") / "two_hours.wav"
    with soundfile.SoundFile(path, "w", RATE, 1, subtype="PCM_24") as file:
        for start in range(0, 7200 * RATE, 600 * RATE):
            numbers = np.arange(start, start + 600 * RATE, dtype=np.int32) % 2**22
            file.write(numbers << 8)  # 24 of 32 bits are stored
    return path


@pytest.fixture
def frames_read(monkeypatch):
    """How many frames soundfile decoded."""
    counts = []
    read = soundfile.SoundFile.read

    def counting(self, *args, **settings):
        block = read(self, *args, **settings)
        counts.append(len(block))
        return block

    monkeypatch.setattr(soundfile.SoundFile, "read", counting)
    return counts


@pytest.mark.parametrize(
    ("suffix", "subtype", "tolerance"),
    [
        ("wav", "PCM_16", 2**-15),
        ("wav", "FLOAT", 0),
        ("flac", "PCM_24", 2**-23),
        ("au", "PCM_16", 2**-15),
        ("aiff", "PCM_24", 2**-23),
        ("ogg", "VORBIS", 0.1),
        ("mp3", "MPEG_LAYER_III", 0.1),
    ],
)
def test_every_format(tmp_path, suffix, subtype, tolerance):
    """A slow sine comes back, whatever the format; its length exactly."""
    wave = 0.5 * np.sin(2 * np.pi * 300 * np.arange(3 * 16000) / 16000)
    path = tmp_path / f"sine.{suffix}"
    soundfile.write(path, wave, 16000, subtype=subtype)
    found = read_audio(path, sample_rate=16000)
    assert found.dtype == np.float32
    assert found.shape == wave.shape
    inner = slice(2000, -2000)  # lossy formats smear the edges
    np.testing.assert_allclose(found[inner], wave[inner], atol=tolerance + 1e-7)


@pytest.mark.parametrize("channels", [2, 3, 6])
def test_mean_of_channels(tmp_path, channels):
    wave = noise(5000, channels)
    path = tmp_path / "a.wav"
    soundfile.write(path, wave, RATE, subtype="FLOAT")
    expected = [sum(map(float, row)) / channels for row in wave]
    np.testing.assert_allclose(read_audio(path, sample_rate=RATE), expected, atol=1e-7)


def test_resampling_keeps_a_tone(tmp_path):
    """A 440 Hz sine at 44.1 kHz is a 440 Hz sine at 16 kHz."""
    path = tmp_path / "a.wav"
    soundfile.write(
        path,
        0.5 * np.sin(2 * np.pi * 440 * np.arange(88200) / 44100),
        44100,
        subtype="FLOAT",
    )
    found = read_audio(path, sample_rate=16000)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(32000) / 16000)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found[500:-500], expected[500:-500], atol=1e-5)


def test_resampling_in_blocks_is_resampling_at_once(tmp_path, monkeypatch):
    wave = noise(44100 * 2)
    path = tmp_path / "a.wav"
    soundfile.write(path, wave, 44100, subtype="FLOAT")
    monkeypatch.setattr("userlogfeat.audio.files.BLOCK_SAMPLES", 1001)
    found = read_audio(path, sample_rate=16000)
    np.testing.assert_array_equal(found, soxr.resample(wave, 44100, 16000))


def test_length_is_rounded_up(tmp_path):
    """1001 samples at 44.1 kHz last 363.2 samples at 16 kHz."""
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(1001), 44100)
    assert len(read_audio(path, sample_rate=16000)) == 364


@pytest.mark.parametrize("rate", [16000, 22050, 44100, 44101, 48000])
@pytest.mark.parametrize("crop", ["start", "middle", "random"])
def test_crop_of_file_is_crop_of_whole(tmp_path, rate, crop):
    """Also for a ratio of rates that has no common divisor (44101)."""
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(rate * 6 + 17), rate, subtype="FLOAT")
    settings = {"crop": crop, "random_state": 3}
    part = read_audio(path, sample_rate=16000, duration=1.5, **settings)
    whole = read_audio(path, sample_rate=16000)
    expected = fit_length(whole, 24000, **settings)
    assert part.shape == (24000,)
    np.testing.assert_allclose(part, expected, atol=2e-6)


def test_a_crop_seeks(long_file, frames_read):
    """30 s out of two hours: sample k of the file is k, and 30 s are decoded."""
    part = read_audio(long_file, sample_rate=RATE, duration=30.0)
    start = (7200 - 30) * RATE // 2
    expected = np.arange(start, start + 30 * RATE) % 2**22 / 2**23
    np.testing.assert_array_equal(part, expected.astype(np.float32))
    assert sum(frames_read) == 30 * RATE


def test_a_resampled_crop_seeks(long_file, frames_read):
    part = read_audio(long_file, sample_rate=11025, duration=30.0)
    assert part.shape == (330750,)
    assert sum(frames_read) < 31.2 * RATE


@pytest.mark.parametrize("suffix", ["flac", "ogg"])
def test_a_crop_of_a_compressed_file_seeks(tmp_path, suffix, frames_read):
    path = tmp_path / f"a.{suffix}"
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        for _ in range(10):
            file.write(noise(12 * RATE))
    found = read_audio(path, sample_rate=RATE, duration=5.0)
    assert sum(frames_read) == 5 * RATE
    whole = read_audio(path, sample_rate=RATE)
    np.testing.assert_allclose(found, fit_length(whole, 5 * RATE), atol=2e-4)


def test_whole_long_files_are_not_held_twice(long_file):
    """The mean and the resampled clip come block by block: only the result is held."""
    tracemalloc.start()
    whole = read_audio(long_file, sample_rate=1000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert whole.shape == (7_200_000,)
    # The file has 230 MB as float32; the result 29, joined from parts, a block 17.
    assert peak < 130e6


@pytest.mark.parametrize("short", ["repeat", "pad"])
def test_a_short_file_is_filled(tmp_path, short):
    wave = noise(RATE)
    path = tmp_path / "a.wav"
    soundfile.write(path, wave, RATE, subtype="FLOAT")
    found = read_audio(path, sample_rate=RATE, duration=2.5, short=short)
    rest = np.tile(wave, 2)[: RATE * 3 // 2] if short == "repeat" else np.zeros(12000)
    np.testing.assert_array_equal(found, np.concatenate([wave, rest]))


def test_random_crops(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.arange(10000, dtype=np.int16), RATE)
    read = partial(read_audio, path, sample_rate=RATE, duration=0.5, crop="random")
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    starts = {round(float(read()[0]) * 2**15) for _ in range(20)}
    after = np.random.get_state()[1]  # noqa: NPY002
    np.testing.assert_array_equal(after, before)
    assert len(starts) > 10
    assert max(starts) <= 6000
    np.testing.assert_array_equal(read(random_state=5), read(random_state=5))
    assert read(random_state=5)[0] != read(random_state=6)[0]


def test_silence_is_legal(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.zeros(RATE), RATE)
    np.testing.assert_array_equal(read_audio(path, sample_rate=16000), np.zeros(16000))


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"sample_rate": 0}, "sample_rate=0, expected a positive finite integer"),
        ({"sample_rate": 16000.5}, "sample_rate=16000.5"),
        ({"sample_rate": 44}, "sample_rate=44, .* Is it in kHz"),
        ({"duration": 1e12}, "expected at most 33554 s at 16000 Hz"),
        ({"duration": -1.0}, "duration=-1.0"),
        ({"duration": 1e-9}, "less than one sample at 16000 Hz"),
        ({"crop": "center"}, "crop='center', expected one of 'start', 'middle'"),
        ({"short": "loop"}, "short='loop'"),
    ],
)
def test_parameters(tmp_path, settings, match):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(100), RATE)
    with pytest.raises(ValueError, match=match):
        read_audio(path, **{"sample_rate": 16000, **settings})


def test_fit_length():
    wave = np.arange(10)
    np.testing.assert_array_equal(fit_length(wave, 10), wave)
    np.testing.assert_array_equal(fit_length(wave, 4, crop="start"), [0, 1, 2, 3])
    np.testing.assert_array_equal(fit_length(wave, 5, crop="middle"), [2, 3, 4, 5, 6])
    drawn = {fit_length(wave, 4, crop="random", random_state=i)[0] for i in range(99)}
    assert drawn == set(range(7))
    for bad in (np.zeros(0), np.zeros((2, 3))):
        with pytest.raises(ValueError, match="one dimension and at least one sample"):
            fit_length(bad, 4)


def decoders():
    return [
        thread
        for thread in threading.enumerate()
        if thread.name.startswith("decode-ahead")
    ]


def test_decode_ahead_keeps_order_and_delivers_errors(tmp_path):
    good = tmp_path / "good.wav"
    soundfile.write(good, noise(RATE), RATE)
    empty = tmp_path / "empty.mp3"
    empty.touch()
    paths = [good, "gone.wav", str(good), empty, good] * 10
    read = partial(read_audio, sample_rate=RATE)
    found = list(decode_ahead(iter(paths), read, n_threads=3, ahead=4))
    assert [index for index, _, _ in found] == list(range(50))
    assert [path for _, path, _ in found] == paths
    kinds = [type(waveform) for _, _, waveform in found]
    array = np.ndarray
    assert kinds == [array, MissingAudioError, array, EmptyAudioError, array] * 10
    assert str(empty) in str(found[3][2])
    assert decoders() == []


def test_order_does_not_follow_speed():
    """Every other clip takes longer; the order stays."""

    def read(number):
        time.sleep(0.02 * (number % 2))
        return number

    found = [value for _, _, value in decode_ahead(range(20), read, n_threads=4)]
    assert found == list(range(20))


def test_no_more_than_ahead_are_read_for_a_slow_caller():
    started, finished = [], []

    def read(number):
        started.append(number)
        return number

    for index, _, _ in decode_ahead(range(100), read, n_threads=4, ahead=5):
        finished.append(index)
        time.sleep(0.005)
        assert max(started) <= index + 5
    assert finished == list(range(100))


def test_a_generator_of_paths_is_not_run_to_its_end():
    taken = []

    def numbers():
        for number in range(10**9):
            taken.append(number)
            yield number

    decoded = decode_ahead(numbers(), lambda number: number, ahead=3)
    assert [next(decoded)[0] for _ in range(4)] == [0, 1, 2, 3]
    decoded.close()
    assert len(taken) <= 4 + 3
    assert decoders() == []


def test_memory_does_not_grow_with_the_number_of_clips():
    def peak(n_clips):
        tracemalloc.start()
        total = 0
        for _, _, waveform in decode_ahead(
            range(n_clips), lambda _: np.zeros(100_000), ahead=4
        ):
            time.sleep(0.002)  # so that as many wait as may
            total += len(waveform)
        assert total == n_clips * 100_000
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    assert peak(300) < 1.2 * peak(30)


def test_other_errors_are_raised_and_threads_end():
    def read(number):
        if number == 5:
            raise KeyError("a bug")
        return number

    found = []
    with pytest.raises(KeyError, match="a bug"):  # noqa: PT012
        for index, _, _ in decode_ahead(range(100), read):
            found.append(index)
    assert found == [0, 1, 2, 3, 4]
    assert decoders() == []


def test_long_clips_do_not_all_wait(monkeypatch):
    """16 of them, decoded ahead, filled the memory whatever their lengths."""
    monkeypatch.setattr(ahead_module, "MAX_WAITING_BYTES", 2_000)
    begun = []

    def read(number):
        begun.append(number)
        return np.full(100, number)  # 800 bytes: three of them are beyond it

    for index, _, wave in decode_ahead(range(50), read, n_threads=2, ahead=16):
        time.sleep(0.002)
        assert wave[0] == index
        assert len(begun) <= index + 1 + 3 + 2
    assert sorted(begun) == list(range(50))


def test_closed_while_threads_wait_for_room(monkeypatch):
    monkeypatch.setattr(ahead_module, "MAX_WAITING_BYTES", 1)
    decoded = decode_ahead(range(50), lambda number: np.zeros(9), n_threads=3)
    next(decoded)
    decoded.close()
    assert decoders() == []


def test_leaving_the_loop_by_an_exception_ends_the_threads():
    decoded = decode_ahead(range(100), lambda number: number)
    with pytest.raises(RuntimeError, match="enough"):  # noqa: PT012
        for index, _, _ in decoded:
            if index == 3:
                raise RuntimeError("enough")
    decoded.close()
    assert decoders() == []


def test_errors_delivered_hold_no_samples(tmp_path):
    """Their tracebacks would: ten thousand bad files would fill the memory."""
    path = tmp_path / "nan.wav"
    wave = noise(RATE)
    wave[7] = np.nan
    soundfile.write(path, wave, RATE, subtype="FLOAT")
    read = partial(read_audio, sample_rate=RATE)
    [(_, _, error)] = decode_ahead([path], read)
    assert (error.__traceback__, error.__cause__, error.__context__) == (None,) * 3


def test_decode_ahead_checks_its_numbers_at_once():
    with pytest.raises(ValueError, match="n_threads=0"):
        decode_ahead([], len, n_threads=0)
    with pytest.raises(ValueError, match="ahead=-1"):
        decode_ahead([], len, ahead=-1)


def test_folders_that_a_disk_does_not_number(tmp_path, monkeypatch):
    """All had the number 0, and only the first was looked into."""
    for name in "abc":
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.wav").touch()
    (tmp_path / "c" / "up").symlink_to(tmp_path)
    expected, genuine = find_audio([tmp_path]), os.stat

    def stat(path, **settings):
        return os.stat_result((*genuine(path, **settings)[:1], 0, 0, *8 * (0,)))

    with monkeypatch.context() as patch:
        patch.setattr(folders, "os", SimpleNamespace(**vars(os) | {"stat": stat}))
        assert find_audio([tmp_path]) == expected
    assert len(expected) == 3


def test_find_audio(tmp_path):
    for name in ("b.wav", "a.MP3", "a.txt", "._a.mp3", "sub/c.flac", ".git/d.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "sub" / "loop").symlink_to(tmp_path)
    (tmp_path / "sub" / "song.m4a").touch()
    names = ("a.MP3", "b.wav", "sub/c.flac", "sub/song.m4a")
    expected = [f"{tmp_path}/{name}" for name in names]
    assert find_audio([tmp_path]) == expected
    assert find_audio(str(tmp_path)) == expected
    given = [tmp_path / "a.txt", "gone.wav"]
    assert find_audio([*given, tmp_path / "sub"]) == [
        *given,
        f"{tmp_path}/sub/c.flac",
        f"{tmp_path}/sub/song.m4a",
        *(f"{tmp_path}/sub/loop/{name}" for name in ("a.MP3", "b.wav")),
    ]


def test_find_audio_in_folders_whose_names_are_no_text(tmp_path):
    folder = bytes(tmp_path) + b"/\xff"
    os.mkdir(folder)
    open(folder + b"/\xfe.wav", "w").close()
    assert find_audio([folder]) == [folder + b"/\xfe.wav"]
    assert find_audio([tmp_path]) == [os.fsdecode(folder + b"/\xfe.wav")]


def test_find_audio_reports_folders_it_cannot_list(tmp_path, monkeypatch):
    (tmp_path / "a.wav").touch()
    (tmp_path / "locked").mkdir()
    scandir = os.scandir

    def denying(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denying)
    with pytest.warns(UserWarning, match=r"locked' cannot be listed \(Permission"):
        assert find_audio([tmp_path]) == [f"{tmp_path}/a.wav"]


@pytest.mark.long
@pytest.mark.long
@pytest.mark.real
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # its reader of last resort
def test_as_librosa_loads(data, judge):
    """The references of musicnn were made from librosa.load: the same to the bit."""
    librosa = judge("librosa")
    for path in (
        data / "gtzan_clips" / "metal.00003.flac",
        data / "musicnn_reference" / "joram-moments_of_clarity-08-solipsism-59-88.mp3",
    ):
        expected, _ = librosa.load(path, sr=16000)
        found = read_audio(path, sample_rate=16000)
        np.testing.assert_array_equal(found, expected)
