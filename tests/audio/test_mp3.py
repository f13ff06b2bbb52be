"""The length of an mp3 that does not say it, against files whose length is known."""

import io
import struct

import numpy as np
import pytest
import soundfile

from userlogfeat.audio import files, read_audio
from userlogfeat.audio import mp3 as mp3_module
from userlogfeat.audio.errors import CorruptAudioError, UnsupportedAudioError
from userlogfeat.audio.mp3 import frame_length
from userlogfeat.audio.source import Source

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


def find_layout(data):
    """The layout of an mp3 of these bytes."""
    return mp3_module.find_layout(Source(io.BytesIO(data), "a.mp3", len(data)))


def without_length(mp3):
    """The same file from an encoder that writes no length frame."""
    layout = find_layout(mp3)
    assert layout.as_it_is
    return mp3[layout.pieces[0][0] :]


def test_frame_lengths_by_hand():
    """128 kbit/s at 44.1 kHz: 1152 / 44100 s are 417.96 bytes; padded, one more."""
    assert frame_length(0xFB, 0x90) == 417
    assert frame_length(0xFB, 0x92) == 418
    # MPEG-2, 24 kHz, 64 kbit/s: 576 / 24000 s are 192 bytes.
    assert frame_length(0xF3, 0x84) == 192
    # Layer II, 160 kbit/s: 522.4 bytes. Layer I, 128 kbit/s: 384 samples, 34.8 slots of
    # 4 bytes.
    assert frame_length(0xFD, 0x90) == 522
    assert frame_length(0xFF, 0x40) == 136
    assert frame_length(0xFF, 0x42) == 140
    # Free bit rate, where the length is that of the others.
    assert frame_length(0xFB, 0x02, free_length=700) == 701
    # Free bit rate, a reserved rate, AAC, no frame at all.
    for second, third in ((0xFB, 0x00), (0xFB, 0x9C), (0xF9, 0x90), (0x10, 0x90)):
        assert frame_length(second, third) is None


def test_frames_are_counted(mp3):
    """The encoder starts a delay early and fills the last frame: 461 or 462 frames."""
    layout = find_layout(without_length(mp3))
    assert [start for start, _ in layout.pieces] == [0]
    assert 0 <= layout.n_samples - 12 * RATE <= 2 * 1152


def test_no_end_is_lost(mp3, tmp_path):
    """The decoder alone would stop at its guess: after 5 of 12 s, loud part first."""
    path = tmp_path / "a.mp3"
    path.write_bytes(without_length(mp3))
    found = read_audio(path, sample_rate=RATE)
    n_samples = find_layout(without_length(mp3)).n_samples
    assert len(found) == n_samples
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


def test_what_is_no_mp3():
    rng = np.random.default_rng(0)
    for data in (b"", b"\xff", b"a text " * 999, rng.bytes(50_000), bytes(5000)):
        assert find_layout(data) is None


def test_a_file_made_to_be_searched_is_not_searched_for_long(monkeypatch):
    """Runs of four frames between much that looks like headers: hours of searching."""
    frame = b"\xff\xf3\x14\xc4" + bytes(44)  # MPEG-2, 8 kbit/s, 24 kHz
    assert frame_length(*frame[1:3]) == 24
    run = 4 * (frame[:24])
    junk = b"\xff\xfb\x90\0" * 15_000  # frames of 417 bytes, were they any
    data = run + 200 * (junk + run)
    calls = []
    monkeypatch.setattr(mp3_module, "_MAX_SEARCHED", 1 << 19)
    monkeypatch.setattr(mp3_module, "_run_at", spy(mp3_module._run_at, calls))
    with pytest.raises(CorruptAudioError, match="neither sound nor a tag"):
        find_layout(data)
    assert len(calls) < mp3_module._MAX_SEARCHED / 3


def spy(call, calls):
    def spied(*args):
        calls.append(args[1])
        return call(*args)

    return spied


# Files of three seconds: what they are joined with, and what their headers say.

SECONDS = 3
ID3 = b"ID3\x03\0\0\0\0\x01\0" + bytes(128)
ID3V1 = b"TAG" + b"x" * 125
APE = b"APETAGEX" + struct.pack("<IIII", 2000, 32 + 64, 1, 0xA0000000) + bytes(8)
APE += bytes(64) + APE[:20] + struct.pack("<I", 0x80000000) + bytes(8)


def encode_short(rate, channels=1):
    wave = np.random.default_rng(1).uniform(-0.5, 0.5, (SECONDS * rate, channels))
    file = io.BytesIO()
    settings = {"bitrate_mode": "CONSTANT", "compression_level": 0.3}
    soundfile.write(file, wave, rate, format="MP3", **settings)
    return file.getvalue()


@pytest.fixture(scope="module")
def short():
    return encode_short(RATE)


@pytest.fixture(scope="module")
def sound(short):
    return soundfile.read(io.BytesIO(short), dtype="float32")[0]


