"""The four calls on planted files: what they answer, keep, share and survive."""

import importlib.util
import json
import logging
import multiprocessing
import os
import signal
import time
from functools import partial
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from userlogfeat import extraction
from userlogfeat.mirex.lists import read_labels
from userlogfeat.mirex.submission import (
    classify,
    extract_features,
    train,
    train_and_classify,
)
from userlogfeat.tables import FeatureTable

TOY = Path(__file__).with_name("toy.py")
_spec = importlib.util.spec_from_file_location("toy", TOY)
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)

NAMES = ["blues", "hip hop", "rock"]
PIPELINE = f"{TOY}:pipeline"


@pytest.fixture
def task(tmp_path, monkeypatch):
    """30 clips of three classes in `audio`, lists of halves in `lists`."""
    monkeypatch.chdir(tmp_path)
    clips = toy.write_clips(tmp_path / "audio", np.arange(30) % 3)
    truth = dict(zip(clips, [NAMES[i % 3] for i in range(30)], strict=True))
    write("train.txt", [f"{clip}\t{truth[clip]}" for clip in clips[:15]])
    write("test.txt", clips[15:])
    return truth


def write(path, lines, end="\n"):
    Path(path).write_bytes(end.join([*lines, ""]).encode("utf-8", "surrogateescape"))


def table_of(scratch="scratch"):
    return FeatureTable(Path(scratch) / "features" / "toy")


