"""Encoders of torchaudio, of ONNX files, and of objects of one's own."""

import copy
import os
import pickle
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from userlogfeat import (
    AudioError,
    CFRegressor,
    EncoderEmbedder,
    UserLogEmbedder,
    extract,
)
from userlogfeat.encoders import get_encoder, register_encoder, windowed
from userlogfeat.encoders.custom import digest_of

RATE, FRAME = 8000, 80
DATA = {"description": "planted", "licence": "none", "non_commercial": False}


class Levels(torch.nn.Module):
    """Mean and maximum of the absolute values of each frame of 10 ms."""

    sample_rate, layer_sizes, frame_rate = RATE, {"mean": 1, "both": 2}, 100
    min_samples = FRAME

    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(1))
        self.calls = []

    def forward(self, waveforms, lengths):
        assert (lengths == waveforms.shape[1]).all()  # nothing is padded
        self.calls.append(waveforms.shape[0])
        frames = waveforms.unfold(1, FRAME, FRAME).abs() * self.gain
        mean, most = frames.mean(2, keepdim=True), frames.amax(2, keepdim=True)
        return {"mean": mean, "both": torch.cat([mean, most], dim=2)}


def ramp(seconds):
    """Its level at each frame is known: 1, 2, 3, ... thousandths."""
    n = round(seconds * RATE) // FRAME
    sign = np.resize([1, -1], n * FRAME)
    return (sign * np.arange(1, n + 1).repeat(FRAME) / 1000).astype(np.float32)


def test_frames_of_windows_are_those_of_the_whole():
    """Also where neither window nor hop is a whole number of frames."""
    clip = ramp(3.0)
    for window, hop in ((None, None), (1.0, 0.5), (0.517, 0.303), (1.0, 1.0)):
        embedder = EncoderEmbedder(
            Levels(), layer="both", pooling=None, window=window, hop=hop
        )
        frames = embedder.transform([clip])[0]
        np.testing.assert_allclose(frames[:, 0], np.arange(1, 301) / 1000, rtol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "max", "meanstd"])
def test_statistics_of_windows_are_those_of_all_frames(pooling):
    level = np.arange(1, 301) / 1000
    expected = {
        "mean": [level.mean()],
        "max": [0.3],
        "meanstd": [level.mean(), level.std()],
    }
    embedder = EncoderEmbedder(
        Levels(), layer="mean", pooling=pooling, window=0.4, hop=0.25
    )
    found = embedder.transform([ramp(3.0)])
    np.testing.assert_allclose(found, [expected[pooling]], rtol=1e-5)


def test_clips_of_one_length_go_together():
    network = Levels()
    EncoderEmbedder(network).transform([ramp(1.0), ramp(0.5), ramp(1.0), ramp(0.5)])
    assert network.calls == [2, 2]


@pytest.mark.parametrize(
    ("cores", "seconds", "expected"),
    [
        (2, [5] * 9, [8, 1]),  # a thread each, and the next where one is free
        (2, [16] * 3, [1, 1, 1]),  # two would be more than 30 s at once
        (16, [5] * 7, [6, 1]),  # in two or three threads each
        (16, [1] * 64 + [12] * 3, [64, 2, 1]),
        (1, [1, 1], [1, 1]),
    ],
)
def test_passes_at_once(cores, seconds, expected, monkeypatch):
    monkeypatch.setattr(windowed, "n_cores", lambda: cores)
    encoder = get_encoder(Levels())
    passes = [[windowed.Window(0, 0, 0, x * RATE, 0, None)] for x in seconds]
    assert [len(x) for x in encoder._beside(passes, "cpu")] == [1] * len(seconds)
    encoder.runs_beside = True
    assert [len(x) for x in encoder._beside(passes, "cpu")] == expected
    assert [len(x) for x in encoder._beside(passes, "cuda")] == [1] * len(seconds)


