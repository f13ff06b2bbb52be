"""A teacher that estimates factors: learning, saving, errors."""

import itertools
import json
import pickle

import numpy as np
import pytest
import soundfile
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score

from userlogfeat import (
    CFRegressor,
    FeatureLookup,
    FeatureTable,
    LogMel,
    UserLogEmbedder,
    recommend,
)
from userlogfeat._spaces import in_space, space_of
from userlogfeat.estimators._head_choice import _gain, choose_head
from userlogfeat.networks.mel import LogMelSpectrogram
from userlogfeat.weights import ModelError, load_model, make_tone
from userlogfeat.weights.config import digest_of

DATA = {"description": "planted", "licence": "none", "non_commercial": False}


@pytest.fixture
def planted():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 8)).astype(np.float32)
    factors = features @ rng.normal(size=(8, 5)) + 0.1 * rng.normal(size=(300, 5))
    return features, factors


@pytest.fixture(scope="module")
def clips():
    """Twelve tones of 3 s, and their factors."""
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


def test_factors_are_estimated_from_audio(clips):
    """Pitch decides the factor: neighbours in pitch are neighbours in the estimate."""
    X, Y = clips
    teacher = CFRegressor(encoder="MSD_musicnn", alphas=(1.0,), random_state=0).fit(
        X, Y
    )
    estimate = teacher.predict(X)
    assert estimate.dtype == np.float64
    assert np.corrcoef(estimate[:, 0], Y[:, 0])[0, 1] > 0.9
    np.testing.assert_array_equal(teacher.transform(X), estimate)
    both = clone(teacher).set_params(layer=("taggram", "embedding"))
    both.head_, both._single_output_ = teacher.head_, False
    assert both.transform(X).shape == (12, 52)


@pytest.mark.parametrize(
    "settings", [{"encoder": "MSD_musicnn"}, {"network": "mlp"}], ids=["encoder", "mlp"]
)
def test_save_and_load(settings, clips, planted, tmp_path):
    X, Y = clips if "encoder" in settings else planted
    teacher = CFRegressor(**settings, random_state=0).fit(X, Y)
    teacher.save(tmp_path / "model", training_data=DATA)
    again = CFRegressor.load(tmp_path / "model")
    np.testing.assert_allclose(again.predict(X), teacher.predict(X), rtol=1e-6)
    assert again.get_params() == teacher.get_params()
    embedder = UserLogEmbedder(tmp_path / "model", layer="embedding", scale=False)
    np.testing.assert_allclose(embedder.fit_transform(X), teacher.predict(X), rtol=1e-6)


def test_layers_have_unit_mean_square(clips, tmp_path):
    X, Y = clips
    CFRegressor(encoder="MSD_musicnn", random_state=0).fit(X, Y).save(
        tmp_path, training_data=DATA
    )
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


@pytest.mark.parametrize("head", ["ridge", "mlp"])
def test_a_head_follows_factors_that_move(head, planted, tmp_path):
    X, Y = planted
    settings = {"head": head, "lr": 1e-2, "max_epochs": 20, "random_state": 0}
    teacher = CFRegressor("mlp", **settings).fit(X[:200], in_space(Y[:200], "monday"))
    teacher.save(tmp_path, training_data=DATA)
    teacher = CFRegressor.load(tmp_path)
    assert UserLogEmbedder(tmp_path, layer="embedding").users_digest == "monday"
    before = teacher.predict(X[200:])
    moved = Y + 0.3 * Y[:, [1, 2, 3, 4, 0]]
    inputs = teacher.head_inputs(X)
    teacher.refit(inputs[:200], in_space(moved[:200], "monday"))
    assert teacher.score(X[200:], moved[200:]) > 0.8
    now = teacher.predict(X[200:])
    cosines = np.sum(now * before, axis=1)
    cosines /= np.linalg.norm(now, axis=1) * np.linalg.norm(before, axis=1)
    assert teacher.alignment_ == pytest.approx(cosines.mean(), abs=0.03)
    assert space_of(now) == space_of(before) == "monday"


