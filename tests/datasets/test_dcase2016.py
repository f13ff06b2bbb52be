"""DCASE 2016: meta.txt, four folds, recordings as items, and the evaluation part."""

import pytest

from userlogfeat.datasets.dcase2016 import read_dcase2016

# Two recordings a scene in each of four places; segments of 30 s.
SCENES = {"a": "cafe/restaurant", "b": "residential_area"}
SEGMENTS = [
    (f"{letter}{place:03d}_{start}_{start + 30}", scene, place)
    for letter, scene in SCENES.items()
    for place in (1, 2, 3, 4)
    for start in (0, 30)
]
EVALUATION = [("178", "bus"), ("9", "cafe/restaurant")]


def lines(pairs, newline="\n"):
    return "".join(f"audio/{name}.wav\t{scene}{newline}" for name, scene in pairs)


@pytest.fixture
def dcase(tmp_path):
    development = tmp_path / "TUT-acoustic-scenes-2016-development"
    evaluation = tmp_path / "TUT-acoustic-scenes-2016-evaluation"
    for folder in (development, evaluation):
        (folder / "audio").mkdir(parents=True)
        (folder / "evaluation_setup").mkdir()
    for name, *_ in SEGMENTS:
        (development / "audio" / f"{name}.wav").touch()
    for name, _ in EVALUATION:
        (evaluation / "audio" / f"{name}.wav").touch()
    pairs = [(name, scene) for name, scene, _ in SEGMENTS]
    (development / "meta.txt").write_text(lines(pairs, "\r\n"))
    for k in (1, 2, 3, 4):
        sides = {"train": [], "evaluate": []}
        for name, scene, place in SEGMENTS:
            sides["evaluate" if place == k else "train"].append((name, scene))
        for side, pairs in sides.items():
            path = development / "evaluation_setup" / f"fold{k}_{side}.txt"
            path.write_text(lines(pairs[::-1]).rstrip("\n"))
    (evaluation / "meta.txt").write_text(lines(EVALUATION))
    (evaluation / "evaluation_setup" / "test.txt").write_text("audio/178.wav\n")
    return tmp_path


@pytest.fixture
def development(dcase):
    return dcase / "TUT-acoustic-scenes-2016-development"


@pytest.fixture
def evaluation(dcase):
    return dcase / "TUT-acoustic-scenes-2016-evaluation"


def test_development(development):
    clips = read_dcase2016(development)
    assert clips.X[0] == str(development / "audio" / "a001_0_30.wav")
    assert len(clips) == 16
    assert clips.y.tolist() == [scene for _, scene, _ in SEGMENTS]
    assert clips.items.tolist() == [name.split("_")[0] for name, *_ in SEGMENTS]
    assert clips.folds.tolist() == [place for *_, place in SEGMENTS]
    assert clips.split is None
    assert clips.frame["error_seconds"].null_count() == 16


def test_folds_keep_recordings_together(development):
    clips = read_dcase2016(development)
    folds = clips.cv()
    assert len(folds) == 4
    tested = []
    for train, test in folds:
        assert not set(clips.items[train]) & set(clips.items[test])
        assert len(train) + len(test) == 16
        tested += test.tolist()
    assert sorted(tested) == list(range(16))


def test_evaluation(evaluation):
    clips = read_dcase2016(evaluation, "evaluation")
    assert clips.X == [str(evaluation / "audio" / f"{n}.wav") for n, _ in EVALUATION]
    assert clips.y.tolist() == ["bus", "cafe/restaurant"]
    assert clips.items.tolist() == [None, None]
    assert clips.catalogue().groups("item").tolist() == [0, 1]
    with pytest.raises(ValueError, match="no split of its own"):
        clips.cv()


def test_both_parts_are_a_split(dcase):
    clips = read_dcase2016(dcase, "both")
    assert len(clips) == 18
    assert clips.folds is None
    assert clips.split.tolist() == ["train"] * 16 + ["test"] * 2
    ((train, test),) = clips.cv()
    assert (len(train), test.tolist()) == (16, [16, 17])


