"""Audio files to waveforms, whatever they hold.

======  ====================================================================
clips   decode, downmix, resample, crop, fill, cut; decode ahead of the network
files   open files by their content
formats which formats are read, and their suffixes
mp3     how long an mp3 is, where it does not say so itself
ogg     whether all pages of an Ogg file are there
scale   whether samples are in the range of integers
errors  what is wrong with a file, and the way out
======  ====================================================================
"""

from userlogfeat.audio.clips import (
    cut_patches,
    decode_ahead,
    find_audio,
    fit_length,
    read_audio,
)
from userlogfeat.audio.errors import (
    AudioError,
    EmptyAudioError,
    MissingAudioError,
)

__all__ = [
    "AudioError",
    "EmptyAudioError",
    "MissingAudioError",
    "cut_patches",
    "decode_ahead",
    "find_audio",
    "fit_length",
    "read_audio",
]
