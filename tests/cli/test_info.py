"""`userlogfeat info`: what something is."""

import numpy as np

from userlogfeat.recommendation import ItemIndex


def test_info(run, clips, tmp_path):
    run("extract", "clips", "-o", "t")
    text = run("info", "t").stdout
    assert "feature table  t\n" in text
    assert "clips          10 ok\n" in text
    assert "layers         mean (8), max (3)\n" in text
    assert "torch" in run("info").stdout


def test_info_on_a_cache(run, clips):
    """A cache holds tables; it was said to be neither table nor model."""
    run("extract", "clips", "-o", "cache/abc")
    message = run("info", "cache", code=2).stderr
    assert "is a folder of feature tables" in message
    assert "Pass one of them: cache/abc." in message


def test_info_on_an_index(run, tmp_path):
    vectors = np.random.default_rng(0).normal(size=(9, 4))
    ItemIndex.build(vectors, metric="dot", method="exact").save(tmp_path / "index")
    text = run("info", tmp_path / "index").stdout
    assert text.splitlines()[1:] == [
        "items   9",
        "metric  dot",
        "search  exact",
        "recall  1.000",
    ]
    (tmp_path / "index" / "index.json").write_text("{}")
    assert "is damaged" in run("info", tmp_path / "index", code=2).stderr
