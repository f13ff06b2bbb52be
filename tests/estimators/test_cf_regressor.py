"""A teacher that estimates factors: learning, saving, errors."""

import json

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score

from userlogfeat import CFRegressor, UserLogEmbedder
from userlogfeat.model_config import digest_of
from userlogfeat.weights import ModelError, load_model, make_tone

DATA = {"description": "planted", "licence": "none", "non_commercial": False}


@pytest.fixture
def planted():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 8)).astype(np.float32)
    factors = features @ rng.normal(size=(8, 5)) + 0.1 * rng.normal(size=(300, 5))
    return features, factors


@pytest.fixture(scope="module")
def clips():
    """Twelve tones of 3 s, and the factors they are to be heard as."""
    pitches = np.geomspace(0.25, 1.75, 12)
    tone = make_tone(16000, 6.0).numpy()
    time = np.arange(48000)
    waveforms = [np.interp(time * pitch, np.arange(96000), tone) for pitch in pitches]
    angle = np.linspace(0, np.pi / 2, 12)
    return np.array(waveforms), np.column_stack([np.cos(angle), np.sin(angle)])


@pytest.mark.parametrize("head", ["ridge", "mlp"])
def test_planted_factors_are_learned(planted, head):
    X, Y = planted
    teacher = CFRegressor("mlp", head=head, random_state=0, factor_norm="raw", lr=1e-2)
    teacher.fit(X[:200], Y[:200])
    assert teacher.predict(X[200:]).shape == (100, 5)
    assert teacher.score(X[200:], Y[200:]) > 0.9


def test_unit_length_is_learned_by_default(planted):
    X, Y = planted
    teacher = CFRegressor("mlp", random_state=0).fit(X, Y)
    scaled = CFRegressor("mlp", random_state=0).fit(X, Y * np.arange(1, 301)[:, None])
    np.testing.assert_allclose(teacher.predict(X), scaled.predict(X), atol=1e-5)


def test_one_factor_is_one_dimensional(planted):
    X, Y = planted
    teacher = CFRegressor("mlp", random_state=0).fit(X, Y[:, 0])
    assert teacher.predict(X).shape == (300,)
    assert teacher.transform(X).shape == (300, 1)
    assert teacher.score(X, Y[:, 0]) > 0.95


def test_in_grid_search(planted):
    X, Y = planted
    grid = GridSearchCV(
        CFRegressor("mlp", factor_norm="raw", random_state=0),
        {"alphas": [(1.0,), (1e6,)]},
        cv=3,
    )
    assert grid.fit(X, Y).best_params_["alphas"] == (1.0,)
    assert cross_val_score(CFRegressor("mlp", random_state=0), X, Y, cv=3).mean() < 1


def test_audio_is_heard(clips):
    """Pitch decides the factor: neighbours in pitch are neighbours in the estimate."""
    X, Y = clips
    teacher = CFRegressor(alphas=(1.0,), random_state=0).fit(X, Y)
    estimate = teacher.predict(X)
    assert estimate.dtype == np.float64
    assert np.corrcoef(estimate[:, 0], Y[:, 0])[0, 1] > 0.9
    np.testing.assert_array_equal(teacher.transform(X), estimate)
    both = clone(teacher).set_params(layer=("taggram", "embedding"))
    both.head_, both._single_output_ = teacher.head_, False
    assert both.transform(X).shape == (12, 52)


@pytest.mark.parametrize("network", ["musicnn", "mlp"])
def test_save_and_load(network, clips, planted, tmp_path):
    X, Y = clips if network == "musicnn" else planted
    teacher = CFRegressor(network, random_state=0).fit(X, Y)
    teacher.save(tmp_path / "model", training_data=DATA)
    again = CFRegressor.load(tmp_path / "model")
    np.testing.assert_allclose(again.predict(X), teacher.predict(X), rtol=1e-6)
    assert again.get_params() == teacher.get_params() | {
        "alphas": list(teacher.alphas),
        "hidden": list(teacher.hidden),
    }
    embedder = UserLogEmbedder(tmp_path / "model", layer="embedding", scale=False)
    np.testing.assert_allclose(embedder.fit_transform(X), teacher.predict(X), rtol=1e-6)


def test_layers_have_unit_mean_square(clips, tmp_path):
    X, Y = clips
    CFRegressor(random_state=0).fit(X, Y).save(tmp_path, training_data=DATA)
    for layer in ("max_pool", "taggram", "embedding"):
        features = UserLogEmbedder(tmp_path, layer=layer).fit_transform(X)
        assert np.square(features).mean() == pytest.approx(1, rel=1e-3)


