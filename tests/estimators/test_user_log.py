"""Saved teachers as transformers, and the cache that decodes each file once."""

import collections
import os
import shutil

import numpy as np
import pytest
import soundfile
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from userlogfeat import CFRegressor, FeatureTable, MusicnnEmbedder, UserLogEmbedder
from userlogfeat.audio import read_audio
from userlogfeat.weights import load_model, make_tone
from userlogfeat.weights.config import ModelError

RATE = 16000


@pytest.fixture
def paths(tmp_path):
    """Twelve clips of 3 s in two classes: chords at two speeds, in noise."""
    rng = np.random.default_rng(0)
    files = [tmp_path / f"{i}.wav" for i in range(12)]
    for i, file in enumerate(files):
        speed = 1.0 if i % 2 else 1.6
        tone = np.interp(
            speed * np.arange(3 * RATE), np.arange(6 * RATE), make_tone(RATE, 6.0)
        )
        soundfile.write(file, tone + 0.01 * rng.normal(size=3 * RATE), RATE)
    return files


@pytest.fixture
def decoded(monkeypatch):
    """Counts how often each file is decoded."""
    counts = collections.Counter()

    def read(path, **settings):
        counts[str(path)] += 1
        return read_audio(path, **settings)

    monkeypatch.setattr("userlogfeat.estimators._clip_reader.read_audio", read)
    return counts


def test_default_columns(paths):
    features = UserLogEmbedder().fit_transform(paths)
    model = load_model(UserLogEmbedder().weights)
    musicnn = MusicnnEmbedder().fit_transform(paths)
    assert features.shape == (12, 793)
    np.testing.assert_allclose(
        features[:, :753], musicnn * model.layer_scales["max_pool"], rtol=1e-5
    )


@pytest.mark.parametrize(
    ("weights", "layers", "pool"),
    [
        (
            "lastfm2k-musicnn",
            ("taggram",),
            lambda patches: np.r_[patches.mean(0), patches.std(0)],
        ),
        (
            "lastfm-mpd-musicnn",
            ("taggram", "penultimate"),
            lambda patches: patches.mean(0),
        ),
    ],
)
def test_embedding_is_the_head_of_layers(paths, weights, layers, pool):
    """By hand: layers pooled over patches, times the saved matrix."""
    patches = MusicnnEmbedder(layer=layers, pooling=None).fit_transform(paths[:2])
    head = load_model(weights).network.head[0]
    pooled = np.array([pool(clip) for clip in patches])
    expected = pooled @ head.weight.numpy().T + head.bias.numpy()
    embedder = UserLogEmbedder(weights, layer="embedding", scale=False)
    found = embedder.fit_transform(paths[:2])
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_layers_side_by_side(paths):
    both = UserLogEmbedder(layer=("embedding", "taggram")).fit_transform(paths[:2])
    for layer, columns in (("embedding", slice(40)), ("taggram", slice(40, 90))):
        alone = UserLogEmbedder(layer=layer).fit_transform(paths[:2])
        np.testing.assert_allclose(both[:, columns], alone, rtol=1e-6)


def test_cached_features_are_the_features(paths, tmp_path, decoded):
    embedder = UserLogEmbedder(cache=tmp_path / "cache")
    expected = UserLogEmbedder().fit_transform(paths)
    decoded.clear()
    np.testing.assert_array_equal(embedder.fit_transform(paths), expected)
    np.testing.assert_array_equal(embedder.transform(paths[::-1]), expected[::-1])
    twice = embedder.transform([*paths, *paths[:2]])
    np.testing.assert_array_equal(twice[12:], expected[:2])
    assert set(decoded.values()) == {1}


def test_a_cache_is_not_written_through_links(paths, tmp_path):
    """The cache's folder may be a link of the user's; what is below it may not."""
    mine, real = tmp_path / "mine", tmp_path / "real"
    mine.mkdir()
    real.mkdir()
    (tmp_path / "cache").symlink_to(real)
    embedder = UserLogEmbedder(cache=tmp_path / "cache")
    (real / embedder.fingerprint).symlink_to(mine)
    with pytest.raises(OSError, match="symbolic link"):
        embedder.fit_transform(paths[:2])
    assert list(mine.iterdir()) == []
    (real / embedder.fingerprint).unlink()
    embedder.fit_transform(paths[:2])
    assert list((real / embedder.fingerprint).glob("*.parquet"))


def test_a_grid_decodes_each_clip_once(paths, tmp_path, decoded):
    pipeline = make_pipeline(UserLogEmbedder(cache=tmp_path / "cache"), PCA(), SVC())
    grid = {
        "userlogembedder__layer": ["taggram", "embedding", ("max_pool", "embedding")],
        "pca__n_components": [2, 4],
        "svc__C": [1, 10],
    }
    labels = ["slow", "fast"] * 6
    search = GridSearchCV(pipeline, grid, cv=3).fit(paths, labels)
    assert len(search.cv_results_["params"]) == 12
    assert decoded == {str(path): 1 for path in paths}
    assert search.score(paths, labels) > 0.9
    (folder,) = (tmp_path / "cache").iterdir()
    assert len(FeatureTable(folder)) == 12


