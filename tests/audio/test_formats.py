"""One list of formats: what is listed is read, and documents say the same."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from userlogfeat.audio import read_audio
from userlogfeat.audio.formats import (
    AUDIO_SUFFIXES,
    EXTRA_FORMATS,
    FORMATS,
    describe_formats,
)

ROOT = Path(__file__).parents[2]
WRITTEN = {  # what the format is where its name is not that of the container
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "ogg": {"format": "OGG", "subtype": "VORBIS"},
}


@pytest.mark.parametrize("name", FORMATS)
def test_listed_formats_are_read(tmp_path, name):
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, 16000)
    path = tmp_path / f"a{FORMATS[name][0]}"
    soundfile.write(path, wave, 16000, **WRITTEN.get(name, {"format": name.upper()}))
    assert read_audio(path, sample_rate=16000).shape == (16000,)


def test_suffixes_are_distinct():
    assert len(set(AUDIO_SUFFIXES)) == len(AUDIO_SUFFIXES)
    assert all(s.startswith(".") and s == s.lower() for s in AUDIO_SUFFIXES)
    assert not FORMATS.keys() & EXTRA_FORMATS.keys()


@pytest.mark.parametrize("page", ["docs/guide/audio.md"])
def test_documents_have_the_list(page):
    text = " ".join((ROOT / page).read_text().split())
    assert f"Supported are {describe_formats()}." in text
