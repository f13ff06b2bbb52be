"""Bad audio files: each gets its own error, with file, fact and way out."""

import builtins
import errno
import os
import pickle
import struct
import tracemalloc

import numpy as np
import pytest
import soundfile

from userlogfeat.audio import clips, flac, read_audio
from userlogfeat.audio import files as audio_files
from userlogfeat.audio.errors import (
    AudioError,
    CorruptAudioError,
    EmptyAudioError,
    MissingAudioError,
    NonFiniteAudioError,
    TooLongAudioError,
    UnreadableAudioError,
    UnsupportedAudioError,
)
from userlogfeat.audio.source import Source

RATE = 16000


def noise(n_samples=RATE, *channels):
    rng = np.random.default_rng(0)
    return rng.uniform(-0.5, 0.5, (n_samples, *channels)).astype(np.float32)


def write(path, wave=None, rate=RATE, **settings):
    soundfile.write(path, noise() if wave is None else wave, rate, **settings)
    return path


def refuse(path, kind, match, **settings):
    """Check that a file is refused, and that the error has its three parts."""
    with pytest.raises(kind, match=match) as caught:
        read_audio(path, **{"sample_rate": RATE, **settings})
    error = caught.value
    assert type(error) is kind
    assert str(error).startswith(repr(os.fsdecode(path)))
    assert len(error.way_out) > 10
    return error


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff", "au"])
def test_windows_reads_the_same(tmp_path, monkeypatch, suffix):
    """libsndfile there does not know what Python's file numbers mean."""
    path = write(tmp_path / f"a.{suffix}", noise(RATE, 2))
    path = path.rename(tmp_path / "a.raw")  # by its content, whatever its name
    expected = read_audio(path, sample_rate=RATE)
    monkeypatch.setattr(audio_files, "_WINDOWS", True)
    np.testing.assert_array_equal(read_audio(path, sample_rate=RATE), expected)


def test_missing(tmp_path):
    error = refuse(tmp_path / "gone.wav", MissingAudioError, "no such file")
    assert os.getcwd() in str(error)
    write(tmp_path / "a.wav")
    refuse(tmp_path / "a.wav" / "b.wav", MissingAudioError, "no such file")
    refuse("a\0b.wav", MissingAudioError, "no file can have this name")
    refuse("https://a.example/b.mp3", MissingAudioError, "not fetched: download it")
    refuse("~/gone.wav", MissingAudioError, "path in full: '/")
    refuse(tmp_path / "*.wav", MissingAudioError, "Patterns are not expanded")


def test_a_folder(tmp_path):
    refuse(tmp_path, UnreadableAudioError, r"a folder.*find_audio\(\[folder\]\)")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    refuse(tmp_path / "pipe.wav", UnreadableAudioError, "not a regular file")


def test_a_device_is_not_read():
    refuse("/dev/zero", UnreadableAudioError, "not a regular file")


@pytest.mark.parametrize(
    ("code", "match"),
    [
        (errno.EACCES, "permission to read the file is denied.*chmod"),
        (errno.EPERM, "permission to read the file is denied"),
        (errno.EIO, "cannot open the file .Input/output error"),
    ],
)
def test_permission_denied(tmp_path, monkeypatch, code, match):
    """Simulated: the tests may run as a user to whom nothing is denied."""
    path = write(tmp_path / "a.wav")

    def denying(*args, **settings):
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(builtins, "open", denying)
    refuse(path, UnreadableAudioError, match)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is denied to root")
def test_permission_really_denied(tmp_path):
    path = write(tmp_path / "a.wav")
    path.chmod(0)
    refuse(path, UnreadableAudioError, "permission to read the file is denied")


def test_links_in_a_circle(tmp_path):
    (tmp_path / "a.wav").symlink_to(tmp_path / "a.wav")
    refuse(tmp_path / "a.wav", UnreadableAudioError, "system cannot open the file")


