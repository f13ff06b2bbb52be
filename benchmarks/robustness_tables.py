"""Damaged feature tables and factors: what is read is what was written, or an error."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
from robustness_kinds import Kind, require

from userlogfeat.factor_files import Factors, read_factors, write_factors
from userlogfeat.tables import FeatureTable

SIZES = {"mean": 5, "max": 3}


def table_kind():
    """A table of two parts, one of them damaged."""
    home = Path(tempfile.mkdtemp(prefix="robustness-")) / "table"
    rng = np.random.default_rng(0)
    names = [f"clip {i:02d}.wav" for i in range(30)] + ["caf\udce9.wav"]
    for clips in (names[:16], names[16:]):
        with FeatureTable(home).writer(
            fingerprint="fp",
            layer_sizes=SIZES,
            layer_scales={"mean": 2.0},
            max_small_parts=9,
        ) as writer:
            for clip in clips[1:]:
                layers = {name: rng.normal(size=size) for name, size in SIZES.items()}
                writer.add(clip, layers=layers, seconds=3.0, size=9, modified_ns=9)
            writer.add(clips[0], status="EmptyAudioError", message="0 bytes")
    parts = sorted(home.glob("part-*"))
    seeds = {path.name: path.read_bytes() for path in parts}
    expected = repr(FeatureTable(home).read().to_pydict())  # NaN equals itself
    scales = FeatureTable(home).layer_scales

    def check(seed, data, folder):
        shutil.copytree(home, folder / "table")
        (folder / "table" / seed).write_bytes(data)
        table = FeatureTable(folder / "table")
        rows = table.read()
        require(repr(rows.to_pydict()) == expected, "other rows")
        require(table.layer_scales == scales, "other scales")
        require(table.fingerprint == "fp", "another fingerprint")
        found = table.lookup(names)
        require(found.statuses.count("ok") == 29, "rows were lost")

    return Kind("feature tables", seeds, check, tokens=False)


def factor_kind():
    """Factors of users and items, one file damaged."""
    home = Path(tempfile.mkdtemp(prefix="robustness-")) / "factors"
    rng = np.random.default_rng(0)
    users, items = rng.normal(size=(40, 6)), rng.normal(size=(25, 6))
    names = [f"user {i}" for i in range(40)]
    notes = {"class": "CFEmbedding", "alpha": 40.0, "regularization": 0.1}
    write_factors(home, Factors(names, users, list(range(25)), items, notes))
    seeds = {path.name: path.read_bytes() for path in sorted(home.glob("*.parquet"))}
    expected = read_factors(home)

    def check(seed, data, folder):
        shutil.copytree(home, folder / "factors")
        (folder / "factors" / seed).write_bytes(data)
        found = read_factors(folder / "factors")
        for name in ("user_ids", "user_factors", "item_ids", "item_factors"):
            same = np.array_equal(getattr(found, name), getattr(expected, name))
            require(same, f"other {name}")
        require(found.made_by == expected.made_by, "other notes")

    return Kind("factors", seeds, check, tokens=False)
