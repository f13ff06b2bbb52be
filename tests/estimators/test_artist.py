"""Artist labels: learning, songs held out, degenerate artists, saving."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn

from userlogfeat import KDStudentClassifier, LogMel, UserLogEmbedder
from userlogfeat.datasets.synthetic import make_listening_corpus
from userlogfeat.estimators.artist import ArtistEmbedder
from userlogfeat.frontends import FRONTENDS
from userlogfeat.training.checkpoints import Checkpoint
from userlogfeat.training.discriminants import fit_discriminants
from userlogfeat.weights import ModelError, load_model

DATA = {"description": "planted", "licence": "none", "non_commercial": False}
RATE = 22050
N_ARTISTS, N_SONGS = 12, 10


@pytest.fixture(scope="module")
def planted():
    """Features of songs whose artists differ in five of ten, and the artists."""
    rng = np.random.default_rng(0)
    artists = np.repeat([f"artist {i:02d}" for i in range(N_ARTISTS)], N_SONGS)
    centres = 4 * rng.normal(size=(N_ARTISTS, 5)).repeat(N_SONGS, axis=0)
    X = rng.normal(size=(len(artists), 10))
    X[:, :5] += centres
    order = rng.permutation(len(X))
    return X[order].astype(np.float32), artists[order]


@pytest.fixture(scope="module")
def spectra():
    """Log-mel of a second in which the loud bands are the artist's."""
    rng = np.random.default_rng(0)
    artists = np.repeat(np.arange(8), 8)
    shapes = rng.normal(size=(8, 40))[artists]
    X = 1 + 0.5 * np.tile(shapes[:, :, None], (1, 1, 43))
    return (X + rng.normal(size=X.shape)).astype(np.float32), artists


def small(n_components=4, **changes):
    """A network of the paper's kind that learns in a second."""
    settings = {
        "channels": 16,
        "n_units": 12,
        "pools": (4, 2),
        "context": 0.5,
        "max_epochs": 4,
        "random_state": 0,
    }
    return ArtistEmbedder(n_components, **(settings | changes))


def of_features(n_components=4, **changes):
    settings = {"network": "mlp", "hidden": (32,), "n_units": 32, "dropout": 0.2}
    settings |= {"max_epochs": 10, "lr": 0.05, "random_state": 0}
    return ArtistEmbedder(n_components, **(settings | changes))


@pytest.fixture(scope="module")
def corpus():
    """Log-mel of planted songs, their artists and tastes; each song its equaliser."""
    corpus = make_listening_corpus(
        20,
        480,
        n_artists=60,
        duration=2.0,
        sample_rate=11025,
        noise=0.5,
        equaliser="item",
        random_state=0,
    )
    settings = {"sample_rate": 11025, "n_fft": 512, "hop": 256, "n_bands": 64}
    front_end = replace(FRONTENDS["park2017"], **settings)
    log_mel = LogMel(front_end).fit_transform(corpus.audio)
    artists = corpus.catalogue.groups("artist")
    return log_mel, artists, np.asarray(corpus.catalogue.labels), front_end