def test_one_factor_survives_saving(planted, tmp_path):
    X, Y = planted
    teacher = CFRegressor("mlp", random_state=0).fit(X, Y[:, 0])
    teacher.save(tmp_path, training_data=DATA)
    again = CFRegressor.load(tmp_path)
    np.testing.assert_allclose(again.predict(X), teacher.predict(X), rtol=1e-6)
    assert again.alpha_ == teacher.alpha_


def test_a_refit_forgets_the_other_head(planted):
    teacher = CFRegressor("mlp", max_epochs=2, random_state=0).fit(*planted)
    teacher.set_params(head="mlp").fit(*planted)
    assert not hasattr(teacher, "alpha_")
    teacher.set_params(head="ridge").fit(*planted)
    assert not hasattr(teacher, "history_")


def test_the_teachers_duration_is_the_embedders(clips, tmp_path):
    """What learned to hear the middle 1.5 s is used on the middle 1.5 s."""
    X, Y = clips
    teacher = CFRegressor(duration=np.float32(1.5), random_state=0).fit(X, Y)
    teacher.save(tmp_path, training_data=DATA)
    embedder = UserLogEmbedder(tmp_path, layer="embedding", scale=False)
    np.testing.assert_allclose(embedder.fit_transform(X), teacher.predict(X), rtol=1e-6)
    other = UserLogEmbedder(tmp_path, layer="embedding", scale=False, duration=3.0)
    assert not np.allclose(other.fit_transform(X), teacher.predict(X))
    assert other.fingerprint != embedder.fingerprint


def test_weights_and_groups(planted):
    X, Y = planted
    with pytest.raises(ValueError, match="Negative values"):
        CFRegressor("mlp").fit(X, Y, sample_weight=-np.ones(len(X)))
    mixed = [None if i % 50 == 0 else ("a" if i % 2 else 7) for i in range(len(X))]
    assert CFRegressor("mlp", random_state=0).fit(X, Y, groups=mixed).alpha_ > 0
    with pytest.raises(ValueError, match=r"groups of shape \(300, 1\)"):
        CFRegressor("mlp").fit(X, Y, groups=np.zeros((300, 1)))


def test_loading_another_class(planted, tmp_path):
    X, Y = planted
    CFRegressor("mlp", random_state=0).fit(X, Y).save(tmp_path, training_data=DATA)
    config = json.loads((tmp_path / "config.json").read_text())
    config["class"] = "Somebody"
    config["config_sha256"] = digest_of(config)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="was saved by Somebody, not CFRegressor"):
        CFRegressor.load(tmp_path)
    assert load_model(tmp_path).layer_sizes == {"embedding": 5}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"network": "se_net"}, "Got network='se_net', expected one of"),
        ({"head": "tree"}, "Got head='tree'"),
        ({"factor_norm": "l1"}, "Got factor_norm='l1'"),
        ({"patch_hop": 0}, "Got patch_hop=0"),
        ({"head_pooling": "sum"}, "Got head_pooling='sum'"),
        ({"alphas": ()}, r"Got alphas=\(\), expected a list"),
        ({"alphas": 1.0}, "Got alphas=1.0, expected a list"),
        ({"alphas": (1.0, -1.0)}, "Got alphas=-1.0, expected a positive"),
        ({"alphas": (float("nan"),)}, "Got alphas=nan"),
        ({"hidden": (0,)}, "Got hidden=0"),
        ({"lr": 0}, "Got lr=0"),
        ({"max_epochs": 2.5}, "Got max_epochs=2.5, expected a positive finite integer"),
        ({"patience": -1}, "Got patience=-1"),
        ({"validation_fraction": 2}, "Got validation_fraction=2, expected a share"),
        ({"layer": "max_pool"}, r"Got layer='max_pool', .*\['embedding'\]"),
        ({"duration": 1e9}, "Got duration=1000000000.0 s, expected at most"),
    ],
)
def test_bad_parameters(planted, change, words):
    with pytest.raises(ValueError, match=words):
        CFRegressor("mlp").set_params(**change).fit(*planted)


def test_bad_factors(planted):
    X, Y = planted
    empty = Y.copy()
    empty[[3, 8]] = 0
    with pytest.raises(ValueError, match=r"2 rows of y are all zeros \(first: row 3\)"):
        CFRegressor("mlp").fit(X, empty)
    with pytest.raises(ValueError, match="y contains NaN"):
        CFRegressor("mlp").fit(X, np.where(empty == 0, np.nan, Y))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        CFRegressor("mlp").fit(X, Y[:-1])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        CFRegressor("mlp").fit(X, Y, groups=np.arange(3))


@pytest.mark.parametrize("device", ["cuda:99", "meta"])
def test_a_device_that_is_not_there(planted, device):
    with pytest.raises(ValueError, match=f"Got device='{device}', but torch finds no"):
        CFRegressor("mlp", device=device).fit(*planted)
