"""Reports: known numbers reach the artists, the tables, the words and the page."""

import base64
import json
import re
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from userlogfeat.comparison.arms import ARMS, CONTROLS, PERMUTED
from userlogfeat.evaluation.leaks import leak_report
from userlogfeat.report import ClasswiseDisplay, TransferDisplay, write_html
from userlogfeat.report.findings import describe, explain_gain
from userlogfeat.report.frames import (
    Contrast,
    Metric,
    contrasts,
    make_results,
    setting_text,
)
from userlogfeat.report.style import arm_styles
from userlogfeat.report.tables import p_value, setting_table
from userlogfeat.report.transfer import SIZE

GAINS = {"base": 0.0, "init": 0.02, "kd": 0.048, PERMUTED: 0.004}
CHANNELS, LABELS = (32, 64, 128, 256), (5, 20, None)
TYPES = {"n_labels": pl.Int64, "channels": pl.Int64}
VOID = {"meta", "img", "br"}  # HTML elements that need no end


def mean_of(arm, n_labels, channels):
    """0.3 for base at 5 labels and 32 channels; a hundredth more a step of either."""
    step = LABELS.index(n_labels) + (channels is not None and CHANNELS.index(channels))
    return 0.3 + 0.01 * step + GAINS[arm]


def difference(arm, against, p):
    if arm == against:
        return {}
    change = GAINS[arm] - GAINS[against]
    numbers = {"difference": change, "diff_low": change - 0.009, "effect_size": 0.5}
    numbers |= {"diff_high": change + 0.009, "p_ttest_holm": p, "p_wilcoxon_holm": p}
    return {f"{name} to {against}": x for name, x in numbers.items()}


def make_summary(labels=LABELS, channels=CHANNELS, arms=tuple(GAINS), p=0.001):
    """As summarise returns: means as above, +0.02 and -0.01 around them."""
    rows = []
    for n_labels in labels:
        for width in channels:
            for arm in reversed(arms):
                mean = mean_of(arm, n_labels, width)
                row = {"n_labels": n_labels, "channels": width, "arm": arm}
                row |= {"mean": mean, "low": mean - 0.01, "high": mean + 0.02}
                row |= {"n_clips": 800, "n_seeds": 5}
                for against in ("base", PERMUTED):
                    row |= difference(arm, against, p)
                rows.append(row)
    return pl.DataFrame(rows, schema_overrides=TYPES, infer_schema_length=None)


def make_fits(**changes):
    """As compare returns: two arms, two seeds, two folds."""
    rows = []
    for arm in ("base", "kd"):
        for seed in range(2):
            for fold in range(2):
                params = {"lr": 0.001} | (
                    {"kd_weight": 1.0 + seed} if arm == "kd" else {}
                )
                row = {"arm": arm, "n_labels": 20, "channels": 64, "seed": seed}
                score = 1.0 if arm == "kd" else 0.5
                row |= {"fold": fold, "score": score, "metric": "accuracy"}
                row |= {
                    "n_train": 200,
                    "n_test": 20,
                    "clips": list(range(20 * fold, 20 * fold + 20)),
                }
                row |= {
                    "outcome": [2 * score - 1, 1.0] * 10,
                    "params": json.dumps(params),
                }
                row |= {"seconds": 3.0, "n_shared_train": 0, "n_shared_teacher": fold}
                rows.append(row | changes)
    return pl.DataFrame(rows, schema_overrides=TYPES)


@pytest.fixture
def ax():
    """Axes that pyplot does not keep."""
    return Figure(layout="constrained").subplots()


# --- TransferDisplay ---------------------------------------------------------------


def test_lines_by_channels_are_the_means(ax):
    display = TransferDisplay.from_comparison(
        make_summary(), x="channels", at=20, metric="accuracy", ax=ax
    )
    assert list(display.lines_) == list(GAINS)  # the order of the paper, then controls
    for arm in GAINS:
        means = [mean_of(arm, 20, width) for width in CHANNELS]
        np.testing.assert_allclose(display.lines_[arm].get_ydata(), means)
        ends = [segment[:, 1] for segment in display.intervals_[arm].get_segments()]
        expected = [(mean - 0.01, mean + 0.02) for mean in means]
        np.testing.assert_allclose(ends, expected)
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert ax.get_xlabel() == "Channels of each convolution"
    assert ax.get_ylabel() == "Accuracy (%)"
    assert ax.get_title(loc="left") == "At 20 labels per class; bars: 95 % intervals"


