"""SharedLatentEmbedder: planted sets, labels of every kind, saved models."""

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from userlogfeat import (
    CFRegressor,
    LogMel,
    MelStatistics,
    SharedLatentEmbedder,
    UserLogEmbedder,
    WindowRegressionClassifier,
    load_model,
)
from userlogfeat.evaluation.similarity import precision_at_k
from userlogfeat.frontends import FrontEnd
from userlogfeat.weights.config import ModelError

RATE = 8000
SMALL = FrontEnd(sample_rate=RATE, n_fft=256, hop=128, n_bands=10, power=1)
FAST = {
    "n_components": 8,
    "window": 10,
    "max_epochs": 15,
    "lr": 0.1,
    "random_state": 0,
}
DATA = {"description": "planted", "licence": "BSD-3", "non_commercial": False}
WORDS = {"A": ["bass", "middle", "treble"], "B": ["low", "mid", "high"]}


def plant(n=90, n_bands=12, n_frames=20, seed=0):
    """Clips of three kinds, each loud in other bands; even ones are of set A."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(3, size=n)
    frames = rng.normal(size=(n, n_bands, n_frames)).astype(np.float32)
    for clip, own in enumerate(kind):
        frames[clip, 4 * own : 4 * own + 4] += 1.0
    sets = np.where(np.arange(n) % 2, "B", "A")
    labels = np.array([WORDS[s][k] for s, k in zip(sets, kind, strict=True)])
    return frames, labels, sets, kind


@pytest.fixture(scope="module", autouse=True)
def few_rounds():
    """Epochs that go through these few clips twenty times, not more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("userlogfeat.training.shared_maps.MIN_ROUNDS", 20)
        yield


@pytest.fixture(scope="module")
def fitted():
    frames, labels, sets, _ = plant()
    return SharedLatentEmbedder(**FAST).fit(frames, labels, dataset=sets)


def test_words_for_the_same_kind_lie_together(fitted):
    for own, other in zip(WORDS["A"], WORDS["B"], strict=True):
        [near] = fitted.nearest_labels(own, 1)
        assert (near.dataset, near.label) == ("B", other)
        assert fitted.nearest_labels(other, 1, among="A")[0].label == own
        assert fitted.nearest_labels(own, 1, metric="cosine")[0].distance < 0.5


def test_nearness_of_labels_is_l1():
    """Three metrics, each with another nearest label."""
    space = SharedLatentEmbedder()
    space.network_ = None  # fitted
    space.labels_ = np.array(["query", "straight", "round", "long"], dtype=object)
    space.label_datasets_ = np.array([None] * 4, dtype=object)
    space.label_embeddings_ = np.array(
        [[1, 0, 0, 0], [2.9, 0, 0, 0.2], [1.6, 0.6, 0.6, 0.6], [9, 0, 0, 0]],
        dtype=np.float32,
    )
    l1 = space.nearest_labels("query")
    assert [near.label for near in l1] == ["straight", "round", "long"]
    assert [near.distance for near in l1] == pytest.approx([2.1, 2.4, 8])
    l2 = space.nearest_labels("query", metric="l2")
    assert [near.label for near in l2] == ["round", "straight", "long"]
    assert [near.distance for near in l2] == pytest.approx([1.2, 3.65**0.5, 8])
    cosine = space.nearest_labels("query", metric="cosine")
    assert [near.label for near in cosine] == ["long", "straight", "round"]
    expected = [0, 1 - 2.9 / np.hypot(2.9, 0.2), 1 - 1.6 / 3.64**0.5]
    assert [near.distance for near in cosine] == pytest.approx(expected, abs=1e-7)
    with pytest.raises(ValueError, match="metric"):
        space.nearest_labels("query", metric="l3")


def test_affinities_of_clips_that_were_not_trained_on(fitted):
    frames, _, _, kind = plant(seed=1)
    for name, words in WORDS.items():
        affinity = fitted.decision_function(frames, dataset=name)
        own = fitted.labels_[fitted.label_datasets_ == name]
        said = own[affinity.argmax(axis=1)]
        assert (said == np.array(words)[kind]).mean() > 0.9
    assert fitted.decision_function(frames).shape == (90, 6)


def test_the_embedding_is_better_for_similarity_than_bands(fitted):
    """The bands say little of two clips of a kind beside the others' noise."""
    frames, _, _, kind = plant(seed=2)
    frames += 2 * np.random.default_rng(3).normal(size=(90, 12, 1))
    base = MelStatistics(window=10).fit_transform(frames)
    means = fitted.transform(frames)[:, :8]
    ours, theirs = (precision_at_k(x, kind).mean for x in (means, base))
    assert ours > theirs


