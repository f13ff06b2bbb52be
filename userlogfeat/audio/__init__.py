"""Audio files as waveforms, whatever their format.

==========  ================================================================
clips       ``read_audio``: decode, downmix, resample, crop, fill
ahead       decode files in threads, ahead of the network
folders     find the audio files in folders
waveforms   check waveforms that are given as arrays
resampling  soxr, block by block
files       open files by their content
formats     the list of formats and their suffixes
chunks      wav, aiff, au, w64 and caf: find the samples
flac, mp3   count the samples by the frames
ogg         check that all pages are there
extra       m4a, wma, webm, ...: decode by FFmpeg
ends        whether such a file was cut off
source      bytes, marks and tags of a file; ``Layout``, the result of the five above;
            ``FileView``, a file with another header, for the decoder
scale       detect samples in the range of integers
errors      one class for each kind of fault, with the way out
==========  ================================================================
"""

from userlogfeat.audio.ahead import decode_ahead
from userlogfeat.audio.clips import fit_length, read_audio
from userlogfeat.audio.errors import AudioError, EmptyAudioError, MissingAudioError
from userlogfeat.audio.folders import find_audio

__all__ = [
    "AudioError",
    "EmptyAudioError",
    "MissingAudioError",
    "decode_ahead",
    "find_audio",
    "fit_length",
    "read_audio",
]