def read(data, tmp_path, **settings):
    path = tmp_path / "a.mp3"
    path.write_bytes(data)
    return read_audio(path, sample_rate=RATE, **settings)


def holds(found, sound, about):
    """Check that `sound` is in `found`, within 3000 samples of a place."""
    part = sound[RATE : RATE + 256]
    near = found[max(0, about + RATE - 3000) :][: 256 + 6000]
    views = np.lib.stride_tricks.sliding_window_view(near, 256)
    assert np.abs(views - part).max(axis=1).min() < 1e-3


def is_one_file(found, sound):
    assert 0 <= len(found) - SECONDS * RATE <= 2 * 1152
    holds(found, sound, 0)


@pytest.mark.parametrize("between", [b"", ID3, ID3V1, ID3V1 + ID3, APE, bytes(300)])
@pytest.mark.parametrize("says", [True, False])
def test_joined_files_are_read_to_the_end(short, sound, tmp_path, between, says):
    """Of files that said their number of frames the first one alone was read."""
    data = short if says else without_length(short)
    found = read(data + between + data, tmp_path)
    assert 0 <= len(found) - 2 * SECONDS * RATE <= 5 * 1152
    holds(found, sound, 0)
    holds(found, sound, SECONDS * RATE)
    part = read(data + between + data, tmp_path, duration=1.0)
    start = (len(found) - RATE) // 2
    np.testing.assert_allclose(part, found[start : start + RATE], atol=2e-4)


def test_tags_at_the_end_are_no_sound(short, tmp_path):
    lyrics = b"LYRICSBEGIN" + b"x" * 6000
    lyrics += b"%06dLYRICS200" % len(lyrics)
    for data in (short, without_length(short)):
        n_samples = len(read(data, tmp_path))
        for tags in (ID3V1, APE, APE + ID3V1, lyrics, lyrics + ID3V1):
            assert len(read(data + tags, tmp_path)) == n_samples


@pytest.mark.parametrize(
    ("rate", "channels", "said"),
    [(32000, 1, "one channel at 32000 Hz"), (RATE, 2, "two channels at 44100 Hz")],
)
def test_joined_files_of_other_kinds_are_refused(short, tmp_path, rate, channels, said):
    data = short + encode_short(rate, channels)
    match = f"changes on the way: one channel at 44100 Hz go over to {said} at 3.0"
    for duration in (None, 0.5):
        with pytest.raises(UnsupportedAudioError, match=match):
            read(data, tmp_path, duration=duration)


def promising(data, n_frames):
    at = data.index(b"Info") if b"Info" in data else data.index(b"Xing")
    return data[: at + 8] + struct.pack(">I", n_frames) + data[at + 12 :]


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_a_number_of_frames_that_is_too_small(short, sound, tmp_path, share):
    """It was believed: of twelve seconds six were read, or four."""
    n_frames = int(share * SECONDS * RATE / 1152)
    is_one_file(read(promising(short, n_frames), tmp_path), sound)


def test_a_number_of_frames_that_is_too_large(short, tmp_path):
    with pytest.raises(CorruptAudioError, match=r"promises 6.01 s .* ends after 3\.0"):
        read(promising(short, 230), tmp_path, duration=0.5)


@pytest.mark.parametrize("n_frames", [116, 3])
def test_a_number_in_a_header_of_another_kind(short, sound, tmp_path, n_frames):
    """VBRI, of Fraunhofer's encoder."""
    plain = without_length(short)
    head = short[:4] + bytes(32) + b"VBRI" + bytes(10) + struct.pack(">I", n_frames)
    head += bytes(len(short) - len(plain) - len(head))
    is_one_file(read(head + plain, tmp_path), sound)


@pytest.mark.parametrize("n_bytes", [3000, 100_000])
@pytest.mark.parametrize("fill", [b"\0", b"Z"])
@pytest.mark.parametrize("duration", [None, 0.5])
def test_a_hole_is_an_error_of_any_size(short, tmp_path, n_bytes, fill, duration):
    """One of more than 64 KiB ended the file without a word."""
    plain = without_length(short)
    match = rf"at 3\.\d\d s, {n_bytes} bytes .* neither sound nor a tag"
    with pytest.raises(CorruptAudioError, match=match):
        read(plain + fill * n_bytes + plain, tmp_path, duration=duration)


