"""The explorer's data: known answers on planted features."""

import base64
import hashlib
import json
import re

import numpy as np
import polars as pl
import pytest

from userlogfeat import explore, read_catalogue
from userlogfeat.evaluation.leaks import leak_report
from userlogfeat.exploration.layers import answer, default_classifier, nearest_clips
from userlogfeat.factor_files import Factors, write_factors

EVIL = '<script>document.title="bad"</script>'  # as in conftest
LABELS = ["folk", "jazz", "punk"]
N = 24


def read_data(html):
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', html)
    return json.loads(found[1])


def make(source, path=None, **settings):
    return explore(source, path, **{"audio": "none"} | settings)


def test_what_is_planted_is_shown(planted_clips):
    _, names, table, catalogue = planted_clips
    data = read_data(make(table, catalogue=catalogue, colours=["year"]).html)
    assert data["clips"]["name"] == names
    assert data["clips"]["label"] == [LABELS[i % 3] for i in range(N)]
    assert data["colours"]["year"][3] == 1963
    mean = data["layers"][0]
    assert (mean["name"], mean["size"], sorted(mean["maps"])) == (
        "mean",
        6,
        ["pca", "tsne"],
    )
    assert all(0 <= x <= 10_000 for x in mean["maps"]["pca"])
    # The nearest seven clips of each are the other seven of its label.
    for clip, near in enumerate(mean["near"]):
        assert {other % 3 for other in near[:7]} == {clip % 3}
    answers = mean["answers"]
    assert answers["accuracy"] == 1
    assert answers["byArtist"]
    assert [answers["classes"][best[0]] for best in answers["best"]] == [
        LABELS[i % 3] for i in range(N)
    ]
    noise = data["layers"][1]["answers"]
    assert noise["accuracy"] < 0.7


def test_copies_are_listed_without_being_asked_for(planted_clips):
    _, _, table, catalogue = planted_clips
    data = read_data(make(table, catalogue=catalogue, layers=["mean"]).html)
    assert data["pairs"] == [["copy", 0, 21, "distance 0.000"]]


def test_leaks_of_a_split(planted_clips):
    _, _, table, catalogue = planted_clips
    split = pl.Series(["train"] * 12 + ["test"] * 11 + [None])
    frame = catalogue.frame.with_columns(split=split)
    catalogue = read_catalogue(frame, check_files=False)
    pairs = read_data(make(table, catalogue=catalogue, layers=["mean"]).html)["pairs"]
    artists = [pair for pair in pairs if pair[0] == "artist"]
    assert [pair[1:3] for pair in artists] == [[i, i + 12] for i in range(11)]
    assert artists[0][3] == f"train/test: {EVIL}"


def test_a_leak_report_of_ones_own(planted_clips):
    _, _, table, catalogue = planted_clips
    report = leak_report([0, 1], [12, 5], artists=catalogue.artists)
    pairs = read_data(make(table, catalogue=catalogue, leaks=report).html)["pairs"]
    assert pairs[0] == ["artist", 0, 12, f"train/test: {EVIL}"]
    with pytest.raises(ValueError, match="Got leaks without a catalogue"):
        make(table, leaks=report)


def test_two_models_are_matched_by_clip(kit, planted_clips, tmp_path):
    _, names, table, catalogue = planted_clips
    other = kit.write_table(tmp_path / "other", names[:0:-1], kit.planted()[:0:-1])
    with pytest.warns(UserWarning, match="left out"):
        page = make([table, other], catalogue=catalogue)
    data = read_data(page.html)
    assert data["clips"]["name"] == names[1:]
    assert [model["name"] for model in data["models"]] == ["features", "other"]
    first, second = (
        next(v for v in data["layers"] if v["model"] == m and v["name"] == "mean")
        for m in (0, 1)
    )
    assert first["near"] == second["near"]  # the same features in another order
    assert np.abs(np.subtract(first["maps"]["pca"], second["maps"]["pca"])).max() <= 2
    assert "1 of 24 clips of features are left out" in page.notes[0]


def test_listeners_of_artists_by_the_estimate(kit, planted_clips, tmp_path):
    _, names, _, catalogue = planted_clips
    estimate = np.eye(3, dtype=np.float32)[np.arange(N) % 3]
    estimate[:, 0] += 0.01 * np.arange(N)  # not all alike
    table = kit.write_table(tmp_path / "t", names, estimate, layer="embedding")
    items = Factors(["u"], np.ones((1, 3)), ["a", "b", "c"], np.eye(3, dtype="f4"))
    write_factors(tmp_path / "factors", items)
    with pytest.warns(UserWarning, match="does not record which factors"):
        page = make(table, factors=tmp_path / "factors", names={"b": EVIL})
    model = read_data(page.html)["models"][0]
    assert model["items"] == ["a", EVIL, "c"]
    assert [liked[0] for liked in model["liked"][:3]] == [0, 1, 2]
    # By default the catalogue's artist of each item.
    items = Factors(["u"], np.ones((1, 3)), ["0", "1", "new"], np.eye(3, dtype="f4"))
    write_factors(tmp_path / "known", items)
    with pytest.warns(UserWarning, match="does not record which factors"):
        page = make(table, catalogue=catalogue, factors=tmp_path / "known")
    assert read_data(page.html)["models"][0]["items"] == [EVIL, "artist 1", "new"]
    short = Factors(["u"], np.ones((1, 2)), ["a"], np.ones((1, 2), dtype="f4"))
    write_factors(tmp_path / "short", short)
    with pytest.raises(ValueError, match="another training"):
        make(table, factors=tmp_path / "short")


