"""Damaged lists of clips: MIREX's, and that of ``userlogfeat extract --list``."""

from robustness_kinds import Kind, require

from userlogfeat.cli.extract import read_list
from userlogfeat.mirex.lists import read_clips, read_labels, read_tags

CLIPS = [f"music/clip {i:02d}.wav" for i in range(12)]


def list_kind():
    """Feature, training and tag lists, and plain ones."""
    labels = [f"{clip}\t{('rock', 'hip hop')[i % 2]}" for i, clip in enumerate(CLIPS)]
    tags = [f"{clip}\t{tag}" for clip in CLIPS[:6] for tag in ("loud", "slow")]
    seeds = {
        "features": "".join(f"{clip}\n" for clip in CLIPS).encode(),
        "training": "".join(f"{line}\n" for line in labels).encode(),
        "tags": "".join(f"{line}\r\n" for line in tags).encode(),
        "old-mac": "".join(f"{clip}\r" for clip in CLIPS).encode(),
        "paths": "".join(f"{clip}\n" for clip in CLIPS).encode(),
        "zeros": "".join(f"{clip}\0" for clip in CLIPS).encode(),
    }

    def check(seed, data, folder):
        path = folder / "list.txt"
        path.write_bytes(data)
        if seed in ("paths", "zeros"):
            check_paths(path, data, null=seed == "zeros")
            return
        rows = split(data)
        if seed in ("features", "old-mac"):
            require(read_clips(path) == [row[0] for row in rows], "other clips")
        elif seed == "training":
            found = read_labels(path)
            require(found == {row[0]: row[1].strip() for row in rows}, "other classes")
        else:
            check_tags(read_tags(path), rows)

    return Kind("lists", seeds, check)


def check_paths(path, data, *, null):
    """Every line is one path, byte for byte."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    if b"\n" not in data and not null:  # line ends of old Macs
        data = data.replace(b"\r", b"\n")
    lines = data.split(b"\0" if null else b"\n")
    if not null:
        lines = [line[:-1] if line.endswith(b"\r") else line for line in lines]
    found = [name.encode("utf-8", "surrogateescape") for name in read_list(path, null)]
    require(found == [line for line in lines if line.strip()], "other paths")


def check_tags(found, rows):
    """Every clip has the tags of its own lines."""
    expected = {}
    for row in rows:
        named = {cell.strip() for cell in row[1:] if cell.strip()}
        expected.setdefault(row[0], set()).update(named)
    require(found == expected, "other tags")


def split(data):
    """Cells of every line that is not blank, by a plain loop over bytes."""
    rows, data = [], data.removeprefix(b"\xef\xbb\xbf")
    if b"\n" not in data:  # line ends of old Macs
        data = data.replace(b"\r", b"\n")
    for line in data.split(b"\n"):
        line = line[:-1] if line.endswith(b"\r") else line
        text = line.decode("utf-8", "surrogateescape")
        if text.strip():
            rows.append(text.split("\t"))
    return rows