def test_channels_are_on_a_log2_axis(ax):
    TransferDisplay.from_comparison(make_summary((20,)), ax=ax)
    assert ax.get_xscale() == "log"
    assert ax.get_xticks().tolist() == list(CHANNELS)
    assert [text.get_text() for text in ax.get_xticklabels()] == [
        "32",
        "64",
        "128",
        "256",
    ]
    assert len(ax.get_xticks(minor=True)) == 0


def test_all_labels_are_one_step_after_the_last(ax):
    display = TransferDisplay.from_comparison(
        make_summary(), x="n_labels", at=64, ax=ax
    )
    assert display.positions == [5, 20, None]
    assert ax.get_xticks().tolist() == [5, 20, 80]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["5", "20", "all"]
    assert ax.get_xlabel() == "Labelled clips per class"


@pytest.mark.parametrize(
    ("labels", "ticks"), [((None,), [1]), ((20, None), [20, 40]), ((20,), [20])]
)
def test_axes_of_few_labels(ax, labels, ticks):
    TransferDisplay.from_comparison(make_summary(labels, (None,)), ax=ax)
    assert ax.get_xticks().tolist() == ticks


def test_intervals_do_not_hide_each_other(ax):
    display = TransferDisplay.from_comparison(make_summary((20,)), ax=ax)
    first = [line.get_xdata()[0] for line in display.lines_.values()]
    assert np.diff(np.log2(first)).min() > 0.1  # of an octave between two ticks
    assert np.prod(first) ** (1 / len(first)) == pytest.approx(32)  # around the tick
    assert max(np.abs(np.log2(first) - 5)) < 0.25  # and nearer to it than to the next


def test_arms_differ_without_colour():
    looks = arm_styles([*ARMS, *(f"own {i}" for i in range(20))])
    forms = [
        (look["marker"], look["linestyle"], look["markerfacecolor"] == "white")
        for look in looks.values()
    ]
    assert len(set(forms)) == len(forms)
    assert len({look["marker"] for look in looks.values()}) >= 6
    brightness = [
        np.dot(to_rgb(colour), (0.3, 0.59, 0.11))
        for colour, *_ in (arm.look for arm in ARMS.values())
    ]
    assert max(brightness) < 0.75  # visible on white
    assert looks["kd"] == arm_styles(["kd"])["kd"]  # whatever else is drawn


@pytest.mark.parametrize("longer", ["", " of a teacher with a very long name"])
def test_legend_is_outside_and_complete(longer):
    figure = Figure(figsize=SIZE, layout="constrained")
    ax = figure.subplots()
    summary = make_summary((20,)).with_columns(pl.col("arm") + longer)
    display = TransferDisplay.from_comparison(summary, ax=ax)
    legend = ax.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == list(display.lines_)
    assert len(display.lines_) == 4
    figure.draw_without_rendering()
    box = legend.get_window_extent()
    assert box.y1 < ax.xaxis.get_tightbbox().y0 + 1  # below the name of the axis
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= figure.bbox.width


def test_names_are_shown_as_they_are(ax):
    """A dollar starts no formula, an underscore hides no line."""
    names = {"base": "_a$\\nothing$", "kd": "$<b>"}
    summary = make_summary((20,)).filter(pl.col("arm").is_in(["base", "kd"]))
    summary = summary.with_columns(pl.col("arm").replace(names))
    TransferDisplay.from_comparison(summary, ax=ax)
    ax.figure.draw_without_rendering()
    shown = {text.get_text() for text in ax.get_legend().get_texts()}
    assert shown == set(names.values())


def test_an_arm_that_was_not_run_everywhere(ax):
    summary = make_summary((20,)).filter(
        (pl.col("arm") != "init") | (pl.col("channels") != 64)
    )
    display = TransferDisplay.from_comparison(summary, ax=ax)
    y = display.lines_["init"].get_ydata()
    assert np.isnan(y).tolist() == [False, True, False, False]


def test_some_arms_and_a_figure_of_its_own():
    import matplotlib.pyplot as plt

    display = TransferDisplay.from_comparison(
        make_summary((20,)), arms=["kd", "base"], metric="r2"
    )
    assert list(display.lines_) == ["kd", "base"]
    assert display.ax_.get_ylabel() == "R² (1 is perfect, 0 the mean)"
    first = display.figure_
    assert display.plot().figure_ is not first
    plt.close(first)
    plt.close(display.figure_)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"x": "channels"}, r"several n_labels: 5, 20, 'all'.*at=5"),
        ({"x": "n_labels"}, r"several channels: 32, 64, 128, 256.*at=32"),
        ({"at": 7}, r"at=7, but n_labels in the frame are 5, 20, 'all'"),
        ({"x": "width"}, "x='width', expected one of 'channels', 'n_labels'"),
        ({"at": "all", "arms": ["KD"]}, "arm='KD', expected one of 'base'"),
    ],
)
def test_what_the_frame_does_not_have(settings, message):
    with pytest.raises(ValueError, match=message):
        TransferDisplay.from_comparison(make_summary(), **settings)


