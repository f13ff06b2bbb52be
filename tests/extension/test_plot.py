"""Another plot in a report, of comparisons or of MIREX, is one function."""

import polars as pl
import pytest

from userlogfeat.report import Picture, register_plot, write_html
from userlogfeat.report.plots import PLOTS, draw_plots
from userlogfeat.report.style import new_figure


def draw_bars(names, heights):
    figure = new_figure((3, 2))
    figure.subplots().bar(names, heights)
    return figure


@pytest.fixture
def bars():
    @register_plot("bars", page="comparison")
    def bars(results):
        means = results.summary.select("arm", "mean").rows()
        yield Picture(draw_bars(*zip(*means, strict=True)), "Bars of <means>")

    yield
    del PLOTS["comparison"]["bars"]


@pytest.mark.usefixtures("bars")
def test_a_plot_from_outside(tmp_path):
    row = {"n_labels": 20, "channels": 64, "mean": 0.5, "low": 0.4, "high": 0.6}
    summary = pl.DataFrame([{"arm": arm, **row} for arm in ("base", "kd")])
    page = write_html(summary, tmp_path / "r.html").read_text()
    assert page.count("<figure>") == 2  # beside the library's own
    assert 'alt="Bars of &lt;means&gt;"' in page


def test_a_plot_of_mirex():
    @register_plot("accuracies", page="mirex")
    def accuracies(evaluation):
        for name, accuracy in evaluation.items():
            yield Picture(draw_bars([name], [accuracy]), f"Accuracy of {name}")

    drawn = draw_plots("mirex", {"one": 0.5, "two": 0.7})
    del PLOTS["mirex"]["accuracies"]
    ours = [picture.description for picture in drawn[-2:]]
    assert ours == ["Accuracy of one", "Accuracy of two"]
    assert drawn[-1].source.startswith("data:image/svg+xml;base64,")


def test_pages_that_are_none():
    with pytest.raises(ValueError, match="page='pdf', expected one of comparison, mir"):
        register_plot("bars", page="pdf")