def test_a_layer_of_the_name_of_heads():
    """Without a head, "embedding" is the encoder's: a bug asked for a head."""
    network = Levels()
    network.layer_sizes = {"embedding": 1}
    network.forward = lambda x, lengths: {"embedding": x[:, :FRAME, None]}
    found = EncoderEmbedder(network, layer="embedding").transform([ramp(1.0)])
    np.testing.assert_allclose(found, [[0.0]], atol=1e-6)


def test_an_hour_is_pooled_bit_by_bit():
    """No pass reads more than a window, however long the clip is."""
    network = Levels()
    network.sample_rate, network.frame_rate = 800, 10
    longest = []
    network.register_forward_pre_hook(lambda m, x: longest.append(x[0].numel()))
    clip = np.resize(np.array([0.5, -0.5], dtype=np.float32), 800 * 60 * 75)
    embedder = EncoderEmbedder(network, layer="both", pooling="meanstd", window=10.0)
    np.testing.assert_allclose(
        embedder.transform([clip]), [[0.5, 0.5, 0.0, 0.0]], atol=1e-6
    )
    assert max(longest) <= 30 * 800


def test_wrong_answers_of_an_object_are_named():
    network = SimpleNamespace(sample_rate=RATE, layer_sizes={"a": 3})
    with pytest.raises(TypeError, match=r"a call \(waveforms, lengths\)"):
        get_encoder(network)


def frames(waveforms):
    """Three columns of frames of 100 samples."""
    return waveforms.unfold(1, 100, 100)[:, :, :3].contiguous()


ANSWERS = {
    "a row per clip": (
        lambda x: {"a": x[:, 0]},
        r"gave torch.float32 of shape \(1, 3\)",
    ),
    "no frames": (lambda x: {"a": x[:, :0]}, r"shape \(1, 0, 3\).*1 frame or more"),
    "another size": (lambda x: {"a": x[:, :, :2]}, r"shape \(1, 80, 2\)"),
    "another batch": (lambda x: {"a": x.expand(2, -1, -1)}, r"shape \(2, 80, 3\)"),
    "complex": (lambda x: {"a": x + 1j}, "complex64"),
    "lists": (lambda x: {"a": x.tolist()}, "gave list for the layer 'a'"),
    "another name": (lambda x: {"b": x}, r"gave dict of \['b'\], expected a dict"),
    "a tensor": (lambda x: x, "gave Tensor, expected a dict"),
    "NaN": (lambda x: {"a": x * torch.nan}, r"row 0 of X': 3 of 3 values of its layer"),
    "infinity": (lambda x: {"a": x.clamp(min=0).log()}, "Is the clip silent"),
}


class Answer:
    """An encoder whose answer is made of `frames`."""

    sample_rate, layer_sizes, weights_hash = RATE, {"a": 3}, "1"

    def __init__(self, answer=lambda x: {"a": x}, **attributes):
        self.answer = answer
        vars(self).update(attributes)

    def __call__(self, waveforms, lengths):
        return self.answer(frames(waveforms))


@pytest.mark.parametrize("kind", ANSWERS)
def test_other_wrong_answers_are_named(kind):
    answer, fact = ANSWERS[kind]
    with pytest.raises(ValueError, match=fact):
        EncoderEmbedder(Answer(answer)).transform([ramp(1.0)])


