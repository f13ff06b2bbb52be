"""Draw the pictures of the README from the recorded results.

    python docs/pictures.py

Reads ``benchmarks/results.json`` and writes ``docs/images/*.png``.
"""

import json
import re
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
# Okabe and Ito's colours, which colour-blind readers can distinguish; grey: controls.
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
DARK, GREY, LIGHT = "#555555", "#999999", "#cccccc"
SIZE = (6.4, 2.8)  # inches


def values(cell):
    """Mean and ends of the interval of ``"0.397 (0.374 to 0.419)"``."""
    return [float(number) for number in re.findall(r"[\d.]+", cell)[:3]]


def bars_by_labels(axes, rows, arms):
    """Draw one group of bars for each number of labels, one bar for each arm."""
    sizes = ["5", "20", "100"]
    width = 0.8 / len(arms)
    for i, (arm, (label, colour)) in enumerate(arms.items()):
        found = np.array(
            [next(values(r[2]) for r in rows if r[:2] == [n, arm]) for n in sizes]
        )
        mean, low, high = found.T
        axes.bar(
            np.arange(len(sizes)) + (i - (len(arms) - 1) / 2) * width,
            mean,
            width * 0.9,
            yerr=[mean - low, high - mean],
            color=colour,
            label=label,
            ecolor="#333333",
            capsize=2,
        )
    axes.set_xticks(range(len(sizes)), [f"{n} labels per class" for n in sizes])
    axes.set_ylabel("accuracy, 6 genres")
    axes.axhline(1 / 6, color="#333333", linewidth=0.8, linestyle=":")
    axes.set_ylim(0, 0.62)
    axes.legend(fontsize=8, frameon=False, loc="upper left", ncols=2)


def features(axes, results):
    """An SVM with and without the estimate of the listeners' factors."""
    arms = {
        "SVM": ("audio features", GREY),
        "SVM + random projection": ("+ random projection", LIGHT),
        "SVM + permuted logs": ("+ estimate, permuted logs", DARK),
        "SVM + estimate": ("+ estimate from logs", BLUE),
    }
    bars_by_labels(axes, results["transfer_svm/spotify"]["rows"], arms)


def students(axes, results):
    """Students with and without a teacher."""
    arms = {
        "base": ("no teacher", GREY),
        "kd random projection": ("random targets", LIGHT),
        "kd permuted logs": ("permuted logs", DARK),
        "kd": ("kd", BLUE),
        "init": ("init", ORANGE),
        "fix": ("fix", GREEN),
    }
    bars_by_labels(axes, results["transfer_lee2019/spotify"]["rows"], arms)


def recommendation(axes, results):
    """Ranking of artists that no model has met, for Last.fm users."""
    methods = {
        "random": ("chance", LIGHT),
        "Metric-1vs4, permuted artists": ("metric learning, permuted artists", DARK),
        "kNN on features": ("nearest neighbours", GREY),
        "ridge CF estimate": ("CFRegressor, ridge head", ORANGE),
        "Metric-1vs1": ("MetricEmbedder", BLUE),
        "ALS (warm only: half of the users)": ("ALS with plays of them", GREEN),
    }
    rows = {row[0]: row for row in results["recommendation_chen2021/spotify"]["rows"]}
    shown = {name: style for name, style in methods.items() if name in rows}
    mean, low, high = np.array([values(rows[name][2]) for name in shown]).T
    axes.barh(
        [label for label, _ in shown.values()],
        mean,
        xerr=[mean - low, high - mean],
        color=[colour for _, colour in shown.values()],
        ecolor="#333333",
        capsize=2,
    )
    axes.axvline(0.5, color="#333333", linewidth=0.8, linestyle=":")
    axes.set_xlim(0, 1)
    axes.set_xlabel("AUC of artists nobody played, over Last.fm users")


def gains(cell):
    """Mean and ends of the interval of ``"+3.2 (-1.8 to +8.2)"``."""
    return [float(number) for number in re.findall(r"[+-][\d.]+", cell)[:3]]


def evidence(results):
    """Gains of the defaults by task, number of labels and teaching artists."""
    rows = results["transfer_defaults"]["rows"]
    sizes = [("5", "5 labels per class"), ("20", "20"), ("100", "100"), ("all", "all")]
    sizes.append(("none", "cold start (AUC)"))
    sizes = [size for size in sizes if any(row[2] == size[0] for row in rows)]
    tasks = sorted({(int(row[1]), row[0]) for row in rows}, reverse=True)
    tasks = [task for task in tasks if "former" not in task[1]]
    place = {task: y for y, task in enumerate(reversed(tasks))}
    figure, panels = plt.subplots(
        1, len(sizes), figsize=(10, 0.36 * len(tasks) + 1.2), sharey=True,
        layout="constrained",
    )  # fmt: skip
    for axes, (size, title) in zip(panels, sizes, strict=True):
        shown = [row for row in rows if row[2] == size and "former" not in row[0]]
        at = np.array([place[int(row[1]), row[0]] for row in shown])
        plain = np.array([gains(row[4]) for row in shown])
        # The control that the defaults are least ahead of.
        control = np.array([min(gains(cell) for cell in row[5:8]) for row in shown])
        for found, shift, style in (
            (plain, 0.16, {"color": BLUE, "marker": "o"}),
            (control, -0.16, {"color": ORANGE, "marker": "s", "mfc": "white"}),
        ):
            mean, low, high = found.T
            axes.errorbar(
                mean, at + shift, xerr=[mean - low, high - mean], linestyle="none",
                markersize=5, linewidth=1.2, **style,
            )  # fmt: skip
        axes.axvline(0, color="#333333", linewidth=0.8)
        axes.set_title(title, fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(
        list(place.values()), [f"{name} ({n:,})" for n, name in place], fontsize=8
    )
    panels[0].set_ylim(-0.6, len(tasks) - 0.4)
    figure.supxlabel("points gained by the estimate of listeners' factors", fontsize=9)
    figure.legend(
        [panels[0].containers[0], panels[0].containers[1]],
        ["over the features alone", "over the strongest of three controls"],
        loc="outside upper center", ncols=2, frameon=False, fontsize=9,
    )  # fmt: skip
    return figure


def main():
    """Write the pictures."""
    mpl.use("Agg")
    results = json.loads((ROOT / "benchmarks" / "results.json").read_text("utf-8"))
    folder = ROOT / "docs" / "images"
    folder.mkdir(exist_ok=True)
    for draw in (features, recommendation, students):
        figure, axes = plt.subplots(figsize=SIZE, layout="constrained")
        draw(axes, results)
        axes.spines[["top", "right"]].set_visible(False)
        # White behind the lines, so that a dark page shows them, too.
        figure.savefig(
            folder / f"{draw.__name__}.png", dpi=130, metadata={"Software": None}
        )
        plt.close(figure)
    figure = evidence(results)
    figure.savefig(folder / "evidence.png", dpi=130, metadata={"Software": None})


if __name__ == "__main__":
    main()
