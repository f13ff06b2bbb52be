"""Control twins of saved teachers, and comparisons without logs that use them."""

import warnings

import numpy as np
import pytest
import soundfile
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from userlogfeat import CFRegressor, UserLogEmbedder, list_weights
from userlogfeat.comparison import TeacherData, compare, save_controls, summarise
from userlogfeat.comparison.arms import CONTROLS, PERMUTED, PLAIN_ARMS, SAME_ARTIST
from userlogfeat.comparison.twins import prepare_ready
from userlogfeat.weights import TENSORS, find_controls, find_model, read_config

BUNDLED = "lastfm-mpd-musicnn"
DATA = {"description": "planted", "licence": "none", "non_commercial": False}
DOZEN = np.ones((12, 3)), np.ones((12, 2)), range(12)
NO_MODES = KNeighborsClassifier(3)


@pytest.fixture(scope="module")
def taste():
    """Features of 900 clips of 300 artists, who have 4 factors, and the map of both."""
    rng = np.random.default_rng(0)
    artists, taste = np.arange(900) // 3, rng.normal(size=(20, 4))
    X = rng.normal(size=(300, 20))[artists] + 0.3 * rng.normal(size=(900, 20))
    return X.astype(np.float32), X @ taste, artists, taste


@pytest.fixture(scope="module")
def folder(taste, tmp_path_factory):
    """A teacher of features, with two twins of each kind."""
    X, factors, artists, _ = taste
    teacher = CFRegressor("mlp", head="ridge", factor_norm="raw")
    path = tmp_path_factory.mktemp("teacher")
    teacher.fit(X, factors, groups=artists).save(path, training_data=DATA)
    save_controls(path, X, factors, items=artists, n_draws=2)
    return path


def head(folder):
    return load_file(folder / TENSORS)["head.0.weight"].numpy()


@pytest.mark.parametrize("name", [BUNDLED, "own"])
def test_twins_differ_from_their_teacher_in_factors_alone(name, request):
    name = request.getfixturevalue("folder") if name == "own" else name
    teacher, twins = read_config(find_model(name)), find_controls(name)
    assert twins.keys() == {"permuted logs", "same artist"}
    assert {len(draws) for draws in twins.values()} == {3 if name == BUNDLED else 2}
    weights = head(find_model(name))
    for kind, draws in twins.items():
        for number, path in enumerate(draws, 1):
            twin = read_config(path)
            for entry in ("class", "network", "front_end", "fitted"):
                assert twin[entry] == teacher[entry]
            assert twin["parameters"] == {"clip_weight": "clip"} | teacher["parameters"]
            notes, stated = twin["training_data"], teacher["training_data"]
            control = {
                "kind": kind,
                "draw": number,
                "teacher_sha256": teacher["sha256"],
            }
            assert notes["control"] == control
            assert "not for features" in notes["description"]
            assert notes["description"].endswith(stated["description"])
            assert notes["licence"] == stated["licence"]
            cosine = np.sum(head(path) * weights)
            cosine /= np.linalg.norm(head(path)) * np.linalg.norm(weights)
            assert abs(cosine) < 0.3
    assert len({head(p).tobytes() for draws in twins.values() for p in draws}) == sum(
        map(len, twins.values())
    )


def test_twins_are_no_weights_to_choose():
    assert list_weights() == [BUNDLED, "lastfm2k-musicnn"]
    assert find_controls("lastfm2k-musicnn") == {}
    size = sum(
        file.stat().st_size
        for draws in find_controls(BUNDLED).values()
        for path in draws
        for file in path.iterdir()
    )
    assert size < 300_000


def test_estimates_of_permuted_logs_are_of_exchanged_factors(taste, folder):
    X, factors, _, _ = taste
    twin = CFRegressor.load(find_controls(folder)["permuted logs"][0])
    assert twin.space_ is None
    estimate, teacher = twin.predict(X), CFRegressor.load(folder).predict(X)
    assert np.corrcoef(teacher.ravel(), factors.ravel())[0, 1] > 0.95
    assert abs(np.corrcoef(estimate.ravel(), factors.ravel())[0, 1]) < 0.4
    assert estimate.std() > 0.1 * teacher.std()  # no constant: the same strength


def test_a_planted_taste_is_found_beyond_the_twins(taste, folder):
    """Few labels of a class that the teacher knows; no logs are passed."""
    _, _, _, mixing = taste
    rng = np.random.default_rng(1)
    X = rng.normal(size=(240, 20)).astype(np.float32)
    y = (X @ mixing).argmax(axis=1)
    plain = LogisticRegression(max_iter=1000)
    settings = {"cv": 3, "seeds": 4, "n_labels": 5}
    frame = compare(plain, X, y, teachers=folder, **settings)
    assert tuple(frame["arm"].unique(maintain_order=True)) == PLAIN_ARMS
    rows = {row["arm"]: row for row in summarise(frame).iter_rows(named=True)}
    estimate = rows["plain + estimate"]
    assert estimate["diff_low to plain"] > 0.05
    for control in ("plain + permuted logs", "plain + same artist"):
        assert estimate[f"diff_low to {control}"] > 0.05
        assert rows[control]["diff_low to plain"] < 0.05