@pytest.mark.parametrize("convert", [torch.Tensor.double, torch.Tensor.numpy])
def test_answers_of_other_types_are_read(convert):
    clip = ramp(1.0)
    expected = EncoderEmbedder(Answer()).transform([clip])
    answer = Answer(lambda x: {"a": convert(x)})
    found = EncoderEmbedder(answer).transform([clip])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("attributes", "fact"),
    [
        ({"sample_rate": "16k"}, "Got encoder.sample_rate='16k', expected a positive"),
        ({"sample_rate": 0}, "Got encoder.sample_rate=0"),
        ({"min_samples": 0}, "Got encoder.min_samples=0"),
        ({"frame_rate": 0}, "Got encoder.frame_rate=0"),
        ({"window": -1}, "Got encoder.window=-1"),
        (
            {"layer_sizes": {}},
            "layer_sizes={} of the encoder 'Answer', expected a dict",
        ),
        ({"layer_sizes": ["a"]}, "expected a dict from the name of each"),
        ({"layer_sizes": {"a": "3"}}, "expected a dict from the name of each"),
        ({"layer_sizes": {0: 3}}, "expected a dict from the name of each"),
        ({"default_layer": "b"}, r"default_layer='b'.*'mean' or one of \['a'\]"),
    ],
)
def test_wrong_attributes_of_an_object_are_named(attributes, fact):
    with pytest.raises(ValueError, match=fact):
        get_encoder(Answer(**attributes))


def test_a_frame_rate_that_is_not_kept_is_named():
    """Frames of windows would be joined at wrong places, or be lost."""
    with pytest.raises(ValueError, match=r"gave 20 frames for .* 8 Hz promises about"):
        EncoderEmbedder(Answer(frame_rate=8), window=0.25).transform([ramp(1.0)])


def test_a_clip_whose_features_are_no_numbers_has_a_row(tmp_path):
    """It used to have features, of NaN; one silent clip must not end a long run."""
    clips, paths = [ramp(1.0), 0 * ramp(1.0)], [tmp_path / "a.wav", tmp_path / "b.wav"]
    for path, clip in zip(paths, clips, strict=True):
        soundfile.write(path, clip, RATE, subtype="FLOAT")
    logarithm = Answer(lambda x: {"a": x.abs().sum(1, keepdim=True).log()})
    embedder = EncoderEmbedder(logarithm)
    summary = extract(paths, tmp_path / "table", embedder=embedder)
    assert summary.n_done == 1
    assert summary.failed == {"NonFiniteFeaturesError": 1}
    with pytest.raises(AudioError, match=r"b.wav': 3 of 3 values of its layer 'a'"):
        embedder.transform(paths)
    with pytest.raises(AudioError, match=r"b.wav': 3 of 3 values"):
        CFRegressor(encoder=logarithm).fit(paths, np.eye(2))


def test_weights_of_an_object_are_hashed():
    a, b, other = Levels(), Levels(), Levels()
    other.gain.data += 1
    hashes = [get_encoder(x).weights_hash for x in (a, b, other)]
    assert hashes[0] == hashes[1] != hashes[2]


class Around:
    """An object that is no torch module, around one."""

    sample_rate, layer_sizes = RATE, {"a": 3}

    def __init__(self, stride=100):
        torch.manual_seed(0)
        self.network = torch.nn.Conv1d(1, 3, 100, stride)
        self.names = {"b", "a", "c"}

    def __call__(self, waveforms, lengths):
        return {"a": self.network(waveforms[:, None]).mT}


