"""Exported models: onnxruntime gives torch's layers, for every class of models."""

import json
import re
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile
import torch
from scipy.sparse import csr_array

from userlogfeat import (
    ArtistEmbedder,
    CFRegressor,
    KDStudentClassifier,
    KDStudentRegressor,
    MetricEmbedder,
    MusicnnEmbedder,
    OnnxEmbedder,
    SharedLatentEmbedder,
    UserLogEmbedder,
    extract,
    load_model,
)
from userlogfeat._onnx import read_onnx
from userlogfeat.export import export_onnx
from userlogfeat.export import onnx as exporter
from userlogfeat.export.graph import Graph
from userlogfeat.frontends import FrontEnd

DATA = {"description": "planted", "licence": "CC0", "non_commercial": False}
RATE = 8000
SMALL = FrontEnd(sample_rate=RATE, n_fft=256, hop=100, n_bands=16)
ODD = FrontEnd(
    sample_rate=RATE, n_fft=256, hop=64, n_bands=16, power=1, base="e", drop_last=True
)
ONCE = {"max_epochs": 1, "random_state": 0}
SECOND = {**ONCE, "duration": 1.0, "frontend": SMALL}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, RATE)).astype(np.float32) / 5
FEATURES = RNG.normal(size=(20, 5)).astype(np.float32)


def liked(n_clips, n_users=3):
    return csr_array(np.where(np.arange(n_clips * n_users) % 2, 1, -1).reshape(-1, 3))


def se_cnn(**more):
    pools = ((2, 2), (2, 3))
    estimator = CFRegressor(channels=5, pools=pools, **SECOND, **more)
    return estimator.fit(X, RNG.normal(size=(8, 3)))


def metric():
    return MetricEmbedder(
        "lookup", frontend=SMALL, context=0.4, pools=(4, 2), channels=6, **ONCE
    ).fit(X, liked(8))


def artist():
    return ArtistEmbedder(
        frontend=ODD, n_components=2, pools=(4, 2), channels=6, n_units=7, **ONCE
    ).fit(X, np.arange(8) % 4)


def shared(**more):
    return SharedLatentEmbedder(
        3, frontend=ODD, window=12, max_epochs=2, random_state=0, **more
    ).fit(X, np.array(["low", "high"] * 4))


def student(kind, y):
    return kind(network="se_cnn", pools=((2, 2), (2, 3)), channels=4, **SECOND).fit(
        X, y
    )


MODELS = {
    "se_cnn": se_cnn,
    "metric": metric,
    "artist": artist,
    "shared": shared,
    "shared, overlapping windows": lambda: shared(window_hop=5, pooling="meanstd"),
    "student": lambda: student(KDStudentClassifier, np.array(list("aabbccab"))),
    "regressor": lambda: student(KDStudentRegressor, 5 + 3 * RNG.normal(size=(8, 2))),
}


