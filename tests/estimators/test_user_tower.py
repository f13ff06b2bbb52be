"""UserEmbedding: what it learns from planted listeners, what it refuses, its files."""

import json
import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from userlogfeat import CFEmbedding, read_logs
from userlogfeat.datasets.synthetic import make_listening_corpus
from userlogfeat.estimators.user_tower import EmptyHistoryWarning, UserEmbedding
from userlogfeat.evaluation.recommendation import evaluate_ranking
from userlogfeat.weights.config import ModelError, sealed

# Names of scikit-learn's checks that UserEmbedding fails, with the reason: none.
expected_failed_checks = {}
N_CIRCLES, N_SONGS = 4, 15
DATA = {"description": "planted", "licence": "none", "non_commercial": False}


def circles(n_users=40, share=0.5, seed=0):
    """Listeners who play only songs of their own circle, and some of them."""
    rng = np.random.default_rng(seed)
    circle = np.repeat(np.arange(N_CIRCLES), n_users)
    own = circle[:, None] == np.repeat(np.arange(N_CIRCLES), N_SONGS)
    plays = own * (rng.random(own.shape) < share)
    plays[np.arange(len(plays)), own.argmax(axis=1) + rng.integers(N_SONGS)] = 1
    return sparse.csr_matrix(plays.astype(np.float32)), circle


def small(**settings):
    defaults = {"n_units": 8, "max_epochs": 8, "device": "cpu", "random_state": 0}
    return UserEmbedding(**defaults | settings)