def test_seeds_take_the_draws_in_turn_and_the_encoder_runs_once(monkeypatch):
    from userlogfeat.networks.teacher import EncoderTeacher

    clips = np.random.default_rng(0).normal(size=(2, 16000)).astype(np.float32)
    twins, calls = find_controls(BUNDLED), []
    encode = EncoderTeacher._encode
    monkeypatch.setattr(
        EncoderTeacher, "_encode", lambda *a: calls.append(1) or encode(*a)
    )
    ready = prepare_ready(BUNDLED, clips, student=NO_MODES, n_seeds=4)
    n_calls = len(calls)
    assert ready.keys() == {"kd", PERMUTED, SAME_ARTIST, "fix"}

    def alone(weights):
        embedder = UserLogEmbedder(weights, layer="embedding", scale=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return embedder.transform(clips)

    np.testing.assert_allclose(ready["kd"], alone(BUNDLED), atol=1e-5)
    draws = ready[SAME_ARTIST]
    assert len(draws) == 4
    assert draws[3] is draws[0]
    np.testing.assert_allclose(draws[1], alone(twins["same artist"][1]), atol=1e-5)
    # Loading runs it on a tone, once per model; the clips are one call.
    assert n_calls <= 1 + 7


def test_the_cache_of_an_embedder_serves_all_twins(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).normal(size=(2, 16000))
    paths = [tmp_path / f"{row}.wav" for row in range(2)]
    for path, clip in zip(paths, 0.1 * noise, strict=True):
        soundfile.write(path, clip, 16000)
    embedder = UserLogEmbedder(cache=tmp_path / "cache")
    X = embedder.transform(paths)
    monkeypatch.setattr(UserLogEmbedder, "_fill_cache", None)
    settings = {"student": NO_MODES, "n_seeds": 1, "X_is_features": True}
    ready = prepare_ready(embedder, X, teacher_X=paths, **settings)
    scale = embedder.layer_scales["embedding"]
    np.testing.assert_allclose(ready["kd"] * scale, X[:, -40:], atol=1e-4)
    assert ready.keys() == {"kd", PERMUTED, SAME_ARTIST}


def test_arms_decide_which_twins_are_read(folder):
    X = np.zeros((3, 20), np.float32)
    settings = {"student": NO_MODES, "n_seeds": 1}
    ready = prepare_ready(folder, X, arms=("base", "kd"), **settings)
    assert ready == {"kd": folder}
    ready = prepare_ready(folder, X, arms="plain + same artist", **settings)
    assert ready.keys() == {"kd", SAME_ARTIST, "fix", "init"}
    own = {"kd": folder, PERMUTED: np.ones((3, 4))}
    ready = prepare_ready(own, X, **settings)
    assert ready[PERMUTED] is own[PERMUTED]
    assert set(CONTROLS[::2]) < ready.keys()


def test_twins_of_another_training_are_left_out(taste, tmp_path):
    X, factors, artists, _ = taste
    teacher = CFRegressor("mlp", head="ridge").fit(X, factors)
    teacher.save(tmp_path, training_data=DATA)
    save_controls(tmp_path, X, factors, items=artists, n_draws=1)
    teacher.fit(X[:100], factors[:100]).save(tmp_path, training_data=DATA)
    with pytest.warns(UserWarning, match="permuted-logs-1, same-artist-1 in .* are no"):
        assert find_controls(tmp_path) == {}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"teachers": BUNDLED}, r"'kd' reads audio.*compare\(..., teacher_X=paths"),
        (
            {"teachers": BUNDLED, "teacher_X": ["a.wav"]},
            "teacher_X of 1 clips and X of",
        ),
        (
            {"teachers": TeacherData(CFRegressor("mlp"), *DOZEN), "teacher_X": [0]},
            "Got teacher_X and TeacherData, whose own student_X",
        ),
        ({"teachers": "no-such-weights"}, "There is no model 'no-such-weights'"),
    ],
)
def test_what_cannot_be_compared(settings, message):
    X, y = np.ones((12, 3)), np.arange(12) % 2
    with pytest.raises((ValueError, TypeError), match=message):
        compare(NO_MODES, X, y, cv=2, **settings)


def test_a_teacher_without_twins_is_named(taste, tmp_path):
    X, factors, _, _ = taste
    teacher = CFRegressor("mlp", head="ridge").fit(X, factors)
    teacher.save(tmp_path, training_data=DATA)
    with pytest.warns(
        UserWarning, match=r"Without 'plain \+ permuted.*has twins.*save_"
    ):
        compare(NO_MODES, X[:12], np.arange(12) % 2, teachers=tmp_path, cv=2, seeds=1)


def test_plain_features_beside_paths_have_a_random_projection(taste):
    """X of paths was read as numbers."""
    features, y = taste[0][:12], np.arange(12) % 2
    arms = ("plain + random projection",)
    settings = {"plain_X": features, "arms": arms, "cv": 2, "seeds": 1}
    frame = compare(NO_MODES, [f"{row}.wav" for row in range(12)], y, **settings)
    assert len(frame) == 2


@pytest.mark.parametrize(
    ("items", "message"),
    [([1, 2], "Got 2 items and 900 rows of factors"), ([1] * 900, "have the item 1")],
)
def test_bad_items(taste, folder, items, message):
    X, factors, artists, _ = taste
    with pytest.raises(ValueError, match=message):
        save_controls(folder, X, factors, items=items, groups=artists)