def relative(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("name", MODELS)
def test_every_layer_is_that_of_torch(name, tmp_path):
    MODELS[name]().save(tmp_path / "model", training_data=DATA)
    saved = load_model(tmp_path / "model")
    model = read_onnx(export_onnx(saved, tmp_path / "model.onnx"), "cpu")
    layers = tuple(model.layer_sizes)
    assert set(saved.layer_sizes) <= set(layers)
    # Other lengths and numbers of clips than in the check of the export.
    for n_clips, n_samples in ((1, saved.network.min_samples), (3, 27001)):
        clips = RNG.normal(size=(n_clips, n_samples)).astype(np.float32) / 9
        expected = exporter.torch_layers(saved, clips, layers)
        found = model.run(list(clips), layers)
        for layer in layers:
            rows = np.stack([clip[layer] for clip in found])
            assert relative(rows, expected[layer]) < 1e-4, layer


def test_a_student_s_output_is_what_it_predicts(tmp_path):
    fitted = MODELS["student"]()
    fitted.save(tmp_path / "a", training_data=DATA)
    embedder = OnnxEmbedder(
        export_onnx(tmp_path / "a", tmp_path / "a.onnx"), layer="output"
    )
    np.testing.assert_allclose(
        embedder.transform(X), fitted.predict_proba(X), atol=1e-5
    )
    assert embedder.classes == {"output": ["a", "b", "c"]}
    assert [*embedder.get_feature_names_out()] == ["output_a", "output_b", "output_c"]
    fitted = MODELS["regressor"]()
    fitted.save(tmp_path / "b", training_data=DATA)
    embedder = OnnxEmbedder(
        export_onnx(tmp_path / "b", tmp_path / "b.onnx"), layer="output"
    )
    np.testing.assert_allclose(embedder.transform(X), fitted.predict(X), rtol=1e-4)


def test_heads_on_features(tmp_path):
    teacher = CFRegressor("mlp", random_state=0)
    teacher.fit(FEATURES, RNG.normal(size=(20, 3)))
    teacher.save(tmp_path / "mlp", training_data=DATA)
    embedder = OnnxEmbedder(export_onnx(tmp_path / "mlp", tmp_path / "mlp.onnx"))
    embedder.set_params(scale=False).fit(FEATURES)
    np.testing.assert_allclose(
        embedder.transform(FEATURES), teacher.predict(FEATURES), atol=1e-5
    )
    with pytest.raises(ValueError, match="reads 5 precomputed"):
        embedder.fit(FEATURES[:, :4])


def test_spectrograms_of_other_makings(tmp_path):
    log_mels = RNG.normal(size=(6, 16, 40)).astype(np.float32)
    teacher = CFRegressor(channels=4, pools=((2, 2),), **ONCE)
    teacher.fit(log_mels, RNG.normal(size=(6, 3)))
    teacher.save(tmp_path / "own", training_data=DATA)
    embedder = OnnxEmbedder(export_onnx(tmp_path / "own", tmp_path / "own.onnx"))
    embedder.set_params(scale=False)
    np.testing.assert_allclose(
        embedder.fit(log_mels).transform(log_mels), teacher.predict(log_mels), atol=1e-5
    )
    with pytest.raises(ValueError, match="reads log_mel"):
        embedder.transform(X)


@pytest.fixture(scope="module")
def bundled(musicnn, tmp_path_factory):
    """Its head reads two layers of the encoder."""
    return export_onnx("lastfm-mpd-musicnn", tmp_path_factory.mktemp("onnx") / "m.onnx")


@pytest.fixture(scope="module")
def clips():
    """1 to 20 s: a part of a patch, and more than a block of patches."""
    lengths = (16000, 48000, 90000, 320000)
    return [RNG.normal(size=n).astype(np.float32) / 7 for n in lengths]


def test_the_bundled_model(bundled, clips):
    embedder = OnnxEmbedder(bundled).fit(clips)
    found, expected = embedder.transform(clips), UserLogEmbedder().transform(clips)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    for row, reference in zip(found, expected, strict=True):
        assert relative(row, reference) < 1e-4
    alone = np.concatenate([embedder.transform([clip]) for clip in clips])
    np.testing.assert_allclose(found, alone, rtol=1e-5, atol=1e-6)
    frame = embedder.set_output(transform="pandas").transform(clips)
    assert [*frame.columns] == [*UserLogEmbedder().get_feature_names_out()]


@pytest.mark.parametrize("name", ["MTT_musicnn", "MSD_vgg"])
def test_plain_networks(name, musicnn, clips, tmp_path):
    embedder = OnnxEmbedder(export_onnx(name, tmp_path / "m.onnx"))
    layers = tuple(embedder._load_network().layer_sizes)
    found = embedder.set_params(layer=layers, scale=False).transform(clips[1:3])
    expected = MusicnnEmbedder(name, layer=layers).transform(clips[1:3])
    assert relative(found, expected) < 1e-4
    assert embedder.classes["taggram"][0] in ("guitar", "rock")


def test_files_as_rows_and_a_cache(bundled, clips, tmp_path):
    paths = [str(tmp_path / f"{i}.wav") for i in range(2)]
    for path, clip in zip(paths, clips[1:3], strict=True):
        soundfile.write(path, clip, 16000, subtype="FLOAT")
    embedder = OnnxEmbedder(bundled, cache=tmp_path / "cache", layer="embedding")
    found = embedder.transform(paths)
    np.testing.assert_allclose(found, embedder.transform(clips[1:3]), rtol=1e-5)
    calls = []
    embedder.iter_features = lambda *args, **kwargs: calls.append(args)
    np.testing.assert_array_equal(embedder.transform(paths[::-1]), found[::-1])
    assert not calls
    summary = extract(paths, tmp_path / "table", embedder=OnnxEmbedder(bundled))
    assert summary.n_done == 2


def test_the_file_is_an_encoder(bundled, clips):
    """With the embedding as its default layer, which is not the last one of others."""
    from userlogfeat import EncoderEmbedder

    found = EncoderEmbedder(f"onnx:{bundled}").transform(clips)
    expected = OnnxEmbedder(bundled, layer="embedding", scale=False).transform(clips)
    assert relative(found, expected) < 1e-5
    plain = EncoderEmbedder(f"onnx:{export_onnx('MSD_musicnn', bundled.parent / 'p')}")
    assert plain.layer_sizes == {"max_pool": 753}


def test_what_the_file_says(bundled):
    model = onnx.load(bundled)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 18)]
    metadata = {p.key: json.loads(p.value) for p in model.metadata_props}
    documented = re.findall(r"^(\w+)  +\w", exporter.__doc__, re.MULTILINE)
    assert metadata.keys() == set(documented)
    saved = load_model("lastfm-mpd-musicnn")
    assert metadata["layers"] == saved.layer_sizes
    assert metadata["scales"] == saved.layer_scales
    assert metadata["fingerprint"] == saved.fingerprint
    assert metadata["sample_rate"] == 16000
    assert metadata["min_samples"] == 186 * 256
    assert metadata["licence"] == saved.config["training_data"]["licence"]
    assert metadata["classes"]["taggram"][0] == "rock"
    assert {"torch", "onnx", "onnxruntime"} <= metadata["versions"].keys()


