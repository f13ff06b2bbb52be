"""Damaged audio: what a plain judge decodes, and which samples no damage reached."""

import io
import struct
from fractions import Fraction
from importlib.util import find_spec

import numpy as np
import soundfile
from robustness_kinds import Kind, Wrong, require

from userlogfeat.audio import AudioError, read_audio

RATE = 8000  # Hz
SECONDS = 3.0
TOLERATED = 0.1  # s that wav, aiff, au and mp3 may be shorter than promised
# Container, subtype, suffix, and the exact decoder of untouched headers where there is
# one: length of the header in bytes, type of a sample, factor.
FORMATS = {
    "wav": ("WAV", "PCM_16", (44, "<i2", 2.0**-15)),
    "wav float": ("WAV", "FLOAT", None),
    "au": ("AU", "PCM_16", (24, ">i2", 2.0**-15)),
    "aiff": ("AIFF", "PCM_16", None),
    "w64": ("W64", "PCM_16", None),
    "flac": ("FLAC", "PCM_16", None),
    "ogg": ("OGG", "VORBIS", None),
    "opus": ("OGG", "OPUS", None),
    "mp3": ("MP3", "MPEG_LAYER_III", None),
    "wav gsm": ("WAV", "GSM610", None),
}
# The same sound in files that do not say, or in two places say, how long it is: the
# format that they are made of, and how.
MADE = {
    "mp3 plain": ("mp3", lambda data: data[mp3_frame(data[:4]) :]),
    "wav mp3": ("mp3", lambda data: in_wav(data)),
    "flac stream": ("flac", lambda data: data[:21] + b"\xf0\0\0\0\0" + data[26:]),
    "au stream": ("au", lambda data: data[:8] + bytes(4) + data[12:]),
    "wav stream": ("wav", lambda data: data[:40] + bytes(4) + data[44:]),
}


def planted():
    """Three seconds of falling tones and noise, between -1 and 1."""
    rng = np.random.default_rng(0)
    time = np.arange(int(SECONDS * RATE)) / RATE
    tones = sum(np.sin(2 * np.pi * pitch * time) / 4 for pitch in (220, 330, 1100))
    return (tones * np.exp(-2 * (time % 0.5)) + 0.02 * rng.normal(size=len(time))) * 0.9


def audio_kind():
    """wav, flac, ogg, mp3 and others, read whole and in part."""
    seeds, whole = {}, {}
    for name, (container, subtype, _) in FORMATS.items():
        file = io.BytesIO()
        soundfile.write(file, planted(), RATE, format=container, subtype=subtype)
        seeds[name] = file.getvalue()
        whole[name], _ = soundfile.read(io.BytesIO(seeds[name]), dtype="float32")
    for name, (base, make) in MADE.items():
        seeds[name], whole[name] = make(seeds[base]), whole[base]
    if find_spec("av") is not None:
        seeds["m4a"], whole["m4a"] = m4a(), planted()

    def check(seed, data, folder):
        path = folder / f"clip.{seed.split()[0]}"
        path.write_bytes(data)
        wave = read_audio(path, sample_rate=RATE)
        check_wave(wave)
        check_part(path, wave)
        n_times = 1 + (data == 2 * seeds[seed])
        if data == n_times * seeds[seed]:
            n_samples = n_times * len(whole[seed])
            enough = len(wave) >= n_samples - TOLERATED * RATE
            require(enough, f"{len(wave)} samples of {n_samples}")
            check_middle(path, wave)
        compare(seed, data, seeds[seed], wave, whole[seed])

    return Kind("audio", seeds, check, tokens=False)


def check_wave(wave):
    """A waveform is one row of finite float32 within bounds."""
    require(wave.dtype == np.float32 and wave.ndim == 1, f"{wave.dtype} {wave.shape}")
    require(len(wave) > 0 and np.abs(wave).max() <= 1e6, "no finite samples")


