"""Formats that FFmpeg's decoders read, by files that its encoders wrote."""

import io
import sys

import numpy as np
import pytest

from userlogfeat.audio import AudioError, extra, find_audio, read_audio
from userlogfeat.audio.ends import n_cut, n_missing
from userlogfeat.audio.errors import (
    CorruptAudioError,
    EmptyAudioError,
    UnsupportedAudioError,
)
from userlogfeat.audio.source import Source

RATE = 48000
SECONDS = 3
# Codec, container, suffix, and how much longer than the sound a file may be, in s.
FORMATS = {
    "aac in m4a": ("aac", "mp4", "m4a", 0.06),
    "alac in m4a": ("alac", "mp4", "m4a", 0.0),
    "aac": ("aac", "adts", "aac", 0.06),
    "wma": ("wmav2", "asf", "wma", 0.1),
    "webm": ("libopus", "webm", "webm", 0.02),
    "flac in ogg": ("flac", "ogg", "oga", 0.0),
    "wavpack": ("wavpack", "wv", "wv", 0.0),
    "tta": ("tta", "tta", "tta", 0.0),
}


def planted():
    """A tone whose loudness says where one is: never the same for half a second."""
    time = np.arange(SECONDS * RATE) / RATE
    return 0.5 * np.sin(2 * np.pi * 440 * time) * (time + 1) / (SECONDS + 1)


@pytest.fixture(scope="module", params=FORMATS)
def file(request, encode, tmp_path_factory):
    codec, container, suffix, longer = FORMATS[request.param]
    path = tmp_path_factory.mktemp("extra") / f"a.{suffix}"
    path.write_bytes(encode(planted(), RATE, codec, container))
    return path, longer