def test_a_ridge_is_refitted_as_it_would_be_fitted(planted):
    X, Y = planted
    teacher = CFRegressor("mlp", head="ridge", random_state=0).fit(X, Y)
    groups = np.arange(300) // 3
    kept = clone(teacher).set_params(alphas=(teacher.alpha_,))
    kept.fit(X, Y[::-1], groups=groups)
    with pytest.warns(UserWarning, match="do not fit the new ones. Extract them"):
        teacher.refit(X, Y[::-1], groups=groups)
    np.testing.assert_allclose(teacher.predict(X), kept.predict(X), rtol=1e-6)
    assert teacher.layer_scales_ == pytest.approx(kept.layer_scales_)


def test_the_encoder_is_not_run_for_a_refit(clips, monkeypatch):
    X, Y = clips
    teacher = CFRegressor(encoder="MSD_musicnn", alphas=(1.0,), random_state=0)
    inputs = teacher.fit(X, Y).head_inputs(X)
    before = teacher.predict(X)
    monkeypatch.setattr(teacher, "iter_features", None)
    teacher.refit(inputs, Y)
    monkeypatch.undo()
    np.testing.assert_allclose(teacher.predict(X), before, atol=1e-5)
    with pytest.raises(ValueError, match=r"shape \(12, 3\).*head_inputs\(X\)"):
        teacher.refit(inputs[:, :3], Y)


def test_estimates_of_another_training_are_refused(planted, tmp_path):
    X, Y = planted
    users = in_space(Y[:3], "tuesday")
    teacher = CFRegressor("mlp", random_state=0).fit(X, in_space(Y, "monday"))
    teacher.save(tmp_path / "teacher", training_data=DATA)
    embedder = UserLogEmbedder(tmp_path / "teacher", layer="embedding")
    table = FeatureTable(tmp_path / "table")
    with table.writer(
        fingerprint="f", layer_sizes={"embedding": 5}, users_digest="monday"
    ) as writer:
        writer.add("a.wav", layers={"embedding": Y[0].astype(np.float32)})
    for items in (
        teacher.predict(X),
        embedder.fit_transform(X),
        table.lookup(["a.wav"]).layers["embedding"],
        FeatureLookup(table).transform(["a.wav"]),
    ):
        recommend(in_space(users, "monday"), items, 1)
        with pytest.raises(ValueError, match="training tuesday and item_embeddings of"):
            recommend(users, items, 1)
    with pytest.warns(UserWarning, match="from another training: embeddings that were"):
        teacher.refit(X, in_space(Y, "tuesday"))
    recommend(users, teacher.predict(X), 1)


def test_the_teachers_duration_is_the_embedders(clips, tmp_path):
    """A model trained on the middle 1.5 s is used on the middle 1.5 s."""
    X, Y = clips
    teacher = CFRegressor(
        encoder="MSD_musicnn", duration=np.float32(1.5), random_state=0
    ).fit(X, Y)
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
    assert CFRegressor("mlp", head="ridge").fit(X, Y, groups=mixed).alpha_ > 0
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
        ({"encoder": "hubert"}, "Got encoder='hubert', expected one of"),
        ({"head_pooling": "sum"}, "Got head_pooling='sum'"),
        ({"alphas": ()}, r"Got alphas=\(\), expected a list"),
        ({"alphas": 1.0}, "Got alphas=1.0, expected a list"),
        ({"alphas": (1.0, -1.0)}, "Got alphas=-1.0, expected a positive"),
        ({"alphas": (float("nan"),)}, "Got alphas=nan"),
        ({"hidden": (0,)}, "Got hidden=0"),
        ({"lr": 0}, "Got lr=0"),
        ({"max_epochs": 2.5}, "Got max_epochs=2.5, expected a positive finite integer"),
        ({"patience": -1}, "Got patience=-1"),
        (
            {"validation_fraction": 2},
            r"Got validation_fraction=2, expected a number in \(0, 1\)",
        ),
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


