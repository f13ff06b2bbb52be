"""The audio formats that are read: the one list of them.

Files are recognised by content, whatever their name. The suffixes here say what is
taken from a folder by `find_audio`, `read_catalogue` and the data sets.
"""

from collections.abc import Iterable

EXTRA = "formats"  # of this package; brings PyAV, which brings FFmpeg's decoders

# Format -> its suffixes, the usual one first.
FORMATS = {
    "wav": (".wav", ".wave", ".rf64"),
    "flac": (".flac",),
    "ogg": (".ogg", ".oga"),
    "opus": (".opus",),
    "mp3": (".mp3", ".mp2"),
    "au": (".au", ".snd"),
    "aiff": (".aiff", ".aif", ".aifc"),
    "w64": (".w64",),
    "caf": (".caf",),
}
# With the extra. Without it they are taken from folders all the same, so that each is
# reported with the command that installs it, or converts the file.
EXTRA_FORMATS = {
    "m4a": (".m4a", ".m4b"),
    "aac": (".aac",),
    "wma": (".wma",),
    "webm": (".webm", ".mka"),
    "ape": (".ape",),
    "wv": (".wv",),
    "mpc": (".mpc",),
    "tta": (".tta",),
    "amr": (".amr",),
}

AUDIO_SUFFIXES = tuple(
    suffix
    for suffixes in (*FORMATS.values(), *EXTRA_FORMATS.values())
    for suffix in suffixes
)


def describe_formats() -> str:
    """The formats in words, for messages and documents.

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
