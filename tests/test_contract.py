"""What every estimator promises: the kinds of X, and scikit-learn's own checks."""

import pickle
from copy import deepcopy
from functools import cache

import joblib
import numpy as np
import pytest
import soundfile
import torch
from sklearn.base import clone, is_classifier
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import check_estimator

from userlogfeat import (
    ArtistEmbedder,
    CFEmbedding,
    CFRegressor,
    KDStudentClassifier,
    KDStudentRegressor,
    LogMel,
    MelStatistics,
    MetricEmbedder,
    MusicnnEmbedder,
    PatchVotingClassifier,
    SharedLatentEmbedder,
    UserLogEmbedder,
    WindowRegressionClassifier,
)

RATE = 16000
N_CLIPS = 4
SECONDS = 4.0


@pytest.fixture(scope="module")
def waveforms():
    """Decaying chords in noise: no two clips alike, none silent."""
    rng = np.random.default_rng(0)
    time = np.arange(round(SECONDS * RATE)) / RATE
    clips = []
    for pitch in rng.uniform(100, 900, N_CLIPS):
        tone = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in (1, 2, 3))
        clips.append(tone * np.exp(-(time % 0.5)) + 0.1 * rng.normal(size=len(time)))
    return (0.2 * np.array(clips)).astype(np.float32)


@pytest.fixture(scope="module")
def paths(waveforms, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    files = [folder / f"{i}.wav" for i in range(N_CLIPS)]
    for file, waveform in zip(files, waveforms, strict=True):
        soundfile.write(file, waveform, RATE, subtype="FLOAT")
    return files


@pytest.fixture(scope="module")
def factors():
    return np.random.default_rng(1).normal(size=(N_CLIPS, 3))


# A network of the paper that trains in a moment.
SMALL = {
    "channels": 8,
    "pools": ((4, 2), (3, 2), (2, 2), (2, 2)),
    "duration": SECONDS,
    "max_epochs": 2,
    "random_state": 0,
}
# Every audio estimator with a row of features per clip, small enough for many passes.
EMBEDDERS = {
    "MusicnnEmbedder": MusicnnEmbedder(),
    "MusicnnEmbedder vgg": MusicnnEmbedder("MTT_vgg", layer="taggram"),
    "UserLogEmbedder": UserLogEmbedder(),
    "CFRegressor": CFRegressor(encoder="MSD_musicnn", random_state=0),
    "CFRegressor se_cnn": CFRegressor("se_cnn", **SMALL),
    "KDStudentRegressor": KDStudentRegressor(**SMALL),
    "MetricEmbedder": MetricEmbedder(
        frontend="musicnn",
        context=1.0,
        duration=SECONDS,
        channels=8,
        pools=(4, 2),
        max_epochs=2,
        random_state=0,
    ),
    "ArtistEmbedder": ArtistEmbedder(
        layer=("context_mean", "embedding"),
        frontend="musicnn",
        context=1.0,
        duration=SECONDS,
        channels=8,
        n_units=8,
        pools=(4, 2),
        max_epochs=2,
        random_state=0,
    ),
    "MelStatistics": MelStatistics("musicnn"),
    "SharedLatentEmbedder": SharedLatentEmbedder(
        8,
        layer=("base", "embedding"),
        frontend="musicnn",
        duration=SECONDS,
        max_epochs=2,
        random_state=0,
    ),
    "KDStudentClassifier": KDStudentClassifier(**SMALL),
    "KDStudentRegressor fix": KDStudentRegressor("lastfm2k-musicnn", "fix", **SMALL),
}
FRONT_ENDS = {
    "CFRegressor se_cnn": "lee2019",
    "KDStudentClassifier": "lee2019",
    "KDStudentRegressor": "lee2019",
}
LABELS = np.array(["this", "that"])[np.arange(N_CLIPS) % 2]
EVERY = {**EMBEDDERS, "LogMel": LogMel("musicnn", duration=SECONDS)}


def learn(estimator, X, factors):
    """Fit on labels where it learns from classes, else on factors."""
    labels = is_classifier(estimator) or isinstance(estimator, SharedLatentEmbedder)
    return estimator.fit(X, LABELS if labels else factors)


@pytest.fixture(scope="module")
def fitted(paths, factors):
    """A function of a name: the estimator, fitted once, a copy for each test."""

    @cache
    def fit(name):
        return learn(clone(EVERY[name]), paths, factors)

    return lambda name: deepcopy(fit(name))


@pytest.fixture(params=EVERY, ids=str)
def every(request, fitted):
    return fitted(request.param)


@pytest.fixture(params=EMBEDDERS, ids=str)
def embedder(request, fitted):
    return fitted(request.param)


def distance(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def test_output_is_float32_rows(every, paths):
    features = every.transform(paths)
    assert features.dtype == np.float32
    assert features.flags.c_contiguous
    assert len(features) == N_CLIPS
    assert np.isfinite(features).all()


def test_paths_are_waveform_rows(every, paths, waveforms):
    assert distance(every.transform(waveforms), every.transform(paths)) < 1e-6
    ragged = [waveforms[0], waveforms[1]]
    assert distance(every.transform(ragged), every.transform(paths[:2])) < 1e-6


@pytest.mark.parametrize("name", EMBEDDERS)
def test_paths_are_log_mel(name, fitted, paths):
    embedder = fitted(name)
    front_end = FRONT_ENDS.get(name, "musicnn")
    log_mel = LogMel(front_end, duration=SECONDS).fit_transform(paths)
    assert distance(embedder.transform(log_mel), embedder.transform(paths)) < 1e-5


def test_alone_is_in_any_batch(every, paths):
    together = every.transform(paths)
    for i, path in enumerate(paths):
        assert distance(every.transform([path])[0], together[i]) < 1e-5
    one = (
        clone(every).set_params(batch_size=1) if hasattr(every, "batch_size") else every
    )
    one.__dict__.update({k: v for k, v in vars(every).items() if k.endswith("_")})
    assert distance(one.transform(paths[::-1])[::-1], together) < 1e-5


def test_pickle_joblib_and_clone(every, paths, factors, tmp_path):
    expected = every.transform(paths)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(every)).transform(paths), expected
    )
    joblib.dump(every, tmp_path / "estimator")
    np.testing.assert_array_equal(
        joblib.load(tmp_path / "estimator").transform(paths), expected
    )
    again = learn(clone(every), paths, factors)
    np.testing.assert_array_equal(again.transform(paths), expected)