def test_affinity_is_the_mean_of_frames(fitted):
    frames = plant(4)[0]
    embedded = frames.transpose(0, 2, 1) @ fitted.feature_embedding_
    embedded += fitted.feature_offset_
    expected = (embedded @ fitted.label_embeddings_.T).mean(axis=1)
    found = fitted.decision_function(frames)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    means = fitted.transform(frames)[:, :8]
    np.testing.assert_allclose(means, embedded.mean(1), rtol=1e-3, atol=1e-4)


def test_features_are_statistics_of_embedded_frames(fitted):
    frames = plant(4)[0]
    embedded = np.einsum("nft,fd->ndt", frames, fitted.feature_embedding_)
    embedded += fitted.feature_offset_[:, None]
    expected = MelStatistics(window=10).fit_transform(embedded)
    np.testing.assert_allclose(fitted.transform(frames), expected, rtol=1e-3, atol=1e-4)
    assert fitted.get_feature_names_out()[[0, 31]].tolist() == [
        "embedding_mean_0",
        "embedding_min_7",
    ]


def test_layers_and_windows():
    frames, labels, _, _ = plant()
    settings = FAST | {"max_epochs": 1, "layer": ("base", "embedding")}
    embedder = SharedLatentEmbedder(**settings).fit(frames, labels)
    both = embedder.transform(frames)
    base = MelStatistics(window=10).fit_transform(frames)
    np.testing.assert_array_equal(both[:, :48], base)
    assert both.shape == (90, 48 + 32)
    windows = embedder.set_params(pooling=None).transform(frames)
    assert windows[0].shape == (2, 80)
    np.testing.assert_allclose(np.stack(windows).mean(1), both, rtol=1e-5, atol=1e-6)


def test_forms_of_labels_train_the_same():
    frames, _, _, kind = plant(60)
    names = np.array(["a", "b", "c"])[kind]
    forms = [
        names,
        [[name] for name in names],
        np.eye(3)[kind],
        sparse.csr_matrix(np.eye(3)[kind]),
    ]
    settings = FAST | {"max_epochs": 2}
    found = [SharedLatentEmbedder(**settings).fit(frames, y) for y in forms]
    for other in found[1:]:
        np.testing.assert_array_equal(
            other.feature_embedding_, found[0].feature_embedding_
        )
    assert found[0].labels_.tolist() == ["a", "b", "c"]
    assert found[2].labels_.tolist() == [0, 1, 2]


def test_tags_beside_classes():
    frames, labels, sets, kind = plant()
    tags = np.array(["dark", "warm", "bright"])[kind]
    y = [
        {tag, "music"} if s == "B" else word
        for word, tag, s in zip(labels, tags, sets, strict=True)
    ]
    y[1] = set()  # a clip without tags
    embedder = SharedLatentEmbedder(**FAST).fit(frames, y, dataset=sets)
    near = [embedder.nearest_labels(word, 1, among="B")[0] for word in WORDS["A"]]
    assert [found.label for found in near] == ["dark", "warm", "bright"]


def test_ten_thousand_sparse_labels():
    rng = np.random.default_rng(0)
    X, n = rng.normal(size=(300, 6)), 10000
    columns = np.r_[rng.integers(n, size=(300, 3)).ravel(), np.arange(n)]
    rows = np.r_[np.repeat(np.arange(300), 3), np.arange(n) % 300]
    y = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(300, n))
    y.sum_duplicates()
    y.data[:] = 1
    embedder = SharedLatentEmbedder(4, network="mlp", max_epochs=1, random_state=0).fit(
        X, y
    )
    assert embedder.label_embeddings_.shape == (n, 4)
    assert embedder.decision_function(X[:2]).shape == (2, n)


