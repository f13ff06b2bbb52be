r"""The files of a MIREX train/test task: lists of clips, labels and tags.

No file has a header. A feature list has one path per line, a training list ``path TAB
class``, and a test list is like a feature list; a TAB after its path, and whatever
follows, is ignored. Output is ``path TAB class``, paths and order as in the test list.
For tags, the training list has a line for every pair of clip and tag, and there are two
outputs: ``path TAB tag TAB affinity``, and ``path TAB tag TAB 0|1``.

Lists are UTF-8, with or without byte order mark, with any line end (LF, CRLF, or CR
where there is no LF); paths that are not UTF-8 are written as they were read. Blank
lines are left out. Spaces belong to the path. A clip that a test list repeats is
repeated in the output; one that a training list repeats, with the same class, counts
once, also where it is the same file by another path.
"""

import os
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from userlogfeat._files import replace_file
from userlogfeat._ids import examples
from userlogfeat._text_lines import list_lines
from userlogfeat._typing import ArrayLike, PathLike
from userlogfeat._untrusted import read_whole

MAX_LIST_BYTES = 1 << 28  # two million paths or more
MAX_LINES = 10_000_000  # 3 GB of memory


def read_clips(path: PathLike) -> list[str]:
    r"""Read the clips of a feature list or a test list.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    list of str
        Paths exactly as they are written, in their order, repeats included.

    Raises
    ------
    ValueError
        Where the list is empty, in UTF-16, or a line has no path.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "test.txt"
    >>> _ = name.write_bytes(b"a b.wav\r\nc.wav\t\r\na b.wav\tjazz\n")
    >>> read_clips(name)
    ['a b.wav', 'c.wav', 'a b.wav']
    """
    return [clip for _, clip, _ in read_lines(path)]


def read_labels(path: PathLike) -> dict[str, str]:
    r"""Read the clips and classes of a training list, or of an output.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    dict of str to str
        Class of each clip, in the order of the list. Blanks around a class are dropped.

    Raises
    ------
    ValueError
        Where the list is empty, in UTF-16, a line has no class or too many columns, or
        a clip has two classes.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "train.txt"
    >>> _ = name.write_text("a b.wav\tjazz\nc.wav\thip hop\n")
    >>> read_labels(name)
    {'a b.wav': 'jazz', 'c.wav': 'hip hop'}
    """
    labels, first = {}, {}
    for number, clip, label in _labelled(path):
        if labels.setdefault(clip, label) != label:
            raise ValueError(
                f"{path} gives {clip!r} the class {labels[clip]!r} in line "
                f"{first[clip]} and {label!r} in line {number}. Keep one of the lines; "
                "or are these tags, of which a clip has several? Then pass --tags."
            )
        first.setdefault(clip, number)
    missing = [first[clip] for clip, label in labels.items() if not label]
    if missing:
        raise ValueError(
            f"{path} has no class in line {examples(missing)}, expected a path, a TAB "
            "and a class in every line. Is it a test list, or has it spaces for TABs?"
        )
    return labels


def read_tags(path: PathLike) -> dict[str, set[str]]:
    r"""Read the clips and tags of a training list with one line for each pair.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    dict of str to set of str
        Tags of each clip, in the order of the list. A line without a tag makes a clip
        that has none.

    Raises
    ------
    ValueError
        Where the list is empty, in UTF-16, has too many columns, or no tag at all.

    Examples
    --------
    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "train.txt"
    >>> _ = name.write_text("a.wav\tloud\nb.wav\tslow\na.wav\tfast\n")
    >>> {clip: sorted(tags) for clip, tags in read_tags(name).items()}
    {'a.wav': ['fast', 'loud'], 'b.wav': ['slow']}
    """
    tags = {}
    for _, clip, tag in _labelled(path):
        tags.setdefault(clip, set()).update({tag} - {""})
    if not any(tags.values()):
        raise ValueError(
            f"{path} has no tags, expected a path, a TAB and a tag in every line. Is "
            "it a test list, or has it spaces for TABs?"
        )
    return tags


def read_training(path: PathLike, *, tags: bool = False) -> dict[str, Any]:
    """Read a training list with one entry per file, by whatever path it is listed.

    Parameters
    ----------
    path : str or Path
    tags : bool
        Whether clips may have several labels.

    Returns
    -------
    dict of str to (str or set of str)
        Label of each file, by the first path that the list has for it.

    Raises
    ------
    ValueError
        As :func:`read_labels` and :func:`read_tags`; or where two paths of one file
        have different classes.
    """
    labels = read_tags(path) if tags else read_labels(path)
    folder, first, found = Path(path).parent, {}, {}
    for clip, label in labels.items():
        own = first.setdefault(os.path.realpath(find_clip(clip, folder)), clip)
        known = found.setdefault(own, label)
        if tags:
            found[own] = known | label
        elif known != label:
            raise ValueError(
                f"{path} gives one file two classes: {own!r} is {known!r}, and "
                f"{clip!r}, the same file, is {label!r}. Keep one of the lines."
            )
    return found