@pytest.mark.parametrize("suffix", ["wav", "mp3", "flac", "ogg"])
def test_no_bytes(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    path.touch()
    refuse(path, EmptyAudioError, "0 bytes")


@pytest.mark.parametrize("suffix", ["wav", "au", "aiff"])
def test_no_samples(tmp_path, suffix):
    path = write(tmp_path / f"a.{suffix}", np.zeros(0))
    refuse(path, EmptyAudioError, "0 samples")


@pytest.mark.parametrize("suffix", ["mp3", "wav", "au", "vox", "raw", "txt"])
def test_a_text(tmp_path, suffix):
    """By its name alone, libsndfile would decode the .au and .vox to noise."""
    path = tmp_path / f"a.{suffix}"
    path.write_text("<html>Ⓢorry, this file has moved</html>\n" * 50)
    refuse(path, UnsupportedAudioError, r"a text, not audio \(it begins '<html>Ⓢorry")


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom", "AAC or ALAC audio in an MP4 file"),
        (b"\xff\xf1\x50\x80\x2e\x7f\xfc\x21", "AAC audio"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81", "Matroska"),
        (b"wvpk\x10\0\0\0", "WavPack"),
    ],
)
@pytest.mark.parametrize("installed", [True, False])
def test_known_formats(tmp_path, monkeypatch, head, what, installed):
    """Damaged ones, with and without what reads them."""
    path = tmp_path / "my song.m4a"
    path.write_bytes(head + np.random.default_rng(0).bytes(5000))
    if installed:
        pytest.importorskip("av")
        refuse(path, CorruptAudioError, what)
        return
    monkeypatch.setattr(audio_files, "can_read", lambda: False)
    error = refuse(path, UnsupportedAudioError, f"{what}.* with the extra `formats`")
    command = f"ffmpeg -i '{path}' '{tmp_path}/my song.flac'"
    install = "pip install 'userlogfeat[formats]'"
    assert error.way_out == f"Install it: {install}. Or convert the file: {command}"


def test_bytes_without_sense(tmp_path):
    path = tmp_path / "a.mp3"
    path.write_bytes(b"\x01\x02" + np.random.default_rng(0).bytes(50_000))
    refuse(path, UnsupportedAudioError, "begins with the bytes 01 02.*ffmpeg -i")


@pytest.mark.parametrize("suffix", ["wav", "aiff", "au", "w64"])
@pytest.mark.parametrize("duration", [None, 0.1])
def test_cut_off_by_half(tmp_path, suffix, duration):
    """The header promises more than there is: an error, not half the sound."""
    path = write(tmp_path / f"a.{suffix}", format="W64" if suffix == "w64" else None)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    match = r"header promises \d+ bytes of audio, but it holds"
    refuse(path, CorruptAudioError, match, duration=duration)


@pytest.mark.parametrize("share", [0.9, 0.5])
@pytest.mark.parametrize("suffix", ["flac", "mp3"])
@pytest.mark.parametrize("duration", [None, 0.1])
def test_cut_off_in_a_compressed_file(tmp_path, suffix, share, duration):
    path = write(tmp_path / f"a.{suffix}", noise(RATE * 10))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    match = r"promises 10.\d\d s of audio, but it ends after \d\.\d\d s"
    error = refuse(path, CorruptAudioError, match, duration=duration)
    assert "ffmpeg -i" in error.way_out


@pytest.mark.parametrize("suffix", ["flac", "mp3", "ogg", "wav"])
def test_hardly_begun(tmp_path, suffix):
    path = write(tmp_path / f"a.{suffix}", noise(RATE * 10))
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(AudioError, match=f"a.{suffix}"):
        read_audio(path, sample_rate=RATE)


@pytest.mark.parametrize("share", [0.9, 0.5, 0.2])
@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_a_cut_ogg_is_no_shorter_song(tmp_path, subtype, share):
    """It was read in silence up to its last whole page."""
    path = write(tmp_path / "a.ogg", noise(RATE * 10), format="OGG", subtype=subtype)
    assert len(read_audio(path, sample_rate=RATE)) == RATE * 10
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    for duration in (None, 0.5):
        refuse(path, CorruptAudioError, "the last page is missing", duration=duration)


def pages(data):
    """Where the pages of an Ogg file begin."""
    starts, at = [], data.find(b"OggS")
    while at >= 0:
        starts, at = [*starts, at], data.find(b"OggS", at + 4)
    return starts


