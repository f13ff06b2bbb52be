"""Submissions to a tag task that are a few lines of shell, and their measures."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score
from typer.testing import CliRunner

from userlogfeat import cli
from userlogfeat.mirex.answers import no_tag_answers, read_tag_answers
from userlogfeat.mirex.evaluate import evaluate
from userlogfeat.mirex.folds import read_folds
from userlogfeat.mirex.scores import MEASURES, score_clips, score_tags

# Tags of a clip are in its name, "fast-loud-3.wav". $3: test list, $4, $5: outputs.
ANSWER = """while IFS= read -r clip; do
    for tag in fast loud slow; do
        case ${{clip##*/}} in *$tag*) yes=1 no=0;; *) yes=0 no=1;; esac
        printf '%s\\t%s\\t0.%s\\n' "$clip" $tag {affinity} >> "$4"
        printf '%s\\t%s\\t%s\\n' "$clip" $tag {binary} >> "$5"
    done
done < "$3" """
PERFECT = ANSWER.format(affinity="${yes}5", binary="$yes")
WRONG = ANSWER.format(affinity="${no}5", binary="$no")
SPARSE = """while IFS= read -r clip; do
    for tag in fast loud slow; do
        case ${clip##*/} in *$tag*)
            printf '%s\\t%s\\t0.9\\n' "$clip" $tag >> "$4"
            printf '%s\\t%s\\n' "$clip" $tag >> "$5";;
        esac
    done
done < "$3" """
ALL = ANSWER.format(affinity="5", binary="1")
CLIPS = ["fast-loud", "fast", "slow", "slow-loud", "none"]


@pytest.fixture
def folds(tmp_path):
    """Two folds of five clips each; no clip of f2's test is slow."""
    folder = tmp_path / "folds"
    folder.mkdir()
    for fold, other in (("f1", "f2"), ("f2", "f1")):
        train = [f"{clip}-{other}.wav" for clip in CLIPS]
        test = [f"{clip}-{fold}.wav" for clip in CLIPS]
        if fold == "f2":
            test = [clip.replace("slow", "calm") for clip in test]
        for part, clips in (("train", train), ("evaluate", test)):
            (folder / f"{fold}_{part}.txt").write_text("".join(map(lines_of, clips)))
    return folder


def lines_of(clip):
    tags = [tag for tag in ("fast", "loud", "slow") if tag in clip]
    return "".join(f"{clip}\t{tag}\n" for tag in tags) or f"{clip}\n"


def submit(folder, **scripts):
    folder.mkdir()
    for name, code in scripts.items():
        path = folder / f"{name}.sh"
        path.write_text(f"#!/bin/sh\n{code}\n")
        path.chmod(0o755)
    return folder


def test_tag_folds(folds):
    fold = read_folds(folds, tags=True)[0]
    assert fold.train["fast-loud-f2.wav"] == {"fast", "loud"}
    assert fold.train["none-f2.wav"] == set()
    assert list(fold.truth) == [f"{clip}-f1.wav" for clip in CLIPS]


def test_measures_by_fold_and_tag(folds, tmp_path):
    """All tags to all clips: 2 of 5 are fast, 2 loud, and in f1 2 slow."""
    codes = {"perfect": PERFECT, "wrong": WRONG, "all": ALL}
    submissions = {
        name: submit(tmp_path / name, TrainAndClassify=code)
        for name, code in codes.items()
    }
    evaluation = evaluate(folds, submissions, tmp_path / "out", tags=True)
    frame = evaluation.to_frame()
    assert frame["status"].unique().to_list() == ["ok"]
    assert frame.height == 3 * 2 * 4
    found = {
        (r["submission"], r["fold"], r["tag"]): [r[measure] for measure in MEASURES]
        for r in frame.to_dicts()
    }
    for fold in ("f1", "f2"):
        for tag in ("(mean)", "fast", "loud"):
            assert found["perfect", fold, tag] == [1, 1, 1, 1]
            assert found["wrong", fold, tag] == [0, 0, 0, 0]
            assert found["all", fold, tag] == pytest.approx([0.4, 1, 4 / 7, 0.5])
    assert found["all", "f1", "slow"] == pytest.approx([0.4, 1, 4 / 7, 0.5])
    assert found["all", "f2", "slow"] == [None] * 4  # no clip has it
    clips = evaluation.clips_frame().filter(submission="perfect", fold="f1")
    assert clips["auc"].to_list() == [1, 1, 1, 1, None]  # the last one has no tag
    assert frame.filter(tag="(mean)")["clip_auc"].to_list() == [1, 1, 0, 0, 0.5, 0.5]
    assert pl.read_csv(tmp_path / "out" / "results.csv").height == frame.height
    assert pl.read_csv(tmp_path / "out" / "clips.csv").height == 3 * 10


def test_a_sparse_submission_is_as_good_as_a_full_one(folds, tmp_path):
    """Only pairs that are relevant are listed, and the 0|1 file has no values."""
    submission = submit(tmp_path / "a", TrainAndClassify=SPARSE)
    evaluation = evaluate(folds, {"x": submission}, tmp_path / "out", tags=True)
    frame = evaluation.to_frame().filter(tag="(mean)")
    for measure in (*MEASURES, "clip_auc"):
        assert frame[measure].to_list() == [1, 1], measure
    assert "not listed and count as 0" in (tmp_path / "out/report.txt").read_text()


def test_the_report(folds, tmp_path):
    submissions = {
        "perfect": submit(tmp_path / "a", TrainAndClassify=PERFECT),
        "all": submit(tmp_path / "b", TrainAndClassify=ALL),
    }
    evaluate(folds, submissions, tmp_path / "out", tags=True)
    text = (tmp_path / "out" / "report.txt").read_text()
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for line in (
        "perfect 1.000 1.000 1.000 1.000 1.000 0.590 to 1.000 10 2 of 2",
        "all 0.400 1.000 0.571 0.500 0.500 0.295 to 0.705 10 2 of 2",
        "all f2 0.400 1.000 0.571 0.500 0.500 5 5 ok",
        "perfect - all +0.500 +1.00 0.0833",
        "slow 2 1.000 1.000 1.000 1.000 0.400 1.000 0.571 0.500",
        "Differences of AUC",
        "Differences of F",
    ):
        assert line in lines, line
    assert "Friedman's test on the AUC of 3 tags" in text
    assert "0 tracks shared" in text
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<td>0.571</td>" in page


@pytest.mark.parametrize(
    ("end", "status"), [("exit 3", "failed"), ("sleep 60", "timed out")]
)
def test_a_run_that_did_not_end_well_gave_nothing(folds, tmp_path, end, status):
    scripts = {"Train": "", "Classify": PERFECT.replace("$3", "$2") + f"\n{end}"}
    scripts["Classify"] = scripts["Classify"].replace("$4", "$3").replace("$5", "$4")
    submission = submit(tmp_path / "a", **scripts)
    evaluation = evaluate(
        folds, {"x": submission}, tmp_path / "out", tags=True, time_limit=1
    )
    assert (tmp_path / "out/x/f1_binary.txt").stat().st_size > 0
    frame = evaluation.to_frame()
    assert frame["status"].unique().to_list() == [f"Classify.sh {status}"]
    assert frame["n_given"].sum() == 0
    assert set(frame["auc"].drop_nulls()) == {0.0}
    assert set(frame["f"].drop_nulls()) == {0.0}


def test_what_a_submission_is_given(folds, tmp_path):
    code = 'echo "$@" >> arguments.txt'
    submission = submit(tmp_path / "a", Train=code, Classify=code)
    evaluate(folds, {"x": submission}, tmp_path / "out", tags=True, audio_root="/a")
    work = (tmp_path / "out" / "x").resolve()
    given = (work / "arguments.txt").read_text().splitlines()
    assert given[1] == (
        f"{work}/scratch {work}/f1_test.txt {work}/f1_affinity.txt {work}/f1_binary.txt"
    )
    assert (work / "f1_train.txt").read_text() == (
        "/a/fast-loud-f2.wav\tfast\n/a/fast-loud-f2.wav\tloud\n/a/fast-f2.wav\tfast\n"
        "/a/slow-f2.wav\tslow\n/a/slow-loud-f2.wav\tloud\n/a/slow-loud-f2.wav\tslow\n"
        "/a/none-f2.wav\t\n"
    )
    assert "fast\t" not in (work / "f1_test.txt").read_text()


def test_tags_that_were_not_trained_are_named(folds, tmp_path):
    path = folds / "f1_evaluate.txt"
    path.write_text(path.read_text() + "none-f1.wav\tpolka\n")
    submission = submit(tmp_path / "a", TrainAndClassify=PERFECT)
    evaluation = evaluate(folds, {"x": submission}, tmp_path / "out", tags=True)
    assert "polka" not in evaluation.to_frame()["tag"]
    text = (tmp_path / "out" / "report.txt").read_text()
    assert "Not trained in f1, so not scored: polka." in text


def test_the_command(folds, tmp_path):
    submit(tmp_path / "perfect", TrainAndClassify=PERFECT)
    arguments = [folds, tmp_path / "perfect", "--tags", "-o", tmp_path / "out"]
    result = CliRunner().invoke(cli.app, ["mirex", "evaluate", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    assert "AUC of clips" in result.stdout


@pytest.mark.parametrize(
    ("affinity", "binary", "affinities", "given", "faults"),
    [
        ("a\tx\t0.25\nb\tx\t7\n", "a\tx\t0\nb\tx\t1\n", [0.25, 7], [0, 1], []),
        ("a\tx\t1\r\nb\tx\t-2e1\r\n", "b\tx\t1\na\tx\t1", [1, -20], [1, 1], []),
        (
            "a\tx\tnan\nb\tx\thigh\n",
            "a\tx\t2\nb\n",
            [None, None],
            [0, 0],
            [
                "affinities: 2 lines are not path TAB tag TAB affinity",
                "0|1 answers: 2 lines are not path TAB tag TAB 0|1",
                "0|1 answers: 1 of 2 pairs are not listed and count as 0",
            ],
        ),
        (  # sparse files: what is not listed is 0, and no value in the second is 1
            "b\tx\t0.5\n",
            "a\tx\n",
            [0, 0.5],
            [1, 0],
            [
                "affinities: 1 of 2 pairs are not listed and count as 0",
                "0|1 answers: 1 of 2 pairs are not listed and count as 0",
            ],
        ),
        (  # a line that can be read beside one that cannot; blank cells at the end
            "a\tx\t0.5\t\nb\tx\t\nb\tx\t1\n",
            "a\tx\t\t\nb\tx\t0\t1\nb\tx\t1\n",
            [0.5, 1],
            [1, 1],
            [
                "affinities: 1 lines are not path TAB tag TAB affinity",
                "0|1 answers: 1 lines are not path TAB tag TAB 0|1",
            ],
        ),
        (
            "a\tx\t1\nb\tx\t1\na\tx\t2\nc\tx\t1\nb\ty\t3\n",
            "a\tx\t1\nb\tx\t1\na\tx\t0\na\tx\t1\nb\tx\t1\n",
            [None, 1],
            [0, 1],
            [
                "affinities: 2 lines are of clips or tags that were not asked for",
                "affinities: 1 pairs have two different values, which count as none",
                "0|1 answers: 1 pairs have two different values, which count as none",
            ],
        ),
    ],
)
def test_outputs_with_faults(tmp_path, affinity, binary, affinities, given, faults):
    paths = [tmp_path / "affinity.txt", tmp_path / "binary.txt"]
    for path, text in zip(paths, (affinity, binary), strict=True):
        path.write_text(text)
    answers = read_tag_answers(*paths, {"a": set(), "b": {"x"}}, ["x"])
    assert answers.frame["affinity"].to_list() == affinities
    assert answers.frame["given"].to_list() == list(map(bool, given))
    assert answers.frame["relevant"].to_list() == [False, True]
    assert answers.faults == faults


def test_outputs_that_are_not_there(tmp_path):
    Path(tmp_path / "b").write_text("")
    truth, tags = {"a": {"x"}}, ["x", "y"]
    answers = read_tag_answers(tmp_path / "a", tmp_path / "b", truth, tags)
    assert answers.faults[0] == "there is no file of affinities"
    assert "is empty" in answers.faults[1]
    frame = with_result(answers.frame)
    measures = score_tags(frame).filter(tag="x").to_dicts()[0]
    assert [measures[name] for name in ("precision", "recall", "f")] == [0, 0, 0]
    assert score_clips(frame)["auc"].to_list() == [0]
    same = no_tag_answers(truth, tags, "it failed")
    assert_frame_equal(same.frame, answers.frame)


def with_result(frame):
    names = ("result", "submission", "fold", "status")
    return frame.with_columns(pl.lit("x").alias(name) for name in names)


def test_measures_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    tags = list("abcde")
    truth = rng.random((40, 5)) < 0.4
    affinities = np.round(rng.random((40, 5)) + 0.3 * truth, 1)  # with ties
    given = affinities > 0.6
    columns = {
        "clip": np.repeat(np.arange(40), 5),
        "tag": tags * 40,
        "relevant": truth.ravel(),
        "given": given.ravel(),
        "affinity": affinities.ravel(),
    }
    frame = with_result(pl.DataFrame(columns))
    found = score_tags(frame).filter(pl.col("tag") != "(mean)").sort("tag")
    expected = precision_recall_fscore_support(truth, given)
    for name, values in zip(("precision", "recall", "f"), expected, strict=False):
        np.testing.assert_allclose(found[name], values)
    areas = roc_auc_score(truth, affinities, average=None)
    np.testing.assert_allclose(found["auc"], areas)
    mixed = truth.any(axis=1) & ~truth.all(axis=1)
    areas = roc_auc_score(truth[mixed].T, affinities[mixed].T, average=None)
    aucs = score_clips(frame)["auc"]
    np.testing.assert_allclose(aucs.filter(mixed), areas)
    assert aucs.filter(~mixed).null_count() == (~mixed).sum() > 0