def test_half_of_a_file_that_was_not_fetched(short, tmp_path):
    plain = without_length(short)
    data = plain[: len(plain) // 2] + bytes(len(plain) // 2)
    with pytest.raises(CorruptAudioError, match="neither sound nor a tag"):
        read(data, tmp_path)


@pytest.mark.parametrize("rate", [8000, 16000, 32000])
def test_a_crop_of_small_frames(tmp_path, rate, monkeypatch):
    """They use bytes of frames before a place, which the decoder lacks when it seeks.

    So crops were wrong at their beginning, and long files where a block ended: after
    each read soundfile seeks to where it is.
    """
    rng = np.random.default_rng(0)
    time = np.arange(4 * rate) / rate
    wave = 0.4 * np.sin(2 * np.pi * 440 * time) * (time + 1) / 5
    wave[:: rate // 2] += 0.3 * rng.normal(size=8)
    path = tmp_path / "a.mp3"
    soundfile.write(path, wave, rate, format="MP3", compression_level=0.9)
    whole = read_audio(path, sample_rate=rate)
    for seconds in (0.5, 1.0, 1.7, 3.0):
        part = read_audio(path, sample_rate=rate, duration=seconds)
        start = (len(whole) - len(part)) // 2
        np.testing.assert_allclose(part, whole[start : start + len(part)], atol=1e-6)
    monkeypatch.setattr(files, "BLOCK_SAMPLES", 3000)
    np.testing.assert_array_equal(read_audio(path, sample_rate=rate), whole)
    at_once, _ = soundfile.read(path, dtype="float32")
    np.testing.assert_allclose(whole, at_once, atol=1e-6)


def test_an_ape_tag_in_front(short, sound, tmp_path):
    """The delay of the encoder was read as sound."""
    tag = b"APETAGEX" + struct.pack("<IIII", 2000, 132, 1, 0xA0000000) + bytes(8)
    data = tag + bytes(100) + tag[:20] + b"\0\0\0\x80" + bytes(8) + short
    is_one_file(read(data, tmp_path), sound)


def test_a_last_frame_that_is_cut(short, sound, tmp_path):
    """A file without a length was read as a shorter one, wherever it was cut.

    Where a tag follows, the end is there: the encoder itself left the frame so.
    """
    plain = without_length(short)
    for n_bytes in (len(plain) // 2 + 50, len(plain) - 10):
        with pytest.raises(CorruptAudioError, match="it ends within a frame"):
            read(plain[:n_bytes], tmp_path)
    is_one_file(read(plain[:-10] + b"TAG" + bytes(125), tmp_path), sound)


@pytest.mark.parametrize("says", [True, False])
@pytest.mark.parametrize("size", [0, 10, 1 << 14])
def test_a_tag_of_a_wrong_size_hides_nothing(short, sound, tmp_path, size, says):
    """Where it was said to be larger than it is, frames were left out."""
    tag = b"ID3\x03\0\0" + bytes([0, size >> 14, size >> 7 & 127, size & 127])
    data = tag + b"x" * 200 + (short if says else without_length(short))
    is_one_file(read(data, tmp_path), sound)


def test_free_bit_rate(short, sound, tmp_path):
    """Frames that do not say how long they are: all have one length."""
    data, at = bytearray(without_length(short)), 0
    while at < len(data):
        length = frame_length(data[at + 1], data[at + 2])
        data[at + 2] &= 0x0F
        at += length
    found = read(bytes(data), tmp_path)
    is_one_file(found, sound)
    part = read(bytes(data), tmp_path, duration=1.0)
    start = (len(found) - RATE) // 2
    np.testing.assert_allclose(part, found[start : start + RATE], atol=1e-6)


def in_wav(data, tag=0x55):
    form = struct.pack("<HHIIHHHHIHHH", tag, 1, RATE, 16000, 1, 0, 12, 1, 2, 418, 1, 0)
    chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    chunks += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


@pytest.mark.parametrize("says", [True, False])
def test_mp3_in_wav(short, sound, tmp_path, says):
    """Crops were off by 755 samples."""
    data = in_wav(short if says else without_length(short))
    found = read(data, tmp_path)
    is_one_file(found, sound)
    part = read(data, tmp_path, duration=1.0)
    start = (len(found) - RATE) // 2
    np.testing.assert_allclose(part, found[start : start + RATE], atol=2e-4)
    with pytest.raises(CorruptAudioError, match="promises more bytes than it holds"):
        read(data[: len(data) // 2], tmp_path)


def test_frames_behind_the_sound_of_a_wav(short):
    """A frame that reached over the end was found again, for ever."""
    frames = without_length(short)
    n_samples = find_layout(frames).n_samples
    source = Source(io.BytesIO(frames + frames), "a.wav", 2 * len(frames))
    found = mp3_module.find_layout(source, 0, len(frames) - 1)
    assert found.n_samples == n_samples - 1152


@pytest.mark.parametrize("wrap", [bytes, lambda data: in_wav(data, tag=0x50)])
def test_layer_two(encode, tmp_path, wrap):
    """Crops were off by 394 samples, and the end of what had begun louder was lost."""
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, SECONDS * RATE)
    low, high = (encode(wave, RATE, "mp2", "mp2", kbit * 1000) for kbit in (64, 192))
    data = wrap(high + low)
    found = read(data, tmp_path)
    n_frames = -(-SECONDS * RATE // 1152)
    assert 0 <= len(found) - 2 * n_frames * 1152 <= 4 * 1152
    part = read(data, tmp_path, duration=1.0)
    start = (len(found) - RATE) // 2
    np.testing.assert_allclose(part, found[start : start + RATE], atol=1e-6)
    assert np.abs(found[-RATE:]).max() > 0.1
