"""The spectrogram settings of each paper, one named constant each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FrontEnd:
    """How a waveform becomes a log-mel spectrogram.

    Parameters
    ----------
    sample_rate : int
        Of the waveform, in Hz.
    n_fft : int
        Window and transform length, in samples (periodic Hann).
    hop : int
        Between frames, in samples.
    n_bands : int
        Mel bands.
    f_min, f_max : float
        Edges of the lowest and highest band, in Hz. ``f_max=None`` is half the
        sample rate.
    mel_scale : {"slaney", "htk"}
        How frequency becomes mel.
    norm : {"slaney", None}
        ``"slaney"`` gives each band unit area.
    power : {1, 2}
        1 for the magnitude of the spectrum, 2 for its power.
    gain, base : float
        Compression: ``log(1 + gain * x)`` to base `base` (``"e"`` is natural).
    half : bool
        Whether mel values pass through half precision before the logarithm.
    drop_last : bool
        Whether the last of the centred frames is dropped.
    duration : float or None
        The paper's context, in seconds; None where whole clips are heard.
    """

    sample_rate: int
    n_fft: int
    hop: int
    n_bands: int
    f_min: float = 0.0
    f_max: float | None = None
    mel_scale: str = "slaney"
    norm: str | None = "slaney"
    power: int = 2
    gain: float = 10000.0
    base: float | str = 10.0
    half: bool = False
    drop_last: bool = False
    duration: float | None = None