def test_no_channels():
    with pytest.raises(ValueError, match=r"no channels.*x='n_labels'"):
        TransferDisplay.from_comparison(make_summary((20,), (None,)), x="channels")


# --- frames ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop("low"), r"no column 'low', only .*compare or summarise"),
        (lambda f: f.head(0), "no rows"),
        (lambda f: f.filter(arm="kd"), "the arm 'kd' only, expected two or more"),
        (
            lambda f: f.with_columns(
                mean=pl.when(arm="kd").then(float("nan")).otherwise("mean")
            ),
            r"12 of 48 rows.*arm 'kd' at 5 labels per class, 32 channels: mean=nan",
        ),
        (
            lambda f: f.with_columns(high=pl.lit(None, pl.Float64)),
            r"48 of 48 rows.*high=None",
        ),
        (lambda f: pl.concat([f, f]), "several rows for arm"),
        (
            lambda f: pl.concat(
                [
                    f.with_columns(metric=pl.lit(m))
                    for m in ("r2", "squared correlation")
                ]
            ),
            r"several metrics: 'r2', 'squared correlation'.*metric='r2'",
        ),
    ],
)
def test_wrong_frames(change, message, tmp_path):
    frame = change(make_summary())
    with pytest.raises(ValueError, match=message):
        make_results(frame)
    with pytest.raises(ValueError, match=message):
        TransferDisplay.from_comparison(frame, at=20)
    with pytest.raises(ValueError, match=message):
        write_html(frame, tmp_path / "r.html")
    assert list(tmp_path.iterdir()) == []


def test_frames_of_another_kind():
    with pytest.raises(TypeError, match=r"type DataFrame.*polars\.from_pandas"):
        make_results(make_summary().to_pandas())
    with pytest.raises(ValueError, match=r"no finite score.*score=nan"):
        make_results(make_fits(score=float("nan")))


def test_one_of_several_metrics(ax):
    frame = pl.concat(
        [
            make_summary((20,)).with_columns(pl.col("mean") * by, metric=pl.lit(name))
            for name, by in (("r2", 1.0), ("squared correlation", 1.01))
        ]
    )
    display = TransferDisplay.from_comparison(frame, metric="r2", ax=ax)
    assert display.lines_["base"].get_ydata()[0] == pytest.approx(
        mean_of("base", 20, 32)
    )
    with pytest.raises(ValueError, match="metric='f1', expected one of 'r2'"):
        make_results(frame, "f1")


def test_contrasts_are_by_setting():
    found = contrasts(make_summary((20, None), (64,)))
    assert [(c.n_labels, c.arm, c.against) for c in found[:6]] == [
        (20, "init", "base"),
        (20, "kd", "base"),
        (20, PERMUTED, "base"),
        (20, "base", PERMUTED),
        (20, "init", PERMUTED),
        (20, "kd", PERMUTED),
    ]
    assert found[1].difference == pytest.approx(0.048)
    assert found[6].n_labels is None
    assert contrasts(make_summary().select("arm", "n_labels", "channels", "mean")) == []


# --- words -------------------------------------------------------------------------


def contrast(low, high, p=0.01, against="base"):
    middle = (low + high) / 2
    return Contrast("kd", against, 20, None, middle, low, high, p, None, None)


@pytest.mark.parametrize(
    ("low", "high", "p", "metric", "words"),
    [
        (
            0.039,
            0.057,
            0.01,
            "accuracy",
            "kd is above base by 4.8 points (3.9 to 5.7).",
        ),
        (
            -0.057,
            -0.039,
            None,
            "accuracy",
            "kd is below base by 4.8 points (3.9 to 5.7).",
        ),
        (0.039, 0.057, 0.01, "r2", "kd is above base by 0.048 (0.039 to 0.057)."),
        (
            -0.01,
            0.02,
            0.01,
            "accuracy",
            "kd is not distinguishable from base: a difference of 0.5 points "
            "(−1.0 to 2.0).",
        ),
        (
            0.002,
            0.02,
            0.2,
            "r2",
            "kd is not distinguishable from base: a difference of 0.011 (0.002 to "
            "0.020), which does not survive Holm's correction (p = 0.2).",
        ),
        # An end that is above zero is not written as zero.
        (
            0.0001,
            0.02,
            None,
            "accuracy",
            "kd is above base by 1.00 points (0.01 to 2.00).",
        ),
    ],
)
def test_verdicts(low, high, p, metric, words):
    assert describe(contrast(low, high, p), Metric(metric)) == words