def test_what_an_object_holds_is_hashed_alike_in_every_process():
    """torch pickles equal modules in other bytes, so caches were never found again."""
    first = get_encoder(Around()).weights_hash
    assert get_encoder(copy.deepcopy(Around())).weights_hash == first
    # A stride is no weight, but it decides the features.
    assert get_encoder(Around(stride=50)).weights_hash != first
    modules = [torch.nn.Conv1d(1, 3, 100, stride) for stride in (50, 100)]
    modules[1].load_state_dict(modules[0].state_dict())
    assert digest_of(modules[0]) != digest_of(modules[1])
    program = f"import {__name__} as here; print(here.digest_of(here.Around()))"
    path = {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == first


def test_a_model_on_an_object_is_found_again_once_that_is_registered(
    onnx_file, tmp_path, monkeypatch
):
    """By a factory of the name alone; a file without metadata has its settings."""
    from userlogfeat.encoders import registry
    from userlogfeat.encoders.onnx import OnnxEncoder

    monkeypatch.setattr(registry, "FACTORIES", registry.FACTORIES.copy())
    clips = [ramp(seconds) for seconds in (0.5, 1.0, 1.5, 2.0)]
    for number, encoder in enumerate(
        (Around(), OnnxEncoder(f"onnx:{onnx_file}", sample_rate=RATE))
    ):
        teacher = CFRegressor(encoder=encoder, alphas=(1.0,), random_state=0)
        expected = teacher.fit(clips, np.eye(4)).predict(clips)
        folder = tmp_path / str(number)
        teacher.save(folder, training_data=DATA)
        register_encoder("Around", lambda name: get_encoder(Around()))
        for again in (CFRegressor.load(folder), UserLogEmbedder(folder, scale=False)):
            again.set_params(layer="embedding")
            np.testing.assert_allclose(again.transform(clips), expected, rtol=1e-5)


def test_an_object_without_a_digest_is_named():
    class Local(Around):
        pass

    embedder = EncoderEmbedder(Local())
    assert embedder.transform([ramp(1.0)]).shape == (1, 3)
    with pytest.raises(ValueError, match=r"cannot be pickled.*give it weights_hash"):
        _ = embedder.fingerprint


@pytest.fixture
def onnx_file(tmp_path):
    """A file with two layers, one with frames of 80 samples: their mean absolute."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    h, kind = onnx.helper, onnx.TensorProto.FLOAT
    shape = onnx.numpy_helper.from_array(np.array([0, -1, FRAME]), "shape")
    axes = onnx.numpy_helper.from_array(np.array([2]), "axes")
    frames_axis = onnx.numpy_helper.from_array(np.array([1]), "frames_axis")
    nodes = [
        h.make_node("Reshape", ["sound", "shape"], ["cut"]),
        h.make_node("Abs", ["cut"], ["absolute"]),
        h.make_node("ReduceMean", ["absolute", "axes"], ["level"], keepdims=1),
        h.make_node("ReduceMax", ["level", "frames_axis"], ["most"], keepdims=0),
    ]
    graph = h.make_graph(
        nodes,
        "levels",
        [h.make_tensor_value_info("sound", kind, ["clips", "samples"])],
        [
            h.make_tensor_value_info("level", kind, ["clips", "frames", 1]),
            h.make_tensor_value_info("most", kind, ["clips", 1]),
        ],
        [shape, axes, frames_axis],
    )
    model = h.make_model(graph, ir_version=8, opset_imports=[h.make_opsetid("", 18)])
    path = tmp_path / "levels.onnx"
    onnx.save_model(model, str(path))
    return path


def test_an_onnx_file_of_others(onnx_file):
    from userlogfeat.encoders.onnx import OnnxEncoder

    with pytest.raises(ValueError, match=r"no sample_rate. Pass OnnxEncoder"):
        get_encoder(f"onnx:{onnx_file}")
    encoder = OnnxEncoder(f"onnx:{onnx_file}", sample_rate=RATE)
    assert encoder.layer_sizes == {"level": 1, "most": 1}
    for again in (encoder, pickle.loads(pickle.dumps(encoder))):
        found = EncoderEmbedder(again, layer="all").transform([ramp(1.0), ramp(0.5)])
        np.testing.assert_allclose(found, [[0.0505, 0.1], [0.0255, 0.05]], rtol=1e-4)


def test_an_onnx_file_with_metadata(onnx_file):
    import onnx

    model = onnx.load(str(onnx_file))
    metadata = {"sample_rate": "8000", "min_samples": "80", "layers": '{"level": 1}'}
    onnx.helper.set_model_props(model, metadata)
    onnx.save_model(model, str(onnx_file))
    encoder = get_encoder(f"onnx:{onnx_file}")
    assert (encoder.sample_rate, encoder.min_samples) == (8000, 80)
    assert encoder.layer_sizes == {"level": 1}
    # Another file of that name is another encoder.
    onnx.helper.set_model_props(model, metadata | {"sample_rate": "4000"})
    onnx.save_model(model, str(onnx_file))
    assert get_encoder(f"onnx:{onnx_file}").sample_rate == 4000


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({"sample_rate": '"16k"'}, "Got encoder.sample_rate='16k'"),
        ({"min_samples": "-1"}, "Got encoder.min_samples=-1"),
        ({"layers": '{"nothing": 1}'}, r"have \['nothing'\], expected some of its"),
        ({"layers": '{"level": 3}'}, r"of shape \(1, 100, 1\) for the layer 'level'"),
        ((1, 8000), r"is tensor\(float\) of shape \[1, 8000\].*dynamic axes"),
        (float, r"is tensor\(double\) of shape"),
    ],
)
def test_onnx_files_of_odd_shapes_and_metadata(onnx_file, change, fact):
    import onnx

    model = onnx.load(str(onnx_file))
    shown = model.graph.input[0].type.tensor_type
    if change is float:
        for part in (model.graph.input, model.graph.output):
            for value in part:
                value.type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    elif isinstance(change, tuple):
        for dimension, n in zip(shown.shape.dim, change, strict=True):
            dimension.dim_value = n
    else:
        metadata = {"sample_rate": "8000", "layers": '{"level": 1}', **change}
        onnx.helper.set_model_props(model, metadata)
    onnx.save_model(model, str(onnx_file))
    encoder = f"onnx:{onnx_file}"
    if not isinstance(change, dict):
        from userlogfeat.encoders.onnx import OnnxEncoder

        with pytest.raises(ValueError, match=fact):
            OnnxEncoder(encoder, sample_rate=RATE)
        return
    with pytest.raises(ValueError, match=fact):
        EncoderEmbedder(encoder).transform([ramp(1.0)])


def test_bad_onnx_files(tmp_path):
    pytest.importorskip("onnxruntime")
    with pytest.raises(ValueError, match="there is no file"):
        get_encoder("onnx:nowhere.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(ValueError, match="onnxruntime cannot load"):
        get_encoder(f"onnx:{tmp_path / 'text.onnx'}")


def test_torchaudio_that_is_absent(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchaudio", None)
    with pytest.raises(ImportError, match=r"'torchaudio:HUBERT_BASE' needs torchaudio"):
        get_encoder("torchaudio:HUBERT_BASE")


def test_a_pipeline_of_torchaudio(monkeypatch):
    """By a stand-in with the interface that its documentation states."""
    asked = []

    class Model(torch.nn.Module):
        def extract_features(self, waveforms, lengths=None, num_layers=None):
            frames = waveforms.unfold(1, 400, 320).mean(2, keepdim=True)
            asked.append(num_layers)
            return [frames, frames.repeat(1, 1, 1) * 2][:num_layers], None

    bundle = SimpleNamespace(sample_rate=16000, get_model=Model)
    package, pipelines = ModuleType("torchaudio"), ModuleType("torchaudio.pipelines")
    package.__version__, package.pipelines, pipelines.TINY = "0", pipelines, bundle
    monkeypatch.setitem(sys.modules, "torchaudio", package)
    monkeypatch.setitem(sys.modules, "torchaudio.pipelines", pipelines)
    clip = np.full(16000, 0.5, dtype=np.float32)
    clip[-1] = -0.5
    found = EncoderEmbedder("torchaudio:TINY", layer=("layer_1", "mean")).transform(
        [clip]
    )
    np.testing.assert_allclose(found, [[0.5, 0.75]], rtol=1e-5)
    EncoderEmbedder("torchaudio:TINY", layer="layer_1").transform([clip])
    assert asked == [None, 2, 1]  # layers behind the last that is wanted do not run

    def fail():
        raise OSError("no server")

    pipelines.FAR = SimpleNamespace(sample_rate=16000, get_model=fail)
    with pytest.raises(ValueError, match=r"torchaudio cannot download \(OSError: no s"):
        get_encoder("torchaudio:FAR")
    with pytest.raises(ValueError, match=r"expected one of torchaudio's pipelines"):
        get_encoder("torchaudio:NONE")
