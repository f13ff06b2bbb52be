"""Memory that readers use for files made to fill it.

    python benchmarks/robustness_bounds.py FOLDER

makes them in a folder, reads each, and prints a line of JSON: what it was, what was
said, and by how much the resident memory of this process rose at its peak, in MB.
"""

import ctypes
import gzip
import hashlib
import json
import struct
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from userlogfeat import FRONTENDS, read_audio, read_catalogue, read_logs
from userlogfeat.mirex.lists import read_clips
from userlogfeat.tables import FeatureTable
from userlogfeat.tables.footers import FIELDS, METADATA, layer_fields, sealed_notes
from userlogfeat.weights import load_model

MB = 1 << 20


def peak_of(call):
    """Return the message of a call, and the rise of resident memory in MB."""
    pa.default_memory_pool().release_unused()
    ctypes.CDLL(None).malloc_trim(0)  # what making the file left
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = memory("VmHWM")
    try:
        said = f"read {str(call())[:60]}"
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    return said, (memory("VmHWM") - before) / 1024


def memory(name):
    """A line of /proc/self/status, in kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def long_wav(folder):
    """A header of 10 ** 9 samples before one second of sound."""
    path = folder / "long.wav"
    soundfile.write(path, np.zeros(8000), 8000, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"data") + 4, 2 * 10**9)
    path.write_bytes(data)
    return lambda: len(read_audio(path, sample_rate=8000))


def long_flac(folder):
    """A header of 100 hours before one second of sound."""
    path = folder / "long.flac"
    soundfile.write(path, np.zeros(8000), 8000, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    bits = int.from_bytes(data[18:26], "big")
    data[18:26] = (bits >> 36 << 36 | 100 * 3600 * 8000).to_bytes(8, "big")
    path.write_bytes(data)
    return lambda: len(read_audio(path, sample_rate=8000, duration=30.0))


def silent_flac(folder):
    """10 hours of silence in a megabyte."""
    path = folder / "silent.flac"
    with soundfile.SoundFile(path, "w", 8000, 1, subtype="PCM_16") as file:
        for _ in range(10):
            file.write(np.zeros(3600 * 8000, np.int16))
    return lambda: len(read_audio(path, sample_rate=16000))


def sealed_model(folder, name, **changes):
    """A small model with other entries, and digests that fit."""
    from robustness_models import CONFIG, resealed, small_model

    small_model(folder / name)
    config = json.loads((folder / name / CONFIG).read_text())
    for key, value in changes.items():
        config[key] = {**config[key], **value}
    (folder / name / CONFIG).write_text(json.dumps(resealed(config)))
    return lambda: load_model(folder / name)


def large_network(folder):
    """A network of 10 ** 6 maps."""
    return sealed_model(folder, "large", network={"channels": 10**6})


def large_front_end(folder):
    """A front end of 10 ** 6 bands of a transform of 2 ** 24."""
    sizes = {"n_fft": 1 << 24, "n_bands": 10**6}
    return sealed_model(folder, "bands", front_end=sizes)


def short_hop(folder):
    """A front end with a frame for every sample of 768 kHz."""
    rate = {"sample_rate": 768_000, "hop": 1, "f_max": None}
    return sealed_model(folder, "hop", front_end=rate)


def deep_json(folder):
    """A config of a hundred thousand brackets."""
    from robustness_models import CONFIG, small_model

    small_model(folder / "deep")
    (folder / "deep" / CONFIG).write_text("[" * 100_000)
    return lambda: load_model(folder / "deep")


def huge_tensor(folder):
    """A header of safetensors that promises 2 ** 60 numbers."""
    from robustness_models import CONFIG, TENSORS, resealed, small_model

    small_model(folder / "tensor")
    place = folder / "tensor" / TENSORS
    entry = {"dtype": "F32", "shape": [1 << 30, 1 << 30], "data_offsets": [0, 1 << 62]}
    header = json.dumps({"a": entry}).encode()
    place.write_bytes(struct.pack("<Q", len(header)) + header)
    config = json.loads((folder / "tensor" / CONFIG).read_text())
    config["sha256"] = hashlib.sha256(place.read_bytes()).hexdigest()
    (folder / "tensor" / CONFIG).write_text(json.dumps(resealed(config)))
    return lambda: load_model(folder / "tensor")


def table_of(folder, name, n_rows, size, clip):
    """A part whose rows are all alike."""
    small = [[clip] * n_rows, [None] * n_rows, ["ok"] * n_rows, [""] * n_rows]
    arrays = [pa.array(c, f.type) for c, f in zip(small, FIELDS[:4], strict=True)]
    arrays += [pa.array(np.zeros(n_rows), field.type) for field in FIELDS[4:]]
    flat = pa.array(np.zeros(n_rows * size, np.float32))
    arrays.append(pa.FixedSizeListArray.from_arrays(flat, size))
    schema = pa.schema([*FIELDS, *layer_fields({"mean": size})])
    notes = {"format": "userlogfeat table 1", "fingerprint": "f", "scales": {}}
    notes |= {"layers": {"mean": size}, "made_by": "", "replaces": []}
    rows = pa.Table.from_arrays(arrays, schema=schema)
    rows = rows.replace_schema_metadata({METADATA: sealed_notes(notes)})
    (folder / name).mkdir()
    path = folder / name / "part-00000000.parquet"
    with pq.ParquetWriter(path, rows.schema, compression="zstd") as writer:
        for _ in range(16):
            writer.write_table(rows)
    del rows, arrays, flat
    pa.default_memory_pool().release_unused()
    return lambda: FeatureTable(folder / name).clips()


def many_rows(folder):
    """640 MB of zeros as features."""
    return table_of(folder, "rows", 10_000, 1000, "a.wav")


def long_names(folder):
    """400,000 clips with the same name of two thousand letters: 800 MB."""
    return table_of(folder, "names", 25_000, 1, "x" * 2000)


def catalogue_of_one_word(folder):
    """Half a million times one word of two thousand letters, twice: 2 GB."""
    path = folder / "words.parquet"
    words = pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(500_000, np.int32)), ["x" * 2000]
    )
    pq.write_table(pa.table({"clip": words, "item": words}), path)
    return lambda: read_catalogue(path, check_files=False)


def log_without_lines(folder):
    """256 MB of zeros in 256 kB of gzip."""
    path = folder / "zeros.tsv.gz"
    with gzip.open(path, "wb", compresslevel=6) as file:
        file.write(b"user\titem\n")
        for _ in range(256):
            file.write(bytes(MB))
    return lambda: read_logs(path)


def log_of_one_pair(folder):
    """Ten million plays of one pair in less than a megabyte."""
    path = folder / "pair.tsv.gz"
    with gzip.open(path, "wb", compresslevel=6) as file:
        file.write(b"user\titem\n")
        for _ in range(20):
            file.write(b"a\tb\n" * 500_000)
    return lambda: read_logs(path).user_items.sum()


def log_of_one_word(folder):
    """A million plays of a user of five thousand letters: 5 GB."""
    path = folder / "word.parquet"
    word = pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(1_000_000, np.int32)), ["x" * 5000]
    )
    pq.write_table(pa.table({"user": word, "item": word}), path)
    return lambda: read_logs(path)


def endless_list(folder):
    """A list that is a link to a device without end."""
    (folder / "list.txt").symlink_to("/dev/zero")
    return lambda: read_clips(folder / "list.txt")


# What each may take, in MB, beyond what is there when it begins.
BOUNDS = {
    long_wav: 64,
    long_flac: 64,
    silent_flac: 64,
    large_network: 64,
    large_front_end: 64,
    short_hop: 64,
    deep_json: 64,
    huge_tensor: 64,
    many_rows: 256,
    long_names: 256,
    catalogue_of_one_word: 512,  # 1,000 times its length
    log_without_lines: 128,
    log_of_one_pair: 1024,
    log_of_one_word: 256,
    endless_list: 64,
}


def main(folder):
    load_model("lastfm2k-musicnn")  # libraries take their memory now
    assert FRONTENDS
    for make, bound in BOUNDS.items():
        said, rose = peak_of(make(Path(folder)))
        line = {"file": make.__doc__, "name": make.__name__, "bound": bound}
        print(json.dumps({**line, "said": said, "peak": round(rose, 1)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
