"""Teachers of a student: every kind, evaluated once for each clip."""

import os
import pickle

import numpy as np
import pytest
import soundfile
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from userlogfeat import CFRegressor, KDStudentClassifier, UserLogEmbedder
from userlogfeat.audio import MissingAudioError
from userlogfeat.estimators import _teacher
from userlogfeat.estimators._teacher import (
    EmbedderTeacher,
    FrozenTeacher,
    clip_keys,
    embed_by,
    resolve_teacher,
)
from userlogfeat.weights import ModelError

DATA = {"description": "planted", "licence": "none", "non_commercial": False}
RATE = 16000


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    """Each test begins with nothing remembered."""
    monkeypatch.setattr(_teacher, "_remembered", type(_teacher._remembered)())


@pytest.fixture(scope="module")
def features():
    return np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def factors():
    return np.random.default_rng(1).normal(size=(30, 4))


@pytest.fixture(scope="module")
def of_features(features, factors, tmp_path_factory):
    """A teacher that reads features, fitted, and the folder it is saved in."""
    teacher = CFRegressor("mlp", random_state=0).fit(features, factors)
    folder = tmp_path_factory.mktemp("mlp")
    teacher.save(folder, training_data=DATA)
    return teacher, folder


@pytest.fixture(scope="module")
def waveforms():
    rng = np.random.default_rng(2)
    return (0.1 * rng.normal(size=(6, RATE))).astype(np.float32)


@pytest.fixture(scope="module")
def of_clips(waveforms, tmp_path_factory):
    """A teacher of one-second clips, and the folder it is saved in."""
    pools = ((4, 2), (3, 2), (2, 2), (2, 2))
    teacher = CFRegressor(
        channels=4, pools=pools, duration=1.0, max_epochs=1, random_state=0
    )
    teacher.fit(waveforms, np.random.default_rng(3).normal(size=(6, 4)))
    folder = tmp_path_factory.mktemp("se_cnn")
    teacher.save(folder, training_data=DATA)
    return teacher, folder


@pytest.fixture
def files(waveforms, tmp_path):
    paths = [tmp_path / f"{row}.wav" for row in range(6)]
    for path, waveform in zip(paths, waveforms, strict=True):
        soundfile.write(path, waveform, RATE, subtype="FLOAT")
    return paths


class Counting:
    """A teacher that answers with the sums of its rows, and notes what it is asked."""

    def __init__(self, key="counting"):
        self.key, self.asked = key, []

    def embed(self, X):
        self.asked.append(len(X))
        return np.array([[np.sum(row), len(row)] for row in X])


def test_every_source_says_the_same_of_features(of_features, features):
    teacher, folder = of_features
    expected = teacher.predict(features)
    sources = {
        EmbedderTeacher: [
            folder,
            str(folder),
            {32: folder, 64: "none"},
            UserLogEmbedder(folder, layer="embedding"),
            FrozenEstimator(UserLogEmbedder(folder, layer="embedding")),
        ],
        FrozenTeacher: [FrozenEstimator(teacher), {32: FrozenEstimator(teacher)}],
    }
    for kind, ways in sources.items():
        for way in ways:
            resolved = resolve_teacher(way, channels=32)
            assert type(resolved) is kind
            said = embed_by(resolved, features)
            assert said.dtype == np.float32
            np.testing.assert_allclose(said, expected, rtol=1e-5, atol=1e-6)
            assert resolved.network.layer_sizes == {"embedding": 4}
            assert resolved.spec["name"] == "mlp"


def test_every_source_says_the_same_of_clips(of_clips, waveforms, files):
    teacher, folder = of_clips
    expected = teacher.predict(waveforms)
    for way in (folder, UserLogEmbedder(folder), FrozenEstimator(teacher)):
        resolved = resolve_teacher(way)
        for X in (waveforms, list(waveforms), files, np.array(files, dtype=str)):
            said = embed_by(resolved, X)
            np.testing.assert_allclose(said, expected, rtol=1e-4, atol=1e-5)
        assert resolved.spec["name"] == "se_cnn"


def test_a_bundled_name(musicnn, waveforms):
    clips = np.tile(waveforms[:2], 3)
    said = embed_by(resolve_teacher("lastfm-mpd-musicnn"), clips)
    embedder = UserLogEmbedder(layer="embedding", scale=False)
    np.testing.assert_allclose(said, embedder.fit_transform(clips), rtol=1e-5)


