"""The organisers' side, with submissions that are a few lines of shell."""

from pathlib import Path

import polars as pl
import pytest

from userlogfeat.mirex.answers import read_answers
from userlogfeat.mirex.evaluate import evaluate
from userlogfeat.mirex.folds import read_folds
from userlogfeat.mirex.scores import count_confusions, score_classes
from userlogfeat.report.plots import PLOTS, Picture, register_plot
from userlogfeat.report.style import new_figure

# Classes are in the names of clips: "rock_3.wav".
PERFECT = """while IFS= read -r clip; do
    name=${clip##*/}; printf '%s\\t%s\\n' "$clip" "${name%%_*}"
done < "$3" > "$4" """
ALWAYS_POP = """while IFS= read -r clip; do
    printf '%s\\tpop\\n' "$clip"
done < "$3" > "$4" """


@pytest.fixture
def folds(tmp_path):
    """Two folds of six clips each; Abba is on both sides of the first."""
    folder = tmp_path / "folds"
    folder.mkdir()
    clips = [
        f"./{label}_{i}.wav" for i in range(4) for label in ("pop", "rock", "folk")
    ]
    for name, test in (("f1", clips[:6]), ("f2", clips[6:])):
        train = [clip for clip in clips if clip not in test]
        write(folder / f"{name}_train.txt", train, label_of)
        write(folder / f"{name}_evaluate.txt", test, label_of)
        write(folder / f"{name}_test.txt", test[::-1], None)
        for part, rows in (("train", train), ("evaluate", test)):
            own = dict.fromkeys((clips[0], clips[6]), "Abba") if name == "f1" else {}
            write(
                folder / f"{name}_{part}_groups.txt",
                rows,
                lambda clip, own=own: own.get(clip, clip),
            )
    return folder


def label_of(clip):
    return Path(clip).name.partition("_")[0]


def write(path, clips, label):
    lines = [clip if label is None else f"{clip}\t{label(clip)}" for clip in clips]
    path.write_text("\n".join([*lines, ""]))


def submit(folder, **scripts):
    """A submission: script names without .sh, and what they do."""
    folder.mkdir()
    for name, code in scripts.items():
        path = folder / f"{name}.sh"
        path.write_text(f"#!/bin/sh\n{code}\n")
        path.chmod(0o755)
    return folder


def test_accuracies_by_fold_and_class(folds, tmp_path):
    submissions = {
        "perfect": submit(tmp_path / "a", TrainAndClassify=PERFECT),
        "pop": submit(tmp_path / "b", TrainAndClassify=ALWAYS_POP),
    }
    evaluation = evaluate(folds, submissions, tmp_path / "out")
    frame = evaluation.to_frame()
    assert frame.columns[:3] == ["submission", "fold", "class"]
    assert frame["status"].unique().to_list() == ["ok"]
    of = {
        (row["submission"], row["fold"], row["class"]): (
            row["n_clips"],
            row["accuracy"],
        )
        for row in frame.to_dicts()
    }
    for fold in ("f1", "f2"):
        assert of["perfect", fold, "(all)"] == (6, 1.0)
        assert of["pop", fold, "(all)"] == (6, pytest.approx(1 / 3))
        assert of["pop", fold, "pop"] == (2, 1.0)
        assert of["pop", fold, "rock"] == (2, 0.0)
    counts = evaluation.confusion_frame().filter(submission="pop").rows()
    assert counts == [("pop", truth, "pop", 4) for truth in ("folk", "pop", "rock")]
    assert pl.read_csv(tmp_path / "out" / "results.csv").height == frame.height


def test_the_report(folds, tmp_path):
    submissions = {
        "a <b>": submit(tmp_path / "a", TrainAndClassify=PERFECT),
        "pop": submit(tmp_path / "b", TrainAndClassify=ALWAYS_POP),
    }
    evaluate(folds, submissions, tmp_path / "out")
    text = (tmp_path / "out" / "report.txt").read_text()
    for line in (
        "submission  accuracy  95 %            mean of classes  clips  folds ok",
        "a <b>       1.000     0.735 to 1.000  1.000            12     2 of 2",
        "Intervals are over artists.",
        "folk   4      1.000  0.000",
        "pop           0     4    0",
        "train/test: 1 artists shared, by 1 of 6 clips of train and 1 of 6 (16.7%)",
        "train/test: 0 artists shared",
        "Friedman's test on the accuracy of 3 classes",
    ):
        assert line in text, line
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<td>1.000</td>" in page
    assert "a &lt;b&gt;" in page
    assert "a <b>" not in page