def test_one_level_too_high_or_too_low(dcase, development, evaluation):
    paths = read_dcase2016(development).X
    for folder in (dcase, development / "audio", development / "evaluation_setup"):
        assert read_dcase2016(folder).X == paths
    assert len(read_dcase2016(dcase, "evaluation")) == 2
    with pytest.raises(ValueError, match="part='test', expected one of 'development'"):
        read_dcase2016(dcase, "test")


def test_the_other_part(evaluation, development):
    with pytest.raises(FileNotFoundError, match=r"not hold DCASE 2016 \(development\)"):
        read_dcase2016(evaluation)
    with pytest.raises(FileNotFoundError, match=r"not hold DCASE 2016 \(evaluation\)"):
        read_dcase2016(development, "evaluation")


def test_labels_of_the_evaluation_part(evaluation):
    """Some copies have them in evaluate.txt only, that of the challenge nowhere."""
    setup = evaluation / "evaluation_setup"
    (evaluation / "meta.txt").rename(setup / "evaluate.txt")
    assert len(read_dcase2016(evaluation, "evaluation")) == 2
    (setup / "evaluate.txt").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"no meta\.txt .* challenge had no lab"
    ):
        read_dcase2016(evaluation, "evaluation")


def test_error_seconds(development):
    (development / "error.txt").write_text(
        "audio/a001_30_60.wav\t1.5\t4.0\terror\n"
        "audio/a001_30_60.wav\t10.0\t10.25\terror\n"
        "audio/elsewhere.wav\t0\t1\terror\n"
    )
    seconds = read_dcase2016(development).frame["error_seconds"].to_list()
    assert seconds == [0.0, 2.75, *[0.0] * 14]


def test_missing_clips(development):
    (development / "audio" / "b004_0_30.wav").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 16 clips .* is 'b004_0_30'"):
        read_dcase2016(development)
    clips = read_dcase2016(development, missing="ignore")
    assert clips.missing == ("b004_0_30",)
    assert clips.folds.tolist().count(4) == 3


def change(development, name, old, new):
    path = development / "evaluation_setup" / name
    path.write_text(path.read_text().replace(old, new))


def test_lists_that_disagree(development):
    change(development, "fold2_train.txt", "a001_0_30", "a002_0_30")
    with pytest.raises(ValueError, match=r"Fold 2 .* 1 in both, 1 in neither"):
        read_dcase2016(development)


def test_folds_that_overlap(development):
    for side in ("train", "evaluate"):
        setup = development / "evaluation_setup"
        text = (setup / f"fold1_{side}.txt").read_text()
        (setup / f"fold2_{side}.txt").write_text(text)
    with pytest.raises(ValueError, match=r"Folds 1 and 2 .* both test 'a001_0_30'"):
        read_dcase2016(development)


def test_a_segment_that_no_fold_tests(development):
    setup = development / "evaluation_setup"
    everything = lines([(name, scene) for name, scene, _ in SEGMENTS])
    (setup / "fold4_train.txt").write_text(everything)
    (setup / "fold4_evaluate.txt").write_text("")
    with pytest.raises(ValueError, match=r"No fold .* tests 'a004_0_30'"):
        read_dcase2016(development)


def test_faults_of_meta(development):
    meta = development / "meta.txt"
    text = meta.read_text()
    meta.write_text(text + "audio/a001_0_30.wav\tbus\n")
    with pytest.raises(ValueError, match="lists 'a001_0_30' more than once"):
        read_dcase2016(development)
    meta.write_text(text.replace("\t", " "))
    with pytest.raises(ValueError, match=r"Line 1 of .* expected 2 fields"):
        read_dcase2016(development)
    meta.write_text(text)
    (development / "evaluation_setup" / "fold3_train.txt").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"fold3_train\.txt.* belongs to the set"
    ):
        read_dcase2016(development)