def test_the_targets_of_an_embedder_are_unscaled(of_clips, waveforms):
    """Its own layer and scale are for features."""
    teacher, folder = of_clips
    embedder = UserLogEmbedder(folder, layer=("block1", "block5"), scale=True)
    said = embed_by(resolve_teacher(embedder), waveforms)
    np.testing.assert_allclose(said, teacher.predict(waveforms), rtol=1e-4, atol=1e-5)
    assert embedder.layer == ("block1", "block5")


def test_an_embedders_cache_is_used(of_clips, files, tmp_path, monkeypatch):
    """Files are decoded once, and never again in another process."""
    _, folder = of_clips
    cache = tmp_path / "cache"
    embedder = UserLogEmbedder(folder, layer="embedding", cache=cache)
    first = embed_by(resolve_teacher(embedder), files)
    assert len(list(cache.rglob("*.parquet"))) > 0
    _teacher._remembered.clear()  # as in another process

    def deaf(*args, **kwargs):
        raise RuntimeError("decoded again")

    monkeypatch.setattr(UserLogEmbedder, "iter_features", deaf)
    np.testing.assert_array_equal(embed_by(resolve_teacher(embedder), files), first)


def test_settings_are_those_of_the_student(of_clips):
    _, folder = of_clips
    settings = {"short": "pad", "batch_size": 3, "n_jobs": 1, "precision": "bf16"}
    saved = resolve_teacher(folder, settings=settings)
    embedder = saved.embedder
    assert (embedder.short, embedder.batch_size, embedder.n_jobs) == ("pad", 3, 1)
    assert saved.key != resolve_teacher(folder).key
    assert saved.network.precision == "bf16"


def test_frozen_estimators_of_scikit_learn(features, factors):
    ridge = Ridge().fit(features, factors)
    said = embed_by(resolve_teacher(FrozenEstimator(ridge)), features)
    np.testing.assert_allclose(said, ridge.predict(features), rtol=1e-5)
    one = Ridge().fit(features, factors[:, 0])
    assert embed_by(resolve_teacher(FrozenEstimator(one)), features).shape == (30, 1)
    pipeline = make_pipeline(StandardScaler(), Ridge()).fit(features, factors)
    assert embed_by(resolve_teacher(FrozenEstimator(pipeline)), features).shape == (
        30,
        4,
    )
    pca = PCA(3).fit(features)
    said = embed_by(resolve_teacher(FrozenEstimator(pca)), features)
    np.testing.assert_allclose(said, pca.transform(features), rtol=1e-4, atol=1e-6)


def test_a_regressor_that_also_transforms_is_asked_to_predict(features, factors):
    pls = PLSRegression(2).fit(features, factors)
    said = embed_by(resolve_teacher(FrozenEstimator(pls)), features)
    np.testing.assert_allclose(said, pls.predict(features), rtol=1e-4, atol=1e-5)


def test_labels_are_no_embedding(features):
    y = np.where(features[:, 0] > 0, "loud", "calm")
    frozen = FrozenEstimator(LogisticRegression().fit(features, y))
    with pytest.raises(TypeError, match="LogisticRegression, which neither predicts n"):
        embed_by(resolve_teacher(frozen), features)
    lda = LinearDiscriminantAnalysis().fit(features, y)
    said = embed_by(resolve_teacher(FrozenEstimator(lda)), features)
    np.testing.assert_allclose(said, lda.transform(features), rtol=1e-4)


def test_a_student_may_be_a_teacher(features):
    y = np.where(features[:, 0] > 0, "loud", "calm")
    student = KDStudentClassifier(network="mlp", max_epochs=2, random_state=0)
    student.fit(features, y)
    said = embed_by(resolve_teacher(FrozenEstimator(student)), features)
    np.testing.assert_array_equal(said, student.transform(features))


def test_teachers_without_a_network(features, factors):
    ridge = FrozenTeacher(Ridge().fit(features, factors))
    with pytest.raises(ValueError, match=r"Ridge, which has no network.*mode='kd'"):
        _ = ridge.network