def test_columns_without_ones_are_no_labels():
    """As documented: affinities are of those that have a clip."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 3)), np.zeros((20, 6))
    y[np.arange(20), 1 + np.arange(20) % 3] = 1
    embedder = SharedLatentEmbedder(2, network="mlp", max_epochs=1, random_state=0)
    embedder.fit(X, y.astype(int).tolist())
    assert embedder.labels_.tolist() == [1, 2, 3]
    assert embedder.decision_function(X).shape == (20, 3)
    assert embedder.history_[0]["train_loss"] > 0
    pd = pytest.importorskip("pandas")
    embedder.fit(X, pd.DataFrame(y, columns=list("abcdef")))
    assert embedder.labels_.tolist() == ["b", "c", "d"]


def test_features_as_frames():
    frames, labels, sets, kind = plant(200, n_frames=1, seed=5)
    X = frames[:, :, 0]
    X = X + X * (X > 1)
    settings = {**FAST, "network": "mlp", "max_epochs": 60}
    embedder = SharedLatentEmbedder(**settings).fit(X, labels, dataset=sets)
    found = embedder.transform(X)
    expected = X @ embedder.feature_embedding_ + embedder.feature_offset_
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert embedder.get_feature_names_out()[-1] == "embedding_7"
    said = embedder.decision_function(X, dataset="A").argmax(axis=1)
    order = [embedder.labels_.tolist().index(word) for word in WORDS["A"]]
    assert (said == np.array(order)[kind]).mean() > 0.7


def test_audio_and_its_spectrograms_train_the_same(tmp_path):
    rng = np.random.default_rng(0)
    time = np.arange(RATE) / RATE
    pitch = np.repeat([300, 2000], 6)
    clips = [
        (0.3 * np.sin(2 * np.pi * p * time) + 0.05 * rng.normal(size=RATE)).astype("f4")
        for p in pitch
    ]
    y = np.repeat(["low", "high"], 6)
    settings = FAST | {"frontend": SMALL, "max_epochs": 3}
    of_audio = SharedLatentEmbedder(**settings).fit(clips, y)
    log_mels = LogMel(SMALL).fit_transform(clips)
    seen = SharedLatentEmbedder(**settings).fit(log_mels, y)
    np.testing.assert_allclose(
        of_audio.transform(clips), seen.transform(log_mels), rtol=1e-4, atol=1e-5
    )
    said = of_audio.labels_[of_audio.decision_function(clips).argmax(axis=1)]
    assert (said == y).all()
    of_audio.save(tmp_path, training_data=DATA)
    again = UserLogEmbedder(tmp_path, layer=("embedding", "affinity"), scale=False)
    both = again.fit_transform(clips)
    np.testing.assert_array_equal(both[:, :32], of_audio.transform(clips))
    np.testing.assert_array_equal(both[:, 32:], of_audio.decision_function(clips))
    start = SharedLatentEmbedder(**settings, duration=0.5).fit(clips, y)
    start.save(tmp_path / "start", training_data=DATA)
    again = UserLogEmbedder(tmp_path / "start", layer="embedding", scale=False)
    uneven = [np.concatenate([*clips[:2], *clips[-2:]]), clips[3][: RATE // 4]]
    np.testing.assert_array_equal(again.transform(uneven), start.transform(uneven))
    np.testing.assert_array_equal(
        again.transform([uneven[0]]), again.transform([uneven[0][: RATE // 2]])
    )


@pytest.mark.parametrize("network", ["linear", "mlp"])
def test_save_and_load(network, tmp_path):
    frames, labels, sets, _ = plant(40)
    X = frames if network == "linear" else frames[:, :, 0]
    settings = {**FAST, "network": network, "max_epochs": 2}
    settings["layer"] = ("embedding",)
    embedder = SharedLatentEmbedder(**settings).fit(X, labels, dataset=sets)
    embedder.save(tmp_path, training_data=DATA)
    again = SharedLatentEmbedder.load(tmp_path)
    read = {"duration": 30.0} if network == "linear" else {}  # the front end's
    assert again.get_params() == embedder.get_params() | read
    np.testing.assert_array_equal(again.transform(X), embedder.transform(X))
    np.testing.assert_array_equal(
        again.decision_function(X), embedder.decision_function(X)
    )
    assert again.nearest_labels("bass") == embedder.nearest_labels("bass")
    assert again.label_datasets_.tolist() == embedder.label_datasets_.tolist()
    scaled = UserLogEmbedder(tmp_path, layer="embedding").fit_transform(X)
    scale = load_model(tmp_path).layer_scales["embedding"]
    expected = embedder.transform(X) * scale
    np.testing.assert_allclose(scaled, expected, rtol=1e-5, atol=1e-6)
    assert np.square(scaled).mean() == pytest.approx(1, rel=0.01)
    with pytest.raises(ModelError, match="not CFRegressor"):
        CFRegressor.load(tmp_path)


def test_windows_apart_are_saved_as_means(tmp_path):
    frames, labels, _, _ = plant(30)
    settings = FAST | {"max_epochs": 1, "pooling": None}
    embedder = SharedLatentEmbedder(**settings).fit(frames, labels)
    embedder.save(tmp_path, training_data=DATA)
    rows = UserLogEmbedder(tmp_path, layer="embedding", scale=False).fit_transform(
        frames
    )
    windows = SharedLatentEmbedder.load(tmp_path).transform(frames)
    np.testing.assert_allclose(rows, np.stack(windows).mean(1), rtol=1e-5, atol=1e-6)


def test_features_without_a_network_for_them():
    X = np.random.default_rng(0).normal(size=(20, 7))
    embedder = SharedLatentEmbedder(2, max_epochs=1, random_state=0)
    with pytest.raises(ValueError, match=r'have 7 numbers.*pass network="mlp"'):
        embedder.fit(X, np.arange(20) % 2)


def test_frames_per_clip_and_ragged_frames():
    frames, labels, _, _ = plant(30)
    ragged = [clip[:, : 10 + i % 10] for i, clip in enumerate(frames)]
    settings = FAST | {"frames_per_clip": 3}
    embedder = SharedLatentEmbedder(**settings)
    drawn = embedder._read_frames(ragged, np.random.default_rng(0))
    assert {len(clip) for clip in drawn} == {3}
    for clip, own in zip(ragged, drawn, strict=True):
        columns = {tuple(column) for column in clip.T}
        assert {tuple(frame) for frame in own} <= columns
    assert embedder.fit(ragged, labels).transform(ragged).shape == (30, 32)


def test_groups_stay_together_and_may_leave_nothing_to_validate():
    frames, labels, _, _ = plant(30)
    embedder = SharedLatentEmbedder(**FAST | {"max_epochs": 2})
    embedder.fit(frames, labels, groups=np.arange(30) // 5)
    assert len(embedder.history_) == 2
    embedder.fit(frames, labels, groups=np.zeros(30))
    assert embedder.history_[0]["valid_loss"] == embedder.history_[0]["train_loss"]


def test_in_a_pipeline_and_cross_validated():
    frames, _, _, kind = plant(60)
    model = make_pipeline(
        SharedLatentEmbedder(**FAST | {"pooling": None}), WindowRegressionClassifier()
    )
    assert cross_val_score(model, frames, kind, cv=3).mean() > 0.8


def test_labels_that_are_not_there(fitted):
    with pytest.raises(ValueError, match="There is no label 'noise'"):
        fitted.nearest_labels("noise")
    with pytest.raises(ValueError, match="no label 'bass' in data set 'B'"):
        fitted.nearest_labels("bass", dataset="B")
    with pytest.raises(ValueError, match="Got dataset 'C', expected one of"):
        fitted.decision_function(plant(2)[0], dataset="C")
    with pytest.raises(ValueError, match="expected one of labels_"):
        fitted.nearest_labels(np.array(["bass", "low"]))
    with pytest.raises(ValueError, match="Got dataset=array"):
        fitted.nearest_labels("bass", dataset=np.array(["A", "B"]))


def test_a_name_in_two_sets_needs_its_set():
    frames, _, sets, kind = plant(40)
    embedder = SharedLatentEmbedder(**FAST | {"max_epochs": 1})
    embedder.fit(frames, kind, dataset=sets)
    with pytest.raises(ValueError, match="in 2 data sets"):
        embedder.nearest_labels(1)
    assert len(embedder.nearest_labels(1, 10, dataset="A")) == 5


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_components": 0}, "Got n_components=0"),
        ({"network": "se_cnn"}, "Got network='se_cnn'"),
        ({"layer": "affinity"}, "Got layer='affinity'"),
        ({"network": "mlp", "layer": "base"}, "Got layer='base'"),
        ({"margin": 0}, "Got margin=0"),
        ({"max_norm": -1}, "Got max_norm=-1"),
        ({"lr": None}, "Got lr=None"),
        ({"frames_per_clip": 0}, "Got frames_per_clip=0"),
        ({"validation_fraction": 1.0}, "Got validation_fraction=1.0"),
    ],
)
def test_bad_parameters(parameters, message):
    frames, labels, _, _ = plant(10)
    with pytest.raises(ValueError, match=message):
        SharedLatentEmbedder(**FAST | parameters).fit(frames, labels)


def test_bad_targets():
    frames, labels, sets, _ = plant(10)
    embedder = SharedLatentEmbedder(**FAST)
    with pytest.raises(ValueError, match="the target y is None"):
        embedder.fit(frames, None)
    with pytest.raises(ValueError, match="inconsistent"):
        embedder.fit(frames, labels[:5])
    with pytest.raises(ValueError, match="expected an indicator matrix"):
        embedder.fit(frames, np.random.default_rng(0).normal(size=(10, 3)))
    with pytest.raises(ValueError, match="Got 3 entries of dataset"):
        embedder.fit(frames, labels, dataset=sets[:3])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_on_a_gpu():
    frames, labels, sets, _ = plant()
    embedder = SharedLatentEmbedder(**FAST, device="cuda")
    embedder.fit(frames, labels, dataset=sets)
    assert embedder.nearest_labels("bass", 1)[0].label == "low"
