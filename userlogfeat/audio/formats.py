"""The one list of the audio formats that are read.

Files are recognised by content, whatever their name. The suffixes here decide which
files are taken from a folder by `find_audio`, `read_catalogue` and the data sets.
"""

from collections.abc import Iterable

EXTRA = "formats"  # of this package; brings PyAV, which brings FFmpeg's decoders

# Format -> its suffixes, the usual one first.
FORMATS = {
    "wav": (".wav", ".wave", ".bwf", ".rf64"),
    "flac": (".flac",),
    "ogg": (".ogg", ".oga"),
    "opus": (".opus",),
    "mp3": (".mp3", ".mp2", ".mp1", ".mpga"),
    "au": (".au", ".snd"),
    "aiff": (".aiff", ".aif", ".aifc"),
    "w64": (".w64",),
    "caf": (".caf",),
}
# With the extra. Without it they are taken from folders all the same, so that each is
# reported with the command that installs it, or converts the file.
EXTRA_FORMATS = {
    "m4a": (".m4a", ".m4b", ".mp4", ".3gp"),
    "aac": (".aac",),
    "wma": (".wma",),
    "webm": (".webm", ".weba", ".mka"),
    "ape": (".ape",),
    "wv": (".wv",),
    "mpc": (".mpc",),
    "tta": (".tta",),
    "amr": (".amr",),
    "ac3": (".ac3", ".eac3"),
    "spx": (".spx",),
}

# First bytes of formats that libsndfile does not read (offset, bytes, name in words);
# within Ogg they are behind the header of the first page.
SIGNATURES = (
    (4, b"ftyp", "AAC or ALAC audio in an MP4 file (M4A)"),
    (0, b"\xff\xf1", "AAC audio (ADTS)"),
    (0, b"\xff\xf9", "AAC audio (ADTS)"),
    (0, b"ADIF", "AAC audio (ADIF)"),
    (0, b"\x30\x26\xb2\x75", "Windows Media audio (WMA)"),
    (0, b"\x1a\x45\xdf\xa3", "audio in a Matroska or WebM file"),
    (0, b"wvpk", "WavPack audio"),
    (0, b"MAC ", "Monkey's Audio (APE)"),
    (0, b"MPCK", "Musepack audio"),
    (0, b"MP+", "Musepack audio"),
    (0, b"TTA1", "True Audio (TTA)"),
    (0, b"#!AMR", "AMR audio"),
    (28, b"\x7fFLAC", "FLAC audio in an Ogg file"),
    (28, b"Speex   ", "Speex audio in an Ogg file"),
)

AUDIO_SUFFIXES = tuple(
    suffix
    for suffixes in (*FORMATS.values(), *EXTRA_FORMATS.values())
    for suffix in suffixes
)


def describe_formats() -> str:
    """List the formats in words, for messages and documents.

    Examples
    --------
    >>> from userlogfeat.audio.formats import describe_formats
    >>> describe_formats()[:52]
    'wav, flac, ogg, opus, mp3, au, aiff, w64 and caf; wi'
    """
    return f"{_listed(FORMATS)}; with the extra `{EXTRA}` also {_listed(EXTRA_FORMATS)}"


def _listed(names: Iterable[str]) -> str:
    *names, last = names
    return f"{', '.join(names)} and {last}"
