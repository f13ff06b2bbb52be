"""`EncoderEmbedder`: the contract of embedders, for four families of models."""

import pickle
from pathlib import Path

import joblib
import numpy as np
import pytest
import soundfile
import torch
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from userlogfeat import (
    EncoderEmbedder,
    FeatureTable,
    MusicnnEmbedder,
    UserLogEmbedder,
    extract,
)
from userlogfeat.encoders import registry

RATE, SECONDS, N_CLIPS = 16000, 1.4, 3
KINDS = ("wav2vec2", "hubert", "ast", "whisper", "clap")


@pytest.fixture(scope="module")
def waveforms():
    rng = np.random.default_rng(0)
    level = rng.uniform(0.05, 0.3, size=(N_CLIPS, 1))
    return (level * rng.normal(size=(N_CLIPS, round(SECONDS * RATE)))).astype("f4")


@pytest.fixture(scope="module")
def paths(waveforms, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    files = [folder / f"{i}.wav" for i in range(N_CLIPS)]
    for file, waveform in zip(files, waveforms, strict=True):
        soundfile.write(file, waveform, RATE, subtype="FLOAT")
    return files


@pytest.fixture(params=KINDS)
def embedder(request, tiny_models):
    return EncoderEmbedder(tiny_models.names[request.param], layer="all")


@pytest.fixture
def hubert(tiny_models):
    return tiny_models.names["hubert"]


def distance(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def test_the_contract(embedder, paths, waveforms, tmp_path):
    np.random.seed(7)  # noqa: NPY002
    torch.manual_seed(7)
    features = embedder.transform(paths)
    assert features.dtype == np.float32
    assert features.flags.c_contiguous
    assert features.shape == (N_CLIPS, sum(embedder.layer_sizes.values()))
    assert distance(embedder.transform(waveforms), features) < 1e-6
    ragged = [waveforms[0], waveforms[1][: RATE // 2]]
    together = embedder.transform(ragged)
    for row, clip in enumerate(ragged):
        assert distance(embedder.transform([clip])[0], together[row]) < 1e-5
    for again in (clone(embedder), pickle.loads(pickle.dumps(embedder))):
        np.testing.assert_array_equal(again.transform(paths), features)
    joblib.dump(embedder, tmp_path / "embedder")
    frame = joblib.load(tmp_path / "embedder").set_output(transform="pandas")
    assert list(frame.transform(paths).columns) == list(
        embedder.get_feature_names_out()
    )
    assert np.random.randint(2**31) == np.random.RandomState(7).randint(2**31)  # noqa: NPY002
    assert torch.rand(1) == torch.rand(1, generator=torch.Generator().manual_seed(7))


def test_bad_clips_are_named(embedder, waveforms):
    with pytest.raises(ValueError, match="X is empty"):
        embedder.transform([])
    bad = waveforms.copy()
    bad[1, 5] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        embedder.transform(bad)
    with pytest.raises(ValueError, match="reads waveforms, not spectrograms"):
        embedder.transform(np.zeros((2, 40, 200), dtype=np.float32))


def test_very_short_clips(embedder):
    assert np.isfinite(embedder.transform([np.ones(3, "f4"), np.ones(900, "f4")])).all()


def test_layers(hubert, waveforms):
    def transform(**settings):
        return EncoderEmbedder(hubert, **settings).transform(waveforms)

    layers = transform(layer="all").reshape(N_CLIPS, 3, 8)
    np.testing.assert_array_equal(transform(layer=-1), layers[:, 2])
    two = layers[:, [1, 0]].reshape(N_CLIPS, 16)
    np.testing.assert_array_equal(transform(layer=(1, "layer_0")), two)
    np.testing.assert_allclose(transform(layer="mean"), layers.mean(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(transform(), transform(layer="mean"))  # the default
    with pytest.raises(ValueError, match=r"the encoder has 3 layers"):
        transform(layer=3)
    with pytest.raises(ValueError, match=r"Got layer='layer_9', expected one"):
        transform(layer="layer_9")


@pytest.mark.parametrize("layer", [1.0, True, b"layer_1", {"layer_0", "layer_1"}])
def test_layers_have_an_order_and_names(hubert, waveforms, layer):
    """Those of a set came in another order in every process."""
    for embedder in (
        EncoderEmbedder(hubert, layer=layer),
        MusicnnEmbedder(layer=layer),
        UserLogEmbedder(layer=layer),
    ):
        with pytest.raises(ValueError, match=r"expected the name of a layer, or a lis"):
            embedder.transform(waveforms)


def test_pooling(hubert, waveforms):
    frames = EncoderEmbedder(hubert, pooling=None, layer=1).transform(waveforms)
    assert [x.shape[1] for x in frames] == [8] * N_CLIPS
    rows = EncoderEmbedder(hubert, pooling="meanstd", layer=1)
    expected = [np.r_[x.mean(axis=0), x.std(axis=0)] for x in frames]
    assert distance(rows.transform(waveforms), np.array(expected)) < 1e-5
    assert rows.get_feature_names_out()[8] == "layer_1_std_0"
    most = EncoderEmbedder(hubert, pooling="max", layer=1).transform(waveforms)
    assert distance(most, np.array([x.max(axis=0) for x in frames])) < 1e-5


def test_the_cache_encodes_a_file_once(hubert, paths, tmp_path, monkeypatch):
    expected = EncoderEmbedder(hubert, layer="all").transform(paths)
    cached = EncoderEmbedder(hubert, layer="all", cache=tmp_path)
    np.testing.assert_array_equal(cached.transform(paths), expected)
    monkeypatch.setattr(
        "userlogfeat.estimators._clip_reader.read_audio",
        lambda *a, **k: pytest.fail("a file was decoded again"),
    )
    for layer in ("layer_0", -1, "mean", "all", None):
        uncached = expected.reshape(N_CLIPS, 3, 8)
        found = clone(cached).set_params(layer=layer).transform(paths)
        wanted = {"layer_0": uncached[:, 0], -1: uncached[:, 2], "all": expected}
        np.testing.assert_allclose(
            found, wanted.get(layer, uncached.mean(axis=1)), rtol=1e-5, atol=1e-7
        )


def test_fingerprints(hubert, tiny_models):
    settings = [
        EncoderEmbedder(hubert),
        EncoderEmbedder(tiny_models.names["wav2vec2"]),
        EncoderEmbedder(hubert, window=5.0),
        EncoderEmbedder(hubert, window=5.0, hop=4.0),
        EncoderEmbedder(hubert, pooling="max"),
        EncoderEmbedder(hubert, duration=3.0),
    ]
    assert len({embedder.fingerprint for embedder in settings}) == len(settings)
    assert EncoderEmbedder(hubert, layer=1).fingerprint == settings[0].fingerprint


def test_files_into_a_table(hubert, paths, tmp_path):
    embedder = EncoderEmbedder(hubert, layer=("layer_1", "mean"))
    extract([*paths, tmp_path / "no.wav"], tmp_path / "table", embedder=embedder)
    rows = FeatureTable(tmp_path / "table").lookup(
        [str(path) for path in paths], ["layer_1", "mean"]
    )
    found = np.concatenate([rows.layers["layer_1"], rows.layers["mean"]], axis=1)
    np.testing.assert_allclose(found, embedder.transform(paths), rtol=1e-6)


def test_musicnn_is_one_of_them():
    clips = np.random.default_rng(0).normal(size=(2, 5 * RATE)).astype("f4") / 10
    expected = MusicnnEmbedder(patch_hop=0.5).transform(clips)
    np.testing.assert_array_equal(
        EncoderEmbedder("MSD_musicnn", hop=0.5).transform(clips), expected
    )
    with pytest.raises(ValueError, match=r"whose patches are of"):
        EncoderEmbedder("MSD_musicnn", window=5.0).transform(clips)


def test_an_encoder_named_by_its_path_is_named(hubert, tmp_path):
    folder = hubert.partition(":")[2]
    for name in (folder, Path(folder)):
        with pytest.raises(ValueError, match=f"is named as 'hf:{folder}'"):
            EncoderEmbedder(name).fit([])
    (tmp_path / "a.onnx").touch()
    with pytest.raises(ValueError, match=r"is named as 'onnx:.*a.onnx'"):
        EncoderEmbedder(str(tmp_path / "a.onnx")).fit([])
    for name in ("hf", "onnx", "torchaudio"):
        with pytest.raises(ValueError, match=f"encoder='{name}', expected one of"):
            EncoderEmbedder(name).fit([])
    with pytest.raises(ValueError, match="'' is neither a folder here"):
        EncoderEmbedder("hf:").fit([])


def test_an_unknown_encoder_is_named():
    with pytest.raises(ValueError, match=r"expected one of MSD_musicnn, .*hf:"):
        EncoderEmbedder("MERT").fit(["a.wav"])
    assert "hf:" in registry.FACTORIES


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:Skipping check")
@pytest.mark.filterwarnings("ignore:No clip of X changes its sign")
@pytest.mark.filterwarnings("ignore:Waveform .* where full scale is 1")
def test_scikit_learns_checks(hubert):
    reason = "float32 sums differ in the last digits with the place in a batch"
    expected = dict.fromkeys(
        ("check_methods_sample_order_invariance", "check_methods_subset_invariance"),
        reason,
    )
    embedder = EncoderEmbedder(hubert, sample_rate=RATE)
    results = check_estimator(embedder, expected_failed_checks=expected, on_fail=None)
    failed = [r["check_name"] for r in results if r["status"] == "failed"]
    assert failed == []
    assert sum(result["status"] == "passed" for result in results) >= 40