def test_an_ogg_that_lacks_a_page_or_has_a_damaged_one(tmp_path):
    """What followed was moved forward, without a word."""
    path = write(tmp_path / "a.ogg", noise(RATE * 10), format="OGG", subtype="VORBIS")
    data, starts = path.read_bytes(), pages(path.read_bytes())
    assert len(starts) > 6
    path.write_bytes(data[: starts[4]] + data[starts[5] :])
    refuse(path, CorruptAudioError, f"pages before byte {starts[4]} are missing")
    flipped = bytearray(data)
    flipped[starts[4] + 300] ^= 1
    path.write_bytes(flipped)
    refuse(path, CorruptAudioError, f"page at byte {starts[4]} does not fit its check")
    path.write_bytes(data + b"TAG" + bytes(125))
    assert len(read_audio(path, sample_rate=RATE)) == RATE * 10


def test_middle_of_a_cut_mp3(tmp_path):
    path = write(tmp_path / "a.mp3", noise(RATE * 20))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 4])
    refuse(path, CorruptAudioError, "cut off", duration=2.0)


def test_a_little_less_than_promised_is_tolerated(tmp_path):
    """Encoders count roughly: 50 ms are no reason to refuse a song."""
    path = write(tmp_path / "a.wav", noise(RATE * 10), subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:-1600])
    assert len(read_audio(path, sample_rate=RATE)) == RATE * 10 - 800


def test_lengths_that_streams_leave_open_are_no_promise(tmp_path):
    """ffmpeg writes 2 ** 32 - 1 into the header of a wav that it pipes."""
    path = write(tmp_path / "a.wav", subtype="PCM_16")
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = b"\xff" * 4
    path.write_bytes(data)
    assert len(read_audio(path, sample_rate=RATE)) == RATE


@pytest.mark.parametrize(
    ("promised", "known"),
    [
        *((2 * 10**9, True), (0x7FFFF000, False), (1 << 31, False)),
        *((3 * 10**9, True), ((1 << 32) - 1, False)),
    ],
)
def test_promises_beyond_two_gigabytes(tmp_path, promised, known):
    """All from 2 ** 31 on counted as left open: 3 GB that were cut off were read."""
    path = write(tmp_path / "a.wav", subtype="PCM_16")
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"data") + 4, promised)
    path.write_bytes(data)
    if known:
        refuse(path, CorruptAudioError, f"promises {promised} bytes")
    else:
        assert len(read_audio(path, sample_rate=RATE)) == RATE


@pytest.mark.parametrize("kind", ["RF64", "W64"])
def test_a_cut_file_of_64_bits(tmp_path, kind):
    """Of RF64 the rest was missing without a word."""
    path = write(tmp_path / "a.wav", noise(RATE * 10), format=kind, subtype="PCM_16")
    assert len(read_audio(path, sample_rate=RATE)) == RATE * 10
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refuse(path, CorruptAudioError, "its header promises")


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_of_several_recordings(tmp_path, subtype):
    """The first was read, and of the others not a word was said."""
    path = write(tmp_path / "a.ogg", noise(), format="OGG", subtype=subtype)
    length = path.stat().st_size
    data = path.read_bytes()
    path.write_bytes(data * 3)
    match = f"several recordings.*the second begins at byte {length}"
    error = refuse(path, UnsupportedAudioError, match)
    assert "ffmpeg -i" in error.way_out
    # The last page of another one made the decoder leave out some of the first.
    path.write_bytes(data + bytes(99) + data[pages(data)[-1] :])
    match = f"several recordings.*the second begins at byte {length + 99}"
    refuse(path, UnsupportedAudioError, match)


@pytest.mark.parametrize(
    ("value", "kind", "match"),
    [
        (0, CorruptAudioError, "no valid sample rate"),
        (1, CorruptAudioError, "sample rate of 1 Hz, expected 1000 to 768000"),
        (2**31 - 1, CorruptAudioError, "sample rate of 2147483647 Hz"),
        (2**31, CorruptAudioError, "no valid sample rate"),
    ],
)
def test_absurd_rates(tmp_path, value, kind, match):
    path = write(tmp_path / "a.wav", subtype="PCM_16")
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, 24, value)
    path.write_bytes(data)
    refuse(path, kind, match)


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (0, "0 channels"),
        (100, "100 channels, expected 1 to 64"),
        (65535, "more than 1024 channels"),
    ],
)
def test_absurd_channels(tmp_path, value, match):
    path = write(tmp_path / "a.wav", subtype="PCM_16")
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, 22, value)
    path.write_bytes(data)
    refuse(path, CorruptAudioError, match)