@pytest.mark.parametrize(
    ("teacher", "error", "words"),
    [
        (CFRegressor("mlp"), TypeError, r"CFRegressor.*FrozenEstimator\(fitted\)"),
        (Ridge().fit([[0], [1]], [0, 1]), TypeError, "clone would make unfitted"),
        (FrozenEstimator(CFRegressor("mlp")), NotFittedError, "not fitted yet"),
        (FrozenEstimator(Ridge()), NotFittedError, "not fitted yet"),
        (CFRegressor, TypeError, "Got teacher=<class .* expected the name or folder"),
        (None, TypeError, "Got teacher=None, expected the name or folder"),
        (3, TypeError, "Got teacher=3, expected"),
        (["a"], TypeError, r"Got teacher=\['a'\], expected"),
        (
            {32: "a", "64": "b"},
            ValueError,
            r"channels=64, .* for channels \[32, '64'\]",
        ),
        ({}, ValueError, r"for channels \[\]"),
    ],
)
def test_what_is_no_teacher(teacher, error, words):
    with pytest.raises(error, match=words):
        resolve_teacher(teacher, channels=64)


def test_models_that_are_not_there(tmp_path):
    for name, words in (
        ("lastfm3k", "There is no model 'lastfm3k'"),
        (tmp_path, "is not a saved model: it lacks config.json"),
        (UserLogEmbedder(tmp_path), "is not a saved model: it lacks config.json"),
    ):
        with pytest.raises(ModelError, match=words):
            _ = resolve_teacher(name).key


def test_inputs_that_a_teacher_cannot_read(
    of_features, of_clips, features, waveforms, files
):
    reads, of_audio = (resolve_teacher(made[1]) for made in (of_features, of_clips))
    for X in (features[:, :5], waveforms, features[:, :, None]):
        with pytest.raises(ValueError, match="reads 6 precomputed features per clip"):
            embed_by(reads, X)
    with pytest.raises(ValueError, match=r"precomputed features \(n_clips, 6\)"):
        embed_by(reads, files)
    with pytest.raises(ValueError, match="expected 96 bands"):
        embed_by(of_audio, np.zeros((2, 64, 80)))
    files[2].unlink()
    with pytest.raises(MissingAudioError, match=r"2\.wav"):
        embed_by(of_audio, files)


def test_each_clip_is_asked_once(features):
    teacher = Counting()
    expected = [[row.sum(), 6] for row in features]
    np.testing.assert_allclose(embed_by(teacher, features), expected, rtol=1e-5)
    order = np.random.default_rng(0).permutation(30)
    again = embed_by(teacher, features[order])
    np.testing.assert_allclose(again, np.array(expected)[order], rtol=1e-5)
    embed_by(teacher, features[:10].astype(np.float64))
    embed_by(teacher, np.asfortranarray(features))
    assert teacher.asked == [30]
    more = np.concatenate([features[5:8], features[:2] + 1])
    np.testing.assert_allclose(
        embed_by(teacher, more)[:, 0], more.sum(axis=1), rtol=1e-5
    )
    assert teacher.asked == [30, 2]


def test_clips_that_come_twice_are_asked_once(features, files):
    teacher = Counting()
    twice = features[[0, 1, 0, 0, 1]]
    np.testing.assert_allclose(embed_by(teacher, twice)[:, 0], twice.sum(axis=1))
    assert teacher.asked == [2]

    class OfPaths(Counting):
        def embed(self, X):
            self.asked.append([os.path.basename(path) for path in X])
            return np.array([[float(os.path.basename(path)[0])] for path in X])

    listener = OfPaths()
    said = embed_by(listener, [files[3], str(files[1]), str(files[3]), files[1]])
    assert said[:, 0].tolist() == [3, 1, 3, 1]
    assert sorted(listener.asked[0]) == ["1.wav", "3.wav"]


def test_another_teacher_is_asked_anew(features):
    one, other = Counting("one"), Counting("other")
    for teacher in (one, other, one, other):
        embed_by(teacher, features)
    assert one.asked == other.asked == [30]


def test_changed_files_are_asked_again(of_clips, files, waveforms):
    teacher = resolve_teacher(of_clips[1])
    before = embed_by(teacher, files)
    soundfile.write(files[4], waveforms[0], RATE, subtype="FLOAT")
    os.utime(files[4], ns=(1, 1))  # the same length, and an old date
    after = embed_by(teacher, files)
    np.testing.assert_array_equal(np.delete(after, 4, 0), np.delete(before, 4, 0))
    np.testing.assert_allclose(after[4], before[0], rtol=1e-4, atol=1e-5)


def test_a_path_from_another_folder_is_the_same_file(files, monkeypatch):
    whole = clip_keys(files)
    monkeypatch.chdir(files[0].parent)
    assert clip_keys([path.name for path in files]) == whole


