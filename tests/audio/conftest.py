"""Files in formats that need PyAV to be written."""

import io
from fractions import Fraction

import numpy as np
import pytest


@pytest.fixture(scope="session")
def encode():
    """A function that writes a wave of one channel; skips without PyAV."""
    return encode_with_av


def encode_with_av(wave, rate, codec, container, bit_rate=128_000, **options):
    """Bytes of a file, by FFmpeg's encoders."""
    av = pytest.importorskip("av")
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options) as output:
        stream = output.add_stream(codec, rate=rate)
        stream.layout, stream.bit_rate = "mono", bit_rate
        kind = stream.codec_context.codec.audio_formats[0].name
        stream.codec_context.format = kind
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(wave[None], np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        resampler = av.AudioResampler(format=kind, layout="mono", rate=rate)
        frames = [*resampler.resample(frame), *resampler.resample(None), None]
        output.mux([packet for part in frames for packet in stream.encode(part)])
    return file.getvalue()