POOLS = ((4, 2), (3, 2), (2, 2), (2, 2))  # for clips of 2 s
Y4 = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
BLOCKS = tuple(f"block{number}" for number in range(1, 6))


def se_cnn(**changes):
    """The paper's network, small enough for tests."""
    settings = {"channels": 8, "pools": POOLS, "duration": 2.0, "max_epochs": 2}
    settings |= {"batch_size": 8, "lr": 1e-2, "random_state": 0, "device": "cpu"}
    return CFRegressor(**settings | changes)


@pytest.fixture(scope="module")
def tones():
    """Tones of 2 s in noise; their factors turn with the logarithm of the pitch."""
    rng = np.random.default_rng(0)
    place = rng.permutation(np.linspace(0, 1, 44))
    time = np.arange(32000) / 16000
    waves = 0.5 * np.sin(2 * np.pi * 150 * 27 ** place[:, None] * time)
    waves += 0.01 * rng.normal(size=waves.shape)
    angle = place * np.pi / 2
    return waves.astype(np.float32), np.column_stack([np.cos(angle), np.sin(angle)])


@pytest.fixture(scope="module")
def tuned(tones):
    """A teacher of the first 32 tones."""
    X, Y = tones
    return se_cnn(max_epochs=12, patience=12).fit(X[:32], Y[:32])


@pytest.fixture
def tone_files(tones, tmp_path):
    paths = [tmp_path / f"{row}.wav" for row in range(10)]
    for path, waveform in zip(paths, tones[0], strict=False):
        soundfile.write(path, waveform, 16000, subtype="FLOAT")
    return paths


def test_se_cnn_learns_pitch(tuned, tones):
    X, Y = tones
    assert tuned.predict(X[32:]).shape == (12, 2)
    assert tuned.score(X[32:], Y[32:]) > 0.5
    assert len(tuned.history_) == 12
    losses = [epoch["valid_loss"] for epoch in tuned.history_]
    assert min(losses) < losses[0]


def test_se_cnn_reads_paths_waveforms_and_log_mel_alike(tuned, tones, tone_files):
    X, Y = tones[0][:10], tones[1][:10]
    log_mel = LogMel("lee2019", duration=2.0).fit_transform(X)
    expected = tuned.predict(X)
    for same_clips in (list(X), tone_files, [str(p) for p in tone_files], log_mel):
        np.testing.assert_allclose(tuned.predict(same_clips), expected, rtol=1e-4)
    histories = [
        se_cnn().fit(same_clips, Y).history_ for same_clips in (X, tone_files, log_mel)
    ]
    for history in histories[1:]:
        for epoch, first in zip(history, histories[0], strict=True):
            assert epoch == pytest.approx(first, rel=1e-3)


@pytest.mark.parametrize("crop", ["middle", "random"])
def test_mel_is_computed_once_a_clip(crop, tones, monkeypatch):
    batch_sizes, original = [], LogMelSpectrogram.forward

    def forward(self, waveforms):
        batch_sizes.append(len(waveforms))
        return original(self, waveforms)

    monkeypatch.setattr(LogMelSpectrogram, "forward", forward)
    se_cnn(max_epochs=3, crop=crop, duration=1.0).fit(tones[0][:10], tones[1][:10])
    assert sum(batch_sizes) == 10


def test_se_cnn_is_saved_and_loaded(tuned, tones, tmp_path):
    X = tones[0][:5]
    tuned.save(tmp_path, training_data=DATA)
    again = CFRegressor.load(tmp_path)
    np.testing.assert_allclose(again.predict(X), tuned.predict(X), rtol=1e-6)
    assert again.get_params() == tuned.get_params()
    again.save(tmp_path / "again", training_data=DATA)
    np.testing.assert_array_equal(
        CFRegressor.load(tmp_path / "again").predict(X), again.predict(X)
    )
    few = tones[0][:10], tones[1][:10]
    assert clone(again).fit(*few).history_ == clone(tuned).fit(*few).history_