def top_circles(tower, embedded, k=N_SONGS):
    """The share of each circle in the k items of the highest scores."""
    best = np.argsort(-embedded @ tower.item_embeddings_.T, axis=1)[:, :k]
    return (best[..., None] // N_SONGS == np.arange(N_CIRCLES)).mean(axis=1)


@pytest.fixture(scope="module")
def tower():
    return small().fit(circles()[0])


@pytest.fixture(scope="module")
def demographics():
    """Of which the land says all and the age nothing."""
    _, circle = circles()
    rng = np.random.default_rng(1)
    lands = np.array(["is", "fo", "gl", "no"], dtype=object)[circle]
    lands[::7] = None
    ages = rng.integers(15, 70, len(circle)).astype(float)
    ages[::5] = np.nan
    return pd.DataFrame({"land": lands, "age": ages})


@pytest.fixture(scope="module")
def informed(demographics):
    return small(max_epochs=15).fit(circles()[0], demographics=demographics)


# What it learns


def test_songs_of_the_own_circle_come_first(tower):
    plays, circle = circles(seed=1)  # other listeners
    shares = top_circles(tower, tower.transform(plays))
    assert shares[np.arange(len(circle)), circle].min() > 0.9


def planted_targets():
    """Logs of planted tastes, and the last item of each user."""
    corpus = make_listening_corpus(
        1000, 600, 6, plays_per_user=60, duration=0.01, random_state=0
    )
    logs = read_logs(corpus.logs, count="count", time="time", min_items_per_user=3)
    pairs = logs.user_items.tocoo()
    rest = pairs.col != logs.last_items[pairs.row]
    entries = (pairs.data[rest], (pairs.row[rest], pairs.col[rest]))
    return logs, sparse.csr_matrix(entries, shape=pairs.shape)


def test_hit_rate_on_planted_tastes_beats_popularity_and_nears_als():
    logs, history = planted_targets()
    tower = small(n_units=16, max_epochs=35, batch_size=256, lr=2e-2).fit(history)
    found = tower.hit_rate(logs.user_items, logs.last_items, k=100)
    users = np.arange(history.shape[0])
    ones = np.ones(len(users))
    relevance = sparse.csr_matrix((ones, (users, logs.last_items)), history.shape)

    def hits(scores):
        result = evaluate_ranking(relevance, scores, k=100, exclude=history)
        return result.means["hit_rate@100"]

    popularity = np.asarray((history > 0).sum(axis=0)).ravel().astype(float)
    popular = hits(np.tile(popularity, (len(users), 1)))
    als = CFEmbedding(n_factors=8, alpha=1.0, random_state=0)
    als.fit((history > 0).astype(np.float32))
    by_als = hits((als.user_factors_, als.item_factors_))
    print(
        f"hit rate@100: tower {found:.3f}, popularity {popular:.3f}, ALS {by_als:.3f}"
    )
    assert found > popular + 0.07
    assert found > by_als - 0.06


def test_hit_rate_is_that_of_the_evaluation(tower):
    plays, _ = circles(seed=2)
    last = np.array([row.indices[-1] for row in plays])
    pairs = plays.tocoo()
    rest = pairs.col != last[pairs.row]
    entries = (pairs.data[rest], (pairs.row[rest], pairs.col[rest]))
    history = sparse.csr_matrix(entries, shape=plays.shape)
    users = np.arange(len(last))
    relevance = sparse.csr_matrix((np.ones(len(last)), (users, last)), plays.shape)
    scores = (tower.transform(history), tower.item_embeddings_)
    expected = evaluate_ranking(relevance, scores, k=4, exclude=history)
    found = tower.hit_rate(plays, last, k=4)
    assert found == pytest.approx(expected.means["hit_rate@4"])
    assert tower.hit_rate(history, last, k=4) == pytest.approx(found)
    assert tower.hit_rate(plays, k=60) == 1.0


def test_the_last_item_is_the_target():
    """All play the same songs; the first song's half decides what comes last."""
    rng = np.random.default_rng(0)
    half = rng.integers(2, size=300)
    plays = np.ones((300, 6))
    plays[np.arange(300), half] = 0  # song 0 or 1 missing
    plays[np.arange(300), 5 - half] = 1
    tower = small(max_epochs=15, dropout=0.0).fit(plays, last_items=5 - half)
    before = plays.copy()
    before[np.arange(300), 5 - half] = 0
    scores = tower.transform(before) @ tower.item_embeddings_.T
    assert (scores.argmax(axis=1) == 5 - half).mean() > 0.95


def test_artists_help_with_songs_that_few_played():
    """With one play a song or so, what a song is like is known by its artist alone."""
    rng = np.random.default_rng(0)
    n_users, n_songs, n_artists = 400, 1600, 8
    artists = np.arange(n_songs) % n_artists
    taste = rng.integers(n_artists, size=n_users)
    songs = rng.integers(n_songs // n_artists, size=(n_users, 5)) * n_artists
    plays = np.zeros((n_users, n_songs), np.float32)
    plays[np.arange(n_users)[:, None], songs + taste[:, None]] = 1
    names = np.array([f"artist {a}" for a in artists], dtype=object)
    names[::50] = None
    names = pl.Series(names.tolist())
    settings = {"max_epochs": 8, "n_negatives": 200}
    plain = small(**settings).fit(plays)
    with_artists = small(**settings).fit(plays, item_artists=names)
    losses = [min(e["valid_loss"] for e in t.history_) for t in (plain, with_artists)]
    assert losses[1] < losses[0] - 0.2
    assert with_artists.attributes_ == ["artist"]


def test_named_attributes_are_as_artists_and_albums():
    plays, _ = circles()
    ids = (np.arange(60) // 3).astype(str)
    artists = small(max_epochs=1).fit(plays, item_artists=ids)
    named = small(max_epochs=1).fit(plays, item_attributes={"artist": ids.tolist()})
    np.testing.assert_array_equal(named.transform(plays), artists.transform(plays))


def test_likes_and_dislikes_are_groups_of_their_own():
    plays, circle = circles()
    rng = np.random.default_rng(0)
    verdicts = rng.random(plays.shape) < 0.2
    own = circle[:, None] == np.repeat(np.arange(N_CIRCLES), N_SONGS)
    liked, disliked = verdicts & own, verdicts & ~own
    nothing = sparse.csr_matrix(plays.shape)
    tower = small(max_epochs=15).fit(plays, liked=liked, disliked=disliked)
    one = sparse.csr_matrix(np.repeat(np.eye(N_CIRCLES), N_SONGS, axis=1))
    none = nothing[:N_CIRCLES]
    by_likes = top_circles(tower, tower.transform(none, liked=one))
    by_dislikes = top_circles(tower, tower.transform(none, disliked=one))
    assert by_likes.diagonal().min() > 0.9
    assert by_dislikes.diagonal().max() < 0.1


def test_what_was_disliked_is_no_target():
    plays = np.ones((30, 4))
    disliked = np.zeros((30, 4))
    disliked[:, 3] = 1
    tower = small(max_epochs=12, lr=0.03).fit(
        plays, disliked=disliked, last_items=[3] * 30
    )
    scores = tower.transform(plays, disliked=disliked) @ tower.item_embeddings_.T
    assert (scores.argmin(axis=1) == 3).all()


# New users, unknown items, empty histories


def test_items_that_nobody_played_count_for_nothing():
    plays, _ = circles()
    wider = sparse.hstack([plays, sparse.csr_matrix((len(plays.indptr) - 1, 2))])
    artists = [*np.arange(plays.shape[1]) // N_SONGS, 0, 1]
    tower = small(max_epochs=2).fit(wider, item_artists=artists)
    assert tower.known_items_.tolist() == [True] * plays.shape[1] + [False] * 2
    assert (tower.item_embeddings_[-2:] == 0).all()
    users = wider.toarray()[:5]
    expected = tower.transform(users)
    users[:, -2:] = 3
    np.testing.assert_array_equal(tower.transform(users), expected)
    with pytest.warns(EmptyHistoryWarning, match=r"1 of 6 users \(first: row 5\)"):
        tower.transform(np.vstack([users, np.eye(62)[61:] * 2]))
    assert tower.hit_rate(users, [60] * 5, k=62) == 0  # not known: a miss


def test_an_empty_history_is_the_mean_embedding(tower):
    plays, _ = circles()
    users = sparse.vstack([plays[:2], sparse.csr_matrix((2, plays.shape[1]))]).tocsr()
    with pytest.warns(
        EmptyHistoryWarning, match=r"2 of 4 .* mean of all users.*ignore"
    ):
        found = tower.transform(users)
    np.testing.assert_array_equal(found[2], tower.mean_embedding_)
    np.testing.assert_allclose(found[:2], tower.transform(plays[:2]), rtol=1e-5)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=EmptyHistoryWarning)
        tower.transform(users)


def test_an_empty_history_is_embedded_by_demographics(informed):
    nothing = np.zeros((5, N_CIRCLES * N_SONGS))
    frame = pl.DataFrame(
        {"age": [30, None, None, 40, None], "land": ["is", "fo", "gl", "no", "xx"]}
    )
    with pytest.warns(EmptyHistoryWarning, match=r"demographics alone, or \(1\) the"):
        found = informed.transform(nothing, frame)
    assert top_circles(informed, found[:4]).diagonal().min() > 0.9
    np.testing.assert_array_equal(found[4], informed.mean_embedding_)
    known = frame[:4]
    with pytest.warns(EmptyHistoryWarning, match="by demographics alone. To silence"):
        informed.transform(nothing[:4], known)


def test_a_history_alone_is_enough(informed):
    plays, circle = circles(seed=1)
    shares = top_circles(informed, informed.transform(plays))
    assert shares[np.arange(len(circle)), circle].min() > 0.9


def test_demographics_of_any_frame_are_the_same(informed, demographics):
    plays, _ = circles()
    expected = informed.transform(plays, demographics)
    frame = pl.from_pandas(demographics).select("age", "land")
    for other in (frame, frame.lazy(), frame.to_dict(as_series=False)):
        np.testing.assert_array_equal(informed.transform(plays, other), expected)


def test_users_without_history_are_not_trained_on():
    plays, _ = circles()
    n_empty = 3
    more = sparse.vstack([plays, sparse.csr_matrix((n_empty, plays.shape[1]))])
    with pytest.warns(EmptyHistoryWarning, match=r"3 of 163 users .*row 160"):
        tower = small(max_epochs=2).fit(more)
    expected = small(max_epochs=2).fit(plays)
    np.testing.assert_array_equal(tower.item_embeddings_, expected.item_embeddings_)


# The same again


def test_equal_seeds_give_equal_embeddings_and_leave_the_callers_numbers():
    plays, _ = circles()
    towers = []
    for _ in range(2):
        np.random.seed(3)  # noqa: NPY002
        torch.manual_seed(3)
        towers.append(small(max_epochs=2).fit(plays))
        expected = torch.rand(1, generator=torch.Generator().manual_seed(3))
        assert torch.rand(1) == expected
        assert np.random.randint(2**31) == np.random.RandomState(3).randint(2**31)  # noqa: NPY002
    found = [tower.transform(plays) for tower in towers]
    np.testing.assert_array_equal(*found)
    other = small(max_epochs=2, random_state=1).fit(plays).transform(plays)
    assert np.abs(other - found[0]).max() > 1e-3


def test_the_best_epoch_is_kept():
    plays, _ = circles(n_users=10)
    tower = small(max_epochs=60, patience=2, lr=0.05).fit(plays)
    losses = [epoch["valid_loss"] for epoch in tower.history_]
    best = int(np.argmin(losses))
    assert len(losses) in (best + 3, 60)
    shorter = small(max_epochs=best + 1, patience=2, lr=0.05).fit(plays)
    np.testing.assert_array_equal(shorter.item_embeddings_, tower.item_embeddings_)


@pytest.mark.parametrize("negatives", ["popularity", "uniform"])
def test_few_negatives_agree_with_all_items(negatives):
    plays, circle = circles()
    tower = small(n_negatives=10, negatives=negatives, max_epochs=20).fit(plays)
    shares = top_circles(tower, tower.transform(plays))
    assert shares[np.arange(len(circle)), circle].mean() > 0.95


def test_dense_sparse_and_stored_zeros_are_the_same(tower):
    plays, _ = circles()
    expected = tower.transform(plays)
    assert expected.dtype == np.float32
    assert expected.flags.c_contiguous
    stored = plays.tocoo()
    data = np.append(stored.data, 0.0)
    places = np.append(stored.row, 0), np.append(stored.col, plays.shape[1] - 1)
    zeros = sparse.csr_matrix((data, places), shape=plays.shape)
    for same in (plays.toarray(), plays.tocsc(), sparse.csr_array(plays), zeros):
        np.testing.assert_array_equal(tower.transform(same), expected)
    # How often something was played does not matter.
    np.testing.assert_array_equal(tower.transform(plays * 7), expected)


def test_fit_transform_passes_what_transform_takes(demographics):
    plays, _ = circles()
    found = small(max_epochs=2).fit_transform(plays, demographics=demographics)
    tower = small(max_epochs=2).fit(plays, demographics=demographics)
    np.testing.assert_array_equal(found, tower.transform(plays, demographics))


def test_names_frames_and_pickles(tower):
    plays, _ = circles()
    names = [f"userembedding{i}" for i in range(8)]
    assert tower.get_feature_names_out().tolist() == names
    copy = pickle.loads(pickle.dumps(tower))
    np.testing.assert_array_equal(copy.transform(plays), tower.transform(plays))
    frame = copy.set_output(transform="pandas").transform(plays)
    assert list(frame.columns) == names


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Skipping check")
@pytest.mark.filterwarnings(
    "ignore::" + EmptyHistoryWarning.__module__ + ".EmptyHistoryWarning"
)
def test_check_estimator():
    results = check_estimator(
        small(n_units=2, max_epochs=1),
        expected_failed_checks=expected_failed_checks,
        on_skip=None,
        on_fail=None,
    )
    failed = {
        r["check_name"]: r["exception"] for r in results if r["status"] == "failed"
    }
    assert failed == {}
    assert sum(r["status"] == "passed" for r in results) >= 40


# Files


def test_saved_and_loaded_embeds_alike(informed, demographics, tmp_path):
    plays, _ = circles()
    informed.save(tmp_path / "tower", training_data=DATA)
    assert {p.name for p in (tmp_path / "tower").iterdir()} == {
        "config.json",
        "model.safetensors",
    }
    loaded = UserEmbedding.load(tmp_path / "tower")
    assert loaded.get_params() == informed.get_params()
    np.testing.assert_array_equal(
        loaded.transform(plays, demographics), informed.transform(plays, demographics)
    )
    for name in ("item_embeddings_", "mean_embedding_", "known_items_"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(informed, name))
    assert loaded.history_ == informed.history_
    clone(loaded).fit(plays)


def test_groups_attributes_and_layers_are_saved(tmp_path):
    plays, _ = circles()
    artists = np.arange(plays.shape[1]) // 5
    tower = small(max_epochs=1, hidden=(9, 5)).fit(
        plays, liked=plays, item_artists=artists
    )
    tower.save(tmp_path, training_data=DATA)
    loaded = UserEmbedding.load(tmp_path)
    np.testing.assert_array_equal(
        loaded.transform(plays, liked=plays), tower.transform(plays, liked=plays)
    )


def test_damaged_folders_are_refused(tower, tmp_path):
    with pytest.raises(ModelError, match=r"no saved tower in .* lacks config\.json"):
        UserEmbedding.load(tmp_path)
    with pytest.raises(ValueError, match="Got training_data="):
        tower.save(tmp_path, training_data={})
    tower.save(tmp_path, training_data=DATA)
    weights = tmp_path / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ModelError, match="another SHA-256"):
        UserEmbedding.load(tmp_path)
    weights.write_bytes(data)
    config = json.loads((tmp_path / "config.json").read_text())
    for change, message in (
        ({"n_units": 9}, "was edited, or damaged"),
        ({"format": "userlogfeat model 1"}, "expected 'userlogfeat user tower 1'"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(ModelError, match=message):
            UserEmbedding.load(tmp_path)
    foreign = config | {"parameters": config["parameters"] | {"shape": "round"}}
    (tmp_path / "config.json").write_text(sealed(foreign))
    with pytest.raises(ModelError, match=r"can build \(TypeError: .*'shape'"):
        UserEmbedding.load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="not valid JSON"):
        UserEmbedding.load(tmp_path)


# What it refuses


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_units": 0}, "n_units=0, expected a positive finite integer"),
        ({"hidden": (8, -1)}, "hidden=-1, expected a positive finite integer"),
        ({"n_negatives": 1.5}, r"n_negatives=1\.5, expected a positive finite integer"),
        ({"negatives": "rare"}, "negatives='rare', expected one of 'popularity'"),
        ({"dropout": 1.0}, r"dropout=1\.0, expected a number in \[0, 1\)"),
        ({"validation_fraction": 0}, "validation_fraction=0, expected a number"),
        ({"lr": np.nan}, "lr=nan, expected a positive finite number"),
        ({"device": "abacus"}, "device='abacus', expected"),
    ],
)
def test_wrong_parameters(settings, message):
    with pytest.raises(ValueError, match=message):
        small(**settings).fit(circles()[0])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"liked": np.ones((3, 60))},
            r"liked of shape \(3, 60\), expected \(160, 60\)",
        ),
        ({"disliked": -np.ones((160, 60))}, "Negative values in data"),
        ({"item_artists": [1, 2]}, "2 values of the attribute 'artist', expected 60"),
        (
            {"item_albums": [None] * 60},
            "attribute 'album' is missing for all 60 items",
        ),
        (
            {"item_artists": [1] * 60, "item_attributes": {"artist": [1] * 60}},
            r"item_artists and item_attributes\['artist'\]: pass one",
        ),
        ({"last_items": [0, 1]}, r"last_items of shape \(2,\), expected \(160,\)"),
        ({"last_items": [60] * 160}, "user 0 is 60, expected a column .* 0 to 59"),
        ({"last_items": [59] * 160}, "user 0 is item 59, which is not in the"),
        ({"demographics": {"age": [1, 2]}}, r"shape \(2, 1\), expected 160 rows"),
        (
            {"demographics": {"age": [np.inf] * 160}},
            "'age' of demographics is infinite in row 0",
        ),
    ],
)
def test_wrong_additions(given, message):
    with pytest.raises(ValueError, match=message):
        small().fit(circles()[0], **given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"last_items": [0.5] * 160}, "dtype float64, expected whole numbers"),
        ({"item_artists": [[1, 2]] * 60}, r"holds \[1, 2\], expected one id per item"),
        ({"item_artists": "Can"}, "Got 'Can' as attribute 'artist'"),
        ({"demographics": [1, 2]}, "demographics of type list, expected a frame"),
        (
            {"demographics": pl.DataFrame({"born": [[1]] * 160})},
            r"'born' of demographics has type List.*of a date of birth, the age",
        ),
    ],
)
def test_wrong_types(given, message):
    with pytest.raises(TypeError, match=message):
        small().fit(circles()[0], **given)


