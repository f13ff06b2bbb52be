"""Synthesis of the planted corpus: a few seconds of music from eight properties."""

from typing import Any

import numpy as np

# Properties that tastes change: name -> (value at -1, value at +1). Tempo, register and
# decay are interpolated on a logarithmic scale, the others linearly.
SOUND = {
    "tempo": (70.0, 190.0),  # notes per minute
    "register": (150.0, 600.0),  # Hz, centre of the melody
    "brightness": (2.4, 0.7),  # exponent a of the amplitudes h**-a of the harmonics
    "drums": (0.0, 1.0),  # amplitude relative to the melody
    "mode": (0.0, 1.0),  # probability that a note is from minor, not from major
    "decay": (0.06, 0.9),  # s, time constant of a note
    "vibrato": (0.0, 0.9),  # semitones, peak
    "chords": (0.0, 0.9),  # amplitude of the third and fifth below the melody
}
LOGARITHMIC = ("tempo", "register", "decay")

# Nuisances, at noise=1.
SOUND_SPREAD = 0.15  # of a clip's sound around that of its taste; range is -1, 1
LEVEL_RANGE = 20.0  # dB
NOISE_RANGE = (-45.0, -12.0)  # dB, background noise relative to the music
EQUALISER_SPREAD = 10.0  # dB, of an artist's equaliser per band
EQUALISER_BANDS = 8

MAJOR = np.array([0, 2, 4, 5, 7, 9, 11])  # semitones above the key
MINOR = np.array([0, 2, 3, 5, 7, 8, 10])
VIBRATO_RATE = 5.5  # Hz
FULL_SCALE = 32768  # of 16-bit samples


def synthesise(
    sound: dict[str, Any],
    equaliser: np.ndarray,
    *,
    n_samples: int,
    sample_rate: int,
    noise: float,
    random_state: np.random.Generator,
) -> np.ndarray:
    """Synthesise a clip: a melody with chords and drums, equalised, in noise.

    Parameters
    ----------
    sound : dict
        A value for every name of ``SOUND``, in its units.
    equaliser : ndarray (n_bands,)
        Gain in dB, bands equally spaced in octaves up to half the sample rate.
    n_samples, sample_rate : int
        Length, and sample rate in Hz.
    noise : float
        Strength of background noise and of changes of level.
    random_state : numpy Generator
        Draws key, melody, phases, noise and level.

    Returns
    -------
    ndarray (n_samples,), float32
        In -1..1, on the grid of 16-bit samples, so that a file holds it exactly.
    """
    rng = random_state
    time = np.arange(n_samples, dtype=np.float32) / np.float32(sample_rate)
    beats = time * (sound["tempo"] / 60) + rng.random()
    note = beats.astype(np.int64)
    since = (beats - note) * (60 / sound["tempo"])  # s since the note began
    frequencies, thirds = _compose(sound, note[-1] + 1, sample_rate, rng)

    vibrato = sound["vibrato"] * np.sin(
        2 * np.pi * (VIBRATO_RATE * time + rng.random())
    )
    frequency = frequencies[note] * np.exp2(vibrato / 12)
    table = _wave_table(sound["brightness"], frequency.max(), sample_rate)
    phase = np.cumsum(frequency / sample_rate) + rng.random()
    # The third and the fifth an octave below the melody sound with it.
    below = [np.cumsum(frequency * np.exp2(thirds / 12)[note] / (2 * sample_rate))]
    below.append(0.75 * phase)  # 3/2 of the frequency, an octave down
    music = _look_up(table, phase)
    music += sound["chords"] * sum(_look_up(table, voice) for voice in below)
    music *= np.minimum(since / 0.005, 1) * np.exp(-since / sound["decay"])

    hiss = rng.standard_normal(n_samples, dtype=np.float32) * np.exp(-since / 0.03)
    kick = np.sin(2 * np.pi * 60 * since) * np.exp(-since / 0.08) * (note % 2 == 0)
    music = _unit_power(music) + sound["drums"] * _unit_power(hiss + kick)

    music = _equalise(_unit_power(music), equaliser, sample_rate)
    background = rng.standard_normal(n_samples, dtype=np.float32)
    amplitude = noise * 10 ** (rng.uniform(*NOISE_RANGE) / 20)
    music = _unit_power(music) + amplitude * background
    level = 10 ** (-noise * rng.uniform(0, LEVEL_RANGE) / 20)
    music *= 0.9 * level / np.abs(music).max()
    return (np.rint(music * FULL_SCALE) / FULL_SCALE).astype(np.float32)


def _compose(sound, n_notes, sample_rate, rng):
    """Draw the frequency of each note in Hz, and the third above it in semitones."""
    key = rng.integers(-6, 6)
    steps = rng.integers(-2, 3, size=n_notes)
    degree = np.abs(np.cumsum(steps) + 3) % 8 - 3  # a walk that stays near the key
    minor = rng.random(n_notes) < sound["mode"]
    semitones = np.where(minor, MINOR[degree % 7], MAJOR[degree % 7])
    semitones += key + 12 * (degree // 7)
    frequencies = sound["register"] * np.exp2(semitones / 12)
    return np.minimum(frequencies, sample_rate / 5), np.where(minor, 3, 4)


def _wave_table(brightness, highest, sample_rate, size=2048):
    """Return one period, of unit power, of all harmonics below aliasing."""
    n_harmonics = max(int(0.45 * sample_rate / highest), 1)
    spectrum = np.zeros(size // 2 + 1)
    harmonics = np.arange(1, min(n_harmonics, size // 2 - 1) + 1)
    spectrum[harmonics] = harmonics**-brightness
    return _unit_power(np.fft.irfft(-1j * spectrum)).astype(np.float32)


def _look_up(table, phase):
    """Evaluate the periodic `table` (its size a power of two), phase in periods."""
    return table[(phase * len(table)).astype(np.int64) & (len(table) - 1)]


def _equalise(waveform, gains, sample_rate):
    spectrum = np.fft.rfft(waveform)
    frequencies = np.linspace(1, sample_rate / 2, len(spectrum))
    octaves = np.log2(frequencies / (sample_rate / 2))  # 0 at the top
    bands = np.linspace(-7, 0, len(gains))
    spectrum *= 10 ** (np.interp(octaves, bands, gains) / 20)
    return np.fft.irfft(spectrum, len(waveform))


def _unit_power(waveform):
    return waveform / np.sqrt(np.mean(np.square(waveform)) + 1e-12)
