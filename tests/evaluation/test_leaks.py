import numpy as np
import polars as pl
import pytest

from userlogfeat.datasets.gtzan import (
    artist_filtered,
    fault_filtered,
    gtzan_tracks,
)
from userlogfeat.evaluation import copies
from userlogfeat.evaluation.leaks import leak_report

# Pairs of GTZAN whose audio is the same (Sturm 2013 lists them, and others).
GTZAN_COPIES = [
    ("disco.00098", "disco.00099"),
    ("hiphop.00039", "hiphop.00045"),
    ("hiphop.00076", "hiphop.00078"),
    ("jazz.00033", "jazz.00051"),
    ("jazz.00034", "jazz.00053"),
    ("jazz.00036", "jazz.00058"),
    ("metal.00040", "metal.00061"),
    ("metal.00041", "metal.00062"),
    ("metal.00034", "metal.00094"),
    ("pop.00054", "pop.00060"),
    ("reggae.00081", "reggae.00082"),
]


@pytest.fixture
def distinct():
    """Features of 400 distinct clips: 10 clusters of music that sounds alike."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(10, 60))
    return centres[np.arange(400) % 10] + rng.normal(scale=0.5, size=(400, 60))


FIRST, SECOND = np.arange(250), np.arange(250, 400)


def test_shared_artists_by_hand():
    artists = ["a", "b", "b", "c", None, "b", "a", "d", None, ""]
    report = leak_report(range(5), range(5, 10), artists=artists)
    leak = report.get("train", "test", "artist")
    assert leak.n_shared == 2
    assert [rows.tolist() for rows in leak.rows] == [[0, 1, 2], [5, 6]]
    assert leak.pairs == [(1, 5, "b"), (0, 6, "a")]
    assert not report.clean
    assert report.not_compared == ("audio",)


def test_rows_are_tracks_where_there_are_no_ids():
    report = leak_report([0, 1, 2], [2, 3])
    assert report.get("train", "test", "track").pairs == [(2, 2, 2)]
    assert leak_report([0, 1], [2, 3]).clean
    assert report.not_compared == ("artist", "audio")


def test_tracks_are_compared_by_id():
    tracks = np.array([7, 8, 7, -1, -1])
    leak = leak_report([0, 3], [1, 2, 4], tracks=tracks).get("train", "test", "track")
    assert leak.pairs == [(0, 2, 7)]
    assert leak.n_rows == (2, 3)


def test_a_series_goes_by_position_not_by_index():
    pandas = pytest.importorskip("pandas")
    artists = pandas.Series(["a", "b", "b", pandas.NA], index=[3, 2, 1, 0])
    report = leak_report([0, 1], [2, 3], artists=artists)
    assert report.get("train", "test", "artist").pairs == [(1, 2, "b")]
    report = leak_report([0, 1], [2, 3], artists=pl.Series(["a", "b", "b", None]))
    assert report.get("train", "test", "artist").pairs == [(1, 2, "b")]


def test_masks_are_rows():
    mask = np.array([True, False, True, False])
    report = leak_report(mask, ~mask, artists=[1, 2, 3, 1])
    assert report.get("train", "test", "artist").pairs == [(0, 3, 1)]


def test_the_teacher_against_train_and_test():
    artists = ["a", "b", "c", "b", "c", "e"]
    report = leak_report([0, 1], [2, 3], teacher=[4, 5], artists=artists)
    assert report.get("train", "test", "artist").n_shared == 1
    assert report.get("teacher", "test", "artist").pairs == [(4, 2, "c")]
    assert report.get("teacher", "train", "artist").pairs == []
    with pytest.raises(KeyError, match=r"teacher/test audio was not compared"):
        report.get("teacher", "test", "audio")


def test_distinct_clips_are_not_flagged(distinct):
    report = leak_report(FIRST, SECOND, features=distinct)
    assert report.clean
    assert 0 < report.threshold < 0.1


@pytest.mark.parametrize("noise", [0, 1e-4, 0.02, 0.1])
@pytest.mark.parametrize("scale", [1e-3, 1, np.logspace(-4, 4, 60)])
def test_planted_copies_are_found(distinct, noise, scale):
    """At the last noise a copy is at 0.01 to 0.02, and the next clip at 0.2."""
    rng = np.random.default_rng(1)
    features = distinct.copy()
    features[300:320] = features[10:30] + rng.normal(scale=noise, size=(20, 60))
    report = leak_report(FIRST, SECOND, features=features * scale + 5)
    leak = report.get("train", "test", "audio")
    assert [(a, b) for a, b, _ in leak.pairs] == [(k, k + 290) for k in range(10, 30)]
    assert leak.rows[0].tolist() == list(range(10, 30))
    assert leak.rows[1].tolist() == list(range(300, 320))
    assert all(0 <= what <= report.threshold for _, _, what in leak.pairs)


def test_a_test_set_that_is_all_copies(distinct):
    """What is usual is taken within the sets: between them all distances are 0."""
    features = np.concatenate([distinct, distinct])
    report = leak_report(np.arange(400), np.arange(400, 800), features=features)
    leak = report.get("train", "test", "audio")
    assert [(a, b) for a, b, _ in leak.pairs] == [(k, k + 400) for k in range(400)]


def test_copies_within_a_set_do_not_hide_those_between(distinct):
    """Train has each clip four times: its nearest neighbours are at distance 0."""
    features = np.concatenate([np.tile(distinct, (4, 1)), distinct[:3]])
    report = leak_report(np.arange(1600), [1600, 1601, 1602], features=features)
    leak = report.get("train", "test", "audio")
    assert len(leak.pairs) == 3
    assert leak.rows[0].tolist() == sorted(
        k + 400 * j for k in range(3) for j in range(4)
    )


def test_blocks_give_what_a_loop_gives(distinct, monkeypatch):
    features = distinct.copy()
    features[SECOND[:60]] = features[:60] + 0.3 * features[60:120]
    monkeypatch.setattr(copies, "_BLOCK", (7, 11))
    leak = leak_report(FIRST, SECOND, features=features, threshold=0.016).get(
        "train", "test", "audio"
    )
    scores = (features - features.mean(0)) / features.std(0)
    expected = []
    for b in SECOND:
        cosine = [
            scores[a]
            @ scores[b]
            / np.linalg.norm(scores[a])
            / np.linalg.norm(scores[b])
            for a in FIRST
        ]
        if 1 - max(cosine) <= 0.016:
            expected.append((int(np.argmax(cosine)), int(b), 1 - max(cosine)))
    assert 0 < len(expected) < 60
    assert [pair[:2] for pair in leak.pairs] == [pair[:2] for pair in expected]
    np.testing.assert_allclose(
        [pair[2] for pair in leak.pairs], [pair[2] for pair in expected], atol=1e-6
    )


def test_columns_that_say_nothing_are_ignored(distinct):
    features = np.hstack([distinct, np.full((400, 3), 1e6 / 3)])
    one, other = (leak_report(FIRST, SECOND, features=f) for f in (distinct, features))
    assert one.threshold == pytest.approx(other.threshold)


def test_text_frame_and_dict(distinct):
    features = distinct.astype(np.float32)
    features[399] = features[3]
    artists = np.array([f"a{k}" for k in range(400)])
    artists[390:] = "a0"
    report = leak_report(FIRST, SECOND, artists=artists, features=features)
    assert str(report).splitlines()[:3] == [
        "train/test: 0 tracks shared",
        "train/test: 1 artists shared, by 1 of 250 clips of train and 10 of 150 (6.7%) "
        "of test",
        "train/test: 1 copies of audio shared, by 1 of 250 clips of train and 1 of 150 "
        "(0.7%) of test",
    ]
    assert "(copies: cosine distance 0.0" in str(report)
    assert report.to_dict()["train/test artist"] == {
        "n_shared": 1,
        "n_first": 1,
        "n_second": 10,
    }
    frame = report.to_frame()
    assert frame["kind"].to_list() == ["artist"] * 10 + ["audio"]
    assert frame.row(0) == ("train", "test", "artist", 0, 390, "a0", None)
    assert frame.row(10)[:6] == ("train", "test", "audio", 3, 399, None)
    empty = leak_report([0], [1]).to_frame()
    assert empty.schema == frame.schema
    assert frame.schema["distance"] == pl.Float64


@pytest.mark.parametrize(
    ("rows", "arrays", "message"),
    [
        (([0], []), {}, r"Got test of shape \(0,\)"),
        (([0.5], [1]), {}, r"Got train of shape \(1,\) and type float64"),
        (([-1], [1]), {}, "rows -1 to -1, expected 0 to n_clips - 1"),
        (([0], [5]), {"artists": ["a", "b"]}, "test with rows 5 to 5, expected 0 to 1"),
        (([True, False], [1]), {"tracks": [1, 2, 3]}, "mask of 3 clips"),
        (([0], [1]), {"tracks": [1, 2], "artists": [1]}, "Got 2 tracks, 1 artists"),
        (([0], [1]), {"features": np.ones((2, 2, 2))}, r"shape \(2, 2, 2\)"),
        (([0], [1]), {"features": [[1.0], [np.nan]]}, "NaN or infinity"),
        (([0], [1]), {"features": np.ones((2, 2))}, "same for all clips"),
        (([0], [1]), {"features": np.eye(2)}, "No set has two different clips"),
        (([0], [1]), {"features": np.eye(2), "threshold": 0}, "threshold=0"),
    ],
)
def test_what_does_not_fit_together(rows, arrays, message):
    with pytest.raises(ValueError, match=message):
        leak_report(*rows, **arrays)


@pytest.fixture(scope="module")
def gtzan(data):
    published = np.load(data / "convnet_features" / "gtzan_genre.npz")
    layers = [published[f"layer_{k}"] for k in range(5)]
    tracks = gtzan_tracks(published["meta_filepath"])
    return tracks, np.hstack([*layers, published["mfcc"]])


@pytest.mark.real
def test_known_copies_of_gtzan(gtzan):
    """Each known pair with one clip in train and one in test; all others anywhere."""
    tracks, features = gtzan
    in_test = np.isin(tracks, [second for _, second in GTZAN_COPIES])
    in_test[::3] |= ~np.isin(tracks[::3], [first for first, _ in GTZAN_COPIES])
    report = leak_report(~in_test, in_test, features=features)
    pairs = report.get("train", "test", "audio").pairs
    found = {(str(tracks[a]), str(tracks[b])) for a, b, _ in pairs}
    assert set(GTZAN_COPIES) <= found
    assert len(found) <= 30  # of 700 x 300 pairs
    assert all(a.split(".")[0] == b.split(".")[0] for a, b in found)


@pytest.mark.real
def test_published_splits_of_gtzan_have_no_copies(gtzan, data):
    tracks, features = gtzan
    train, valid, test = fault_filtered(tracks, data / "gtzan_splits")
    assert leak_report(train, test, teacher=valid, features=features).clean
    for fold in artist_filtered(
        tracks, data / "gtzan_splits" / "artist_filtered_3fold"
    ):
        assert leak_report(*fold, features=features).clean


def test_ids_as_numbers_and_as_text_are_refused():
    """Was: nothing shared."""
    with pytest.raises(ValueError, match=r"artist ids 1 and '1'.*to one type"):
        leak_report([0, 1], [2], artists=[1, None, "1"])
