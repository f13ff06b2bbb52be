"""DCASE 2016, task 1: 30 s recordings of 15 acoustic scenes (not music).

Citation: A. Mesaros, T. Heittola and T. Virtanen, "TUT database for acoustic scene
classification and sound event detection", EUSIPCO, 2016. Development:
zenodo.org/record/45739; evaluation: zenodo.org/record/165995.

Licence: EULA.pdf in the archives: free for research, no commercial use.

Layout, from the README of the archives (44.1 kHz, 24 bits, stereo)::

    TUT-acoustic-scenes-2016-development/
        meta.txt           audio/b020_90_120.wav <tab> beach
        error.txt          file <tab> onset <tab> offset <tab> what (since version 1.1)
        audio/             a001_0_30.wav ...: recording, first and last second
        evaluation_setup/  fold1_train.txt  fold1_test.txt  fold1_evaluate.txt ... fold4
    TUT-acoustic-scenes-2016-evaluation/
        meta.txt           audio/178.wav <tab> bus
        audio/             1.wav ... 390.wav
        evaluation_setup/  test.txt  evaluate.txt (in the copy of the challenge: no
                           meta.txt and no evaluate.txt)

Splits: 1,170 development segments (78 a scene) in four folds by place; 390 for
evaluation (26 a scene). Names of segments of one recording begin alike, which is
their `item`; names of the evaluation part do not show it.

Known faults: error.txt lists failures of a microphone and interference of phones, in
parts of segments; none is left out, and the column `error_seconds` has their length.
The development folder comes in eight archives of audio, the evaluation folder in three,
all to be unpacked over each other.
"""

from pathlib import Path
from typing import Literal

import polars as pl

from userlogfeat._check import check_choice
from userlogfeat._typing import PathLike
from userlogfeat.datasets.folders import add_audio, audio_by_name, find_root, read_lines
from userlogfeat.datasets.labelled_clips import LabelledClips
from userlogfeat.datasets.registry import register_dataset

N_FOLDS = 4
PARTS = ("development", "evaluation")
_SETUP = "evaluation_setup"
_AGAIN = "Unpack the archive ...meta.zip once more."
_LAYOUTS = {
    "development": "meta.txt, audio/ and evaluation_setup/fold1_evaluate.txt",
    "evaluation": "audio/ and evaluation_setup/test.txt or evaluate.txt",
}


@register_dataset("DCASE 2016, task 1")
def read_dcase2016(
    folder: PathLike,
    part: Literal["development", "evaluation", "both"] = "development",
    *,
    missing: Literal["error", "ignore"] = "error",
) -> LabelledClips:
    r"""Read the acoustic scenes of DCASE 2016 from the folders of their archives.

    Parameters
    ----------
    folder : str or Path
        The folder of the part, or the one just above or below; for "both" the folder
        that holds the two.
    part : {"development", "evaluation", "both"}
        "development" has four folds, "both" a split: development to learn from
        ("train"), evaluation to test.
    missing : {"error", "ignore"}
        Reaction to segments that meta.txt lists but that are not there.

    Returns
    -------
    LabelledClips
        `item` is the recording that a segment was cut from (None in the evaluation
        part); `fold` or `split`; the column `error_seconds`, null without error.txt.

    Raises
    ------
    FileNotFoundError, NotADirectoryError, ValueError
        If the folder is of something else, segments are missing, or lists disagree.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from userlogfeat.datasets.dcase2016 import read_dcase2016
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ("audio", "evaluation_setup"):
    ...     (folder / name).mkdir()
    >>> (folder / "audio" / "178.wav").touch()
    >>> (folder / "evaluation_setup" / "test.txt").touch()
    >>> _ = (folder / "meta.txt").write_text("audio/178.wav\tbus\n")
    >>> clips = read_dcase2016(folder, "evaluation")
    >>> clips, clips.y
    (LabelledClips(DCASE 2016 evaluation: 1 clips, 1 labels),
     array(['bus'], dtype='<U3'))
    """
    check_choice(part, "part", (*PARTS, "both"))
    if part != "both":
        return _read_part(folder, part, missing)
    train, test = (_read_part(folder, p, missing) for p in PARTS)
    sides = (
        train.frame.drop("fold").with_columns(split=pl.lit("train")),
        test.frame.with_columns(split=pl.lit("test")),
    )
    absent = train.missing + test.missing
    return LabelledClips("DCASE 2016", pl.concat(sides), missing=absent)