def test_the_shape_of_a_clip_counts():
    """The same numbers as 2 bands of 3 frames and as 3 bands of 2."""
    X = np.arange(6, dtype=np.float32)
    keys = {clip_keys(X.reshape(1, *shape))[0] for shape in [(6,), (2, 3), (3, 2)]}
    assert len(keys) == 3


def test_ragged_clips(waveforms):
    teacher = Counting()
    clips = [waveforms[0, :400], waveforms[1, :300], waveforms[0, :400].copy()]
    assert embed_by(teacher, clips)[:, 1].tolist() == [400, 300, 400]
    assert teacher.asked == [2]


def test_memory_is_bounded(features, monkeypatch):
    """The clips of longest ago are forgotten first, and answers stay right."""
    monkeypatch.setattr(_teacher, "REMEMBERED", 10)
    teacher = Counting()
    for rows in (slice(0, 30), slice(20, 30), slice(0, 5), slice(20, 30)):
        said = embed_by(teacher, features[rows])
        np.testing.assert_allclose(said[:, 0], features[rows].sum(axis=1), rtol=1e-5)
    assert teacher.asked == [30, 5, 5]
    assert len(_teacher._remembered) == 10


def test_an_answer_that_is_missing_is_not_kept(features):
    class Forgetful(Counting):
        def embed(self, X):
            return super().embed(X)[:-1]

    with pytest.raises(ValueError, match="shorter"):
        embed_by(Forgetful("key"), features[:3])
    said = embed_by(Counting("key"), features[:3])
    np.testing.assert_allclose(said[:, 0], features[:3].sum(axis=1), rtol=1e-5)


def test_what_is_remembered_is_not_changed_by_the_caller(features):
    teacher = Counting()
    embed_by(teacher, features)[:] = 0
    np.testing.assert_allclose(
        embed_by(teacher, features)[:, 0], features.sum(axis=1), rtol=1e-5
    )


def test_equal_teachers_have_equal_keys(of_features, of_clips, features, factors):
    """Copies in other processes are the same teacher; other weights are another."""
    for teacher, folder in (of_features, of_clips):
        key = FrozenTeacher(teacher).key
        assert FrozenTeacher(pickle.loads(pickle.dumps(teacher))).key == key
        assert resolve_teacher(folder).key == resolve_teacher(str(folder)).key
        embedder = UserLogEmbedder(folder, layer="embedding")
        assert EmbedderTeacher(embedder).key == EmbedderTeacher(clone(embedder)).key
    other = clone(of_features[0]).fit(features, factors[::-1])
    assert FrozenTeacher(other).key != FrozenTeacher(of_features[0]).key
    ridges = [Ridge(alpha).fit(features, factors) for alpha in (1, 1, 2)]
    keys = [FrozenTeacher(ridge).key for ridge in ridges]
    assert keys[0] == keys[1] != keys[2]


def test_the_part_read_of_a_clip_is_in_the_key(of_clips, tmp_path):
    """The same weights, for another second of the clip."""
    teacher, folder = of_clips
    other = CFRegressor.load(folder).set_params(duration=0.8)
    other.save(tmp_path, training_data=DATA)
    assert resolve_teacher(tmp_path).key != resolve_teacher(folder).key
    assert FrozenTeacher(other).key != FrozenTeacher(teacher).key


class Slow(RegressorMixin, BaseEstimator):
    """A teacher that notes the clips it is asked about; class-wide, for clones."""

    asked = []

    def fit(self, X, y):
        self.fitted_ = True
        return self

    def predict(self, X):
        Slow.asked += X[:, 0].tolist()
        return np.tanh(X[:, :3])


def test_a_search_asks_once_a_clip(features):
    from sklearn.model_selection import GridSearchCV

    Slow.asked.clear()
    y = np.arange(30) % 2
    student = KDStudentClassifier(
        FrozenEstimator(Slow().fit(features, y)),
        network="mlp",
        max_epochs=1,
        random_state=0,
    )
    grid = GridSearchCV(student, {"kd_weight": [0.5, 1.0, 2.0]}, cv=3)
    grid.fit(features, y)
    assert sorted(Slow.asked) == sorted(features[:, 0].tolist())


def test_files_that_are_not_there_are_no_fault_of_the_teacher(of_clips, files):
    files[2].unlink()
    student = KDStudentClassifier(of_clips[1], "fix", duration=1.0)
    with pytest.raises(MissingAudioError, match=r"2\.wav"):
        student.fit(files, list("ababab"))
