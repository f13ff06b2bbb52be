"""Likes and dislikes from logs: rules by hand, sampled dislikes against the logs."""

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from userlogfeat import read_logs
from userlogfeat.feedback import (
    THRESHOLDS,
    Feedback,
    feedback_of_logs,
    read_feedback,
    sample_dislikes,
)


def make_logs(rows, **columns):
    """Logs of (user, item, count) rows."""
    frame = pl.DataFrame(rows, schema=["user", "item", "plays"], orient="row")
    frame = frame.with_columns(**{k: pl.Series(v) for k, v in columns.items()})
    return read_logs(frame, count="plays", **{name: name for name in columns})


def planted(verdicts):
    n_users, n_items = verdicts.shape
    return Feedback(verdicts, np.arange(n_users), np.arange(n_items), "planted")


def of(feedback):
    return feedback.user_items.toarray().tolist()


def test_explicit_feedback_is_as_expressed():
    logs = make_logs(
        [("ann", "a", 1), ("ann", "b", 1), ("bob", "a", 1), ("bob", "b", 1)],
        liked=[True, False, False, False],
        disliked=[False, True, True, False],
    )
    feedback = feedback_of_logs(logs)
    assert of(feedback) == [[1, -1], [-1, 0]]
    assert feedback.rule == "explicit"
    assert feedback.sampled is None
    assert repr(feedback) == (
        "<Feedback: 2 users, 2 items, 1 liked, 2 disliked; explicit>"
    )


def test_counts():
    logs = make_logs([("ann", f"item {n}", n) for n in (1, 2, 4, 5, 9)])
    feedback = feedback_of_logs(logs, "counts")
    assert of(feedback) == [[-1, 0, 0, 1, 1]]
    assert feedback.rule == "counts: liked from 5, disliked up to 1"
    strict = feedback_of_logs(logs, "counts", liked_from=9, disliked_to=2)
    assert of(strict) == [[-1, -1, 0, 0, 1]]


def loop_ranks(counts):
    """Share of a user's items played less, those as often by half."""
    return [
        (sum(o < c for o in counts) + 0.5 * sum(o == c for o in counts)) / len(counts)
        for c in counts
    ]


def test_count_ranks_against_a_loop():
    rng = np.random.default_rng(0)
    rows = [
        (user, item, int(rng.integers(1, 6)))
        for user in range(20)
        for item in rng.permutation(30).tolist()[: rng.integers(1, 25)]
    ]
    logs = make_logs(rows)
    feedback = feedback_of_logs(logs, "count_ranks")
    low, high = THRESHOLDS["count_ranks"]
    for user in range(20):
        counts = logs.user_items[user]
        ranks = loop_ranks(counts.data.tolist())
        expected = np.zeros(logs.user_items.shape[1])
        for item, rank in zip(counts.indices, ranks, strict=True):
            expected[item] = (rank >= high) - (rank <= low)
        np.testing.assert_array_equal(feedback.user_items[user].toarray()[0], expected)


def test_a_user_who_plays_all_alike_gives_no_feedback():
    logs = make_logs([("ann", i, 3) for i in "abcd"] + [("bob", i, 1) for i in "ab"])
    feedback = feedback_of_logs(logs, "count_ranks")
    assert feedback.user_items.nnz == 0


def test_whatever_was_played_is_liked():
    """Dislikes are drawn, one for each like."""
    logs = make_logs([("ann", "a", 1), ("ann", "b", 1), ("bob", "c", 1)])
    feedback = feedback_of_logs(logs, "played")
    assert of(feedback) == [[1, 1, 0], [0, 0, 1]]
    assert feedback.rule == "played"
    drawn = sample_dislikes(feedback, logs.user_items, random_state=0)
    assert [n.tolist() for n in drawn.counts()] == [[2, 1], [1, 1]]


def test_counts_that_are_all_alike():
    logs = make_logs([("ann", "a", 1), ("bob", "b", 1)])
    with pytest.raises(
        ValueError, match="every pair of the logs has the same count, 1"
    ):
        feedback_of_logs(logs, "counts")


def test_played_ratio_is_a_mean_over_plays():
    plays = pl.DataFrame(
        {
            "who": [1, 1, 1, 1, 2, 2],
            "what": ["x", "x", "y", "z", "x", "z"],
            "share": [1.0, 0.6, 0.2, 0.5, 0.0, 1.0],
        }
    )
    columns = {"user": "who", "item": "what", "played": "share"}
    feedback = read_feedback(plays, "played_ratio", **columns)
    assert of(feedback) == [[1, -1, 0], [-1, 0, 1]]
    assert feedback.user_ids.tolist() == [1, 2]
    twice = read_feedback(plays, "played_ratio", min_plays=2, **columns)
    assert of(twice) == [[1, 0, 0], [0, 0, 0]]