def set_flac_samples(data, n_samples):
    """Change the 36 bits of a flac header that hold its length."""
    bits = int.from_bytes(data[18:26], "big")
    data[18:26] = (bits >> 36 << 36 | n_samples).to_bytes(8, "big")


@pytest.mark.parametrize("n_samples", [10**9, 2**36 - 1])
@pytest.mark.parametrize("duration", [None, 1.0])
def test_a_promise_of_years_takes_no_memory(tmp_path, n_samples, duration):
    path = write(tmp_path / "a.flac")
    data = bytearray(path.read_bytes())
    set_flac_samples(data, n_samples)
    path.write_bytes(data)
    tracemalloc.start()
    refuse(path, CorruptAudioError, "but it ends after 1.00 s", duration=duration)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50e6


def test_a_wav_that_promises_a_thousand_million_samples(tmp_path):
    path = write(tmp_path / "a.wav", subtype="PCM_16")
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"data") + 4, 2 * 10**9)
    path.write_bytes(data)
    refuse(path, CorruptAudioError, "promises 2000000000 bytes of audio")


def test_more_than_is_read_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(clips, "MAX_SAMPLES", RATE // 2)
    path = write(tmp_path / "a.flac")
    refuse(path, TooLongAudioError, r"lasts 0.0 h, and at most .* h are read whole")


ID3 = b"ID3\x03\x00\x00\x00\x00\x01\x00" + bytes(128)


@pytest.mark.parametrize("share", [0, 0.5, 0.9])
@pytest.mark.parametrize("before", [b"", ID3])
@pytest.mark.parametrize("after", [b"", b"TAG" + bytes(125), bytes(999)])
def test_a_flac_that_promises_less_than_it_holds(tmp_path, share, before, after):
    """It was read as far as it said; streams, which say 0, were refused."""
    path = write(tmp_path / "a.flac", noise(RATE * 2))
    expected = read_audio(path, sample_rate=RATE)
    data = bytearray(path.read_bytes())
    set_flac_samples(data, int(share * RATE * 2))
    path.write_bytes(before + data + after)
    np.testing.assert_array_equal(read_audio(path, sample_rate=RATE), expected)
    part = read_audio(path, sample_rate=RATE, duration=1.0)
    np.testing.assert_array_equal(part, expected[RATE // 2 : -RATE // 2])


def test_checksums_and_numbers_of_flac_frames():
    """Checksums by hand: CRC-8 of "123456789" is 0xF4, CRC-16 with 0x8005 is 0xFEE8."""
    assert flac._checksum(b"123456789", *flac._CRC8) == 0xF4
    assert flac._checksum(b"123456789", *flac._CRC16) == 0xFEE8
    for n in (0, 127, 128, 2047, 2048, 65535, 65536):
        coded = chr(n).encode() if not 0xD800 <= n < 0xE000 else b""
        header = b"\xff\xf8\xc9\0" + coded
        assert flac._number(header + bytes(16)) == (n, len(header))


@pytest.mark.parametrize("between", [b"", ID3])
@pytest.mark.parametrize(
    ("suffix", "settings"),
    [
        ("flac", {}),
        *((suffix, {}) for suffix in ("wav", "aiff", "au", "caf")),
        *(("wav", {"format": kind}) for kind in ("RF64", "W64", "WAVEX")),
    ],
)
def test_joined_files(tmp_path, suffix, settings, between):
    """The first was read, and of the other not a word was said."""
    path = write(tmp_path / f"a.{suffix}", noise(RATE // 4), **settings)
    data = path.read_bytes()
    if between and suffix != "flac":
        data += bytes(len(data) % 2)
        between = b"LIST" + (16).to_bytes(4, "little") + bytes(16)
        if suffix != "wav" or settings.get("format") == "W64":
            between = b""
    path.write_bytes(data + between + data)
    match = f"several recordings.*the second begins at byte {len(data + between)}"
    for duration in (None, 0.1):
        refuse(path, UnsupportedAudioError, match, duration=duration)


def test_a_long_flac_is_not_searched_byte_by_byte(tmp_path, monkeypatch):
    """It took as long as decoding 15 s. Joined ones of equal length are found still."""
    path = write(tmp_path / "a.flac", noise(10**6) / 100, subtype="PCM_16")
    data, searched = path.read_bytes(), []
    with monkeypatch.context() as patch:
        patch.setattr(Source, "find", lambda *where: searched.append(where) or iter(()))
        assert len(read_audio(path, sample_rate=RATE, duration=1.0)) == RATE
    assert not searched
    path.write_bytes(data + data)
    match = f"several recordings.*the second begins at byte {len(data)}"
    refuse(path, UnsupportedAudioError, match, duration=1.0)
    other = write(tmp_path / "b.flac", noise(10**6)[::-1] / 2000, subtype="PCM_16")
    assert other.stat().st_size < len(data)
    for pair in ((data, other.read_bytes()), (other.read_bytes(), data)):
        path.write_bytes(pair[0] + pair[1])
        match = f"several recordings.*the second begins at byte {len(pair[0])}"
        refuse(path, UnsupportedAudioError, match, duration=1.0)


def header_field(data, mark, offset, value, order="little", n_bytes=4):
    at = data.index(mark) + offset
    return data[:at] + value.to_bytes(n_bytes, order) + data[at + n_bytes :]


SIZES = {
    "wav": [(b"data", 4, 0)],
    "wav, both": [(b"data", 4, 0), (b"RIFF", 4, 0)],
    "aiff": [(b"SSND", 4, 0)],
    "aiff, all": [(b"SSND", 4, 8), (b"COMM", 10, 0), (b"FORM", 4, 0)],
    "au": [(b".snd", 8, 0)],
    "au, unknown": [(b".snd", 8, 2**32 - 1)],
    "caf": [(b"data", 4, 0, 8)],
    "caf, unknown": [(b"data", 4, 2**64 - 1, 8)],
}


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
@pytest.mark.parametrize("duration", [None, 0.5])
def test_streams_are_read_to_the_end(tmp_path, name, subtype, duration):
    """What is written to a pipe says 0 bytes, or a number for unknown."""
    suffix = name.split(",")[0]
    path = write(tmp_path / f"a.{suffix}", noise(RATE, 2), subtype=subtype)
    expected = read_audio(path, sample_rate=RATE, duration=duration)
    order = "little" if suffix == "wav" else "big"
    data = path.read_bytes()
    for mark, offset, value, *n_bytes in SIZES[name]:
        data = header_field(data, mark, offset, value, order, *n_bytes)
    path.write_bytes(data)
    found = read_audio(path, sample_rate=RATE, duration=duration)
    np.testing.assert_array_equal(found, expected)


def test_no_samples_but_other_chunks(tmp_path):
    """A size of 0 that is right: what follows is no sound."""
    path = write(tmp_path / "a.wav", np.zeros(0))
    path.write_bytes(path.read_bytes() + b"LIST\x04\0\0\0INFO")
    refuse(path, EmptyAudioError, "0 samples")


@pytest.mark.parametrize(
    ("kind", "mark", "offset", "order"),
    [
        ("WAV", b"data", 4, "little"),
        ("AU", b".snd", 8, "big"),
        ("AIFF", b"SSND", 4, "big"),
        ("RF64", b"ds64", 16, "little"),
        ("W64", b"data", 16, "little"),
    ],
)
@pytest.mark.parametrize("share", [0, 0.5])
def test_sound_behind_what_was_promised(tmp_path, kind, mark, offset, order, share):
    """A header that was not finished: half of the sound was read."""
    path = write(tmp_path / "a.bin", format=kind, subtype="PCM_16")
    if share == 0 and kind not in ("RF64", "W64"):
        return  # read to the end, see above
    value = int(2 * RATE * share) + 24 * (kind == "W64")
    data = header_field(path.read_bytes(), mark, offset, value, order)
    path.write_bytes(data)
    match = r"promises \d+ bytes of audio, but \d+ more follow"
    refuse(path, CorruptAudioError, match, duration=0.1)


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "AU", "CAF", "W64", "RF64"])
@pytest.mark.parametrize(
    "after", [bytes(9999), b"TAG" + b"x" * 125, b"odd\0" + bytes(3)]
)
def test_little_behind_the_samples_does_no_harm(tmp_path, kind, after):
    """Of w64 it was read as sound."""
    path = write(tmp_path / "a.bin", format=kind, subtype="PCM_16")
    expected = read_audio(path, sample_rate=RATE)
    path.write_bytes(path.read_bytes() + after)
    np.testing.assert_array_equal(read_audio(path, sample_rate=RATE), expected)


@pytest.mark.parametrize("kind", ["WAV", "AIFF"])
def test_chunks_after_an_odd_number_of_bytes(tmp_path, kind):
    """Some programs fill up, as they should, and some do not."""
    order = "little" if kind == "WAV" else "big"
    path = write(tmp_path / "a.bin", noise(999), format=kind, subtype="PCM_24")
    data = path.read_bytes()
    assert len(noise(999)) * 3 % 2 == 1
    chunk = b"LIST" + (2000).to_bytes(4, order) + b"x" * 2000
    for whole in (data.removesuffix(b"\0"), data.removesuffix(b"\0") + b"\0"):
        path.write_bytes(whole + chunk)
        assert len(read_audio(path, sample_rate=RATE)) == 999


@pytest.mark.parametrize("kind", ["PVF", "IRCAM", "VOC", "NIST", "MAT5", "AVR"])
def test_formats_that_do_not_say_whether_all_is_there(tmp_path, monkeypatch, kind):
    """Of a half that was fetched the half was read."""
    path = write(tmp_path / "a.bin", format=kind, subtype="PCM_16")
    monkeypatch.setattr(audio_files, "can_read", lambda: False)
    refuse(path, UnsupportedAudioError, "this format is not supported")


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        *(("WAV", subtype) for subtype in ("GSM610", "IMA_ADPCM", "MS_ADPCM")),
        *(("WAV", subtype) for subtype in ("G721_32", "NMS_ADPCM_16", "ULAW")),
        *(("AIFF", "GSM610"), ("AU", "G723_24"), ("W64", "GSM610"), ("CAF", "ALAC_16")),
        *(("OGG", "VORBIS"), ("OGG", "OPUS"), ("FLAC", "PCM_24")),
        ("MP3", "MPEG_LAYER_III"),
    ],
)
@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_crop_is_a_crop_of_the_whole(tmp_path, kind, subtype, rate):
    """Of formats in which the decoder does not seek, crops were called damaged."""
    path = tmp_path / "a.bin"
    write(path, noise(24_000), 8000, format=kind, subtype=subtype)
    whole = read_audio(path, sample_rate=rate)
    assert len(whole) >= 3 * rate
    for crop, start in (("start", 0), ("middle", (len(whole) - rate // 2) // 2)):
        part = read_audio(path, sample_rate=rate, duration=0.5, crop=crop)
        expected = whole[start : start + rate // 2]
        np.testing.assert_allclose(part, expected, atol=2e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_that_are_no_numbers(tmp_path, value, channels):
    wave = noise(RATE, channels)
    wave[4000:4002, 0] = value
    path = write(tmp_path / "a.wav", wave, subtype="FLOAT")
    match = r"2 of 16000 samples are NaN, infinite or .* the first at 0.25 s"
    refuse(path, NonFiniteAudioError, match)


def test_opposite_infinities(tmp_path):
    """Their mean is NaN; no warning of NumPy's comes on top."""
    wave = noise(RATE, 2)
    wave[8000] = np.inf, -np.inf
    path = write(tmp_path / "a.wav", wave, subtype="FLOAT")
    refuse(path, NonFiniteAudioError, "the first at 0.50 s")


@pytest.mark.parametrize(("bits", "channels"), [(16, 1), (16, 2), (24, 1), (32, 1)])
@pytest.mark.parametrize("duration", [None, 0.2])
def test_float_files_of_integers(tmp_path, bits, channels, duration):
    """Read as they were, they gave features of another sound."""
    full = 2 ** (bits - 1)
    wave = np.rint(noise(RATE, channels) * full)
    path = write(tmp_path / "a.wav", wave, subtype="FLOAT")
    match = f"range of integers of {bits} bits"
    error = refuse(path, NonFiniteAudioError, match, duration=duration)
    assert f"Divide them by {full} " in error.way_out


def test_near_silence_in_integers(tmp_path):
    """Within a few steps of zero: whole numbers, in both channels."""
    path = write(tmp_path / "a.wav", np.rint(noise(RATE, 2) * 20), subtype="FLOAT")
    refuse(path, NonFiniteAudioError, "range of integers of 16 bits")


def test_resampled_integers_are_recognised_by_their_peak(tmp_path):
    path = write(tmp_path / "a.wav", noise() * 3000 + 0.25, subtype="FLOAT")
    refuse(path, NonFiniteAudioError, "reach 1500.*range of integers of 16 bits")


def test_loud_floats_are_read(tmp_path):
    """12 dB over full scale, in float, are a mix before its limiter."""
    path = write(tmp_path / "a.wav", noise() * 8, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(path, sample_rate=RATE), noise() * 8)


def test_bad_samples_outside_the_crop_do_no_harm(tmp_path):
    wave = noise(RATE * 3)
    wave[0] = np.nan
    path = write(tmp_path / "a.wav", wave, subtype="FLOAT")
    found = read_audio(path, sample_rate=RATE, duration=1.0)
    np.testing.assert_array_equal(found, wave[RATE : 2 * RATE])


@pytest.mark.parametrize(
    ("suffix", "container"),
    [("mp3", "WAV"), ("wav", "FLAC"), ("flac", "MP3"), ("au", "OGG"), ("txt", "AIFF")],
)
def test_a_wrong_suffix_does_no_harm(tmp_path, suffix, container):
    path = tmp_path / f"a.{suffix}"
    write(path, format=container)
    assert read_audio(path, sample_rate=RATE).shape == (RATE,)


@pytest.mark.parametrize("name", [b"\xff\xfe.wav", b"new\nline.wav", b"-i $(ls).wav"])
def test_odd_names(tmp_path, name):
    good = write(tmp_path / "good.wav")
    path = bytes(tmp_path) + b"/" + name
    os.rename(good, path)
    for form in (path, os.fsdecode(path)):
        assert read_audio(form, sample_rate=RATE).shape == (RATE,)
    os.truncate(path, 1000)
    error = refuse(path, CorruptAudioError, "cut off")
    str(error).encode()  # can be printed and stored
    assert "\n" not in str(error)


def test_every_kind_of_path(tmp_path):
    path = write(tmp_path / "a.wav")
    expected = read_audio(path, sample_rate=RATE)
    for form in (str(path), bytes(path), np.str_(path)):
        np.testing.assert_array_equal(read_audio(form, sample_rate=RATE), expected)


def test_errors_travel_between_processes():
    for kind in [AudioError, *AudioError.__subclasses__()]:
        error = kind("a.wav", "it is bad", "Fetch it again.")
        back = pickle.loads(pickle.dumps(error))
        assert type(back) is kind
        assert str(back) == str(error) == "'a.wav': it is bad. Fetch it again."
        assert (back.path, back.fact) == ("a.wav", "it is bad")


def test_files_are_closed(tmp_path):
    """A thousand of them, good and bad, leave no file open."""
    good, bad = write(tmp_path / "a.wav"), tmp_path / "b.mp3"
    bad.write_bytes(bytes(1000))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        read_audio(good, sample_rate=RATE)
        refuse(bad, UnsupportedAudioError, "format is not supported")
    assert len(os.listdir("/proc/self/fd")) == before


def test_unknown_errors_of_the_library_still_name_the_file(tmp_path, monkeypatch):
    path = write(tmp_path / "a.wav")

    def failing(file):
        raise soundfile.LibsndfileError(2, prefix="")

    monkeypatch.setattr(audio_files, "_open_descriptor", failing)
    refuse(path, CorruptAudioError, "cannot be read to its end")