def write_clips(path: PathLike, clips: Iterable[str]) -> None:
    """Write a feature list or a test list: one path per line.

    Parameters
    ----------
    path : str or Path
        Written as a whole or not at all; its folder is made where it is missing.
    clips : iterable of str
    """
    _write({path: [f"{clip}\n" for clip in clips]})


def write_labels(path: PathLike, clips: Iterable[str], labels: Sequence[str]) -> None:
    """Write the classes of clips, or a training list: ``path TAB class``.

    Parameters
    ----------
    path : str or Path
        Written as a whole or not at all; its folder is made where it is missing.
    clips : iterable of str
        Paths as the test list has them.
    labels : sequence of str
    """
    pairs = zip(clips, labels, strict=True)
    _write({path: [f"{clip}\t{label}\n" for clip, label in pairs]})


def write_tags(
    affinity_path: PathLike,
    binary_path: PathLike,
    clips: list[str],
    tags: list[str],
    affinities: ArrayLike,
    relevant: ArrayLike,
) -> None:
    """Write the two files of the tag task, a line for each pair of clip and tag.

    Parameters
    ----------
    affinity_path, binary_path : str or Path
        Files with ``path TAB tag TAB affinity``, and ``path TAB tag TAB 0|1``.
    clips : list of str (n_clips,)
        Paths as the test list has them.
    tags : list of str (n_tags,)
    affinities : array-like (n_clips, n_tags)
        Greater where the tag is likelier.
    relevant : array-like (n_clips, n_tags) of bool
        Whether the clip has the tag.

    Raises
    ------
    ValueError
        Where both files are one.
    """
    check_outputs(affinity_path, binary_path)
    pairs = [f"{clip}\t{tag}" for clip in clips for tag in tags]
    scores = zip(pairs, np.ravel(affinities), strict=True)
    answers = zip(pairs, np.ravel(relevant), strict=True)
    _write(
        {
            affinity_path: [f"{pair}\t{value:.6f}\n" for pair, value in scores],
            binary_path: [f"{pair}\t{int(value)}\n" for pair, value in answers],
        }
    )


def check_outputs(*paths: PathLike) -> None:
    """Raise where an output is a folder, or two outputs are one file."""
    for path in paths:
        if Path(path).is_dir():
            raise ValueError(
                f"Got the output {path}, which is a folder, expected a file."
            )
    if len(set(map(os.path.realpath, paths))) < len(paths):
        raise ValueError(
            f"Got {paths[0]} for affinities and for the 0|1 answers, expected two "
            "files."
        )


def find_clip(clip: str, folder: PathLike) -> str:
    """Find the file that a line of a list means, as an absolute path.

    A relative path is taken from the present folder, or where no file is there, from
    that of the list. Names of which the disk has the other Unicode form (é as one sign
    or as two), or which end with blanks in the list alone, are found.

    Parameters
    ----------
    clip : str
        Path as in the list.
    folder : str or Path
        Folder of the list.

    Returns
    -------
    str
        A path in the present folder where there is no such file.
    """
    forms = [unicodedata.normalize(form, clip) for form in ("NFC", "NFD")]
    for name in dict.fromkeys([clip, *forms, clip.strip()]):
        for base in (os.getcwd(), os.path.abspath(folder)):
            path = os.path.normpath(os.path.join(base, name))
            if name and os.path.exists(path):
                return path
    return os.path.abspath(clip)


def read_lines(path: PathLike) -> list[tuple[int, str, list[str]]]:
    """Read number, path and further columns of every line that is not blank.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    list of (int, str, list of str)

    Raises
    ------
    ValueError
        Where there are none, or too many, one has no path or a NUL byte, or the file is
        in UTF-16 or a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"Got the list {path}, which is a folder, expected a file.")
    lines = list_lines(read_whole(path, max_bytes=MAX_LIST_BYTES), path)
    if len(lines) > MAX_LINES + 1:
        raise ValueError(
            f"The list {path} has {len(lines) - 1:,} lines, expected at most "
            f"{MAX_LINES:,}: cut it into several."
        )
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        clip, *rest = line.split("\t")
        if not clip.strip():
            raise ValueError(f"{path} has no path in line {number}, before the TAB.")
        found.append((number, clip, [text.strip() for text in rest]))
    if not found:
        raise ValueError(f"The list {path} is empty, expected one path per line.")
    return found


def _labelled(path):
    """Read number, path and label, perhaps "", of every line."""
    lines = read_lines(path)
    wide = [number for number, _, rest in lines if any(rest[1:])]
    if wide:
        raise ValueError(
            f"{path} has more than two columns in line {examples(wide)}, expected a "
            "path, a TAB and a label: no TAB can be in a path or in a label."
        )
    return [(number, clip, rest[0] if rest else "") for number, clip, rest in lines]


def _write(files):
    """Write files of {path: lines}; none is replaced before all are on disk."""
    check_outputs(*files)
    with ExitStack() as stack:
        for path, lines in files.items():
            path = Path(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = stack.enter_context(replace_file(path))
            temporary.write_bytes("".join(lines).encode("utf-8", "surrogateescape"))