def test_names_of_strangers_are_data_alone(planted_clips):
    _, _, table, catalogue = planted_clips
    html = make(table, catalogue=catalogue, title=EVIL).html
    assert EVIL not in html
    assert html.count("<script") == 2  # the data, and the page's own
    assert read_data(html)["clips"]["artist"][0] == EVIL


def test_the_policy_names_style_and_script(planted_clips):
    html = make(planted_clips[2]).html
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "http" not in policy
    for tag in ("style", "script"):
        text = re.search(f"<{tag}>(.*?)</{tag}>", html, re.S)[1]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert re.search(r"""(src|href)=["']?http|@import|url\(""", html) is None


def test_audio_is_linked_or_embedded_within_the_limit(planted_clips):
    folder, _, table, _ = planted_clips
    links = read_data(make(table, folder / ".." / "p.html", audio="link").html)["audio"]
    assert links[0] == f"./{folder.name}/clip%2000%20%231.wav"
    with pytest.warns(UserWarning, match="clips have audio"):
        page = make(table, folder / "p.html", audio="embed", max_megabytes=0.05)
    urls = [url for url in read_data(page.html)["audio"] if url]
    assert 1 <= len(urls) < N
    assert sum(map(len, urls)) <= 50_000
    assert urls[0].startswith("data:audio/mpeg;base64,")
    assert f"{len(urls)} of {N} clips have audio" in page.notes[0]


def test_more_clips_than_the_limit_are_a_sample_and_said_so(planted_clips, tmp_path):
    table = planted_clips[2]
    with pytest.warns(UserWarning, match="A random 10 of 24 clips are shown"):
        explore(table, tmp_path / "p.html", max_clips=10, audio="none")
    html = (tmp_path / "p.html").read_text()
    assert len(read_data(html)["clips"]["name"]) == 10
    assert "A random 10 of 24 clips are shown" in html.split('id="data"')[0]


def test_failed_clips_are_left_out(kit, tmp_path):
    table = kit.write_table(
        tmp_path / "t", [f"{i}.wav" for i in range(5)], kit.planted()[:5]
    )
    with table.writer(fingerprint="planted", layer_sizes={"mean": 6}) as writer:
        writer.add("bad.wav", status="EmptyAudioError", message="0 bytes")
    with pytest.warns(UserWarning, match="1 clips could not be read"):
        page = make(table)
    assert page.notes == ["1 clips could not be read or embedded."]
    with pytest.raises(ValueError, match="Got 2 clips with features, expected 3"):
        make(kit.write_table(tmp_path / "two", ["a", "b"], kit.planted()[:2]))


def test_the_only_table_of_a_cache_is_found(kit, tmp_path):
    names = [f"{i}.wav" for i in range(5)]
    kit.write_table(tmp_path / "0123456789abcdef", names, kit.planted()[:5])
    assert read_data(make(tmp_path).html)["clips"]["name"] == names
    kit.write_table(tmp_path / "another", names, kit.planted()[:5])
    with pytest.raises(ValueError, match=r"cache .* of 2 models, expected one feature"):
        make(tmp_path)


def test_numbers_that_are_none_are_missing(kit, tmp_path):
    names = [f"{i}.wav" for i in range(6)]
    table = kit.write_table(tmp_path / "t", names, kit.planted()[:6])
    error = [1.0, float("inf"), float("-inf"), float("nan"), None, 2.0]
    frame = pl.DataFrame({"clip": names, "item": range(6), "error": error})
    catalogue = read_catalogue(frame, check_files=False)
    page = make(table, catalogue=catalogue, colours=["error"])
    assert '"error":[1.0,null,null,null,null,2.0]' in page.html


def test_wrong_input_is_explained(planted_clips, tmp_path):
    _, _, table, catalogue = planted_clips
    with pytest.raises(ValueError, match="expected a feature table, the cache"):
        make(str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match="without audio, expected clips"):
        make("lastfm2k-musicnn")
    with pytest.raises(ValueError, match=r"Got layers=\['no'\]"):
        make(table, layers=["no"])
    with pytest.raises(ValueError, match="Got projection='lda'"):
        make(table, projection="lda")
    with pytest.raises(ValueError, match="no shown clip has a 'mood'"):
        make(table, catalogue=catalogue, colours=["mood"])
    strange = read_catalogue(
        pl.DataFrame({"clip": ["x"], "item": [1]}), check_files=False
    )
    with pytest.raises(ValueError, match="None of the 24 clips"):
        make(table, catalogue=strange)
    with pytest.raises(FileNotFoundError, match="no folder"):
        explore(table, tmp_path / "none" / "page.html")


def test_nearest_clips_against_a_loop():
    rows = np.random.default_rng(1).normal(size=(40, 5)).astype(np.float32)
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    nearest, distances = nearest_clips(units, 4)
    for clip in range(40):
        loop = sorted(
            (1 - float(units[clip] @ units[o]), o) for o in range(40) if o != clip
        )
        assert nearest[clip].tolist() == [other for _, other in loop[:4]]
        np.testing.assert_allclose(distances[clip], [d for d, _ in loop[:4]], atol=1e-5)


def test_answers_for_unlabelled_clips_and_too_few_labels(kit):
    labels = [LABELS[i % 3] for i in range(N)]
    labels[4] = None
    found = answer(kit.planted(), labels, None, default_classifier(), 0)
    assert found.classes[found.best[4, 0]] == LABELS[1]
    assert not found.by_artist
    assert answer(kit.planted(), ["folk"] * N, None, default_classifier(), 0) is None
    one_artist = ["x"] * N
    labels[4] = LABELS[1]
    assert answer(kit.planted(), labels, one_artist, default_classifier(), 0) is None
