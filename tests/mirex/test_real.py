"""Submissions on real data: the packaged scripts on audio, and published features."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from userlogfeat import FeatureLookup, FeatureTable
from userlogfeat.datasets.gtzan import gtzan_tracks
from userlogfeat.mirex.folds import read_folds
from userlogfeat.mirex.lists import read_labels, write_labels
from userlogfeat.mirex.package import write_package
from userlogfeat.mirex.submission import train_and_classify

pytestmark = pytest.mark.real
OURS = ("userlogfeat", "__editable__", "musicnn", "__pycache__")


def bare_python(folder):
    """A Python that has the requirements, but neither this library nor musicnn."""
    venv.create(folder, with_pip=False)
    (site,) = folder.glob("lib/python3*/site-packages")
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.startswith(OURS) and path.suffix != ".pth":
            (site / path.name).symlink_to(path)
    python = folder / "bin" / "python"
    code = "import importlib.util as u; print(u.find_spec('userlogfeat'))"
    done = subprocess.run(
        [python, "-E", "-c", code], capture_output=True, text=True, cwd="/"
    )
    assert done.stdout == "None\n", done.stderr
    return python


@pytest.mark.long
def test_packaged_scripts_where_this_library_is_not_installed(data, musicnn, tmp_path):
    """The plumbing only: nothing is learned of genre from six clips."""
    package = write_package(tmp_path / "my submission", measure=None)
    audio = data.resolve() / "gtzan_clips"
    names = [f"{genre}.0000{i}" for i in range(4) for genre in ("blues", "jazz", "pop")]
    clips = [str(audio / f"{name}.flac") for name in names]
    work = tmp_path / "else where"
    work.mkdir()
    truth = [name.partition(".")[0] for name in names]
    write_labels(work / "train.txt", clips[:6], truth[:6])
    test = [*clips[:5:-1], "/nowhere/at all.wav", clips[6]]
    (work / "test.txt").write_text("\r\n".join([*test, ""]))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "http_proxy": "http://localhost:9",  # nothing is fetched
        "https_proxy": "http://localhost:9",
        "USERLOGFEAT_PYTHON": str(bare_python(tmp_path / "bare")),
    }
    lists = ["scratch", "train.txt", "test.txt"]
    for script, *arguments in (
        ["TrainAndClassify.sh", "-numThreads", "2", *lists, "one.txt"],
        ["Train.sh", *lists[:2]],
        ["Classify.sh", "-numThreads", "1", lists[0], lists[2], "two.txt"],
    ):
        done = subprocess.run(
            [package / script, *arguments],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
    lines = [line.split("\t") for line in (work / "one.txt").read_text().splitlines()]
    assert [clip for clip, _ in lines] == test
    assert {label for _, label in lines} <= set(truth)
    assert lines[-2] == ["/nowhere/at all.wav", "blues"]
    assert lines[-1][1] == lines[-3][1]  # one clip, twice
    assert (work / "one.txt").read_bytes() == (work / "two.txt").read_bytes()
    assert sys.executable != environment["USERLOGFEAT_PYTHON"]


def test_artist_filtered_folds_of_published_features(data, tmp_path):
    """An SVM on these features is published at 0.84 where artists are not filtered."""
    published = np.load(data / "convnet_features" / "gtzan_genre.npz")
    layers = np.concatenate([published[f"layer_{i}"] for i in range(5)], axis=1)
    tracks = gtzan_tracks(published["meta_filepath"].tolist()).tolist()
    row_of = {track: row for row, track in enumerate(tracks)}
    lists = data / "gtzan_splits" / "artist_filtered_3fold"
    folds = read_folds(lists)
    clips = [clip for fold in folds for clip in fold.truth]
    table = FeatureTable(tmp_path / "table")
    with table.writer(fingerprint="choi", layer_sizes={"convnet": 160}) as writer:
        for clip, track in zip(clips, gtzan_tracks(clips).tolist(), strict=True):
            writer.add(clip, layers={"convnet": layers[row_of[track]]})
    pipeline = make_pipeline(FeatureLookup(table.folder), StandardScaler(), SVC())
    right = []
    for number, fold in enumerate(folds, 1):
        output = tmp_path / "out.txt"
        inputs = [lists / f"f{number}_{part}.txt" for part in ("train", "test")]
        train_and_classify(tmp_path / "s", *inputs, output, pipeline=pipeline)
        answers = read_labels(output)
        assert list(answers) == list(fold.truth)
        right += [answers[clip] == label for clip, label in fold.truth.items()]
        assert fold.leaks().clean
    assert len(right) == 948
    assert 0.75 < np.mean(right) < 0.87