def test_places():
    assert setting_text(20) == "at 20 labels per class"
    assert setting_text(1, 64) == "at 1 label per class, 64 channels"
    assert setting_text(None) == "with all labels"


def test_a_gain_is_knowledge_only_beyond_all_three_controls():
    gain = contrast(0.01, 0.02)
    unclear, less, no_p = contrast(-0.01, 0.02), contrast(-0.02, -0.01), 0.3

    def explain(*found, base=gain):
        return explain_gain(base, dict(zip(CONTROLS, found, strict=True)))

    assert "None of the three" in explain(gain, gain, gain)
    for place in range(3):  # one control that may do the same is enough
        others = [gain] * 3
        others[place] = unclear
        assert f"given by {CONTROLS[place]}: the gain is not shown" in explain(*others)
        others[place] = contrast(0.01, 0.02, p=no_p)
        assert "not shown to be knowledge" in explain(*others)
        others[place] = less
        assert f"More is given by {CONTROLS[place]}" in explain(*others)
        others[place] = None
        assert f"Without {CONTROLS[place]}, it is not shown" in explain(*others)
    assert "may be regularisation alone" in explain(None, None, None)
    for base in (unclear, contrast(0.01, 0.02, p=no_p), None):
        assert explain(gain, gain, gain, base=base) is None


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (None, "–"),
        (1.0, "1"),
        (0.0321, "0.032"),
        (0.00051, "0.0005"),
        (3e-9, "< 0.0001"),
    ],
)
def test_p_values(p, text):
    assert p_value(p) == text


# --- ClasswiseDisplay --------------------------------------------------------------

Y = ["a"] * 4 + ["b"] * 2 + ["c"] * 10
AUDIO = ["a"] * 2 + ["b"] * 2 + ["b"] * 2 + ["c"] * 5 + ["a"] * 5
BOTH = ["a"] * 4 + ["b", "a"] + ["c"] * 6 + ["b"] * 4


def test_recall_of_each_class(ax):
    """a: 2 and 4 of 4; b: 2 and 1 of 2; c: 5 and 6 of 10."""
    display = ClasswiseDisplay.from_predictions(
        Y, {"audio": AUDIO, "both": np.array(BOTH)}, ax=ax
    )
    assert display.classes == ["a", "c", "b"]  # +50, +10, -50 points
    assert display.counts.tolist() == [4, 10, 2]
    np.testing.assert_allclose(display.points_["audio"].get_xdata(), [0.5, 0.5, 1])
    np.testing.assert_allclose(display.points_["both"].get_xdata(), [1, 0.6, 0.5])
    ends = [segment[:, 0] for segment in display.intervals_["both"].get_segments()]
    np.testing.assert_allclose(ends, np.transpose([display.low[1], display.high[1]]))
    assert [text.get_text() for text in ax.get_yticklabels()] == [
        "a (n = 4)",
        "c (n = 10)",
        "b (n = 2)",
    ]
    assert [text.get_text() for text in ax.texts] == ["+50", "+10", "−50", "points"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "audio",
        "both",
    ]
    assert ax.yaxis_inverted()  # the first class is on top


@pytest.mark.parametrize(
    ("order", "classes"), [("name", ["a", "b", "c"]), ("count", ["c", "a", "b"])]
)
def test_orders(ax, order, classes):
    display = ClasswiseDisplay.from_predictions(
        Y, {"audio": AUDIO, "both": BOTH}, order=order, ax=ax
    )
    assert display.classes == classes


def test_long_and_odd_classes(ax):
    y = ["$a$_\\x", "electronic, experimental and dance"] * 2
    ClasswiseDisplay.from_predictions(y, {"one": y, "$two$": y}, ax=ax)
    ax.figure.draw_without_rendering()
    assert [text.get_text() for text in ax.get_yticklabels()] == [
        "$a$_\\x (n = 2)",
        "electronic, experimental\nand dance (n = 2)",
    ]