@pytest.mark.long
def test_a_grid_in_two_processes(paths, tmp_path):
    """Both processes fill one cache; the second waits for the first."""
    pipeline = make_pipeline(UserLogEmbedder(cache=tmp_path / "cache"), SVC())
    grid = {"userlogembedder__layer": ["taggram", "embedding"]}
    labels = ["slow", "fast"] * 6
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(paths, labels)
    assert search.best_score_ > 0.8
    (folder,) = (tmp_path / "cache").iterdir()
    assert sorted(FeatureTable(folder).clips()) == sorted(map(str, paths))


def test_a_changed_file_is_encoded_again(paths, tmp_path, decoded):
    embedder = UserLogEmbedder(cache=tmp_path / "cache", layer="taggram")
    before = embedder.fit_transform(paths[:2])
    shutil.copy(paths[1], paths[0])
    os.utime(paths[0], ns=(1, 1))
    after = embedder.transform(paths[:2])
    np.testing.assert_allclose(after[0], before[1], rtol=1e-5)
    assert decoded == {str(paths[0]): 2, str(paths[1]): 1}


def test_equal_names_in_two_folders(paths, tmp_path, monkeypatch):
    """Same relative path, size and time: the features are each file's own."""
    for name, path in zip(("one", "two"), paths, strict=False):
        (tmp_path / name).mkdir()
        shutil.copy(path, tmp_path / name / "a.wav")
        os.utime(tmp_path / name / "a.wav", ns=(1, 1))
    embedder = UserLogEmbedder(cache=tmp_path / "cache", layer="taggram")
    found = []
    for name in ("one", "two"):
        monkeypatch.chdir(tmp_path / name)
        found.append(embedder.fit_transform(["a.wav"]))
    assert not np.allclose(*found)


def test_other_settings_have_a_cache_of_their_own(paths, tmp_path):
    cache = tmp_path / "cache"
    whole = UserLogEmbedder(cache=cache, layer="taggram").fit_transform(paths[:1])
    half = UserLogEmbedder(cache=cache, layer="taggram", duration=1.5)
    assert not np.allclose(half.fit_transform(paths[:1]), whole)
    assert len(list(cache.iterdir())) == 2


def test_a_bad_file_keeps_what_was_cached(paths, tmp_path, decoded):
    paths[5].write_bytes(b"no audio")
    embedder = UserLogEmbedder(cache=tmp_path / "cache", batch_size=2)
    with pytest.raises(ValueError, match=r"5\.wav"):
        embedder.fit_transform(paths)
    embedder.transform(paths[:4])
    assert all(decoded[str(path)] == 1 for path in paths[:4])


def test_features_of_a_feature_teacher(tmp_path):
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(50, 6)), rng.normal(size=(50, 3))
    teacher = CFRegressor("mlp", random_state=0).fit(X, Y)
    data = {"description": "", "licence": "", "non_commercial": False}
    teacher.save(tmp_path, training_data=data)
    embedder = UserLogEmbedder(tmp_path, layer="embedding", scale=False)
    np.testing.assert_allclose(embedder.fit_transform(X), teacher.predict(X), rtol=1e-6)
    with pytest.raises(ValueError, match=r"Got 5 features per clip, .* reads 6"):
        clone(embedder).fit(X[:, :5]).transform(X[:, :5])


def test_unknown_layers_and_weights(paths):
    with pytest.raises(ValueError, match=r"'conv9', .*'max_pool'.*Pass layer='em"):
        UserLogEmbedder(layer="conv9").fit(paths)
    for layer in ((), ("taggram", "taggram")):
        with pytest.raises(ValueError, match="one or several different ones"):
            UserLogEmbedder(layer=layer).fit(paths)
    with pytest.raises(ModelError, match="There is no model 'mine'"):
        UserLogEmbedder("mine").fit(paths)


def test_a_feature_teacher_reads_no_audio(tmp_path):
    rng = np.random.default_rng(0)
    teacher = CFRegressor("mlp", random_state=0)
    teacher.fit(rng.normal(size=(50, 6)), rng.normal(size=(50, 3)))
    data = {"description": "", "licence": "", "non_commercial": False}
    teacher.save(tmp_path, training_data=data)
    with pytest.raises(ValueError, match="reads precomputed features, not audio"):
        next(UserLogEmbedder(tmp_path, layer="embedding").iter_features(["a.wav"]))


def test_loading_is_late():
    """Clone and parameters need no weights: a grid may be built where none are."""
    embedder = clone(UserLogEmbedder("somewhere/else"))
    assert embedder.get_params()["weights"] == "somewhere/else"


@pytest.mark.long
@pytest.mark.real
def test_as_written_in_the_readme(data, tmp_path):
    """ESC-10 and GTZAN clips together, and ESC-10 alone: far above chance."""
    scenes = sorted((data / "esc10").glob("*/*.ogg"))
    music = sorted((data / "gtzan_clips").glob("*.flac"))
    paths = [*scenes, *music]
    labels = [path.parent.name for path in scenes]
    labels += [path.name.partition(".")[0] for path in music]
    pipeline = make_pipeline(UserLogEmbedder(cache=tmp_path), PCA(128), SVC())
    assert pipeline.fit(paths, labels).score(paths, labels) > 0.9
    found = cross_val_predict(pipeline, scenes, labels[: len(scenes)], cv=5)
    assert np.mean(found == np.array(labels[: len(scenes)])) > 0.7
