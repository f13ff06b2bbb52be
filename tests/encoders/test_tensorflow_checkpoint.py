"""Checkpoints written here byte by byte, read back, damaged and refused."""

import struct
import tracemalloc

import numpy as np
import pytest

from userlogfeat.encoders import musicnn as musicnn_encoders
from userlogfeat.encoders.musicnn import find_checkpoint
from userlogfeat.encoders.tensorflow_checkpoint import read_checkpoint

FLOAT, INT64, STRING = 1, 9, 7


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


def block(entries, compression=0):
    """A table block with its trailer; keys share their prefixes."""
    content, previous = b"", b""
    for key, value in sorted(entries.items()):
        shared = 0
        while shared < min(len(key), len(previous)) and key[shared] == previous[shared]:
            shared += 1
        content += varint(shared) + varint(len(key) - shared) + varint(len(value))
        content += key[shared:] + value
        previous = key
    content += struct.pack("<II", 0, 1) + bytes([compression])
    return content + bytes(4)  # where a checksum stands


def table(entries, per_block=2, compression=0):
    keys, content, handles = sorted(entries), b"", {}
    for i in range(0, len(keys), per_block):
        part = block(
            {key: entries[key] for key in keys[i : i + per_block]}, compression
        )
        last = keys[min(i + per_block, len(keys)) - 1]
        handles[last] = varint(len(content)) + varint(len(part) - 5)
        content += part
    index = block(handles)
    handle = varint(len(content)) + varint(len(index) - 5)
    content += index
    footer = (varint(0) + varint(0) + handle).ljust(40, b"\0")
    return content + footer + struct.pack("<Q", 0xDB4775248B80FB57)


def entry(array, offset, *, kind=None, shape=None, size=None, extra=b""):
    dimensions = array.shape if shape is None else shape
    content = array.tobytes()
    return (
        number(1, kind or {"f": FLOAT, "i": INT64}[array.dtype.kind])
        + message(2, b"".join(message(2, number(1, n)) for n in dimensions))
        + number(4, offset)
        + number(5, len(content) if size is None else size)
        + varint(6 << 3 | 5)
        + bytes(4)  # where a checksum stands
        + extra
    )


HEADER = number(1, 1)
KERNEL = np.arange(6, dtype=np.float32).reshape(2, 3)
STEP = np.array(7, dtype=np.int64)


def write(folder, *, header=HEADER, compression=0, **kernel_settings):
    """A checkpoint with two variables; its prefix."""
    prefix = folder / "model"
    entries = {
        b"": header,
        b"dense/kernel": entry(KERNEL, 0, **kernel_settings),
        b"dense/step": entry(STEP, KERNEL.nbytes),
    }
    content = table(entries, compression=compression)
    prefix.with_suffix(".index").write_bytes(content)
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


def test_a_flipped_bit_is_read_or_refused(tmp_path):
    """No other error, and no memory for what it claims: the SHA-256 finds the rest."""
    prefix = write(tmp_path)
    path = prefix.with_suffix(".index")
    content, refused = path.read_bytes(), 0
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            read_checkpoint(prefix)
        except ValueError:
            refused += 1
    assert refused > len(content) / 4


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
def test_any_truncation_is_noticed(tmp_path, suffix):
    prefix = write(tmp_path)
    path = prefix.with_suffix(suffix)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="cannot be read as part of a TensorFlow"):
            read_checkpoint(prefix)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"shape": (1 << 40,), "size": 1 << 42}, r"shape \(1099511627776,\)"),
        ({"shape": (0, 1 << 62), "size": 0}, "lists 0 bytes"),
        ({"shape": (2, 4)}, r"shape \(2, 4\) and float32 lists 24 bytes"),
        ({"shape": (1,) * 9, "size": 4}, "lists 4 bytes"),
        ({"kind": STRING}, "the unknown type 7"),
        ({"extra": message(7, b"")}, "partitioned variable"),
        ({"extra": message(4, b"x")}, "field 4 of an entry is not of type int"),
        ({"extra": varint(3 << 3 | 3)}, "unknown wire type 3"),
        ({"extra": b"\xff" * 11}, "more than 64 bits"),
        ({"header": number(1, 2)}, "2 data shards"),
        ({"header": HEADER + number(2, 1)}, "big-endian"),
        ({"compression": 1}, "compression of type 1"),
    ],
)
def test_what_is_not_known_or_absurd_is_refused(tmp_path, settings, reason):
    prefix = write(tmp_path, **settings)
    tracemalloc.start()
    with pytest.raises(ValueError, match=reason):
        read_checkpoint(prefix)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_a_tensor_beyond_the_file_is_refused(tmp_path):
    prefix = write(tmp_path)
    data = prefix.with_suffix(".data-00000-of-00001")
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(ValueError, match="bytes 24 to 32, but the file has 31"):
        read_checkpoint(prefix)


def test_a_foreign_file_is_refused(tmp_path):
    prefix = write(tmp_path)
    prefix.with_suffix(".index").write_text("not a table " * 10)
    with pytest.raises(ValueError, match="magic number of a LevelDB table"):
        read_checkpoint(prefix)
    with open(prefix.with_suffix(".index"), "wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(ValueError, match="1073741824 bytes, expected at most"):
        read_checkpoint(prefix)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no file .*model\.index"):
        read_checkpoint(tmp_path / "model")


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