def check_part(path, wave):
    """The first half second is that of the whole, or an error."""
    try:
        part = read_audio(path, sample_rate=RATE, duration=0.5, crop="start")
    except AudioError:
        return
    require(part.shape == (RATE // 2,), f"a part of {part.shape}")
    n_same = min(len(part), len(wave))
    limit = 2e-3 * max(1.0, np.abs(wave[:n_same]).max())
    differs = np.abs(part[:n_same] - wave[:n_same]).max()
    require(differs <= limit, f"the part is not of the whole: {differs}")


def check_middle(path, wave):
    """A part of the middle, of a file without damage, is that of the whole."""
    part = read_audio(path, sample_rate=RATE, duration=0.5)
    start = (len(wave) - RATE // 2) // 2
    differs = np.abs(part - wave[start : start + RATE // 2]).max()
    require(differs <= 2e-3, f"the middle is not of the whole: {differs}")


def compare(seed, data, original, wave, expected):
    """Samples that no damage reached, or that checksums guard, are the right ones."""
    exact = FORMATS[seed][2] if seed in FORMATS else None
    if exact is not None and data[: exact[0]] == original[: exact[0]]:
        header, kind, factor = exact
        n_bytes = len(original) - header  # promised
        raw = np.frombuffer(
            data[header : header + n_bytes][: len(data) // 2 * 2 - header], kind
        )
        same_as(wave, (raw * factor).astype(np.float32), len(raw))
    elif seed == "mp3":
        n_same = intact_mp3(data, original)
        require(len(wave) >= n_same, f"{len(wave)} samples, {n_same} are intact")
        same_as(wave[:n_same], expected[:n_same], n_same)
    elif seed in ("flac", "ogg", "opus") and is_guarded(seed, data, original):
        n = len(expected)
        require(len(wave) >= n or seed != "flac", f"{len(wave)} samples of {n}")
        require(len(wave) >= n - TOLERATED * RATE, f"{len(wave)} samples of {n}")
        same_as(wave[:n], expected[: len(wave)], min(n, len(wave)))


def is_guarded(seed, data, original):
    """Whether what the decoder must believe without a checksum is as it was."""
    if seed == "flac":  # STREAMINFO, which has none
        return data[:42] == original[:42]
    return data[:4] == original[:4]


def same_as(wave, expected, n):
    """Equal but for rounding."""
    if len(wave) != n or not np.allclose(wave, expected, atol=1e-4):
        differ = np.abs(wave[: len(expected)] - expected[: len(wave)]) > 1e-4
        at = int(differ.argmax()) if differ.any() else min(len(wave), n)
        raise Wrong(f"{len(wave)} samples, expected {n}; they differ from {at} on")


def intact_mp3(data, original):
    """Samples of whole frames before the first damage, less what leans on the next."""
    pairs = zip(data, original, strict=False)
    first = next(
        (i for i, (a, b) in enumerate(pairs) if a != b), min(len(data), len(original))
    )
    if data == original:
        return int(SECONDS * RATE)
    # Less the frame of the length, and those that lean on the next, by the decoder.
    n_frames, at = -5, original.index(b"\xff")
    while at < first and at + 4 <= len(original):
        n_frames, at = n_frames + 1, at + mp3_frame(original[at : at + 4])
    return min(int(SECONDS * RATE), max(0, n_frames * 576))


def in_wav(data):
    """The frames of an mp3 as the samples of a wav file."""
    form = struct.pack("<HHIIHHHHIHHH", 0x55, 1, RATE, 4000, 1, 0, 12, 1, 2, 144, 1, 0)
    chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    chunks += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def m4a():
    """AAC in an MP4 file, which the extra `formats` reads."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("aac", rate=RATE)
        stream.layout = "mono"
        wave = planted().astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        output.mux([*stream.encode(frame), *stream.encode(None)])
    return file.getvalue()


def mp3_frame(header):
    """Length in bytes of a frame of MPEG-2 or -2.5, layer III."""
    rates = {2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
    kbits = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
    rate = rates[header[1] >> 3 & 3][header[2] >> 2 & 3]
    return 72000 * kbits[header[2] >> 4] // rate + (header[2] >> 1 & 1)