def test_se_cnn_has_no_head_apart(tuned, tones):
    with pytest.raises(ValueError, match="trained as a whole"):
        tuned.refit(tones[0], tones[1])


def test_the_blocks_of_se_cnn_are_layers(tuned, tones, tmp_path):
    """Their scales bring each to unit mean square on the training clips."""
    X = tones[0][:32]
    tuned.save(tmp_path, training_data=DATA)
    layers = (*BLOCKS, "embedding")
    embedder = UserLogEmbedder(tmp_path, layer=layers, scale=False)
    features = embedder.fit_transform(X)
    assert features.shape == (32, 5 * 8 + 2)
    mine = clone(tuned).set_params(layer=layers)
    mine.__dict__.update({k: v for k, v in vars(tuned).items() if k.endswith("_")})
    np.testing.assert_allclose(mine.transform(X), features, rtol=1e-5, atol=1e-6)
    assert list(mine.get_feature_names_out()) == list(embedder.get_feature_names_out())
    np.testing.assert_allclose(features[:, -2:], tuned.predict(X), rtol=1e-5)
    for layer in layers:
        scaled = UserLogEmbedder(tmp_path, layer=layer).fit_transform(X)
        assert np.square(scaled).mean() == pytest.approx(1, rel=1e-3)


def test_spectrograms_of_ones_own(tmp_path):
    """64 bands, which no front end here gives: the model has none."""
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(12, 64, 40)), rng.normal(size=(12, 3))
    teacher = se_cnn().fit(X, Y)
    teacher.save(tmp_path, training_data=DATA)
    again = CFRegressor.load(tmp_path)
    np.testing.assert_allclose(again.predict(X), teacher.predict(X), rtol=1e-6)
    embedder = UserLogEmbedder(tmp_path, layer="embedding", scale=False)
    np.testing.assert_allclose(embedder.fit_transform(X), teacher.predict(X), rtol=1e-6)
    longer = rng.normal(size=(2, 64, 90))
    assert again.predict(longer).shape == (2, 3)
    for model in (teacher, again, embedder):
        apply = getattr(model, "predict", model.transform)
        for clips in (["a.wav"], [np.zeros(32000)]):
            with pytest.raises(
                ValueError, match=r"of your own making \(64 bands\) and"
            ):
                apply(clips)
        with pytest.raises(ValueError, match=r"96 (bands|features)|expected 64 bands"):
            apply(np.zeros((2, 96, 40)))
    with pytest.raises(ValueError, match=r"64 bands and 10 frames, .* 16 frames"):
        again.predict(X[:, :, :10])


def test_random_crops_are_for_training(tones):
    """Predictions are those of the middle second."""
    X, Y = tones[0][:10], tones[1][:10]
    random = se_cnn(crop="random", duration=1.0, max_epochs=3).fit(X, Y)
    middle = se_cnn(crop="middle", duration=1.0, max_epochs=3).fit(X, Y)
    assert random.history_[0]["train_loss"] != middle.history_[0]["train_loss"]
    np.testing.assert_array_equal(
        random.predict(X), random.predict(list(X[:, 8000:24000]))
    )
    again = se_cnn(crop="random", duration=1.0, max_epochs=3).fit(list(X), Y)
    assert again.history_ == random.history_


def test_short_clips_are_filled(tuned, tones):
    second = tones[0][:4, :16000]
    np.testing.assert_allclose(
        tuned.predict(list(second)), tuned.predict(np.tile(second, 2)), rtol=1e-5
    )
    padded = se_cnn(short="pad").fit(second, Y4)
    filled = list(np.pad(second, ((0, 0), (0, 16000))))
    np.testing.assert_allclose(padded.predict(second), padded.predict(filled), 1e-5)