def warnings_of(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def test_train_and_classify_finds_what_was_planted(task, caplog):
    train_and_classify("scratch", "train.txt", "test.txt", "out.txt", pipeline=PIPELINE)
    answers = read_labels("out.txt")
    assert list(answers) == list(task)[15:]
    assert answers == {clip: task[clip] for clip in answers}
    assert warnings_of(caplog) == []


@pytest.mark.parametrize("name", ["pipeline", "neighbours"])
def test_two_steps_are_as_one(task, name):
    source = f"{TOY}:{name}"
    assert extract_features("scratch", "train.txt", pipeline=source) == (15, 0)
    assert train("scratch", "train.txt", pipeline=source).suffix == ".skops"
    classify("scratch", "test.txt", "two.txt", pipeline=source)
    train_and_classify("scratch", "train.txt", "test.txt", "one.txt", pipeline=source)
    assert Path("one.txt").read_bytes() == Path("two.txt").read_bytes()
    assert len(read_labels("two.txt")) == 15


def test_nothing_in_the_scratch_folder_is_a_pickle(task):
    train("scratch", "train.txt", pipeline=PIPELINE)
    kept = {p.suffix for p in Path("scratch").rglob("*") if p.is_file()}
    assert kept - {".skops", ".parquet", ""} == set()


def test_clips_are_encoded_once(task):
    extract_features("scratch", "train.txt", pipeline=PIPELINE)
    for clip in list(task)[:15]:  # gone, but the features are there
        os.remove(clip)
    train("scratch", "train.txt", pipeline=PIPELINE)
    classify("scratch", "test.txt", "out.txt", pipeline=PIPELINE)
    assert len(table_of()) == 30


def test_windows_lists(task):
    lines = Path("train.txt").read_text().splitlines()
    write("w.txt", ["\ufeff" + lines[0], *lines[1:]], end="\r\n")
    tests = [f"{clip}\t" for clip in list(task)[15:]]
    write("t.txt", tests, end="\r\n")
    train_and_classify("scratch", "w.txt", "t.txt", "out.txt", pipeline=PIPELINE)
    expected = [f"{clip}\t{task[clip]}\n" for clip in list(task)[15:]]
    assert Path("out.txt").read_bytes() == "".join(expected).encode()


def test_order_and_repeats_of_the_test_list(task):
    clips = list(task)[15:]
    order = [clips[7], clips[0], clips[7], f".//audio/{Path(clips[3]).name}"]
    write("test.txt", order)
    train_and_classify("scratch", "train.txt", "test.txt", "out.txt", pipeline=PIPELINE)
    truth = [task[clips[i]] for i in (7, 0, 7, 3)]
    expected = [f"{a}\t{b}" for a, b in zip(order, truth, strict=True)]
    assert Path("out.txt").read_text().splitlines() == expected


def test_relative_paths_of_another_working_directory(task, tmp_path, monkeypatch):
    clips = [os.path.relpath(clip, tmp_path) for clip in task]
    write("train.txt", [f"./{c}\t{NAMES[i % 3]}" for i, c in enumerate(clips[:15])])
    write("test.txt", clips[15:])
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    lists = ("../scratch", "../train.txt", "../test.txt")
    train_and_classify(*lists, "out.txt", pipeline=PIPELINE)
    answers = list(read_labels("out.txt").items())
    assert answers == list(zip(clips[15:], list(task.values())[15:], strict=True))


def test_names_that_are_no_ascii_or_no_utf_8(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["Café/雨.wav", "caf\udce9.wav", "a  b.wav", "x.wav"]
    for seed, name in enumerate(names):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(f"{seed % 2} {seed}")
    write("train.txt", [f"{name}\t{seed % 2}" for seed, name in enumerate(names)])
    write("test.txt", names)
    train_and_classify("s", "train.txt", "test.txt", "out.txt", pipeline=PIPELINE)
    assert Path("out.txt").read_bytes() == Path("train.txt").read_bytes()
    train("s", "train.txt", pipeline=PIPELINE)
    classify("s", "test.txt", "again.txt", pipeline=PIPELINE)
    assert Path("again.txt").read_bytes() == Path("train.txt").read_bytes()


def test_clips_that_cannot_be_read(task, caplog):
    """Left out of training; given the commonest class of the list, with a warning."""
    clips = list(task)
    Path(clips[0]).write_text("bad")
    Path(clips[15]).write_text("bad")
    extra = [f"gone{i}.wav\thip hop" for i in range(2)]  # now hip hop is commonest
    write("train.txt", Path("train.txt").read_text().splitlines() + extra)
    write("test.txt", [clips[15], "gone.wav", clips[16], "audio"])
    train_and_classify("scratch", "train.txt", "test.txt", "out.txt", pipeline=PIPELINE)
    assert list(read_labels("out.txt").values()) == ["hip hop"] * 2 + [
        task[clips[16]],
        "hip hop",
    ]
    damaged = "it is damaged. Copy it again."
    gone = "there is no such file. Bring it."
    assert warnings_of(caplog) == [  # once each, with the reason
        f"CorruptAudioError: {clips[0]!r} is left out of training: {damaged}",
        f"MissingAudioError: 'gone0.wav' is left out of training: {gone}",
        f"MissingAudioError: 'gone1.wav' is left out of training: {gone}",
        f"CorruptAudioError: {clips[15]!r} cannot be read, gets hip hop: {damaged}",
        f"MissingAudioError: 'gone.wav' cannot be read, gets hip hop: {gone}",
        "FolderError: 'audio' cannot be read, gets hip hop: it is a folder, not audio.",
    ]


def test_extraction_warns_of_each_clip_once(task, caplog):
    names = ["gone.wav", "audio", "gone.wav", "caf\udce9.wav"]
    write("all.txt", [*list(task)[:2], *names])
    assert extract_features("scratch", "all.txt", pipeline=PIPELINE) == (2, 3)
    assert warnings_of(caplog) == [
        "MissingAudioError: 'gone.wav' cannot be read: there is no such file. Bring "
        "it.",
        "FolderError: 'audio' cannot be read: it is a folder, not audio.",
        "MissingAudioError: 'caf\\udce9.wav' cannot be read: there is no such file. "
        "Bring it.",
    ]


class Stops(toy.ToyEmbedder):
    def iter_features(self, X, *, on_error="raise"):
        yield from super().iter_features(X[:4])
        raise KeyboardInterrupt


def test_a_stopped_extraction_says_what_it_kept(task, caplog):
    pipeline = make_pipeline(Stops(), SVC())
    with pytest.raises(KeyboardInterrupt):
        extract_features("scratch", "train.txt", pipeline=pipeline)
    assert warnings_of(caplog) == ["stopped: 4 of 15 clips have features"]
    assert table_of().status_counts() == {"ok": 4}


def test_a_list_of_folders_is_answered(task, caplog):
    """It was an error, where one file among the folders made them answers."""
    write("folders.txt", ["audio", "."])
    assert extract_features("new", "folders.txt", pipeline=PIPELINE) == (0, 2)
    train("scratch", "train.txt", pipeline=PIPELINE)
    classify("scratch", "folders.txt", "out.txt", pipeline=PIPELINE)
    assert Path("out.txt").read_text() == "audio\tblues\n.\tblues\n"
    assert warnings_of(caplog)[-1] == (
        "FolderError: '.' cannot be read, gets blues: it is a folder, not audio."
    )
    write("train.txt", ["audio\tblues"])
    with pytest.raises(ValueError, match=r"None of the 1 clips .* such as 'audio'"):
        train("fresh", "train.txt", pipeline=PIPELINE)


def test_a_header_is_hinted_at(task, caplog):
    lines = Path("train.txt").read_text().splitlines()
    write("train.txt", ["path\tclass", *lines])
    train("scratch", "train.txt", pipeline=PIPELINE)
    hint = "the first line of train.txt names no file, 'path', and no other line has"
    assert any(line.startswith(hint) for line in warnings_of(caplog))


def test_a_first_clip_that_is_missing_is_no_header(task, caplog):
    write("train.txt", ["gone.wav\trock", *Path("train.txt").read_text().splitlines()])
    train("scratch", "train.txt", pipeline=PIPELINE)
    assert not any("header" in line for line in warnings_of(caplog))


def test_an_output_never_overwrites_what_is_read(task):
    """The test list was replaced by the answers, and lost."""
    before = {name: Path(name).read_bytes() for name in ("train.txt", "test.txt")}
    Path("link.txt").symlink_to("test.txt")
    os.link("train.txt", "hard.txt")
    for output in ("test.txt", "./train.txt", "link.txt", "hard.txt"):
        with pytest.raises(ValueError, match=r"which is the list .*overwrite it"):
            train_and_classify("s", "train.txt", "test.txt", output, pipeline=PIPELINE)
    train("scratch", "train.txt", pipeline=PIPELINE)
    with pytest.raises(ValueError, match=r"which is the list test.txt"):
        classify("scratch", "test.txt", "test.txt", pipeline=PIPELINE)
    with pytest.raises(ValueError, match=r"which is the list train.txt"):
        classify(
            "scratch",
            "test.txt",
            "train.txt",
            pipeline=PIPELINE,
            train_list="train.txt",
        )
    with pytest.raises(ValueError, match=r"which is the list test.txt"):
        classify("scratch", "test.txt", "a.txt", "test.txt", pipeline=PIPELINE)
    assert {name: Path(name).read_bytes() for name in before} == before
    assert not Path("s").exists()  # refused before any work


def test_an_output_in_place_of_the_scratch_folder(task):
    lists = ("scratch", "train.txt", "test.txt")
    Path("scratch").mkdir()
    with pytest.raises(ValueError, match="output scratch, which is a folder"):
        train_and_classify(*lists, "scratch", pipeline=PIPELINE)
    for inside in ("features/out.txt", "models/x.skops"):
        with pytest.raises(ValueError, match="where the scratch folder keeps"):
            train_and_classify(*lists, f"scratch/{inside}", pipeline=PIPELINE)
    with pytest.raises(ValueError, match=r"answers, expected two files"):
        train_and_classify(*lists, "out.txt", "./out.txt", pipeline=PIPELINE)
    train_and_classify(*lists, "scratch/out.txt", pipeline=PIPELINE)
    assert len(read_labels("scratch/out.txt")) == 15


class Second(toy.ToyEmbedder):
    layer_sizes = {"half": toy.SIZE // 2}

    def iter_features(self, X, *, on_error="raise"):
        for clip in super().iter_features(X, on_error=on_error):
            clip.layers = {"half": clip.layers["place"][: toy.SIZE // 2]}
            yield clip


def test_two_layers_of_a_model_share_a_scratch_folder(task):
    """The second one was refused: the table had the layers of the first."""
    lists = ("scratch", "train.txt", "test.txt")
    for embedder in (toy.ToyEmbedder(), Second(), toy.ToyEmbedder(), Second()):
        pipeline = make_pipeline(embedder, SVC())
        train_and_classify(*lists, "out.txt", pipeline=pipeline)
        assert read_labels("out.txt") == {clip: task[clip] for clip in list(task)[15:]}
    folders = sorted(path.name for path in Path("scratch/features").iterdir())
    assert folders == ["toy", "toy-half"]


def test_one_file_under_two_paths(task):
    """It was learned once with each class."""
    clips, lines = list(task), Path("train.txt").read_text().splitlines()
    Path("link.wav").symlink_to(clips[0])
    for path in (f"audio/../audio/{Path(clips[0]).name}", "link.wav"):
        write("two.txt", [*lines, f"{path}\trock"])
        with pytest.raises(ValueError, match=r"one file two classes: .* is 'blues'"):
            train("scratch", "two.txt", pipeline=PIPELINE)
    write("same.txt", [*lines, "link.wav\tblues"])
    path = train("scratch", "same.txt", pipeline=PIPELINE)
    assert path == train("scratch", "train.txt", pipeline=PIPELINE)  # counts once
    write("tags.txt", [*lines, "link.wav\tslow"])
    path = train("scratch", "tags.txt", pipeline=f"{TOY}:tagger", tags=True)
    with ZipFile(path) as file:
        labels = json.loads(file.read("training.json"))["labels"]
    assert labels[clips[0]] == ["blues", "slow"]
    assert len(labels) == 15


def test_no_test_clip_can_be_read(task):
    write("test.txt", ["gone.wav"])
    train_and_classify("scratch", "train.txt", "test.txt", "out.txt", pipeline=PIPELINE)
    assert Path("out.txt").read_text() == "gone.wav\tblues\n"  # the first of equals


def test_no_training_clip_can_be_read(task):
    write("train.txt", ["gone.wav\tblues", "gone2.wav\trock"])
    with pytest.raises(ValueError, match=r"None of the 2 clips .* such as 'gone.wav'"):
        train("scratch", "train.txt", pipeline=PIPELINE)


def test_a_class_that_cannot_be_read_is_never_given(task, caplog):
    lines = Path("train.txt").read_text().splitlines()
    write("train.txt", [*lines, "gone.wav\tpolka"])
    train_and_classify("scratch", "train.txt", "test.txt", "out.txt", pipeline=PIPELINE)
    assert "no clip can be read of polka: never given" in warnings_of(caplog)
    assert set(read_labels("out.txt").values()) == set(NAMES)


def test_one_class(task, caplog):
    write("train.txt", [f"{clip}\trock" for clip in list(task)[:3]])
    train("scratch", "train.txt", pipeline=PIPELINE)
    classify("scratch", "test.txt", "out.txt", pipeline=PIPELINE)
    assert set(read_labels("out.txt").values()) == {"rock"}
    assert any("have one class" in line for line in warnings_of(caplog))


def test_folds_in_one_scratch_folder_have_their_own_models(task):
    """The labels of fold 2 are shifted: an answer shows which model gave it."""
    clips = list(task)
    shifted = {clip: NAMES[(i + 1) % 3] for i, clip in enumerate(clips)}
    write("train2.txt", [f"{clip}\t{shifted[clip]}" for clip in clips[15:]])
    write("test2.txt", clips[:15])
    train("scratch", "train.txt", pipeline=PIPELINE)
    train("scratch", "train2.txt", pipeline=PIPELINE)
    classify("scratch", "test.txt", "out.txt", pipeline=PIPELINE)
    classify("scratch", "test2.txt", "out2.txt", pipeline=PIPELINE)
    assert read_labels("out.txt") == {clip: task[clip] for clip in clips[15:]}
    assert read_labels("out2.txt") == {clip: shifted[clip] for clip in clips[:15]}


def test_the_newest_of_several_models_or_the_one_named(task, caplog):
    write("new.txt", [f"{c}\tnew {task[c]}" for c in list(task)[:15]])
    train("scratch", "train.txt", pipeline=PIPELINE)
    train("scratch", "new.txt", pipeline=PIPELINE)
    classify("scratch", "test.txt", "out.txt", pipeline=PIPELINE)
    assert all(label.startswith("new ") for label in read_labels("out.txt").values())
    assert "2 models were trained on none of the test clips" in warnings_of(caplog)[-1]
    classify(
        "scratch", "test.txt", "out.txt", pipeline=PIPELINE, train_list="train.txt"
    )
    assert set(read_labels("out.txt").values()) == set(NAMES)


def test_test_clips_that_were_trained_on_are_reported(task, caplog):
    train("scratch", "train.txt", pipeline=PIPELINE)
    write("test.txt", list(task)[10:20])
    classify("scratch", "test.txt", "out.txt", pipeline=PIPELINE)
    assert "5 of 10 test clips were trained on" in warnings_of(caplog)


def test_no_model(task):
    with pytest.raises(ValueError, match="no model of this pipeline in scratch/models"):
        classify("scratch", "test.txt", "out.txt", pipeline=PIPELINE)
    train("scratch", "train.txt", pipeline=PIPELINE)
    with pytest.raises(ValueError, match="no model of this pipeline for tags"):
        classify("scratch", "test.txt", "a.txt", "b.txt", pipeline=PIPELINE)
    with pytest.raises(ValueError, match="no model of this pipeline"):
        classify("scratch", "test.txt", "out.txt", pipeline=f"{TOY}:neighbours")
    write("other.txt", Path("train.txt").read_text().splitlines()[1:])
    with pytest.raises(ValueError, match=r"no model of other.txt"):
        classify("scratch", "test.txt", "o", pipeline=PIPELINE, train_list="other.txt")


def test_fewer_clips_than_components(task):
    write("train.txt", [f"{clip}\t{task[clip]}" for clip in list(task)[:4]])
    train_and_classify("scratch", "train.txt", "test.txt", "out.txt", pipeline=PIPELINE)
    assert set(read_labels("out.txt").values()) <= set(NAMES)


@pytest.mark.parametrize("at_once", [True, False])
def test_tags(task, at_once):
    """Every clip has the tag of its class, and "all"; half of the lines are doubled."""
    source, clips = f"{TOY}:tagger", list(task)
    lines = [f"{clip}\t{task[clip]}" for clip in clips[:15]]
    lines += [f"{clip}\tall" for clip in clips[:15]] + lines[:8]
    write("train.txt", lines)
    write("test.txt", [*clips[15:], "gone.wav"])
    outputs = ("test.txt", "affinity.txt", "binary.txt")
    if at_once:
        train_and_classify("scratch", "train.txt", *outputs, pipeline=source)
    else:
        train("scratch", "train.txt", tags=True, pipeline=source)
        classify("scratch", *outputs, pipeline=source)
    binary = [line.split("\t") for line in Path("binary.txt").read_text().splitlines()]
    affinity = [
        line.split("\t") for line in Path("affinity.txt").read_text().splitlines()
    ]
    pairs = [
        (clip, tag) for clip in [*clips[15:], "gone.wav"] for tag in ("all", *NAMES)
    ]
    assert [(clip, tag) for clip, tag, _ in binary] == pairs
    assert [(clip, tag) for clip, tag, _ in affinity] == pairs
    for (clip, tag, answer), (_, _, score) in zip(binary, affinity, strict=True):
        if clip != "gone.wav":
            assert answer == str(int(tag in ("all", task[clip])))
        assert answer == str(int(float(score) >= 0.5))
    gone = {tag: float(score) for clip, tag, score in affinity if clip == "gone.wav"}
    assert gone == pytest.approx({"all": 1, **dict.fromkeys(NAMES, 1 / 3)}, abs=1e-6)


def test_tags_in_place_of_classes_are_noticed(task):
    lines = Path("train.txt").read_text().splitlines()
    write("train.txt", [*lines, f"{next(iter(task))}\trock"])
    with pytest.raises(ValueError, match="Then pass --tags"):
        train("scratch", "train.txt", pipeline=PIPELINE)


def test_number_of_threads_is_checked(task):
    with pytest.raises(ValueError, match="n_threads=0, expected a positive"):
        train("scratch", "train.txt", pipeline=PIPELINE, n_threads=0)


def run_fold(number):
    names = (f"train{number}.txt", f"test{number}.txt", f"out{number}.txt")
    train_and_classify("scratch", *names, pipeline=f"{TOY}:slow")


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_two_folds_at_once(task):
    """The second waits for the table, and then extracts only what is missing."""
    clips = list(task)
    for number, part in ((1, clips[:15]), (2, clips[15:])):
        rest = [clip for clip in clips if clip not in part]
        write(f"train{number}.txt", [f"{clip}\t{task[clip]}" for clip in part])
        write(f"test{number}.txt", rest)
    context = multiprocessing.get_context("fork")
    folds = [context.Process(target=run_fold, args=(number,)) for number in (1, 2)]
    for fold in folds:
        fold.start()
    for fold in folds:
        fold.join(60)
    assert [fold.exitcode for fold in folds] == [0, 0]
    assert read_labels("out1.txt") == {clip: task[clip] for clip in clips[15:]}
    assert read_labels("out2.txt") == {clip: task[clip] for clip in clips[:15]}
    assert table_of().status_counts() == {"ok": 30}


def extract_in_a_hurry():
    """Features are kept at once, not after ten seconds."""
    extraction.extract = partial(extraction.extract, flush_seconds=0.01)
    extract_features("scratch", "all.txt", pipeline=f"{TOY}:slow")


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_killed_extraction_goes_on(task):
    """kill -9 during extraction; then the features are those of a run that was not."""
    write("all.txt", task)
    run = multiprocessing.get_context("fork").Process(target=extract_in_a_hurry)
    run.start()
    parts = Path("scratch/features/toy")
    deadline = time.monotonic() + 60
    while not list(parts.glob("part-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    run.kill()
    run.join()
    assert run.exitcode == -signal.SIGKILL
    before = len(table_of())
    assert 0 < before < 30
    assert extract_features("scratch", "all.txt", pipeline=f"{TOY}:slow") == (30, 0)
    extract_features("whole", "all.txt", pipeline=PIPELINE)
    for clip in task:
        np.testing.assert_array_equal(
            table_of().lookup([clip]).layers["place"],
            table_of("whole").lookup([clip]).layers["place"],
        )
