"""Checkpoints written here byte by byte and read back; other files are refused."""

import struct

import numpy as np
import pytest

from userlogfeat.encoders import musicnn as musicnn_encoders
from userlogfeat.encoders.musicnn import find_checkpoint
from userlogfeat.encoders.tensorflow_checkpoint import read_checkpoint

FLOAT, INT64 = 1, 9


def varint(value):
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def number(field, value):
    return varint(field << 3) + varint(value)


def message(field, content):
    return varint(field << 3 | 2) + varint(len(content)) + content


def block(entries):
    """A table block with its trailer; keys share their prefixes."""
    content, previous = b"", b""
    for key, value in sorted(entries.items()):
        shared = 0
        while shared < min(len(key), len(previous)) and key[shared] == previous[shared]:
            shared += 1
        content += varint(shared) + varint(len(key) - shared) + varint(len(value))
        content += key[shared:] + value
        previous = key
    # One restart point; no compression, and where a checksum stands.
    return content + struct.pack("<II", 0, 1) + bytes(5)


def table(entries, per_block=2):
    keys, content, handles = sorted(entries), b"", {}
    for i in range(0, len(keys), per_block):
        part = block({key: entries[key] for key in keys[i : i + per_block]})
        last = keys[min(i + per_block, len(keys)) - 1]
        handles[last] = varint(len(content)) + varint(len(part) - 5)
        content += part
    index = block(handles)
    handle = varint(len(content)) + varint(len(index) - 5)
    content += index
    footer = (varint(0) + varint(0) + handle).ljust(40, b"\0")
    return content + footer + struct.pack("<Q", 0xDB4775248B80FB57)


def entry(array, offset):
    return (
        number(1, {"f": FLOAT, "i": INT64}[array.dtype.kind])
        + message(2, b"".join(message(2, number(1, n)) for n in array.shape))
        + number(4, offset)
        + number(5, array.nbytes)
        + varint(6 << 3 | 5)
        + bytes(4)  # where a checksum stands
    )


KERNEL = np.arange(6, dtype=np.float32).reshape(2, 3)
STEP = np.array(7, dtype=np.int64)


def write(folder):
    """A checkpoint with two variables; its prefix."""
    prefix = folder / "model"
    entries = {
        b"": number(1, 1),  # header: one data file
        b"dense/kernel": entry(KERNEL, 0),
        b"dense/step": entry(STEP, KERNEL.nbytes),
    }
    prefix.with_suffix(".index").write_bytes(table(entries))
    data = KERNEL.tobytes() + STEP.tobytes()
    prefix.with_suffix(".data-00000-of-00001").write_bytes(data)
    return prefix


def same(variables):
    return (
        list(variables) == ["dense/kernel", "dense/step"]
        and np.array_equal(variables["dense/kernel"], KERNEL)
        and variables["dense/step"] == 7
    )


def test_variables_come_back(tmp_path):
    variables = read_checkpoint(write(tmp_path))
    assert same(variables)
    assert variables["dense/kernel"].dtype == np.float32


def test_only_wanted_variables_are_read(tmp_path):
    wanted = read_checkpoint(write(tmp_path), wanted=lambda name: "step" in name)
    assert list(wanted) == ["dense/step"]


def test_musicnn_is_found_and_its_hashes_hold(musicnn):
    prefix = find_checkpoint("MSD_musicnn")
    variables = read_checkpoint(prefix, wanted=lambda name: name.startswith("dense"))
    assert variables["dense/kernel"].shape == (2 * 753, 200)


def test_an_unknown_model_is_refused():
    with pytest.raises(
        ValueError, match="Got model='MSD_big', expected one of 'MSD_mus"
    ):
        find_checkpoint("MSD_big")


def test_without_musicnn_the_command_is_given(monkeypatch):
    def missing(name):
        raise musicnn_encoders.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(musicnn_encoders.metadata, "distribution", missing)
    with pytest.raises(
        ModuleNotFoundError, match=r"pip install --no-deps musicnn==0\.1\.0"
    ):
        find_checkpoint("MSD_musicnn")


def test_other_files_of_musicnn_are_refused(monkeypatch, tmp_path):
    class Distribution:
        version = "0.2.0"

        def locate_file(self, name):
            return tmp_path / name

    monkeypatch.setattr(
        musicnn_encoders.metadata, "distribution", lambda name: Distribution()
    )
    with pytest.raises(
        ValueError, match=r"installed: 0\.2\.0\): its SHA-256 is no file"
    ):
        find_checkpoint("MTT_vgg")
    (tmp_path / "musicnn" / "MTT_vgg").mkdir(parents=True)
    (tmp_path / "musicnn" / "MTT_vgg" / ".index").write_text("other")
    with pytest.raises(ValueError, match="its SHA-256 is d9298a10d1b0, expected 4b0d"):
        find_checkpoint("MTT_vgg")