def test_names_and_pandas(embedder, paths):
    names = embedder.get_feature_names_out()
    frame = clone(embedder).set_output(transform="pandas")
    frame.__dict__.update({k: v for k, v in vars(embedder).items() if k.endswith("_")})
    frame = frame.transform(paths)
    assert list(frame.columns) == list(names)
    assert len(set(names)) == frame.shape[1]
    np.testing.assert_array_equal(frame.to_numpy(), embedder.transform(paths))


def test_spectrograms_have_no_names():
    assert not hasattr(LogMel("musicnn"), "get_feature_names_out")


def test_the_callers_random_numbers_are_left(every, paths, factors):
    np.random.seed(7)  # noqa: NPY002
    torch.manual_seed(7)
    learn(every, paths, factors).transform(paths)
    assert np.random.randint(2**31) == np.random.RandomState(7).randint(2**31)  # noqa: NPY002
    expected = torch.rand(1, generator=torch.Generator().manual_seed(7))
    assert torch.rand(1) == expected


def test_empty_and_nonfinite(every, waveforms):
    with pytest.raises(ValueError, match="X is empty"):
        every.transform([])
    for value in (np.nan, np.inf):
        bad = waveforms.copy()
        bad[1, 5] = value
        with pytest.raises(ValueError, match=r"NaN|inf"):
            every.transform(bad)
        with pytest.raises(ValueError, match="Waveform 1"):
            every.transform(list(bad))


def test_wrong_bands_and_row_length(embedder, waveforms, factors):
    with pytest.raises(ValueError, match="expected 96 bands"):
        embedder.transform(np.zeros((2, 40, 200), dtype=np.float32))
    learn(embedder, waveforms, factors)
    with pytest.raises(ValueError, match="features"):
        embedder.transform(waveforms[:, :-1])


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("batch_size", 0),
        ("duration", -1.0),
        ("short", "mirror"),
        ("crop", "end"),
        ("precision", "fp8"),
        ("device", "abacus"),
        ("n_jobs", 0),
    ],
)
def test_bad_parameters_are_named(embedder, paths, factors, parameter, value):
    if parameter not in embedder.get_params():
        pytest.skip(f"{type(embedder).__name__} has no parameter {parameter}")
    with pytest.raises(ValueError, match=f"Got {parameter}={value!r}"):
        learn(clone(embedder).set_params(**{parameter: value}), paths, factors)