def loudness(wave):
    """Of each quarter of a second."""
    n = RATE // 4
    return np.sqrt((wave[: len(wave) // n * n].reshape(-1, n) ** 2).mean(axis=1))


def test_whole_files_and_crops(file):
    path, longer = file
    found = read_audio(path, sample_rate=RATE)
    assert -0.02 <= len(found) / RATE - SECONDS <= longer
    expected = loudness(planted())[1:-1]
    np.testing.assert_allclose(loudness(found)[1 : len(expected) + 1], expected, 0.1)
    for rate in (RATE, 16000):
        whole = read_audio(path, sample_rate=rate)
        part = read_audio(path, sample_rate=rate, duration=1.0)
        start = (len(whole) - rate) // 2
        np.testing.assert_allclose(part, whole[start : start + rate], atol=1e-5)


def test_halves_are_damaged(file, tmp_path):
    data, path = file[0].read_bytes(), tmp_path / file[0].name
    path.write_bytes(data[: len(data) // 2])
    for duration in (None, 0.5):
        with pytest.raises(CorruptAudioError):
            read_audio(path, sample_rate=RATE, duration=duration)


def test_joined_files_are_read_or_refused(file, tmp_path):
    data, path = file[0].read_bytes(), tmp_path / file[0].name
    path.write_bytes(data * 2)
    if path.suffix == ".aac":
        found = read_audio(path, sample_rate=RATE)
        assert abs(len(found) / RATE - 2 * SECONDS) < 0.2
    else:
        with pytest.raises((UnsupportedAudioError, CorruptAudioError)):
            read_audio(path, sample_rate=RATE)


def test_without_the_extra(file, tmp_path, monkeypatch):
    """What to install, and the command that converts the file."""
    monkeypatch.setitem(sys.modules, "av", None)
    match = r"with the extra `formats` only.*pip install 'userlogfeat\[formats\]'"
    with pytest.raises(UnsupportedAudioError, match=match):
        read_audio(file[0], sample_rate=RATE)


def test_found_in_folders_and_by_any_name(file, tmp_path):
    path, _ = file
    assert find_audio([path.parent]) == [str(path)]
    (tmp_path / "a.mp3").write_bytes(path.read_bytes())
    found = read_audio(tmp_path / "a.mp3", sample_rate=RATE)
    np.testing.assert_array_equal(found, read_audio(path, sample_rate=RATE))


def test_a_file_too_large_to_be_kept_is_decoded_twice(file, monkeypatch):
    expected = read_audio(file[0], sample_rate=RATE)
    monkeypatch.setattr(extra, "_MAX_KEPT", RATE)
    np.testing.assert_array_equal(read_audio(file[0], sample_rate=RATE), expected)


def test_opus_of_other_encoders(encode, tmp_path):
    """Of FFmpeg's files 312 samples before the sound were read, and its end was not."""
    path = tmp_path / "a.opus"
    path.write_bytes(encode(planted(), RATE, "libopus", "ogg"))
    found = read_audio(path, sample_rate=RATE)
    with pytest.importorskip("av").open(str(path)) as file:
        frames = [frame.to_ndarray()[0] for frame in file.decode(audio=0)]
    np.testing.assert_allclose(found, np.concatenate(frames), atol=1e-6)
    part = read_audio(path, sample_rate=RATE, duration=1.0)
    np.testing.assert_allclose(part, found[RATE : 2 * RATE], atol=1e-6)


def test_joined_flash_files_are_refused(encode, tmp_path):
    path = tmp_path / "a.flv"
    path.write_bytes(encode(planted(), 44100, "aac", "flv") * 2)
    with pytest.raises(UnsupportedAudioError, match="several recordings"):
        read_audio(path, sample_rate=RATE)


@pytest.mark.parametrize(
    ("codec", "container", "options"),
    [
        ("ac3", "ac3", {}),
        ("eac3", "eac3", {}),
        ("mp2", "mp2", {}),
        ("mp2", "avi", {}),
        ("pcm_s16le", "avi", {}),
        ("mp2", "mpeg", {}),
        ("mp2", "mpegts", {}),
        ("libopus", "webm", {"live": "1"}),
        ("flac", "matroska", {}),
    ],
)
def test_a_cut_file_is_no_shorter_song(encode, tmp_path, codec, container, options):
    """FFmpeg estimates how long they are from what is there."""
    data = encode(planted()[:RATE], RATE, codec, container, **options)
    path = tmp_path / f"a.{container}"
    path.write_bytes(data)
    found = read_audio(path, sample_rate=RATE)
    assert abs(len(found) / RATE - 1) < 0.1
    cuts = [len(data) // 2 + 11, len(data) * 9 // 10 + 1, len(data) - 20]
    for n_bytes in cuts[
        : 2 if container == "mpeg" else 3
    ]:  # its last bytes are padding
        path.write_bytes(data[:n_bytes])
        for duration in (None, 0.1):
            with pytest.raises(CorruptAudioError):
                read_audio(path, sample_rate=RATE, duration=duration)


def test_between_two_frames_of_a_stream_nothing_tells(encode, tmp_path):
    """The limit that the guide names."""
    data = encode(planted()[:RATE], RATE, "mp2", "mp2")
    path = tmp_path / "a.mp2"
    path.write_bytes(data[: 384 * 20])
    found = read_audio(path, sample_rate=RATE)
    assert len(found) == 20 * 1152


@pytest.mark.parametrize("rate", [48000, 44100, 32000])
@pytest.mark.parametrize("codec", ["ac3", "eac3", "mp2"])
def test_frames_give_their_length(encode, rate, codec):
    av = pytest.importorskip("av")
    data = encode(planted()[:8000], rate, codec, codec, bit_rate=96_000)
    with av.open(io.BytesIO(data)) as file:
        packets = [bytes(p) for p in file.demux(audio=0) if p.size]
    assert len(packets) > 4
    for packet in packets:
        assert n_cut(codec, memoryview(packet)) == 0
        assert n_cut(codec, memoryview(packet[:-3])) == 3


def test_whole_elements_without_a_size(tmp_path):
    """Of a stream in Matroska, those within them are followed."""
    unknown = b"\x01" + b"\xff" * 7
    block = b"\xa3\x84abcd"
    for data, n_bytes in (
        (b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67" + unknown + block, 0),
        (b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67" + unknown + block[:-1], 1),
        (b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x8a" + block, 4),
    ):
        source = Source(io.BytesIO(data), "a.webm", len(data))
        assert n_missing(source) == n_bytes


def test_a_change_of_rate_is_refused(encode, tmp_path):
    wave = planted()
    path = tmp_path / "a.aac"
    parts = (encode(wave, rate, "aac", "adts") for rate in (RATE, 32000))
    path.write_bytes(b"".join(parts))
    with pytest.raises(AudioError, match=r"changes on the way|decoding failed"):
        read_audio(path, sample_rate=RATE)


@pytest.mark.parametrize("kind", ["u8", "s16le", "s32le", "f32le", "f64le"])
def test_samples_of_every_kind_are_scaled(encode, tmp_path, kind):
    """Full scale is 1, whatever the decoder gives."""
    path = tmp_path / "a.mka"
    path.write_bytes(encode(planted(), RATE, f"pcm_{kind}", "matroska"))
    found = read_audio(path, sample_rate=RATE)
    atol = {"u8": 2**-7, "s16le": 2**-14}.get(kind, 1e-6)
    np.testing.assert_allclose(found, planted(), atol=atol)


def test_no_other_file_is_opened(encode, tmp_path):
    """Lists of other files are no sound, also where they do not look like text."""
    (tmp_path / "b.aac").write_bytes(encode(planted(), RATE, "aac", "adts"))
    url = bytes(tmp_path / "b.aac")
    for data in (
        b"#EXTM3U\n#\0\xff\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\nfile://" + url,
        b"ffconcat version 1.0\n#\0\xff\nfile " + url + b"\n",
    ):
        (tmp_path / "a.m4a").write_bytes(data)
        with pytest.raises(UnsupportedAudioError, match="format is not supported"):
            read_audio(tmp_path / "a.m4a", sample_rate=RATE)


def test_a_film_without_sound(tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "a.webm"
    with av.open(str(path), "w", format="webm") as output:
        stream = output.add_stream("libvpx", rate=5)
        stream.width = stream.height = 16
        frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8))
        output.mux([*stream.encode(frame), *stream.encode(None)])
    with pytest.raises(EmptyAudioError, match="no sound, only other streams"):
        read_audio(path, sample_rate=RATE)
