"""The spectrogram settings of each paper, one named constant each.

Beside every setting stands whether its paper states it; where it does not, a comment
says what was taken instead and why. Where nothing better is known, that is what
librosa does by default: slaney's mel scale, bands of unit area.
"""

from dataclasses import dataclass

from userlogfeat._check import check_choice, check_positive


@dataclass(frozen=True)
class FrontEnd:
    """How a waveform becomes a log-mel spectrogram.

    Parameters
    ----------
    sample_rate : int
        Sample rate of the waveform, in Hz.
    n_fft : int
        Window and transform length, in samples (periodic Hann).
    hop : int
        Distance between frames, in samples.
    n_bands : int
        Mel bands.
    f_min, f_max : float
        Edges of the lowest and highest band, in Hz. ``f_max=None`` is half the
        sample rate.
    mel_scale : {"slaney", "htk"}
        How frequency becomes mel.
    norm : {"slaney", None}
        ``"slaney"`` gives each band unit area; None gives it a peak of 1.
    power : {1, 2}
        1 for the magnitude of the spectrum, 2 for its power.
    gain, base : float
        Compression: ``log(1 + gain * x)`` to base `base` (``"e"`` is natural).
    half : bool
        Whether mel values pass through half precision before the logarithm.
    drop_last : bool
        Whether the last of the centred frames is dropped.
    duration : float or None
        The paper's context, in seconds; None where whole clips are read.
    patch_frames : int or None
        Frames that the paper's network, or its statistics, take in at a time; None
        where that is the whole context.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from userlogfeat import FRONTENDS
    >>> FRONTENDS["musicnn"].sample_rate, FRONTENDS["musicnn"].n_bands
    (16000, 96)
    >>> replace(FRONTENDS["musicnn"], n_bands=128).n_bands
    128
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
    patch_frames: int | None = None

    def __post_init__(self) -> None:
        for name in ("sample_rate", "n_fft", "hop", "n_bands"):
            check_positive(getattr(self, name), name, integer=True)
        check_positive(self.gain, "gain")
        check_choice(self.mel_scale, "mel_scale", ("slaney", "htk"))
        check_choice(self.norm, "norm", ("slaney", None))
        check_choice(self.power, "power", (1, 2))
        if self.base != "e":
            check_positive(self.base, "base")
        if self.duration is not None:
            check_positive(self.duration, "duration")
        if self.patch_frames is not None:
            check_positive(self.patch_frames, "patch_frames", integer=True)
        if not 0 <= self.f_min < self.highest <= self.sample_rate / 2:
            raise ValueError(
                f"Got f_min={self.f_min!r}, f_max={self.f_max!r}, expected "
                f"0 <= f_min < f_max <= {self.sample_rate / 2:g} Hz, half the sample "
                "rate."
            )

    @property
    def highest(self) -> float:
        """The upper edge of the highest band, in Hz."""
        return self.sample_rate / 2 if self.f_max is None else self.f_max


# Lee, Lee, Park, Lee 2019, Enhancing music features by knowledge transfer from
# user-item log data: the network's input, experimental setup.
LEE_2019 = FrontEnd(
    sample_rate=16000,  # stated
    n_fft=512,  # stated
    hop=375,  # stated
    n_bands=96,  # stated
    mel_scale="slaney",  # not stated
    norm="slaney",  # not stated
    power=2,  # not stated
    gain=10000.0,  # compression not stated: that of musicnn, of the same rate and bands
    base=10.0,  # not stated
    drop_last=True,  # follows: input (96, 1280), a centred transform gives 1281 frames
    duration=30.0,  # stated: the middle 30 s
    patch_frames=None,  # stated: all 1280 frames at once
)

# Chen, Liang, Ma, Gu 2021, Learning audio embeddings with user listening data for
# content-based music recommendation: audio input of the siamese networks.
CHEN_2021 = FrontEnd(
    sample_rate=22050,  # stated
    n_fft=2048,  # not stated: librosa's default, as are the stated rate, hop and bands
    hop=512,  # stated
    n_bands=128,  # stated
    mel_scale="slaney",  # not stated
    norm="slaney",  # not stated
    power=2,  # not stated
    gain=10000.0,  # "log" is stated, its offset is not
    base=10.0,  # not stated
    duration=3.0,  # stated: 3 or 10 s, drawn from the first 30 s
    patch_frames=None,  # stated: the whole context at once
)

# Hamel, Davies, Yoshii, Goto 2013, Transfer learning in MIR: base features.
HAMEL_2013 = FrontEnd(
    sample_rate=22050,  # stated
    n_fft=1024,  # stated
    hop=512,  # stated: half-overlapping
    n_bands=200,  # stated
    mel_scale="slaney",  # not stated; with "htk" the lowest of 200 bands would be empty
    norm="slaney",  # not stated
    power=1,  # stated: magnitude
    gain=10000.0,  # "log" is stated, its offset is not
    base=10.0,  # not stated
    duration=30.0,  # stated: the first 30 s of full songs
    patch_frames=64,  # stated: the window of the four statistics
)

# Park, Lee, Park, Ha, Nam 2018, Representation learning of music using artist labels:
# input of the networks.
PARK_2017 = FrontEnd(
    sample_rate=22050,  # not stated; follows: 129 frames of hop 512 are stated as 3 s
    n_fft=1024,  # stated, with a Hann window
    hop=512,  # stated
    n_bands=128,  # stated
    mel_scale="slaney",  # not stated
    norm="slaney",  # not stated
    power=1,  # stated: log(1 + 10 |A|)
    gain=10.0,  # stated
    base="e",  # not stated: as "log" is written in formulas
    drop_last=True,  # follows: 3 s give 130 centred frames, 129 are stated
    duration=None,  # stated: a clip is the mean over all its 3 s patches
    patch_frames=129,  # stated
)

# Pons, Serra 2019, musicnn: extractor.py and configuration.py of its release 0.1.0.
MUSICNN = FrontEnd(
    sample_rate=16000,  # configuration.py: SR
    n_fft=512,  # configuration.py: FFT_SIZE
    hop=256,  # configuration.py: FFT_HOP
    n_bands=96,  # configuration.py: N_MELS
    mel_scale="slaney",  # librosa's default
    norm="slaney",  # librosa's default
    power=2,  # librosa's default
    gain=10000.0,  # extractor.py: batch_data
    base=10.0,  # extractor.py: batch_data
    half=True,  # extractor.py: astype(np.float16)
    duration=None,  # extractor.py: the whole file
    patch_frames=187,  # extractor.py: input_length of 3 s
)

#: The spectrogram settings of each paper, by name: values of the parameter `frontend`
#: of estimators. Each is a ``userlogfeat.frontends.FrontEnd``; for settings of your own
#: pass ``dataclasses.replace(FRONTENDS["lee2019"], n_bands=128)``.
FRONTENDS = {
    "lee2019": LEE_2019,
    "chen2021": CHEN_2021,
    "hamel2013": HAMEL_2013,
    "park2017": PARK_2017,
    "musicnn": MUSICNN,
}


def resolve_front_end(frontend: str | FrontEnd) -> FrontEnd:
    """The settings that a parameter `frontend` means: by name, or as they are."""
    if isinstance(frontend, FrontEnd):
        return frontend
    if isinstance(frontend, str) and frontend in FRONTENDS:
        return FRONTENDS[frontend]
    raise ValueError(
        f"Got frontend={frontend!r}, expected one of {list(FRONTENDS)} or a "
        "userlogfeat.frontends.FrontEnd."
    )