FOLDS = "weights of 0 leave a row in its fold; rows that are removed shift the folds"
ROUNDING = "float32 sums differ in the last digits with the place in a batch"
BATCHES = "clips of weight 0 are in batches, and in the split; removed ones are not"
MINI_BATCH = {
    "check_sample_weight_equivalence_on_dense_data": BATCHES,
}
# Clips of a few samples, of which the front end makes two frames. Where their rate is
# not stated, so short ones are refused as features.
TINY = {
    "sample_rate": RATE,
    "channels": 8,
    "pools": ((2, 1), (2, 1), (2, 1), (2, 1)),
    "duration": 0.05,
    "max_epochs": 1,
    "random_state": 0,
}
TILED = "a row of two numbers, tiled to fill a clip, is no sound to learn from"
WEIGHTS = {"check_sample_weight_equivalence_on_dense_data": FOLDS}
ORDER = {
    "check_methods_sample_order_invariance": ROUNDING,
    "check_methods_subset_invariance": ROUNDING,
}
# Estimator -> the checks of scikit-learn that it cannot pass, and why.
CHECKED = {
    "ArtistEmbedder": (
        ArtistEmbedder(
            network="mlp",
            hidden=(16,),
            n_units=16,
            max_epochs=3,
            lr=0.1,
            random_state=0,
        ),
        {},
    ),
    "ArtistEmbedder artist": (
        ArtistEmbedder(
            context=0.06,
            duration=0.08,
            sample_rate=RATE,
            channels=8,
            n_units=8,
            pools=(2, 1),
            test_fraction=0,
            max_epochs=1,
            random_state=0,
        ),
        {"check_classifiers_train": TILED},
    ),
    "CFEmbedding": (CFEmbedding(n_factors=2, random_state=0), {}),
    "CFRegressor": (CFRegressor("mlp", random_state=0), WEIGHTS),
    "CFRegressor mlp head": (
        CFRegressor(
            "mlp", head="mlp", hidden=(16,), max_epochs=10, lr=3e-2, random_state=0
        ),
        WEIGHTS,
    ),
    "CFRegressor se_cnn": (
        CFRegressor("se_cnn", **TINY),
        MINI_BATCH | {"check_regressors_train": TILED},
    ),
    "KDStudentClassifier": (
        KDStudentClassifier(
            network="mlp", hidden=(16,), max_epochs=3, lr=5e-2, random_state=0
        ),
        MINI_BATCH,
    ),
    "KDStudentRegressor": (
        KDStudentRegressor(
            network="mlp", hidden=(16,), max_epochs=6, lr=5e-2, random_state=0
        ),
        MINI_BATCH,
    ),
    "KDStudentClassifier se_cnn": (
        KDStudentClassifier(**TINY),
        MINI_BATCH | {"check_classifiers_train": TILED},
    ),
    "LogMel": (LogMel("musicnn", duration=0.05, sample_rate=RATE), {}),
    "MelStatistics": (
        MelStatistics("musicnn", window=2, duration=0.05, sample_rate=RATE),
        {},
    ),
    "MusicnnEmbedder": (MusicnnEmbedder(sample_rate=RATE), ORDER),
    "PatchVotingClassifier": (PatchVotingClassifier(SVC()), {}),
    "SharedLatentEmbedder": (
        SharedLatentEmbedder(
            8,
            frontend="musicnn",
            window=2,
            duration=0.05,
            sample_rate=RATE,
            max_epochs=1,
            random_state=0,
        ),
        {},
    ),
    "SharedLatentEmbedder mlp": (
        SharedLatentEmbedder(8, network="mlp", max_epochs=1, random_state=0),
        {},
    ),
    "UserLogEmbedder": (UserLogEmbedder(layer="embedding", sample_rate=RATE), ORDER),
    "WindowRegressionClassifier": (WindowRegressionClassifier(), {}),
}

# What other rows check as well, only slower: musicnn's network, a student's, the
# training of networks on spectrograms.
LONG = (
    "ArtistEmbedder artist",
    "CFRegressor se_cnn",
    "KDStudentClassifier se_cnn",
    "KDStudentRegressor",
    "MusicnnEmbedder",
)


@pytest.fixture(scope="module")
def tiny_teacher(waveforms, factors, tmp_path_factory):
    """A saved teacher that embeds thirty times as fast as the bundled ones."""
    folder = tmp_path_factory.mktemp("teacher")
    data = {"description": "noise", "licence": "none", "non_commercial": False}
    teacher = CFRegressor("se_cnn", **TINY).fit(waveforms, factors)
    teacher.save(folder, training_data=data)
    return folder


@pytest.mark.filterwarnings("ignore:Skipping check")
@pytest.mark.filterwarnings("ignore:No clip of X changes its sign")
@pytest.mark.filterwarnings("ignore:Waveform .* where full scale is 1")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.long] if name in LONG else [])
        for name in CHECKED
    ],
)
def test_scikit_learns_checks(name, tiny_teacher):
    estimator, expected = CHECKED[name]
    if name == "UserLogEmbedder":
        estimator = clone(estimator).set_params(weights=str(tiny_teacher))
    results = check_estimator(estimator, expected_failed_checks=expected, on_fail=None)
    failed = {
        result["check_name"]: repr(result["exception"])
        for result in results
        if result["status"] == "failed"
    }
    assert failed == {}
    assert sum(result["status"] == "passed" for result in results) >= 40
    for check, reason in expected.items():
        print(f"{name}: {check} is expected to fail: {reason}")