def test_wrong_plays(tower):
    plays = circles()[0].toarray()
    with pytest.raises(ValueError, match=r"has 5 features, but .* expecting 60"):
        tower.transform(plays[:, :5])
    with pytest.raises(ValueError, match="holds no play that could be a target"):
        small().fit(np.zeros((3, 4)))
    for value, message in ((-1, "Negative"), (np.nan, "NaN"), (np.inf, "infinity")):
        bad = plays.copy()
        bad[3, 5] = value
        for wrong in (bad, sparse.csr_matrix(bad)):
            with pytest.raises(ValueError, match=message):
                small().fit(wrong)
            with pytest.raises(ValueError, match=message):
                tower.transform(wrong)
    logs = read_logs(pl.DataFrame({"user": [1, 2, 2], "item": [5, 5, 6]}))
    with pytest.raises(TypeError, match=r"expected its matrix: pass logs\.user_items"):
        small().fit(logs)


def test_what_fit_did_not_have_is_refused(tower, informed):
    plays, _ = circles()
    with pytest.raises(ValueError, match="Got liked, but the tower was fitted without"):
        tower.transform(plays, liked=plays)
    with pytest.raises(ValueError, match="Got demographics, but the tower was fitted"):
        tower.transform(plays, {"age": [1] * 160})
    with pytest.raises(ValueError, match=r"columns \['age'\], expected those of fit"):
        informed.transform(plays, {"age": [1] * 160})
    frame = {"age": ["old"] * 160, "land": ["is"] * 160}
    with pytest.raises(TypeError, match=r"'age' .* String, but held numbers in fit"):
        informed.transform(plays, frame)
    with pytest.raises(ValueError, match="No user has a target"):
        tower.hit_rate(plays, [-1] * 160)


@pytest.mark.long
@pytest.mark.real
def test_hit_rate_on_hetrec(data):
    """Users that fit never saw, embedded by their histories: far above popularity."""
    folder = data / "hetrec2011-lastfm-2k"
    logs = read_logs(folder, "hetrec-lastfm-2k", min_users_per_item=3)
    plays = logs.user_items[np.diff(logs.user_items.indptr) > 1]
    rng = np.random.default_rng(0)
    test = rng.permutation(plays.shape[0])[:300]
    train = np.setdiff1d(np.arange(plays.shape[0]), test)
    tower = UserEmbedding(max_epochs=25, device="cpu", random_state=0)
    tower.fit(plays[train])
    targets = np.array([rng.choice(row.indices) for row in plays[test]])
    popularity = np.asarray((plays[train] > 0).sum(axis=0)).ravel().astype(float)
    ranked = np.argsort(-popularity, kind="stable")
    popular = np.mean(
        [
            target in ranked[~np.isin(ranked, np.setdiff1d(row.indices, target))][:200]
            for target, row in zip(targets, plays[test], strict=True)
        ]
    )
    assert tower.hit_rate(plays[test], targets) > popular + 0.1