@pytest.mark.parametrize("masks", [{"freq_mask": 20}, {"time_mask": 30}])
def test_spec_augment(masks, tones):
    X, Y = tones[0][:10], tones[1][:10]
    plain, masked = se_cnn().fit(X, Y), se_cnn(**masks).fit(X, Y)
    assert masked.history_ != plain.history_
    assert masked.history_ == se_cnn(**masks).fit(X, Y).history_


class Pitch(torch.nn.Module):
    """A network of one's own: powers of where the loudest bands are, and a map."""

    def __init__(self, shape, n_units, n_outputs):
        super().__init__()
        self.register_buffer("bands", torch.linspace(-1, 1, shape[0]))
        self.units = torch.nn.Linear(3, n_units)
        self.outputs = torch.nn.Linear(n_units, n_outputs)
        self.dropout = torch.nn.Dropout(0.01)

    def penultimate(self, x):
        place = x.mean(dim=2).softmax(dim=1) @ self.bands  # B
        return self.units(self.dropout(torch.stack([place, place**2, place**3], 1)))

    def output(self, h):
        return self.outputs(h)


class Headless(torch.nn.Module):
    def __init__(self, shape, n_units, n_outputs):
        super().__init__()
        self.units = torch.nn.Linear(shape[0], n_units)

    def penultimate(self, x):
        return self.units(x.mean(dim=2))


def test_a_network_of_ones_own(tones, tmp_path):
    X, Y = tones
    teacher = se_cnn(network=Pitch, max_epochs=40, lr=0.1).fit(X[:32], Y[:32])
    assert teacher.score(X[32:], Y[32:]) > 0.5
    assert clone(teacher).network is Pitch
    teacher.save(tmp_path, training_data=DATA)
    again = CFRegressor.load(tmp_path, network=Pitch)
    assert again.network is Pitch
    np.testing.assert_allclose(again.predict(X), teacher.predict(X), rtol=1e-6)
    log_mel = LogMel("lee2019", duration=2.0).fit_transform(X[:3])
    np.testing.assert_allclose(teacher.predict(log_mel), teacher.predict(X[:3]), 1e-4)
    with pytest.raises(ModelError, match=r"your own class 'Pitch'.*load\(folder, net"):
        CFRegressor.load(tmp_path)
    with pytest.raises(ModelError, match="your own class 'Pitch'"):
        UserLogEmbedder(tmp_path, layer="embedding").fit(X)
    with pytest.raises(ModelError):
        CFRegressor.load(tmp_path, network=Headless)


class Narrow(Pitch):
    """One unit, whatever was asked for: broadcasting once hid it."""

    def penultimate(self, x):
        return super().penultimate(x)[:, :1]


class Scalar(Pitch):
    def output(self, h):
        return super().output(h).sum()


def test_networks_of_ones_own_of_other_sizes(tones):
    X, Y = tones[0][:4], tones[1][:4]
    with pytest.raises(
        ValueError, match=r"Narrow.penultimate gives .* \(1, 1\) .*1, 2"
    ):
        se_cnn(network=Narrow).fit(X, Y)
    with pytest.raises(ValueError, match=r"Scalar.output gives .* shape \(\) for one"):
        se_cnn(network=Scalar).fit(X, Y)


def test_artists_that_pandas_does_not_know(planted):
    pd = pytest.importorskip("pandas")
    artists = pd.Series([None, *"abcdefghi"] * 30, dtype="string")
    assert CFRegressor("mlp", head="ridge").fit(*planted, groups=artists).alpha_ > 0


def test_networks_of_ones_own_that_lack_something(tones):
    X, Y = tones[0][:4], tones[1][:4]
    with pytest.raises(
        TypeError, match=r"Headless has no output\(\): a network of you"
    ):
        se_cnn(network=Headless).fit(X, Y)
    with pytest.raises(TypeError, match=r"or a class \(not an instance\)"):
        se_cnn(network=Pitch((96, 85), 2, 2)).fit(X, Y)
    with pytest.raises(TypeError, match="Got network=<class 'dict'>, expected one of"):
        se_cnn(network=dict).fit(X, Y)


