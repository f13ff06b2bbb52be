"""A planted table: three labels far apart, names of strangers, two copies."""

import warnings
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import soundfile

from userlogfeat import FeatureTable, read_catalogue

EVIL = '<script>document.title="bad"</script>'
LABELS = ["folk", "jazz", "punk"]
N, COPY = 24, 21  # clips; row 21 is a copy of row 0, of the same label


def planted(seed=0):
    """Features of N clips, those of a label together."""
    rng = np.random.default_rng(seed)
    centres = 8 * np.tile(np.eye(3), 2)
    rows = np.array([centres[i % 3] + 0.5 * rng.normal(size=6) for i in range(N)])
    rows[COPY] = rows[0]
    return rows.astype(np.float32)


def write_table(folder, names, rows, layer="mean", **more):
    table = FeatureTable(folder)
    sizes = {layer: rows.shape[1]} | {name: x.shape[1] for name, x in more.items()}
    with table.writer(fingerprint="planted", layer_sizes=sizes) as writer:
        for i, name in enumerate(names):
            layers = {layer: rows[i]} | {key: x[i] for key, x in more.items()}
            writer.add(name, layers=layers, seconds=1.0)
    return table


@pytest.fixture(scope="session")
def kit():
    """Functions for tests: conftest files are not imported."""
    return SimpleNamespace(planted=planted, write_table=write_table)


@pytest.fixture(scope="session")
def planted_clips(tmp_path_factory):
    """A folder with audio, a feature table and a catalogue."""
    folder = tmp_path_factory.mktemp("explore")
    tone = 0.2 * np.sin(np.arange(8000) / 8)
    names = [str(folder / f"clip {i:02d} #1.wav") for i in range(N)]
    for name in names:
        soundfile.write(name, tone, 8000)
    # Two layers: in "noise" a clip's neighbours have no label in common.
    noise = np.random.default_rng(5).normal(size=(N, 4)).astype(np.float32)
    table = write_table(folder / "features", names, planted(), noise=noise)
    frame = pl.DataFrame(
        {
            "clip": names,
            "item": list(range(N)),
            "artist": [EVIL if i % 12 == 0 else f"artist {i % 12}" for i in range(N)],
            "label": [LABELS[i % 3] for i in range(N)],
            "title": [f"Song {i}" for i in range(N)],
            "year": [1960 + i for i in range(N)],
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        catalogue = read_catalogue(frame)
    return folder, names, table, catalogue
