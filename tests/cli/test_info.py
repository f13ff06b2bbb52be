"""`userlogfeat info`: what something is."""


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