@pytest.mark.parametrize(
    ("X", "changes", "words"),
    [
        (
            np.zeros((4, 32000)),
            {"pools": None},
            "96 bands and 85 frames, expected .*320",
        ),
        (
            ["missing.wav"] * 4,
            {"pools": None},
            "longer clips, or smaller pools, such as",
        ),
        (np.zeros((4, 40, 85)), {}, "40 bands and 85 frames, expected at least 48"),
        (np.zeros((4, 32000)), {"pools": ((4, 2), 3)}, "Got pools=.*expected pairs"),
        (np.zeros((4, 32000)), {"channels": 0}, "Got channels=0, expected a positive"),
        (np.zeros((4, 32000)), {"freq_mask": -1}, "Got freq_mask=-1"),
        (np.zeros((4, 32000)), {"time_mask": 0.5}, "Got time_mask=0.5"),
        (np.zeros((4, 32000)), {"crop": "end"}, "Got crop='end'"),
        (np.zeros((4, 32000)), {"precision": "fp16"}, "Got precision='fp16'"),
        (
            np.zeros((4, 32000)),
            {"network": "mlp", "crop": "random"},
            "reads each clip o",
        ),
        (np.zeros((4, 32000)), {"layer": "max_pool"}, "Got layer='max_pool'.*block1"),
    ],
)
def test_what_se_cnn_refuses(X, changes, words):
    with pytest.raises(ValueError, match=words):
        se_cnn(**changes).fit(X, Y4).transform(X)


def test_bf16(tones):
    X, Y = tones[0][:10], tones[1][:10]
    teacher = se_cnn(precision="bf16").fit(X, Y)
    half, full = teacher.predict(X), teacher.set_params(precision="fp32").predict(X)
    np.testing.assert_allclose(half, full, atol=0.05 * np.abs(full).max())
    assert np.abs(half - full).max() > 0
    assert {p.dtype for p in teacher.network_.parameters()} == {torch.float32}


def test_copies_of_se_cnn(tuned, tones):
    X, Y = tones[0][:10], tones[1][:10]
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(tuned)).predict(X), tuned.predict(X)
    )
    assert not hasattr(clone(tuned), "network_")
    one, other = (clone(tuned).set_params(max_epochs=2).fit(X, Y) for _ in range(2))
    np.testing.assert_array_equal(one.predict(X), other.predict(X))


def test_se_cnn_leaves_random_numbers_alone(tones):
    """The check of `pools` once drew the weights of a network from them."""
    state = torch.get_rng_state()
    se_cnn(max_epochs=1, crop="random").fit(tones[0][:4], tones[1][:4])
    assert torch.equal(torch.get_rng_state(), state)


def test_one_artist_leaves_nothing_to_validate_on(tones):
    X, Y = tones[0][:10], tones[1][:10]
    with pytest.warns(UserWarning, match="leave no clip to validate on"):
        alone = se_cnn().fit(X, Y, groups=["a"] * 10)
    assert set(alone.history_[0]) == {"epoch", "train_loss"}
    several = se_cnn().fit(X, Y, groups=[None, "a", "b", float("nan"), *"ababab"])
    assert "valid_loss" in several.history_[0]


def test_weights_of_clips_are_relative(tones):
    X, Y = tones[0][:10], tones[1][:10]
    once, thrice, few = (
        se_cnn().fit(X, Y, sample_weight=weight).history_[-1]["train_loss"]
        for weight in (np.ones(10), 3 * np.ones(10), np.arange(10))
    )
    assert thrice == pytest.approx(once, rel=1e-4)
    assert few != pytest.approx(once, rel=1e-3)


def test_a_refit_in_another_network_forgets(tones, planted):
    teacher = se_cnn(max_epochs=1).fit(tones[0][:4], Y4)
    teacher.set_params(network="mlp").fit(*planted)
    assert not hasattr(teacher, "network_")
    assert teacher.predict(planted[0]).shape == (300, 5)
    teacher.set_params(network="se_cnn").fit(tones[0][:4], Y4[:, 0])
    assert not hasattr(teacher, "head_")
    assert teacher.predict(tones[0][:3]).shape == (3,)