def test_a_registered_plot_is_in_the_page(folds, tmp_path):
    @register_plot("by fold", page="mirex")
    def draw(evaluation):
        figure = new_figure((4, 3))
        figure.subplots().plot([result.accuracy for result in evaluation.results])
        yield Picture(figure, "Accuracy of <folds>")

    submission = submit(tmp_path / "a", TrainAndClassify=PERFECT)
    try:
        evaluate(folds, {"x": submission}, tmp_path / "out")
    finally:
        del PLOTS["mirex"]["by fold"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert 'alt="Accuracy of &lt;folds&gt;"' in page
    assert "data:image/svg+xml" in page


def test_what_a_submission_is_given(folds, tmp_path):
    """Absolute paths, no truth, one scratch folder, its threads first."""
    code = """echo "$@" >> arguments.txt; pwd >> arguments.txt"""
    submission = submit(tmp_path / "a", extractFeatures=code, Train=code, Classify=code)
    evaluate(
        folds, {"x": submission}, tmp_path / "out", audio_root="/audio", n_threads=3
    )
    work = (tmp_path / "out" / "x").resolve()
    given = (work / "arguments.txt").read_text().split("\n")
    first = f"-numThreads 3 {work}/scratch {work}"
    assert given[0] == f"{first}/all.txt"
    assert given[2] == f"{first}/f1_train.txt"
    assert given[4] == f"{first}/f1_test.txt {work}/f1_output.txt"
    assert given[8] == f"{first}/f2_test.txt {work}/f2_output.txt"
    assert given[1] == str(work)
    assert (work / "f1_train.txt").read_text().split("\n")[0] == "/audio/pop_2.wav\tpop"
    test = (work / "f1_test.txt").read_text().split("\n")[:-1]
    assert test[0] == "/audio/folk_1.wav"  # the order of f1_test.txt
    assert all("\t" not in line for line in test)
    assert len((work / "all.txt").read_text().splitlines()) == 12


def test_a_submission_that_hangs_is_stopped(folds, tmp_path):
    hangs = submit(tmp_path / "a", TrainAndClassify="sleep 60")
    evaluation = evaluate(folds, {"hangs": hangs}, tmp_path / "out", time_limit=0.3)
    assert [result.status for result in evaluation.results] == [
        "TrainAndClassify.sh timed out"
    ] * 2
    assert [result.accuracy for result in evaluation.results] == [0, 0]
    assert evaluation.runs_frame()["status"].to_list() == ["timed out"] * 2
    assert "(none)" in (tmp_path / "out" / "report.txt").read_text()


def test_a_submission_that_fails_is_not_classified(folds, tmp_path):
    fails = submit(tmp_path / "a", Train="exit 7", Classify=ALWAYS_POP)
    evaluation = evaluate(folds, {"fails": fails}, tmp_path / "out")
    result = evaluation.results[0]
    assert (result.status, list(result.runs)) == ("Train.sh failed", ["Train.sh"])
    assert evaluation.runs_frame()["exit_code"].to_list() == [7, 7]
    assert result.answers.faults == ["all clips count as wrong"]


@pytest.mark.parametrize(
    ("end", "status"), [("exit 3", "failed"), ("sleep 60", "timed out")]
)
def test_right_answers_of_a_run_that_did_not_end_well_are_wrong(
    folds, tmp_path, end, status
):
    """They were scored before: accuracy 1.000 with 0 of 2 folds ok."""
    submissions = {
        "stops": submit(tmp_path / "a", TrainAndClassify=f"{PERFECT}\n{end}"),
        "pop": submit(tmp_path / "b", TrainAndClassify=ALWAYS_POP),
    }
    evaluation = evaluate(folds, submissions, tmp_path / "out", time_limit=1)
    results = evaluation.of("stops")
    assert [result.status for result in results] == [
        f"TrainAndClassify.sh {status}"
    ] * 2
    assert (tmp_path / "out" / "stops" / "f1_output.txt").stat().st_size > 0
    assert [result.accuracy for result in results] == [0, 0]
    text = (tmp_path / "out" / "report.txt").read_text()
    assert "stops       0.000" in text
    # Friedman's test sees it too: 0, 0, 0 against 0, 1, 0 in folk, pop and rock.
    assert "stops - pop  -0.333    -0.33" in text


def test_a_submission_whose_extraction_fails_is_not_run(folds, tmp_path):
    scripts = {"extractFeatures": "exit 4", "TrainAndClassify": PERFECT}
    fails = submit(tmp_path / "a", **scripts)
    evaluation = evaluate(folds, {"fails": fails}, tmp_path / "out")
    assert [r.status for r in evaluation.results] == ["extractFeatures.sh failed"] * 2
    assert [r.accuracy for r in evaluation.results] == [0, 0]
    assert evaluation.runs_frame()["script"].to_list() == ["extractFeatures.sh"]


def test_outputs_of_an_earlier_run_do_not_count(folds, tmp_path):
    good = submit(tmp_path / "a", TrainAndClassify=PERFECT)
    evaluate(folds, {"x": good}, tmp_path / "out")
    bad = submit(tmp_path / "b", TrainAndClassify="exit 1")
    evaluation = evaluate(folds, {"x": bad}, tmp_path / "out")
    assert evaluation.results[0].accuracy == 0


COUNTS_RUNS = f"""ls "$1" > found; touch "$1/features" "$1"/again
{PERFECT}"""


def test_the_scratch_folder_is_empty_at_first(folds, tmp_path):
    """Features of an earlier evaluation were used, and only the rest was the cost."""
    submissions = {"x": submit(tmp_path / "a", TrainAndClassify=COUNTS_RUNS)}
    work = tmp_path / "out" / "x"
    (work / "scratch" / "old").mkdir(parents=True)
    (work / "scratch" / "old" / "features").write_bytes(bytes(1 << 20))
    (tmp_path / "mine").write_text("kept")
    (work / "scratch" / "link").symlink_to(tmp_path)
    f1 = folds.rename(tmp_path / "all").joinpath("f1_train.txt")
    one = tmp_path / "one"
    one.mkdir()
    for part in ("train", "evaluate"):
        (one / f"f1_{part}.txt").write_text(f1.with_name(f"f1_{part}.txt").read_text())
    evaluation = evaluate(one, submissions, tmp_path / "out", keep_scratch=True)
    assert evaluation.found_bytes == {"x": 1 << 20}
    assert sorted((work / "found").read_text().split()) == ["link", "old"]
    text = (tmp_path / "out" / "report.txt").read_text()
    assert "folder of x held 1.00 MiB of an earlier evaluation: the costs here" in text
    evaluation = evaluate(one, submissions, tmp_path / "out")
    assert evaluation.found_bytes == {"x": 0}
    assert (work / "found").read_text() == ""
    assert "earlier" not in (tmp_path / "out" / "report.txt").read_text()
    assert (tmp_path / "mine").read_text() == "kept"


def test_results_never_go_into_a_submission(folds, tmp_path):
    submission = submit(tmp_path / "a", TrainAndClassify=PERFECT)
    with pytest.raises(
        ValueError, match=r"would go to .*, where the submission itself"
    ):
        evaluate(folds, {"a": submission}, tmp_path)
    assert [path.name for path in submission.iterdir()] == ["TrainAndClassify.sh"]


def test_no_submission(folds, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"has Train.sh, expected TrainAndClass"
    ):
        evaluate(folds, {"x": submit(tmp_path / "a", Train="")}, tmp_path / "out")
    with pytest.raises(ValueError, match="time_limit=0"):
        evaluate(folds, {}, tmp_path / "out", time_limit=0)


@pytest.mark.parametrize(
    ("raw", "labels", "fault"),
    [
        (b"a\tpop\nb\trock\n", ["pop", "rock"], []),
        (b"\xef\xbb\xbfa\tpop\r\nb\trock\r\n", ["pop", "rock"], []),
        (b"b\trock\na\tpop\n", ["pop", "rock"], ["lines are repeated or in another"]),
        (b"a\tpop\n", ["pop", "(none)"], ["1 of 2 clips have no answer"]),
        (b"a\t\nb\trock\n", ["(none)", "rock"], ["1 of 2 clips have no answer"]),
        (
            b"a\tpop\nb\tpolka\n",
            ["pop", "polka"],
            ["classes that are not in the training list: polka"],
        ),
        (
            b"a\tpop\nb\tpop\nc\tpop\n",
            ["pop", "pop"],
            ["1 lines are of clips that were"],
        ),
        (b"", ["(none)"] * 2, ["is empty"]),
        # Two answers to a clip: the first one counted once.
        (
            b"a\tpop\nb\trock\na\trock\n",
            ["(several)", "rock"],
            ["1 of 2 clips have different answers, which is wrong"],
        ),
        (
            b"a\tpop\nb\trock\na\tpop\n",
            ["pop", "rock"],
            ["lines are repeated or in another"],
        ),
    ],
)
def test_answers_with_faults(tmp_path, raw, labels, fault):
    (tmp_path / "out.txt").write_bytes(raw)
    truth = {"a": "pop", "b": "pop"}
    answers = read_answers(tmp_path / "out.txt", truth, {"pop", "rock"})
    assert answers.frame["answer"].to_list() == labels
    assert answers.frame["correct"].to_list() == [name == "pop" for name in labels]
    assert len(answers.faults) == len(fault)
    for found, expected in zip(answers.faults, fault, strict=True):
        assert expected in found


def test_scores():
    truth, labels = ["a", "b", "a", "b", "b"], ["a", "a", "b", "b", "b"]
    same = {name: [name] * 5 for name in ("submission", "fold", "status")}
    columns = {"result": [0] * 5, **same, "class": truth, "answer": labels}
    correct = [a == b for a, b in zip(truth, labels, strict=True)]
    answers = pl.DataFrame({**columns, "correct": correct})
    scores = score_classes(answers).select("class", "n_clips", "n_correct").rows()
    assert scores == [("(all)", 5, 3), ("a", 2, 1), ("b", 3, 2)]
    counts = [("a", "a", 1), ("a", "b", 1), ("b", "a", 1), ("b", "b", 2)]
    counted = count_confusions(answers).select("truth", "answer", "n_clips")
    assert counted.rows() == counts


def test_names_that_are_not_utf_8(tmp_path):
    (tmp_path / "out.txt").write_bytes(b"caf\xe9.wav\tbl\xf6d\n")
    truth = {"caf\udce9.wav": "bl\udcf6d"}
    frame = read_answers(tmp_path / "out.txt", truth, {"x"}).frame
    shown = r"bl\udcf6d"
    assert frame.rows() == [(r"caf\udce9.wav", shown, shown, True)]


def test_folds_are_in_the_order_of_their_numbers(tmp_path):
    for name in ("f10_", "f2_", ""):
        write(tmp_path / f"{name}train.txt", ["rock_1"], label_of)
        write(tmp_path / f"{name}evaluate.txt", ["rock_2"], label_of)
    folds = read_folds(tmp_path)
    assert [fold.name for fold in folds] == ["f2", "f10", "fold"]
    assert folds[0].groups is None
    assert folds[0].truth == {"rock_2": "rock"}


def test_one_clip_on_both_sides_is_a_leak(tmp_path):
    write(tmp_path / "train.txt", ["rock_1.wav", "rock_2.wav"], label_of)
    write(tmp_path / "evaluate.txt", ["./rock_2.wav"], label_of)
    leaks = read_folds(tmp_path)[0].leaks()
    assert leaks.get("train", "test", "track").n_shared == 1


def test_faulty_folds(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no fold in"):
        read_folds(tmp_path)
    write(tmp_path / "train.txt", ["rock_1"], label_of)
    with pytest.raises(FileNotFoundError, match=r"but no .*evaluate.txt"):
        read_folds(tmp_path)
    write(tmp_path / "evaluate.txt", ["rock_2"], label_of)
    write(tmp_path / "test.txt", ["rock_3"], None)
    with pytest.raises(ValueError, match="differ in 2 clips, such as 'rock_2'"):
        read_folds(tmp_path)
