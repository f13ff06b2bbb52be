"""The length of an mp3 that does not say it, against files whose length is known."""

import io

import numpy as np
import pytest
import soundfile

from userlogfeat.audio import mp3 as mp3_module
from userlogfeat.audio import read_audio
from userlogfeat.audio.mp3 import Mp3View, _frame_length, find_layout

DECODER_DELAY = 529  # samples that decoders leave out where a length frame stands
RATE = 44100


@pytest.fixture(scope="module", params=["loud first", "quiet first", "constant"])
def mp3(request):
    """Bytes of 12 s: half noise, half near silence, at a variable or constant rate."""
    rng = np.random.default_rng(0)
    wave = rng.uniform(-0.5, 0.5, 12 * RATE)
    if request.param == "loud first":
        wave[6 * RATE :] *= 1e-3
    if request.param == "quiet first":
        wave[: 6 * RATE] *= 1e-3
    mode = "CONSTANT" if request.param == "constant" else "VARIABLE"
    file = io.BytesIO()
    soundfile.write(
        file, wave, RATE, format="MP3", bitrate_mode=mode, compression_level=0.3
    )
    return file.getvalue()


def without_length(mp3):
    """The same file from an encoder that writes no length frame."""
    layout = find_layout(io.BytesIO(mp3))
    assert layout.n_samples is None
    header = mp3[layout.start :][:4]
    return mp3[layout.start + _frame_length(header[1], header[2]) :]


def test_frame_lengths_by_hand():
    """128 kbit/s at 44.1 kHz: 1152 / 44100 s are 417.96 bytes; padded, one more."""
    assert _frame_length(0xFB, 0x90) == 417
    assert _frame_length(0xFB, 0x92) == 418
    # MPEG-2, 24 kHz, 64 kbit/s: 576 / 24000 s are 192 bytes.
    assert _frame_length(0xF3, 0x84) == 192
    # Free bit rate, a reserved rate, layer II, no frame at all.
    for second, third in ((0xFB, 0x00), (0xFB, 0x9C), (0xFD, 0x90), (0x10, 0x90)):
        assert _frame_length(second, third) is None


def test_frames_are_counted(mp3):
    """The encoder starts a delay early and fills the last frame: 461 or 462 frames."""
    layout = find_layout(io.BytesIO(without_length(mp3)))
    assert layout.start == 0
    assert 0 <= layout.n_samples - 12 * RATE <= 2 * 1152


def test_no_end_is_lost(mp3, tmp_path):
    """The decoder alone would stop at its guess: after 5 of 12 s, loud part first."""
    path = tmp_path / "a.mp3"
    path.write_bytes(without_length(mp3))
    found = read_audio(path, sample_rate=RATE)
    n_samples = find_layout(io.BytesIO(without_length(mp3))).n_samples
    assert len(found) in (n_samples, n_samples - DECODER_DELAY)
    expected = soundfile.read(io.BytesIO(mp3), dtype="float32")[0]
    lead = len(found) - len(expected)
    # The same samples, at one of the few shifts that delays can make.
    inner = slice(2 * RATE, 10 * RATE)
    differences = [
        np.abs(np.roll(found, -shift)[inner] - expected[inner]).max()
        for shift in (576, 1105, lead)
    ]
    assert min(differences) < 1e-4


def test_a_crop_is_a_crop_of_the_whole(mp3, tmp_path):
    path = tmp_path / "a.mp3"
    path.write_bytes(without_length(mp3))
    whole = read_audio(path, sample_rate=RATE)
    part = read_audio(path, sample_rate=RATE, duration=2.0)
    start = (len(whole) - 2 * RATE) // 2
    np.testing.assert_allclose(part, whole[start : start + 2 * RATE], atol=2e-4)


@pytest.mark.parametrize(
    "before",
    [
        b"ID3\x03\x00\x00\x00\x00\x01\x00" + bytes(128),
        bytes(3000),
        b"\xff\xfb\x90\x64 no frame follows " * 20,
    ],
    ids=["tag", "zeros", "like a frame"],
)
def test_other_bytes_before_the_frames(mp3, tmp_path, before):
    path = tmp_path / "a.mp3"
    path.write_bytes(before + mp3)
    found = read_audio(path, sample_rate=RATE)
    assert found.shape == (12 * RATE,)
    expected = soundfile.read(io.BytesIO(mp3), dtype="float32")[0]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_bytes_between_frames_are_passed_over(mp3):
    plain = without_length(mp3)
    n_samples = find_layout(io.BytesIO(plain)).n_samples
    tag = b"ID3\x03\x00\x00\x00\x00\x01\x00" + bytes(128)
    twice = find_layout(io.BytesIO(plain + tag + plain))
    assert twice.n_samples == 2 * n_samples
    assert find_layout(io.BytesIO(plain + b"TAG" + bytes(125))).n_samples == n_samples


def test_what_is_no_mp3():
    rng = np.random.default_rng(0)
    for data in (b"", b"\xff", b"a text " * 999, rng.bytes(50_000), bytes(5000)):
        assert find_layout(io.BytesIO(data)) is None


def test_the_view_is_length_frame_then_file(mp3):
    data = b"junk" + without_length(mp3)
    layout = find_layout(io.BytesIO(data))
    view = Mp3View(io.BytesIO(data), layout, len(data))
    whole = layout.length_frame + data[4:]
    assert layout.start == 4
    assert view.read() == whole
    for position in (0, 10, len(layout.length_frame), 5000):
        assert view.seek(position) == position
        assert io.BufferedReader(view).read(100) == whole[position : position + 100]
        view = Mp3View(io.BytesIO(data), layout, len(data))
    assert view.seek(-7, io.SEEK_END) == len(whole) - 7
    assert view.read(100) == whole[-7:]


def test_a_file_made_to_be_searched_is_not_searched_for_long(monkeypatch):
    """Runs of four frames between much that looks like headers: hours of searching."""
    frame = b"\xff\xf3\x14\xc4" + bytes(44)  # MPEG-2, 8 kbit/s, 24 kHz
    assert _frame_length(*frame[1:3]) == 24
    run = 4 * (frame[:24])
    junk = b"\xff\xfb\x90\0" * 15_000  # frames of 417 bytes, were they any
    data = run + 200 * (junk + run)
    calls = []
    monkeypatch.setattr(mp3_module, "_MAX_SEARCHED", 1 << 19)
    monkeypatch.setattr(mp3_module, "_is_run", spy(mp3_module._is_run, calls))
    layout = find_layout(io.BytesIO(data))
    assert len(calls) < mp3_module._MAX_SEARCHED / 3
    assert 4 * 8 < layout.n_samples / 576 < 4 * 12


def spy(call, calls):
    def spied(*args):
        calls.append(args[1])
        return call(*args)

    return spied