# --- head="auto" ----------------------------------------------------------------------

HEADS = (("ridge", None), ("mlp", "mse_cosine"), ("mlp", "info_nce"))


def choose(errors, *, n_artists=60, groups=True, per_artist=2):
    """Choose among heads that add noise of these sizes; how often each was fitted."""
    rng = np.random.default_rng(0)
    artists = np.repeat(np.arange(n_artists), per_artist)
    factors = rng.normal(size=(n_artists, 8))[artists].astype(np.float32)
    fits = []

    def estimate(candidate, train, ending, held):
        parts = [set(artists[rows]) for rows in (train, ending, held)]
        assert not any(a & b for a, b in itertools.combinations(parts, 2))
        assert len(parts[1]) == pytest.approx(0.2 * len(parts[0] | parts[1]), abs=1)
        fits.append((candidate, len(held)))
        size = errors[HEADS.index(candidate)]
        return factors[held] + size * rng.normal(size=(len(held), 8))

    given = artists if groups else None
    chosen, results = choose_head(
        estimate, factors, candidates=HEADS, groups=given, seed=0
    )
    return chosen, results, fits


@pytest.mark.parametrize("best", range(3))
def test_auto_takes_the_head_that_estimates_unseen_artists_best(best):
    errors = [3.0, 3.0, 3.0]
    errors[best] = 0.3
    chosen, results, fits = choose(errors)
    assert chosen == HEADS[best]
    assert [(r["head"], r["loss"]) for r in results] == list(HEADS)
    ranks = [r["own_artist"] for r in results]
    assert ranks[best] > 0.99 > 0.9 > sorted(ranks)[1]
    assert results[best]["cosine"] > 0.9
    gains = [r["gain"] for r in results]
    assert gains[0] == 0
    assert np.argmax(gains) == best
    for head, result in zip(HEADS, results, strict=True):  # who is behind is left
        n_clips = sum(n for candidate, n in fits if candidate == head)
        assert n_clips == (40 if best == 0 and result["gain"] else 120)
    if best:  # all that was lacking is gained: twice the whole of it
        assert gains[best] == pytest.approx(2, abs=0.1)


def test_gain_is_the_share_of_both_errors():
    """Two artists, a fold each; rank errors of 0.3 in the mean, cosine errors of 0.5.

    The first artist's rank error falls by 0.1, the second's cosine error grows by 0.1:
    gains of 1/3 and -1/5.
    """
    base = [np.array([[0.2], [0.5]]), np.array([[0.4], [0.5]])]
    other = [np.array([[0.1], [0.5]]), np.array([[0.4], [0.6]])]
    gain, error = _gain(base, other)
    assert gain == pytest.approx((1 / 3 - 1 / 5) / 2)
    assert error == pytest.approx((1 / 3 + 1 / 5) / 2 / 2**0.5)
    assert _gain(base, other[:1])[0] == pytest.approx(1 / 2)  # the first fold's share


@pytest.mark.parametrize(
    "data",
    [{"n_artists": 29}, {"groups": False, "per_artist": 1}],
    ids=["few artists", "unknown artists"],
)
def test_auto_is_the_ridge_where_it_cannot_compare(data):
    assert choose([3.0, 0.1, 0.1], **data) == (HEADS[0], [], [])
    assert choose([3.0, 0.1, 3.0], groups=False)[0] == HEADS[1]  # by equal factors


def test_auto_draws_clips_of_all_artists(monkeypatch):
    monkeypatch.setattr("userlogfeat.estimators._head_choice.MAX_CLIPS", 100)
    *_, fits = choose([0.1, 0.2, 0.3], per_artist=5)
    assert sum(n for candidate, n in fits if candidate == HEADS[0]) == 100