def test_intervals_of_recall_are_wilsons(ax):
    """Of 5 right among 10: (0.237, 0.763), by Wilson (1927)."""
    y = ["a"] * 10 + ["b"]
    half = ["a"] * 5 + ["b"] * 6
    display = ClasswiseDisplay.from_predictions(y, {"one": half, "two": y}, ax=ax)
    row = display.classes.index("a")
    ends = display.low[0, row], display.high[0, row]
    np.testing.assert_allclose(ends, (0.2366, 0.7634), atol=1e-4)


@pytest.mark.parametrize(
    ("y", "predictions", "message"),
    [
        (Y, {"audio": AUDIO}, r"1 feature sets, expected a dict of two"),
        (Y, [AUDIO, BOTH], r"type list, expected a dict of two"),
        (
            Y,
            {"audio": AUDIO, "both": BOTH[1:]},
            r"'both' are of 15 clips and y_true of 16",
        ),
        ([], {"audio": [], "both": []}, r"y_true has shape \(0,\)"),
        (Y, {"audio": [[1, 0]], "both": BOTH}, r"'audio' has shape \(1, 2\)"),
        (
            [None, *Y[1:]],
            {"audio": AUDIO, "both": BOTH},
            "y_true has no label in row 0",
        ),
        (
            Y,
            {"audio": AUDIO, "both": [1] * 16},
            r"'both' \(1\) is in y_true \('a', 'b', 'c'\): was one of the two encoded",
        ),
    ],
)
def test_wrong_predictions(y, predictions, message):
    with pytest.raises(ValueError, match=message):
        ClasswiseDisplay.from_predictions(y, predictions)


# --- the page ----------------------------------------------------------------------


class Page(HTMLParser):
    """Text and tags of a page; every element must be closed."""

    def __init__(self, path):
        super().__init__()
        self.open, self.tags, self.text, self.images = [], [], [], []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_page_of_a_summary(tmp_path):
    path = tmp_path / "report.html"
    assert write_html(make_summary((20,), (64,)), path, metric="accuracy") == path
    page = Page(path)
    for words in (
        "kd is above base by 4.8 points (3.9 to 5.7) at 20 labels per class.",
        "kd is above kd permuted logs by 4.4 points (3.5 to 5.3) at 20 labels per "
        "class.",
        "The gain is beyond kd permuted logs. Without kd random projection and kd same "
        "artist, it is not shown to be knowledge from the logs.",
        "kd permuted logs is not distinguishable from base at 20 labels per class: a "
        "difference of 0.4 points (−0.5 to 1.3).",
        "learns from the labelled clips alone",
        "36.8 (35.8 to 38.8)",  # kd: 0.3 + 0.01 * (1 + 1) + 0.048
        "3.9 to 5.7",
        "800",
        "Not known: the report was made from a summary, which does not have them.",
    ):
        assert words in page.text
    assert "No leak report was given" in page.source
    assert re.search(r"Written on 20\d\d-.* with Python 3.*scikit-learn 1", page.source)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_page_needs_no_network(tmp_path):
    page = Page(write_html(make_summary((5, 20)), tmp_path / "r.html"))
    assert not {"script", "link", "iframe", "object", "form", "a"} & set(page.tags)
    assert "http" not in re.sub("http-equiv", "", page.source)
    assert (
        len(page.images) == 4 + 2
    )  # by labels for each width, and the other way round
    for image in page.images:
        kind, data = image["src"].split(",")
        assert kind == "data:image/svg+xml;base64"
        assert b"<svg" in base64.b64decode(data)
        assert image["alt"].startswith("Score of base, init, kd, kd permuted logs by")
    assert 'name="viewport"' in page.source
    assert "@media print" in page.source


def test_page_of_fits(tmp_path):
    summary = make_summary((20,), (64,), arms=("base", "kd"))
    path = write_html(
        make_fits(), tmp_path / "r.html", summary=summary, notes="Planted numbers."
    )
    text = Page(path).text
    assert "0.001 (4 of 4)" in text
    assert "1.0 (2 of 4), 2.0 (2 of 4)" in text
    assert "3" in text  # seconds per fit
    assert "Planted numbers." in text
    assert (
        "At most 1 artists of the test clips are in the teacher's training data"
        " of a fit." in text
    )
    assert "Without controls" not in text  # the summary has them
    unknown = (
        "Whether artists of the test clips are in the teacher's training data is not "
        "known."
    )
    assert unknown not in text
    path = write_html(make_fits(n_shared_teacher=None), tmp_path / "r.html")
    assert unknown in Page(path).text