def genre_with_few_labels(features, genres, artists, n_per_class):
    """Accuracy of an SVM on songs of other artists than it has labels of; 20 draws."""
    scores = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        names = rng.permutation(np.unique(artists))
        train = np.isin(artists, names[: len(names) // 2])
        rows = [np.flatnonzero(train & (genres == genre)) for genre in set(genres)]
        few = np.concatenate([rng.permutation(own)[:n_per_class] for own in rows])
        classifier = make_pipeline(StandardScaler(), SVC())
        classifier.fit(features[few], genres[few])
        scores.append(classifier.score(features[~train], genres[~train]))
    return np.mean(scores)


def test_artist_labels_help_with_genre(corpus):
    """Of 20 other artists, with two labels a genre; permuted artists do not help."""
    log_mel, artists, genres, front_end = corpus
    is_training = np.isin(artists, np.unique(artists)[:40])
    settings = {"channels": 16, "n_units": 64, "context": 1.0, "pools": (4, 4, 2)}
    settings |= {"frontend": front_end, "lr": 0.03, "max_epochs": 10}

    def genre(features):
        return genre_with_few_labels(
            features[~is_training], genres[~is_training], artists[~is_training], 2
        )

    embedder = small(6, **settings).fit(log_mel[is_training], artists[is_training])
    permuted = np.random.default_rng(0).permutation(artists[is_training])
    control = clone(embedder).fit(log_mel[is_training], permuted)
    moments = (log_mel.mean(2), log_mel.var(2), log_mel.max(2), log_mel.min(2))
    learned = genre(embedder.transform(log_mel))
    assert learned > genre(np.hstack(moments)) + 0.15
    assert learned > genre(control.transform(log_mel)) + 0.2
    assert embedder.test_score_ > 0.1  # of 40 artists; chance is 0.025
    assert control.test_score_ < 0.1


def test_artists_of_new_songs_are_named(planted):
    X, y = planted
    embedder = of_features(11, test_fraction=0).fit(X[:90], y[:90])
    assert embedder.score(X[90:], y[90:]) > 0.85
    assert embedder.predict(X[90:]).dtype == y.dtype
    assert cross_val_score(of_features(11), X, y, cv=2).min() > 0.8
    search = GridSearchCV(of_features(), {"n_components": [1, 6]}, cv=2).fit(X, y)
    assert search.best_params_ == {"n_components": 6}
    unknown = np.full(len(X) - 90, "somebody else")
    assert embedder.score(X[90:], unknown) == 0


def test_the_nearest_artist_against_a_loop(planted):
    X, y = planted
    embedder = of_features().fit(X, y)
    rows = embedder.transform(X)
    expected = []
    for row in rows:
        distances = [np.linalg.norm(row - a) for a in embedder.artist_embeddings_]
        expected.append(embedder.classes_[np.argmin(distances)])
    np.testing.assert_array_equal(embedder.predict(X), expected)


def test_embeddings_are_the_discriminants_of_the_last_layer(spectra):
    X, y = spectra
    embedder = small(layer=("context_mean", "embedding")).fit(X, y)
    computed = embedder.transform(X)
    assert computed.shape == (64, 12 + 4)
    units, embeddings = computed[:, :12], computed[:, 12:]
    assert (units >= 0).all()
    learned = np.setdiff1d(np.arange(64), embedder.test_clips_)
    weight, bias, shrinkage = fit_discriminants(units[learned], y[learned], 4)
    np.testing.assert_allclose(embeddings, units @ weight.T + bias, atol=1e-3)
    assert embedder.shrinkage_ == pytest.approx(shrinkage, rel=1e-3)
    means = np.stack([embeddings[learned][y[learned] == c].mean(0) for c in range(8)])
    np.testing.assert_allclose(embedder.artist_embeddings_, means, atol=1e-4)
    for name, rows in (("context_mean", units), ("embedding", embeddings)):
        scale = 1 / np.sqrt(np.square(rows[learned]).mean())
        assert embedder.layer_scales_[name] == pytest.approx(scale, rel=1e-3)
    names = embedder.get_feature_names_out()
    assert names[0] == "context_mean_0"
    assert names[-1] == "embedding_3"


def test_as_many_components_as_artists_allow(planted):
    X, y = planted
    assert of_features(100, max_epochs=1).fit(X, y).transform(X).shape[1] == 11
    assert (
        of_features(100, n_units=7, max_epochs=1).fit(X, y).transform(X).shape[1] == 7
    )
    two = np.isin(y, ["artist 00", "artist 01"])
    embedder = of_features(100, max_epochs=1).fit(X[two], y[two])
    assert embedder.transform(X).shape[1] == 1


def test_test_songs_are_not_trained_on(planted, tmp_path):
    """Whatever they sound like, all that is learned is the same."""
    X, y = planted
    embedder = of_features(max_epochs=2).fit(X, y)
    assert len(embedder.test_clips_) == N_ARTISTS  # one of ten songs
    assert sorted(y[embedder.test_clips_]) == sorted(set(y))
    other = X.copy()
    other[embedder.test_clips_] = other[embedder.test_clips_][::-1]  # same moments
    again = clone(embedder).fit(other, y)
    np.testing.assert_array_equal(again.test_clips_, embedder.test_clips_)
    np.testing.assert_allclose(again.transform(X), embedder.transform(X), atol=1e-5)
    assert again.test_score_ < embedder.test_score_
    test = embedder.test_clips_
    assert embedder.test_score_ == embedder.score(X[test], y[test])
    everything = of_features(test_fraction=0, max_epochs=1).fit(X, y)
    assert len(everything.test_clips_) == 0
    assert np.isnan(everything.test_score_)
    everything.save(tmp_path, training_data=DATA)
    assert np.isnan(ArtistEmbedder.load(tmp_path).test_score_)


def test_clips_of_a_song_are_on_one_side(planted):
    X, y = planted
    songs = np.empty(len(y), dtype=object)
    for artist in set(y):
        rows = np.flatnonzero(y == artist)
        songs[rows] = [f"{artist} song {i // 2}" for i in range(len(rows))]
    embedder = of_features(max_epochs=1, test_fraction=0.2).fit(X, y, groups=songs)
    held = set(songs[embedder.test_clips_])
    assert len(embedder.test_clips_) == 2 * len(held) == 2 * N_ARTISTS
    with pytest.raises(ValueError, match=r"belong to one group \(song\) but to two"):
        of_features().fit(X, y, groups=np.arange(len(y)) % 3)


def test_artists_of_one_song(planted):
    X, y = planted
    y = y.copy()
    y[:2] = ["one-hit wonder", "another"]
    with pytest.warns(UserWarning, match=r"2 of 14 artists have one song \(such as"):
        embedder = of_features(max_epochs=1).fit(X, y)
    assert len(embedder.classes_) == 14
    assert not {0, 1} & set(embedder.test_clips_)
    with pytest.raises(ValueError, match=r"Each of the 120 artists .* has one song"):
        of_features().fit(X, np.arange(120))
    same = np.repeat(np.arange(60), 2)  # two clips each, of one song
    with pytest.raises(ValueError, match=r"Each of the 60 artists .* has one song"):
        of_features().fit(X, same, groups=same)


def test_copies_of_songs(planted):
    """Uploads of one song by each artist, four times: embeddings were 1e7 and more."""
    X, y = planted
    rows = np.repeat(np.unique(y, return_index=True)[1], 4)
    with pytest.raises(ValueError, match=r"\(songs\) of each class .* are the same"):
        of_features(max_epochs=1).fit(X[rows], y[rows])


@pytest.mark.filterwarnings("ignore:1 of 2 artists have one song")
def test_two_songs_and_one(planted):
    X, _ = planted
    embedder = of_features(max_epochs=1).fit(X[:3], ["a", "a", "b"])
    assert embedder.shrinkage_ == 1.0
    assert np.abs(embedder.transform(X[:3])).max() < 100


def test_thousands_of_artists():
    """More than there are units, two songs each; nothing is quadratic in them."""
    rng = np.random.default_rng(0)
    places = rng.normal(size=(3000, 6))
    X = np.repeat(places, 2, axis=0) + 0.05 * rng.normal(size=(6000, 6))
    embedder = of_features(6, batch_size=256, max_epochs=2).fit(
        X, np.repeat(np.arange(3000), 2)
    )
    assert embedder.artist_embeddings_.shape == (3000, 6)
    assert embedder.score(X, np.repeat(np.arange(3000), 2)) > 0.1


def test_the_same_seed_gives_the_same_network(planted):
    X, y = planted
    np.random.seed(7)  # noqa: NPY002
    torch.manual_seed(7)
    first = of_features(max_epochs=3).fit(X, y)
    assert np.random.randint(2**31) == np.random.RandomState(7).randint(2**31)  # noqa: NPY002
    assert torch.rand(1) == torch.rand(1, generator=torch.Generator().manual_seed(7))
    again = clone(first).fit(X, y)
    np.testing.assert_array_equal(again.transform(X), first.transform(X))
    assert again.history_ == first.history_
    other = clone(first).set_params(random_state=1).fit(X, y)
    assert not np.allclose(other.transform(X), first.transform(X))


def test_early_stopping_keeps_the_best_epoch(planted):
    X, y = planted
    embedder = of_features(patience=2, max_epochs=60).fit(X, y)
    losses = [epoch["valid_loss"] for epoch in embedder.history_]
    assert len(losses) < 60
    assert len(losses) - 1 - int(np.argmin(losses)) == 2


@pytest.fixture(scope="module")
def audio(tmp_path_factory):
    """Twelve noises of two seconds, high or low, as rows and as files."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(12, 2 * RATE))
    high = np.diff(noise, axis=1, prepend=0)
    low = np.cumsum(noise, axis=1)
    rows = np.where((np.arange(12) % 2)[:, None], high, low)
    rows = (0.1 * rows / rows.std(axis=1, keepdims=True)).astype(np.float32)
    folder = tmp_path_factory.mktemp("audio")
    paths = [folder / f"{i}.wav" for i in range(12)]
    for path, row in zip(paths, rows, strict=True):
        soundfile.write(path, row, RATE, subtype="FLOAT")
    return rows, paths, np.where(np.arange(12) % 2, "high", "low")


def test_any_kind_of_audio(audio, tmp_path):
    rows, paths, y = audio
    embedder = small(max_epochs=2).fit(paths, y)
    expected = embedder.transform(paths)
    assert expected.shape == (12, 1)
    assert expected.dtype == np.float32
    assert embedder.score(paths, y) == 1
    np.testing.assert_allclose(embedder.transform(rows), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        np.concatenate([embedder.transform([row]) for row in rows]), expected, rtol=1e-4
    )
    embedder.save(tmp_path / "model", training_data=DATA)
    teacher = UserLogEmbedder(tmp_path / "model", layer="embedding", scale=False)
    np.testing.assert_allclose(teacher.fit_transform(paths), expected, rtol=1e-4)
    both = UserLogEmbedder(tmp_path / "model", layer=("context_mean", "embedding"))
    assert both.fit_transform(paths).shape == (12, 13)
    short = embedder.transform([rows[0][: RATE // 3]])  # less than one patch
    assert np.isfinite(short).all()


def test_all_patches_are_averaged(audio):
    """Two halves alone, of whole patches each: the clip is their mean."""
    _, _, y = audio
    log_mel = np.random.default_rng(0).normal(size=(12, 128, 84)).astype(np.float32)
    embedder = small(context=0.5, max_epochs=1).fit(log_mel, y)  # 21 frames per patch
    whole = embedder.transform(log_mel)
    halves = (
        embedder.transform(log_mel[:, :, :42]),
        embedder.transform(log_mel[:, :, 42:]),
    )
    np.testing.assert_allclose(whole, (halves[0] + halves[1]) / 2, atol=1e-5)


def test_duration_is_the_part_that_is_read(audio):
    rows, _, y = audio
    embedder = small(duration=1.0, max_epochs=1).fit(rows, y)
    late, early = rows.copy(), rows.copy()
    late[:, RATE:] = 0
    early[:, : RATE // 2] = 0
    expected = embedder.transform(rows)
    np.testing.assert_array_equal(embedder.transform(late), expected)
    assert not np.allclose(embedder.transform(early), expected, atol=1e-3)


def test_spectrograms_of_other_bands(audio):
    _, _, y = audio
    X = np.random.default_rng(0).normal(size=(12, 20, 15)).astype(np.float32)
    embedder = small(max_epochs=1).fit(X, y)  # 15 frames are repeated to fill 21
    assert embedder.transform(X).shape == (12, 1)
    with pytest.raises(ValueError, match="128 features, but ArtistEmbedder is exp"):
        embedder.transform(np.zeros((1, 128, 30), np.float32))
    with pytest.raises(ValueError, match="no front end"):
        embedder.transform(["clip.wav"])


def test_bands_are_standardised(spectra):
    """Levels in decibels, a constant band: the mean and deviation of every band."""
    X, y = spectra
    decibels = 20 * X - 60
    decibels[:, 5] = -80
    network = small(max_epochs=1).fit(decibels, y).network_.network.network
    expected = decibels.mean(axis=(0, 2)), decibels.std(axis=(0, 2))
    expected[1][5] = 1
    np.testing.assert_allclose(network.mean, expected[0], rtol=1e-4)
    np.testing.assert_allclose(network.scale, expected[1], rtol=1e-3)


class Averages(nn.Module):
    """A network of one's own: bands averaged over time, and a linear layer."""

    def __init__(self, shape, n_units, n_outputs):
        super().__init__()
        self.linear = nn.Linear(shape[0], n_units)

    def penultimate(self, x):
        return self.linear(x.mean(dim=2)).relu()

    def output(self, h):
        return h


@pytest.mark.parametrize("network", ["artist", "mlp", Averages])
def test_save_and_load(network, planted, spectra, tmp_path):
    X, y = planted if network == "mlp" else spectra
    embedder = small(network=network, hidden=(8,), max_epochs=2).fit(X, y)
    embedder.save(tmp_path, training_data=DATA)
    own = network if network is Averages else None
    again = ArtistEmbedder.load(tmp_path, network=own)
    np.testing.assert_allclose(again.transform(X), embedder.transform(X), atol=1e-5)
    np.testing.assert_array_equal(again.predict(X), embedder.predict(X))
    np.testing.assert_array_equal(again.classes_, embedder.classes_)
    assert again.score(X, y) == embedder.score(X, y)
    assert again.shrinkage_ == embedder.shrinkage_
    assert list(again.get_feature_names_out()) == list(embedder.get_feature_names_out())
    assert again.get_params() == embedder.get_params()
    assert again.test_score_ == embedder.test_score_
    again.save(tmp_path / "again", training_data=DATA)
    first, second = (
        load_model(folder, network=own).config["network"]
        for folder in (tmp_path, tmp_path / "again")
    )
    assert first == second


def test_the_discriminants_are_a_linear_layer(spectra, tmp_path):
    X, y = spectra
    small(max_epochs=1).fit(X, y).save(tmp_path, training_data=DATA)
    saved = load_model(tmp_path)
    assert isinstance(saved.network.network.discriminant, nn.Linear)
    assert saved.layer_sizes == {"context_mean": 12, "embedding": 4}


def test_a_model_may_be_shared_without_its_artists(planted, tmp_path):
    X, y = planted
    embedder = of_features(max_epochs=1).fit(X, y)
    embedder.save(tmp_path, training_data=DATA)
    (tmp_path / "artists.safetensors").unlink()
    with pytest.raises(ModelError, match="was shared without its artists"):
        ArtistEmbedder.load(tmp_path)
    teacher = UserLogEmbedder(tmp_path, layer="embedding", scale=False)
    np.testing.assert_allclose(teacher.fit_transform(X), embedder.transform(X))
    other = of_features(max_epochs=1).fit(X[:, ::-1], y)
    other.save(tmp_path / "other", training_data=DATA)
    (tmp_path / "other/artists.safetensors").rename(tmp_path / "artists.safetensors")
    with pytest.raises(ModelError, match="artists are damaged or of another model"):
        ArtistEmbedder.load(tmp_path)


@pytest.mark.parametrize("mode", ["kd", "fix", "init"])
@pytest.mark.parametrize("saved", [True, False])
def test_is_a_teacher_of_students(mode, saved, planted, tmp_path):
    """By its folder, and frozen: the embedding, whatever the layer asked for."""
    X, y = planted
    teacher = of_features(max_epochs=3).fit(X, y)
    if saved:
        teacher.save(tmp_path, training_data=DATA)
    student = KDStudentClassifier(
        str(tmp_path) if saved else FrozenEstimator(teacher),
        mode,
        network="mlp",
        hidden=(32, 32),  # of the teacher: its hidden layer and its last
        max_epochs=5,
        random_state=0,
    )
    student.fit(X, y)
    assert student.transform(X).shape == (len(X), 4)
    if mode == "fix":
        np.testing.assert_allclose(
            student.transform(X), teacher.transform(X), rtol=1e-5
        )


def test_spectrogram_teachers_of_students(spectra, tmp_path):
    X, y = spectra
    teacher = small(max_epochs=2, layer="context_mean").fit(X, y)
    teacher.save(tmp_path / "teacher", training_data=DATA)
    for named in (tmp_path / "teacher", FrozenEstimator(teacher)):
        student = KDStudentClassifier(named, "fix", max_epochs=2, random_state=0)
        student.fit(X, y % 2).save(tmp_path / "student", training_data=DATA)
        again = KDStudentClassifier.load(tmp_path / "student")
        np.testing.assert_allclose(
            again.predict_proba(X), student.predict_proba(X), atol=1e-6
        )
        np.testing.assert_allclose(
            student.transform(X), teacher._embed(X), rtol=1e-4, atol=1e-5
        )


def test_bf16_learns(spectra):
    X, y = spectra
    rows = np.arange(64) % 8 < 6
    embedder = small(7, precision="bf16", max_epochs=8).fit(X[rows], y[rows])
    assert embedder.score(X[~rows], y[~rows]) > 0.8


def test_masks_train(spectra):
    X, y = spectra
    masked = small(freq_mask=8, time_mask=5, max_epochs=2).fit(X, y)
    plain = small(max_epochs=2).fit(X, y)
    assert masked.history_[0] != plain.history_[0]


class Killed(Exception):
    pass


@pytest.mark.parametrize("kind", ["features", "spectra"])
def test_a_killed_fit_goes_on(kind, planted, spectra, tmp_path, monkeypatch):
    """Momentum, dropout, the draws of patches and batch norm go on as well."""
    X, y = planted if kind == "features" else spectra
    embedder = of_features(max_epochs=6) if kind == "features" else small(max_epochs=6)
    whole = clone(embedder).fit(X, y)
    writes, write = [], Checkpoint.write

    def write_three(self, state):
        write(self, state)
        writes.append(self.path)
        if len(writes) == 3:
            raise Killed

    monkeypatch.setattr(Checkpoint, "write", write_three)
    kept = clone(embedder).set_params(checkpoint=tmp_path)
    with pytest.raises(Killed):
        kept.fit(X, y)
    assert not hasattr(kept, "network_")
    resumed = clone(kept).fit(X, y)
    assert len(writes) == 6
    assert len(set(writes)) == 1
    assert resumed.history_ == whole.history_
    np.testing.assert_array_equal(resumed.transform(X), whole.transform(X))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_components": 0}, "Got n_components=0"),
        ({"shrinkage": 2}, "Got shrinkage=2"),
        ({"n_units": 1.5}, "Got n_units=1.5"),
        ({"dropout": 1}, r"Got dropout=1, expected a number in \[0, 1\)"),
        ({"dropout": -0.1}, "Got dropout=-0.1"),
        ({"test_fraction": 1.0}, "Got test_fraction=1.0"),
        ({"validation_fraction": 0}, "Got validation_fraction=0"),
        ({"validation_fraction": 0.9}, "nothing is left to learn from"),
        (
            {"layer": "context_mean"},
            r"layer='context_mean', expected .*\['embedding'\]",
        ),
        ({"network": "artist", "layer": "taggram"}, "Got layer='taggram'"),
        ({"context": 0}, "Got context=0"),
        ({"duration": 2.0}, "duration=2.0 s, which is shorter than context=3.0"),
        ({"pools": 4}, "Got pools=4, expected whole numbers"),
        ({"network": "metric"}, "Got network='metric'"),
        ({"crop": "random"}, "Got crop='random'"),
        ({"lr": 0}, "Got lr=0"),
        ({"batch_size": 0}, "Got batch_size=0"),
        ({"checkpoint": "x", "random_state": None}, "checkpoint and random_state=None"),
    ],
)
def test_bad_parameters(planted, changes, words):
    X, y = planted
    with pytest.raises(ValueError, match=words):
        of_features(**changes).fit(X, y)


def test_bad_inputs(planted, audio):
    X, y = planted
    with pytest.raises(ValueError, match="requires y to be passed"):
        of_features().fit(X, None)
    with pytest.raises(ValueError, match="one class, the artist 'artist 03'"):
        of_features().fit(X[:5], ["artist 03"] * 5)
    unknown = np.array(y, dtype=object)
    unknown[[7, 9]] = [None, float("nan")]
    with pytest.raises(ValueError, match=r"artists of 2 clips are missing.*row 7"):
        of_features().fit(X, unknown)
    for nobody in ("", " \t", float("nan")):
        names = [nobody, *y[1:]]
        with pytest.raises(ValueError, match=r"artists of 1 clips .*row 0\)"):
            of_features().fit(X, names)
    for mixed in ([1, *y[1:]], np.array([1, *y[1:]], dtype=object)):
        with pytest.raises(TypeError, match="artists in y cannot be compared: 1 is"):
            of_features().fit(X, mixed)
    with pytest.raises(ValueError, match="Unknown label type"):
        of_features().fit(X, X[:, 0])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        of_features().fit(X, y[1:])
    rows, _, names = audio
    with pytest.raises(ValueError, match=r"128 frames or more.*longer context"):
        small(pools=None).fit(rows, names)
