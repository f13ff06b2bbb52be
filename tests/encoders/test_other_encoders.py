"""Encoders of torchaudio, of ONNX files, and of objects of one's own."""

import pickle
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from userlogfeat import EncoderEmbedder
from userlogfeat.encoders import get_encoder, windowed

RATE, FRAME = 8000, 80


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

    def call(waveforms, lengths):
        return {"a": torch.zeros(len(lengths), 3)}

    call.sample_rate, call.layer_sizes = RATE, {"a": 3}
    with pytest.raises(ValueError, match=r"gave shape \(1, 3\) for the layer 'a'"):
        EncoderEmbedder(call).transform([ramp(1.0)])


def test_weights_of_an_object_are_hashed():
    a, b, other = Levels(), Levels(), Levels()
    other.gain.data += 1
    hashes = [get_encoder(x).weights_hash for x in (a, b, other)]
    assert hashes[0] == hashes[1] != hashes[2]


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
    with pytest.raises(ValueError, match=r"expected one of torchaudio's pipelines"):
        get_encoder("torchaudio:NONE")