def test_seconds_over_lengths(tmp_path):
    plays = pl.DataFrame(
        {"user": [1, 1, 1], "item": [7, 8, 9], "s": [300, 20, 100], "of": [200] * 3}
    )
    plays.write_csv(tmp_path / "plays.csv")
    feedback = read_feedback(
        tmp_path / "plays.csv", "played_ratio", played="s", length="of"
    )
    assert of(feedback) == [[1, -1, 0]]  # 1.5 counts as 1


def test_skips():
    plays = pl.DataFrame(
        {
            "user": ["a"] * 9,
            "item": ["x"] * 5 + ["y"] * 2 + ["z"] * 2,
            "skip": [0, 0, 0, 0, 1, 1, 1, 0, 1],
        }
    )
    feedback = read_feedback(plays, "skips", skipped="skip")
    assert of(feedback) == [[1, -1, 0]]  # 4 of 5, none of 2, 1 of 2 played to the end


@pytest.mark.parametrize(
    ("column", "change", "words"),
    [
        ("played", {"share": [50.0, 1.0]}, r"1 row .*fraction played above 1.*by 100"),
        ("played", {"share": [-0.1, 1.0]}, "negative or infinite value in played="),
        ("played", {"share": [None, 1.0]}, "missing, negative or infinite value"),
        ("length", {"of": [0.0, 1.0]}, "a missing length, or one that is not above 0"),
        ("skipped", {"skip": [None, True]}, "nothing in skipped="),
    ],
)
def test_bad_plays_are_named(column, change, words):
    plays = pl.DataFrame(
        {"user": [1, 1], "item": [1, 2], "share": [0.5, 1.0], "of": [1.0, 1.0]}
        | {"skip": [True, False]}
        | change
    )
    rule, columns = "played_ratio", {"played": "share"}
    if column == "length":
        columns["length"] = "of"
    if column == "skipped":
        rule, columns = "skips", {"skipped": "skip"}
    with pytest.raises(ValueError, match=words):
        read_feedback(plays, rule, **columns)


def test_bad_settings():
    logs = make_logs([("ann", "a", 1), ("bob", "b", 2)])
    with pytest.raises(ValueError, match="the logs hold no likes or dislikes"):
        feedback_of_logs(logs)
    with pytest.raises(ValueError, match="Got rule='stars', expected one of"):
        feedback_of_logs(logs, "stars")
    with pytest.raises(ValueError, match=r"Got disliked_to=5 and liked_from=5\.0"):
        feedback_of_logs(logs, "counts", disliked_to=5)
    plays = pl.DataFrame({"user": [1], "item": [1]})
    with pytest.raises(ValueError, match="rule='skips' without skipped="):
        read_feedback(plays, "skips")
    with pytest.raises(ValueError, match="Found no column 'share'"):
        read_feedback(plays, "played_ratio", played="share")
    with pytest.raises(ValueError, match="Got min_plays=0"):
        read_feedback(plays, "skips", skipped="s", min_plays=0)
    empty = pl.DataFrame(
        {"user": [], "item": [], "s": []}, schema_overrides={"s": bool}
    )
    with pytest.raises(ValueError, match="The logs hold no rows"):
        read_feedback(empty, "skips", skipped="s")


@pytest.fixture
def logs():
    """Users who play from very little to nearly everything."""
    rng = np.random.default_rng(0)
    rows = [
        (user, item, int(rng.integers(1, 9)))
        for user in range(30)
        for item in rng.permutation(40).tolist()[: 2 + user]
    ]
    return make_logs([*rows, *((99, item, 9) for item in range(40))])


@pytest.mark.parametrize("n_per_like", [0.5, 1, 3])
def test_sampled_dislikes_were_never_played(n_per_like):
    played = sparse.random(50, 60, density=0.3, format="csr", random_state=0)
    verdicts = (played > 0.5).astype(np.float32)
    users, items = np.arange(50), np.arange(60)
    feedback = Feedback(verdicts.tocsr(), users, items, "planted")
    found = sample_dislikes(feedback, played, n_per_like=n_per_like, random_state=0)
    drawn = found.sampled.toarray()
    assert not (drawn & (played.toarray() > 0)).any()
    np.testing.assert_array_equal(found.user_items.toarray() < 0, drawn)
    np.testing.assert_array_equal(
        found.user_items.toarray() > 0, verdicts.toarray() > 0
    )
    n_likes = verdicts.toarray().sum(axis=1)
    n_free = 60 - (played.toarray() > 0).sum(axis=1)
    wanted = np.minimum(np.round(n_per_like * n_likes), n_free)
    np.testing.assert_array_equal(drawn.sum(axis=1), wanted)
    again = sample_dislikes(feedback, played, n_per_like=n_per_like, random_state=0)
    assert (again.user_items != found.user_items).nnz == 0


def test_sampled_dislikes_are_marked(logs):
    feedback = feedback_of_logs(logs, "counts")
    found = sample_dislikes(feedback, logs.user_items, random_state=0)
    n = found.sampled.nnz
    assert f"({n} of them sampled, not expressed)" in repr(found)
    assert found.rule.endswith("dislikes sampled from items that the user never played")
    kept = found.keep_users(min_liked=5, min_disliked=2)
    assert kept.sampled.shape == kept.user_items.shape
    assert kept.sampled.nnz < n


