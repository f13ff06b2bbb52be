"""The papers' settings add up to the shapes that the papers state."""

import copy
import json
import math
from dataclasses import asdict, replace

import pytest
import torch

from userlogfeat import FRONTENDS
from userlogfeat.frontends import FrontEnd
from userlogfeat.networks.mel import LogMelSpectrogram, compress


def n_frames(name, seconds):
    front_end = FRONTENDS[name]
    return LogMelSpectrogram(front_end).n_frames(round(seconds * front_end.sample_rate))


def test_five_papers():
    assert list(FRONTENDS) == [
        "lee2019",
        "chen2021",
        "hamel2013",
        "park2017",
        "musicnn",
    ]


def test_lee_2019_reads_96_bands_by_1280_frames():
    front_end = FRONTENDS["lee2019"]
    clip = torch.zeros(1, round(front_end.duration * front_end.sample_rate))
    assert clip.shape == (1, 480_000)
    assert LogMelSpectrogram(front_end)(clip).shape == (1, 96, 1280)


def test_park_2017_has_129_frames_in_three_seconds():
    assert n_frames("park2017", 3.0) == FRONTENDS["park2017"].patch_frames == 129


def test_park_2017_compresses_as_written():
    """The paper's log(1 + 10 |A|) of |A| = 1 is the logarithm of 11."""
    found = compress(torch.tensor(1.0), FRONTENDS["park2017"]).item()
    assert found == pytest.approx(math.log(11.0))


def test_musicnn_has_187_frames_in_three_seconds():
    """187 frames reach from the centre of the first to that of the last: 2.98 s."""
    front_end = FRONTENDS["musicnn"]
    assert front_end.patch_frames == 187
    assert n_frames("musicnn", 186 * 256 / 16000) == 187


def test_hamel_2013_has_no_empty_band():
    """Which is why its mel scale is slaney's: on HTK's, 200 bands are too many."""
    with pytest.warns(UserWarning, match="of 200 mel bands are empty"):
        LogMelSpectrogram(replace(FRONTENDS["hamel2013"], mel_scale="htk"))
    filters = LogMelSpectrogram(FRONTENDS["hamel2013"]).filters
    assert filters.shape == (513, 200)
    assert (filters.sum(dim=0) > 0).all()


@pytest.mark.parametrize("name", FRONTENDS)
def test_settings_survive_json_copies_and_hashing(name):
    front_end = FRONTENDS[name]
    assert FrontEnd(**json.loads(json.dumps(asdict(front_end)))) == front_end
    assert hash(copy.deepcopy(front_end)) == hash(front_end)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"sample_rate": 0}, "sample_rate=0"),
        ({"n_fft": 512.5}, "n_fft=512.5, expected a positive finite integer"),
        ({"hop": -1}, "hop=-1"),
        ({"n_bands": 0}, "n_bands=0"),
        ({"mel_scale": "bark"}, "mel_scale='bark', expected one of 'slaney', 'htk'"),
        ({"norm": "peak"}, "norm='peak'"),
        ({"power": 3}, "power=3"),
        ({"gain": 0}, "gain=0"),
        ({"base": "10"}, "base='10'"),
        ({"duration": 0}, "duration=0"),
        ({"patch_frames": 1.5}, "patch_frames=1.5"),
        ({"f_max": 9000.0}, "0 <= f_min < f_max <= 8000 Hz"),
        ({"f_min": 500.0, "f_max": 400.0}, "f_min=500.0, f_max=400.0"),
    ],
)
def test_settings_are_checked(settings, match):
    with pytest.raises(ValueError, match=match):
        replace(FRONTENDS["musicnn"], **settings)
