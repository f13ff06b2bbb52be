"""`userlogfeat info`: what something is."""


def test_info(run, clips, tmp_path):
    run("extract", "clips", "-o", "t")
    text = run("info", "t").stdout
    assert "feature table  t\n" in text
    assert "clips          10 ok\n" in text
    assert "layers         mean (8), max (3)\n" in text
    assert "torch" in run("info").stdout