NO_TORCH = """
import sys
class Refuse:
    def find_spec(self, name, *rest):
        if name.partition(".")[0] in ("torch", "onnx"):
            raise ModuleNotFoundError("blocked: " + name, name=name)
sys.meta_path.insert(0, Refuse())
"""


def test_no_torch_is_needed(bundled, clips, tmp_path):
    soundfile.write(tmp_path / "a.wav", clips[1], 16000)
    path, folder = str(tmp_path / "a.wav"), str(tmp_path / "t")
    script = f"""{NO_TORCH}
import numpy as np
from userlogfeat import FeatureLookup, OnnxEmbedder
from userlogfeat.cli import app
arguments = ["extract", {path!r}, "-o", {folder!r}]
try:
    app([*arguments, "--weights", {str(bundled)!r}, "--quiet"])
except SystemExit as end:
    assert not end.code, end.code
found = OnnxEmbedder({str(bundled)!r}).fit_transform([{path!r}])
table = FeatureLookup({folder!r}, layer=("max_pool", "embedding"))
table = table.fit([{path!r}])
looked_up = table.transform([{path!r}])
np.testing.assert_allclose(looked_up, found, rtol=1e-5)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


@pytest.mark.parametrize(
    ("precision", "size", "least", "most"),
    [("fp16", 0.55, 1e-5, 0.01), ("int8", 0.33, 1e-4, 0.08)],
)
def test_smaller_files_are_near(bundled, clips, tmp_path, precision, size, least, most):
    """In int8 the embedding was off by a third: a scale did not suit its inputs."""
    path = export_onnx("lastfm-mpd-musicnn", tmp_path / "s.onnx", precision=precision)
    assert path.stat().st_size < size * bundled.stat().st_size
    layers = {"layer": ("max_pool", "embedding"), "scale": False}
    found, expected = (  # noise: the worst
        OnnxEmbedder(f, **layers).transform(clips[1:2]) for f in (path, bundled)
    )
    for columns in (slice(753), slice(753, None)):
        assert least < relative(found[:, columns], expected[:, columns]) < most


def test_int8_keeps_small_weights_of_large_inputs():
    """A matrix whose inputs differ in size by a thousand; filters beside it."""
    graph = Graph(precision="int8")
    sizes = np.geomspace(1e-3, 1, 40)
    weight = RNG.normal(size=(40, 30)) * sizes[:, None]
    filters = RNG.normal(size=(9, 5, 7)) * np.geomspace(1, 100, 9)[:, None, None]
    inputs = {"x": ["n", 40], "y": ["n", 5, 9]}
    outputs = {
        "z": (graph("MatMul", "x", torch.tensor(weight).float()), ["n", 30]),
        "f": (graph("Conv", "y", torch.tensor(filters).float()), ["n", 9, 3]),
    }
    for _ in range(2):  # stored and unpacked once
        graph("MatMul", "x", torch.tensor(weight).float())
    assert [node.op_type for node in graph.nodes].count("DequantizeLinear") == 2
    model = graph.model(inputs, outputs, {})
    session = onnxruntime.InferenceSession(model.SerializeToString())
    x, y = RNG.normal(size=(50, 40)) / sizes, RNG.normal(size=(50, 5, 9))
    z, f = session.run(None, {"x": x.astype(np.float32), "y": y.astype(np.float32)})
    assert relative(z, x @ weight) < 0.01
    expected = torch.nn.functional.conv1d(torch.tensor(y), torch.tensor(filters))
    for found, exact in zip(f.swapaxes(0, 1), expected.swapaxes(0, 1), strict=True):
        assert relative(found, exact.numpy()) < 0.02


def test_weights_too_large_for_half_precision_stay():
    graph = Graph(precision="fp16")
    names = [graph.constant(torch.full((20, 20), value)) for value in (1.5, 1e5)]
    assert [name.partition("_")[0] for name in names] == ["cast", "constant"]


def test_a_wrong_export_is_not_written(tmp_path, monkeypatch):
    teacher = CFRegressor("mlp", random_state=0)
    teacher.fit(FEATURES, RNG.normal(size=(20, 3)))
    teacher.save(tmp_path / "mlp", training_data=DATA)
    (tmp_path / "m.onnx").write_text("an older file")
    monkeypatch.setattr(
        exporter, "torch_layers", lambda *args: {"embedding": np.ones((2, 3))}
    )
    with pytest.raises(RuntimeError, match="another 'embedding' than torch"):
        export_onnx(tmp_path / "mlp", tmp_path / "m.onnx")
    assert [p.name for p in tmp_path.glob("*.onnx")] == ["m.onnx"]
    assert (tmp_path / "m.onnx").read_text() == "an older file"


def test_what_cannot_be_exported(tmp_path):
    class Own(torch.nn.Module):
        def __init__(self, shape, n_units, n_outputs):
            super().__init__()
            self.linear = torch.nn.Linear(shape[0], n_units)

        def penultimate(self, x):
            return self.linear(x.mean(2))

        def output(self, h):
            return h

    teacher = CFRegressor(Own, **SECOND).fit(X, RNG.normal(size=(8, 3)))
    teacher.save(tmp_path / "own", training_data=DATA)
    saved = load_model(tmp_path / "own", network=Own)
    with pytest.raises(
        ValueError, match=r"class Own, which is your own and has no ONNX form"
    ):
        export_onnx(saved, tmp_path / "own.onnx")
    with pytest.raises(IsADirectoryError, match="expected a file to write"):
        export_onnx(saved, tmp_path)


def test_an_encoder_of_others_cannot_be_exported(tiny_models, tmp_path):
    """The message used to be about spectrograms that nobody had passed."""
    teacher = CFRegressor(encoder=tiny_models.names["hubert"], alphas=(1.0,))
    teacher.fit(X, RNG.normal(size=(8, 3))).save(tmp_path / "m", training_data=DATA)
    with pytest.raises(ValueError, match=r"The encoder 'hf:.*has no ONNX form here"):
        export_onnx(tmp_path / "m", tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


def test_foreign_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="userlogfeat export MODEL"):
        OnnxEmbedder(tmp_path / "none.onnx").fit(X)
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(ValueError, match=r"is no ONNX file that onnxruntime"):
        OnnxEmbedder(tmp_path / "text.onnx").fit(X)
    graph = Graph()
    value = graph("Relu", "x")
    foreign = graph.model({"x": [1]}, {"y": (value, [1])}, {"format": '"mine"'})
    onnx.save(foreign, tmp_path / "foreign.onnx")
    with pytest.raises(ValueError, match="format 'mine', expected 'userlogfeat onnx"):
        OnnxEmbedder(tmp_path / "foreign.onnx").fit(X)