def test_fits_are_summarised(tmp_path, ax):
    """base has every second clip right in every fold, kd all."""
    display = TransferDisplay.from_comparison(make_fits(), ax=ax)
    assert display.lines_["base"].get_ydata().tolist() == [0.5]
    assert display.lines_["kd"].get_ydata().tolist() == [1.0]
    text = "".join(Page(write_html(make_fits(), tmp_path / "r.html")).text)
    assert "kd is above base by 50.0 points" in text
    assert "Without controls, the gain may be regularisation alone" in text
    assert "100.0 (91.2 to 100.0)" in text  # 40 clips: 0.025^(1 / 40) is 0.912
    assert "intervals, over clips and seeds" in text
    assert "Effect size (d)" in text
    assert "∞" in text  # all four differences are 0.5


def test_settings_as_structs_and_none():
    fits = make_fits().with_columns(
        params=pl.Series([{"C": 1.0}] * 4 + [{"C": None}] * 4)
    )
    assert setting_table(fits)[1] == [["base", "C", "1.0 (4 of 4)"]]
    assert setting_table(make_fits(params="{}"))[1] == []


def test_names_of_strangers_are_escaped(tmp_path):
    evil = '<script>alert("1")</script>&'
    summary = make_summary((20,), (64,)).with_columns(
        pl.col("arm").replace("init", evil)
    )
    path = write_html(
        summary,
        tmp_path / "r.html",
        title=evil,
        notes=[evil, "\udcff.mp3"],
        leaks={evil: evil},
        metric=evil,
    )
    page = Page(path)
    assert "script" not in page.tags
    assert page.text.count(evil) >= 6
    assert "<script" not in page.source


def test_leaks_of_every_kind(tmp_path):
    report = leak_report([0, 1, 4], [2, 3, 5], artists=["x", "y", "y", "z", None, None])
    for leaks, words in (
        (report, "1 artists shared"),
        ({"fold 0": report, "fold 1": 3}, "1 artists shared"),
        (pl.DataFrame({"sets": ["train/test"], "artists": [17]}), "17"),
        ("two tracks", "two tracks"),
        (["two tracks"], "two tracks"),
    ):
        path = write_html(make_summary((20,), (64,)), tmp_path / "r.html", leaks=leaks)
        text = "".join(Page(path).text)
        assert words in text
        assert "No leak report" not in text
    with pytest.raises(TypeError, match="leaks of type int, expected a LeakReport"):
        write_html(make_summary(), tmp_path / "r.html", leaks=3)


def test_page_is_whole_or_as_it_was(tmp_path):
    path = tmp_path / "r.html"
    path.write_text("before")
    with pytest.raises(TypeError, match="leaks of type int"):
        write_html(make_summary(), path, leaks=3)
    assert path.read_text() == "before"
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere.*Make it first"):
        write_html(make_summary(), tmp_path / "nowhere" / "r.html")


def test_intervals_are_over_the_groups_of_the_frame(tmp_path):
    """Was: the page forgot the artists that `compare` had."""
    groups = [[2 * fold + clip // 10 for clip in range(20)] for fold in (0, 1)] * 4
    fits = make_fits().with_columns(groups=pl.Series(groups))
    text = "".join(Page(write_html(fits, tmp_path / "r.html")).text)
    assert "intervals, over artists and seeds" in text
    assert "100.0 (39.8 to 100.0)" in text  # 4 artists: 0.025^(1 / 4) is 0.398


def test_what_is_counted_survives_the_correction(tmp_path):
    """Was: the first sentence counted intervals, corrected p-values or not."""
    path = write_html(make_summary(p=0.2), tmp_path / "r.html", metric="accuracy")
    page = Page(path)
    line = "above in 0 of 12 settings, below in 0, not distinguishable in 12."
    assert f"kd against base: {line}" in page.text
    assert "kd is above base" not in "".join(page.text)


def test_many_settings_are_counted(tmp_path):
    page = Page(write_html(make_summary(), tmp_path / "r.html", metric="accuracy"))
    line = "above in 12 of 12 settings, below in 0, not distinguishable in 0."
    assert f"kd against base: {line}" in page.text
    assert f"kd against kd permuted logs: {line}" in page.text
    text = "".join(page.text)
    assert (
        "kd is above base by 4.8 points (3.9 to 5.7) with all labels, 256 channels."
        in text
    )
    assert "init is above base" not in text  # counted, not worded twelve times