def test_any_unplayed_item_is_as_probable_as_any_other():
    played = sparse.csr_matrix(np.tile([1.0, 1, 0, 0, 0, 0, 0, 0], (8000, 1)))
    verdicts = sparse.csr_matrix(np.tile([1.0, 0, 0, 0, 0, 0, 0, 0], (8000, 1)))
    feedback = Feedback(verdicts, np.arange(8000), np.arange(8), "planted")
    for n_per_like in (1, 4):  # drawn again where known, and from a list
        found = sample_dislikes(feedback, played, n_per_like=n_per_like, random_state=0)
        share = found.sampled.toarray().mean(axis=0)
        assert share[:2].tolist() == [0, 0]
        np.testing.assert_allclose(share[2:], n_per_like / 6, atol=0.03)


def test_sampling_twice_keeps_the_marks():
    verdicts = sparse.csr_matrix(np.eye(5, 30, dtype=np.float32))
    feedback = Feedback(verdicts, np.arange(5), np.arange(30), "planted")
    once = sample_dislikes(feedback, verdicts, random_state=0)
    twice = sample_dislikes(once, verdicts, random_state=0)
    assert twice.sampled.nnz == 10
    assert (twice.user_items.toarray() < 0).sum() == 10
    with pytest.raises(
        ValueError, match=r"played of shape \(5, 29\), expected \(5, 30"
    ):
        sample_dislikes(feedback, verdicts[:, :29])


def test_users_with_enough():
    verdicts = np.zeros((4, 40), np.float32)
    for user, (n_liked, n_disliked) in enumerate(
        [(10, 10), (9, 20), (20, 9), (11, 15)]
    ):
        verdicts[user, :n_liked] = 1
        verdicts[user, 20 : 20 + n_disliked] = -1
    ids = np.array(["a", "b", "c", "d"])
    feedback = Feedback(sparse.csr_matrix(verdicts), ids, np.arange(40), "planted")
    assert feedback.keep_users().user_ids.tolist() == ["a", "d"]  # 10 each: the paper's
    assert feedback.keep_users(min_liked=20, min_disliked=0).user_ids.tolist() == ["c"]
    with pytest.raises(ValueError, match=r"most are 20 and 20\)\. Lower them, or draw"):
        feedback.keep_users(min_liked=21)


def test_verdicts_on_clips():
    verdicts = sparse.csr_matrix(np.float32([[1, -1, 0], [0, 1, -1]]))
    feedback = Feedback(verdicts, np.arange(2), np.array(["x", "y", "z"]), "planted")
    y = feedback.of_clips(["z", "x", None, "y", "new", "x"])
    assert y.format == "csr"
    assert y.dtype == np.float32
    assert y.toarray().tolist() == [[0, -1], [1, 0], [0, 0], [-1, 1], [0, 0], [1, 0]]
    with pytest.raises(ValueError, match="None of the items of 1 clips"):
        feedback.of_clips([1])


def test_thresholds_of_what_was_played():
    """Likes from 3 plays on were none: what is played is a 1."""
    plays = read_logs(pl.DataFrame({"user": ["a"], "item": ["x"]}))
    with pytest.raises(ValueError, match=r'takes no thresholds.*"counts"'):
        feedback_of_logs(plays, "played", liked_from=3)


@pytest.mark.parametrize("bad", [np.nan, -1.0, np.inf])
def test_dislikes_are_drawn_beside_numbers_of_plays(bad):
    logs = read_logs(pl.DataFrame({"user": ["a", "a"], "item": ["x", "y"]}))
    played = logs.user_items.copy()
    played.data[1] = bad
    feedback = feedback_of_logs(logs, "played")
    with pytest.raises(ValueError, match=f"first is {bad}.*expected numbers of plays"):
        sample_dislikes(feedback, played)


@pytest.mark.parametrize("n_per_like", [0, -1, np.nan])
def test_dislikes_for_each_like_are_positive(n_per_like):
    verdicts = sparse.csr_matrix(np.eye(4, dtype=np.float32))
    with pytest.raises(ValueError, match="n_per_like"):
        sample_dislikes(planted(verdicts), verdicts, n_per_like=n_per_like)


def test_a_stored_zero_is_no_play():
    """Three items, one liked: both others may be drawn, though one has a stored 0."""
    verdicts = sparse.csr_matrix(np.array([[1, 0, 0]], dtype=np.float32))
    played = sparse.csr_matrix((np.array([1.0, 0.0]), ([0, 0], [0, 1])), (1, 3))
    assert played.nnz == 2
    found = sample_dislikes(planted(verdicts), played, n_per_like=2, random_state=0)
    assert found.user_items.toarray().tolist() == [[1, -1, -1]]