def test_auto_is_stored_with_the_model(tmp_path, monkeypatch, caplog):
    """Factors of absolute values, which no linear map estimates."""
    candidates = (("ridge", None), ("mlp", "mse_cosine"))
    monkeypatch.setattr("userlogfeat.estimators._factor_head.CANDIDATES", candidates)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3))
    Y, artists = np.abs(X) - 0.8, np.arange(120) // 3
    settings = {"max_epochs": 25, "lr": 1e-2, "random_state": 0}
    with caplog.at_level("INFO"):
        teacher = CFRegressor("mlp", **settings).fit(X, Y, groups=artists)
    assert teacher.chosen_ == {"head": "mlp", "loss": "mse_cosine"}
    ridge, network = teacher.candidates_
    assert network["own_artist"] > ridge["own_artist"] + 0.1
    assert "head='auto' chose mlp with mse_cosine" in caplog.text
    fixed = CFRegressor("mlp", head="mlp", loss="mse_cosine", **settings)
    fixed.fit(X, Y, groups=artists)
    np.testing.assert_array_equal(teacher.predict(X), fixed.predict(X))
    teacher.save(tmp_path / "model", training_data=DATA)
    loaded = CFRegressor.load(tmp_path / "model")
    assert loaded.chosen_ == teacher.chosen_
    assert loaded.candidates_ == teacher.candidates_


def test_auto_keeps_the_ridge_that_it_compared(monkeypatch):
    """A linear map: the ridge is fitted on all clips once, and in three folds."""
    from userlogfeat.estimators import _factor_head

    calls, fit = [], _factor_head.fit_ridge_head

    def count(features, *args, alphas, **rest):
        calls.append((len(features), len(alphas)))
        return fit(features, *args, alphas=alphas, **rest)

    monkeypatch.setattr(_factor_head, "fit_ridge_head", count)
    rng = np.random.default_rng(0)
    X, artists = rng.normal(size=(120, 6)), np.arange(120) // 3
    Y = X @ rng.normal(size=(6, 4))
    settings = {"factor_norm": "raw", "random_state": 0}
    teacher = CFRegressor("mlp", **settings).fit(X, Y, groups=artists)
    assert teacher.chosen_ == {"head": "ridge"}
    assert calls == [(120, 11)] + 3 * [(pytest.approx(80, abs=3), 1)]
    fixed = CFRegressor("mlp", head="ridge", **settings).fit(X, Y, groups=artists)
    np.testing.assert_array_equal(teacher.predict(X), fixed.predict(X))
    assert teacher.alpha_ == fixed.alpha_


def test_artists_weigh_the_same():
    """One artist has 90 of 100 clips: its factors are not the mean of the estimates."""
    rng = np.random.default_rng(0)
    artists = np.r_[np.zeros(90, int), 1 + np.arange(10)]
    Y = rng.normal(size=(11, 4))[artists]
    X = 1e-6 * rng.normal(size=(100, 3))  # features without information
    settings = {"head": "ridge", "alphas": (1e9,), "factor_norm": "raw"}
    for weight, expected in (
        ("artist", Y[np.unique(artists, return_index=True)[1]].mean(axis=0)),
        ("clip", Y.mean(axis=0)),
    ):
        teacher = CFRegressor("mlp", clip_weight=weight, **settings)
        teacher.fit(X, Y, groups=artists)
        np.testing.assert_allclose(teacher.predict(X).mean(axis=0), expected, atol=1e-3)


@pytest.mark.parametrize("head_layer", ["no", ("max_pool", "no"), ()])
def test_a_layer_for_the_head_that_the_encoder_lacks_is_refused(head_layer):
    teacher = CFRegressor(encoder="MSD_musicnn", head_layer=head_layer)
    # Before a clip is read: these are no files.
    with pytest.raises(ValueError, match=r"head_layer=.* one or several of \['tagg"):
        teacher.fit(["no.wav", "neither.wav"], np.ones((2, 3)))