def _read_part(folder, part, missing):
    name = f"DCASE 2016 ({part})"
    root = find_root(folder, _IS_ROOT[part], name=name, layout=_LAYOUTS[part])
    meta = _scene_list(root, part)
    scenes = _read_list(meta, 2)
    stems = [_stem(row[0]) for row in scenes]
    if len(set(stems)) < len(stems):
        again = next(stem for stem in stems if stems.count(stem) > 1)
        raise ValueError(f"{str(meta)!r} lists {again!r} more than once.")
    development = part == "development"
    frame = pl.DataFrame(
        {
            "item": [s.split("_")[0] if development else None for s in stems],
            "label": [scene for _, scene in scenes],
            "error_seconds": _error_seconds(root, stems),
        },
        schema={"item": pl.String, "label": pl.String, "error_seconds": pl.Float64},
    )
    if development:
        frame = frame.with_columns(fold=_folds(root, stems))
    folder = root / "audio"
    clips = LabelledClips(f"DCASE 2016 {part}", frame)
    audio = audio_by_name([folder])
    return add_audio(clips, folder, stems, audio, listed=meta, missing=missing)


def _is_development(folder):
    folds = folder / _SETUP / "fold1_evaluate.txt"
    return (folder / "meta.txt").is_file() and folds.is_file()


def _is_evaluation(folder):
    lists = [folder / _SETUP / name for name in ("test.txt", "evaluate.txt")]
    return (folder / "audio").is_dir() and any(path.is_file() for path in lists)


_IS_ROOT = {"development": _is_development, "evaluation": _is_evaluation}


def _scene_list(root, part):
    """Return the file with the scene of each segment."""
    names = ["meta.txt"] + [f"{_SETUP}/evaluate.txt"] * (part == "evaluation")
    for name in names:
        if (root / name).is_file():
            return root / name
    raise FileNotFoundError(
        f"{str(root)!r} has no {' and no '.join(names)}, which have the scene of each "
        "segment. The copy given out during the challenge had no labels; that of "
        "zenodo.org/record/165995 has them."
    )


def _stem(name):
    return Path(name.strip()).stem


def _read_list(path, n_fields):
    """Read the fields of each line, separated by tabs."""
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no file {str(path)!r}, which belongs to the set. {_AGAIN}"
        )
    rows = []
    for number, line in read_lines(path):
        row = [field.strip() for field in line.strip().split("\t")]
        if len(row) < n_fields:
            raise ValueError(
                f"Line {number} of {str(path)!r} is {line!r}, expected {n_fields} "
                "fields separated by tabs."
            )
        rows.append(row[:n_fields])
    return rows


def _folds(root, stems):
    """Return the fold that tests each segment, from 1; raise if lists do not agree."""
    known, tested_in = set(stems), {}
    for k in range(1, N_FOLDS + 1):
        paths = [
            root / _SETUP / f"fold{k}_{side}.txt" for side in ("train", "evaluate")
        ]
        train, tested = ({_stem(r[0]) for r in _read_list(path, 1)} for path in paths)
        if train & tested or train | tested != known:
            raise ValueError(
                f"Fold {k} of {str(root / _SETUP)!r} is not a split of the "
                f"{len(known)} segments of meta.txt: {len(train)} to learn from, "
                f"{len(tested)} to test, {len(train & tested)} in both, "
                f"{len(known - train - tested)} in neither. {_AGAIN}"
            )
        twice = sorted(tested & set(tested_in))
        if twice:
            raise ValueError(
                f"Folds {tested_in[twice[0]]} and {k} of {str(root / _SETUP)!r} both "
                f"test {twice[0]!r}. {_AGAIN}"
            )
        tested_in.update(dict.fromkeys(tested, k))
    never = [stem for stem in stems if stem not in tested_in]
    if never:
        raise ValueError(
            f"No fold of {str(root / _SETUP)!r} tests {never[0]!r}. {_AGAIN}"
        )
    return pl.Series([tested_in[stem] for stem in stems], dtype=pl.Int64)


def _error_seconds(root, stems):
    """Return the length of the faults of each segment in s; None without error.txt."""
    path = root / "error.txt"
    if not path.is_file():
        return [None] * len(stems)
    seconds = dict.fromkeys(stems, 0.0)
    for name, *times in _read_list(path, 3):
        try:
            onset, offset = map(float, times)
        except ValueError:
            raise ValueError(
                f"{str(path)!r} has the times {' and '.join(map(repr, times))} for "
                f"{name!r}, expected seconds."
            ) from None
        if _stem(name) in seconds:
            seconds[_stem(name)] += offset - onset
    return list(seconds.values())
