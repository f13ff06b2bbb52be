"""Models of transformers: against their own pass alone, however they are batched."""

import json
import shutil
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch._subclasses import FakeTensorMode

from userlogfeat import EncoderEmbedder
from userlogfeat.encoders import get_encoder
from userlogfeat.encoders import hugging_face_speed as speed
from userlogfeat.encoders.hugging_face import _load_network
from userlogfeat.encoders.hugging_face_families import Family
from userlogfeat.encoders.hugging_face_speed import FrameConv1d, _find_blocks
from userlogfeat.networks.teacher import FramePool

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning:transformers")
KINDS = ("wav2vec2", "hubert", "ast", "whisper", "clap")
RATE = 16000


@pytest.fixture
def names(tiny_models):
    return tiny_models.names


def noise(seconds, seed=0):
    generator = torch.Generator().manual_seed(seed)
    level = torch.rand(1, generator=generator) + 0.1
    return level * torch.randn(round(seconds * RATE), generator=generator)


def model_card(folder, waveform):
    """Hidden states as the model card of such a model has them: batch 1."""
    from transformers import AutoFeatureExtractor, AutoModel

    model = AutoModel.from_pretrained(folder).eval()
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    inputs = extractor(
        waveform.numpy(), sampling_rate=extractor.sampling_rate, return_tensors="pt"
    )
    part = model.get_encoder() if model.config.is_encoder_decoder else model
    part = getattr(model, "audio_model", part)
    inputs = {k: v for k, v in inputs.items() if k != "is_longer"}
    with torch.inference_mode():
        return part(**inputs, output_hidden_states=True)


@pytest.mark.parametrize("kind", KINDS)
def test_one_window_is_the_loop_of_the_model_card(names, kind):
    encoder = get_encoder(names[kind])
    waveform = noise(0.6)
    expected = model_card(encoder.folder, waveform)
    layers = list(encoder.layer_sizes)
    with torch.inference_mode():
        found = encoder.encode(waveform[None], torch.tensor([len(waveform)]), layers)
    n = int(found.mask.sum())
    if kind == "clap":
        pooled = found.layers["pooled"][0]
        torch.testing.assert_close(pooled, expected.pooler_output, atol=1e-5, rtol=1e-4)
        assert n == 1
        return
    states = expected.hidden_states[-1][0]
    last = found.layers["layer_2"][0]
    if kind == "ast":  # 12 patches of each moment, behind two tokens
        states = states[2:].unflatten(0, (2, 5)).mean(0)
        assert n == 5
        torch.testing.assert_close(
            found.layers["pooled"][0, :1], expected.pooler_output, atol=1e-5, rtol=1e-4
        )
    elif kind == "whisper":
        assert n == 30  # 50 positions a second
    else:
        assert n == len(states)
    torch.testing.assert_close(last, states[:n], atol=1e-5, rtol=1e-4)
    for name, size in encoder.layer_sizes.items():
        assert found.layers[name].shape == (1, n, size)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_each_clip_alone(names, kind):
    """Of lengths that differ little and much, shorter and longer than a window."""
    encoder = get_encoder(names[kind], window=0.5, hop=0.3)
    clips = [noise(seconds, i) for i, seconds in enumerate((0.3, 0.31, 0.45, 1.3, 0.3))]
    layers = list(encoder.layer_sizes)
    with torch.inference_mode():
        padded = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
        lengths = torch.tensor([len(clip) for clip in clips])
        together = encoder.encode(padded, lengths, layers)
        for row, clip in enumerate(clips):
            alone = encoder.encode(clip[None], lengths[row : row + 1], layers)
            for name in layers:
                a, b = together.clips(name)[row], alone.clips(name)[0]
                assert a.shape == b.shape
                assert (a - b).norm() / b.norm() < 1e-4


@pytest.mark.parametrize("kind", ["wav2vec2", "hubert"])
def test_windows_give_the_frames_of_the_whole(names, kind):
    """As many frames, alike where a window had audio around them."""
    clip = noise(8.0)
    whole, cut = (
        get_encoder(names[kind], window=60.0),
        get_encoder(names[kind], window=5.0),
    )
    frames = []
    for encoder in (whole, cut, cut):
        with torch.inference_mode():
            encoding = encoder.encode(
                clip[None], torch.tensor([len(clip)]), ["layer_2"]
            )
        frames.append(encoding.clips("layer_2")[0])
    assert len(frames[0]) == len(frames[1]) == whole.family.n_frames(len(clip))
    assert torch.equal(frames[1], frames[2])  # identical bits twice
    alike = torch.cosine_similarity(frames[0], frames[1], dim=1)
    assert alike.mean() > 0.99
    # Of the whole track, as it is used: 1.2 s and more from the start, pooled.
    start = round(1.2 * whole.frame_rate)
    rows = [x[start:].mean(dim=0) for x in frames[:2]]
    assert torch.cosine_similarity(*rows, dim=0) > 0.997


@pytest.mark.parametrize("kind", KINDS)
def test_the_callers_random_numbers_are_left(names, kind):
    np.random.seed(3)  # noqa: NPY002
    encoder, clip = get_encoder(names[kind]), noise(0.5)
    with torch.inference_mode():
        encoder.encode(clip[None], torch.tensor([len(clip)]), list(encoder.layer_sizes))
    assert np.random.randint(2**31) == np.random.RandomState(3).randint(2**31)  # noqa: NPY002


def test_the_hash_knows_weights_and_settings(names, tiny_models, tmp_path):
    name = names["wav2vec2"]
    first = get_encoder(name).weights_hash
    copy = tmp_path / "copy"
    shutil.copytree(name.partition(":")[2], copy)
    assert get_encoder(f"hf:{copy}").weights_hash == first
    settings = json.loads((copy / "preprocessor_config.json").read_text())
    settings["do_normalize"] = False
    (copy / "preprocessor_config.json").write_text(json.dumps(settings))
    assert get_encoder(f"hf:{copy}").weights_hash != first
    other = tiny_models.save_model("wav2vec2", tmp_path / "other", seed=5)
    assert get_encoder(other).weights_hash != first


def test_what_cannot_be_read_is_said(names, tmp_path):
    with pytest.raises(ValueError, match=r"neither a folder here nor owner/model"):
        get_encoder("hf:./nowhere")
    with pytest.raises(ValueError, match=r"name the commit that you have read"):
        get_encoder("hf-code:owner/model")
    with pytest.raises(ValueError, match=r"has no config.json"):
        get_encoder(f"hf:{tmp_path}")
    with pytest.raises(ValueError, match=r"at most 1 s"):
        get_encoder(names["whisper"], window=2.0)
    with pytest.raises(ValueError, match=r"Pass a hop of at most the window"):
        get_encoder(names["whisper"], window=0.5, hop=0.6)
    with pytest.raises(TypeError, match=r"Got settings .*patch_hop"):
        get_encoder(names["whisper"], patch_hop=1.0)


def test_a_model_of_the_hub_and_its_revision(names, tmp_path, monkeypatch):
    """By a stand-in for the download: its folder is named by the commit, as there."""
    commit, asked = "0123456789" * 4, []
    folder = tmp_path / commit
    shutil.copytree(names["hubert"].partition(":")[2], folder)

    def download(repo, *, revision, allow_patterns):
        if repo != "me/model":
            raise OSError("no such repository\nand more")
        asked.append((repo, revision, "*.py" in allow_patterns))
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    encoder = get_encoder("hf:me/model@v1")
    assert (encoder.name, encoder.revision) == ("hf:me/model@v1", commit)
    assert encoder.weights_hash == get_encoder(names["hubert"]).weights_hash
    get_encoder("hf:me/model")
    get_encoder(f"hf-code:me/model@{commit}")
    assert asked == [
        ("me/model", "v1", False),
        ("me/model", None, False),
        ("me/model", commit, True),
    ]
    with pytest.raises(ValueError, match=r"OSError: no such repository\)\. Is"):
        get_encoder("hf:me/nothing")


def test_code_of_a_repository_does_not_run(names, tmp_path):
    folder = tmp_path / "own"
    shutil.copytree(names["hubert"].partition(":")[2], folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoModel": "evil.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(ValueError, match=r"only if asked for by name"):
        get_encoder(f"hf:{folder}")


def changed_copy(name, folder, file="config.json", **settings):
    """A copy of a model with other settings in one of its files."""
    shutil.copytree(name.partition(":")[2], folder)
    written = json.loads((folder / file).read_text()) | settings
    (folder / file).write_text(json.dumps(written))
    return f"hf:{folder}"


def embed(name):
    return EncoderEmbedder(name, sample_rate=RATE).transform([noise(0.5).numpy()])


@pytest.mark.parametrize("kind", ["ClapAudioModel", "ClapAudioModelWithProjection"])
def test_the_audio_tower_of_clap_alone(names, tmp_path, kind):
    """AutoModel has no class for it, so such a folder could not be loaded."""
    import transformers

    folder = Path(names["clap"].partition(":")[2])
    whole = transformers.ClapModel.from_pretrained(folder)
    tower = getattr(transformers, kind)(whole.config.audio_config)
    inner = getattr(tower, "audio_model", tower)
    inner.load_state_dict(whole.audio_model.state_dict())
    tower.save_pretrained(tmp_path)
    shutil.copy(folder / "preprocessor_config.json", tmp_path)
    expected = EncoderEmbedder(names["clap"], layer=("stage_1", "pooled"))
    found = EncoderEmbedder(f"hf:{tmp_path}", layer=("stage_1", "pooled"))
    clips = [noise(0.5).numpy(), noise(2.3, 1).numpy()]
    np.testing.assert_array_equal(found.transform(clips), expected.transform(clips))
    assert [*get_encoder(f"hf:{tmp_path}").layer_sizes] == [
        "stage_0",
        "stage_1",
        "pooled",
    ]


def test_weights_are_never_drawn(names, tmp_path):
    """Tensors that the file lacked used to be random, anew in every process."""
    more = changed_copy(names["hubert"], tmp_path / "more", num_hidden_layers=3)
    with pytest.raises(ValueError, match=r"lack 16 of the tensors.*layers\.2"):
        embed(more)
    wider = changed_copy(names["hubert"], tmp_path / "wider", intermediate_size=17)
    with pytest.raises(ValueError, match=r"or have them in another shape"):
        embed(wider)
    shutil.copytree(names["hubert"].partition(":")[2], tmp_path / "without")
    file = tmp_path / "without" / "model.safetensors"
    weights = load_file(file)
    weights.pop("masked_spec_embed")  # of training alone
    save_file({f"hubert.{name}": x for name, x in weights.items()}, file)
    of_a_head = {**load_file(file), "lm_head.bias": torch.zeros(3)}
    save_file(of_a_head, file, {"format": "pt"})
    found = embed(f"hf:{tmp_path / 'without'}")
    np.testing.assert_array_equal(found, embed(names["hubert"]))


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
@pytest.mark.parametrize(
    ("file", "fact"),
    [
        ("config.json", "has no config.json that transformers can read"),
        ("preprocessor_config.json", "has no preprocessor_config.json that"),
        ("model.safetensors", "cannot load the model in"),
    ],
)
def test_files_cut_short_are_named(names, tmp_path, file, fact, share):
    shutil.copytree(names["hubert"].partition(":")[2], tmp_path / "cut")
    path = tmp_path / "cut" / file
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match=fact):
        embed(f"hf:{tmp_path / 'cut'}")


@pytest.mark.parametrize(
    ("kind", "file", "settings", "fact"),
    [
        ("hubert", "preprocessor", {"sampling_rate": 0}, "sampling_rate=0, expected"),
        ("hubert", "preprocessor", {"sampling_rate": None}, "sampling_rate=None"),
        ("ast", "preprocessor", {"max_length": 99}, "max_length=99 beside a"),
        ("ast", "preprocessor", {"num_mel_bins": 16}, "num_mel_bins=16 beside a"),
        ("whisper", "preprocessor", {"feature_size": 8}, "feature_size=8 beside a"),
        ("whisper", "preprocessor", {"chunk_length": 2}, "of a model that reads 100"),
        ("clap", "preprocessor", {"feature_size": 8}, "they are of two models"),
        ("hubert", "", {"model_type": "nothing"}, "no config.json that transformers"),
        ("hubert", "", {"conv_stride": [5]}, "no config.json that transformers"),
        ("hubert", "", {"model_type": "m", "auto_map": {"AutoConfig": "a.B"}}, "by na"),
    ],
)
def test_settings_that_do_not_fit_are_named(
    names, tmp_path, kind, file, settings, fact
):
    file = f"{file}_config.json".lstrip("_")
    name = changed_copy(names[kind], tmp_path / "copy", file, **settings)
    with pytest.raises(ValueError, match=fact):
        get_encoder(name)


def test_loading_prints_nothing(names, tmp_path, capfd):
    """A bar and a report of transformers used to be there with `--quiet` as well."""
    fewer = changed_copy(names["hubert"], tmp_path / "fewer", num_hidden_layers=1)
    embed(fewer)
    assert capfd.readouterr() == ("", "")


def test_pickles_are_not_read(names, tmp_path):
    folder = tmp_path / "pickled"
    shutil.copytree(names["hubert"].partition(":")[2], folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"only pytorch_model.bin, which is a pickle"):
        _ = get_encoder(f"hf:{folder}").weights_hash


def test_other_families_are_named(names, tmp_path):
    folder = tmp_path / "bert"
    shutil.copytree(names["hubert"].partition(":")[2], folder)
    config = {"model_type": "bert", "hidden_size": 8}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"a model of type 'bert', expected one that"):
        get_encoder(f"hf:{folder}")


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("channels", "taps", "stride"), [(1, 10, 5), (3, 3, 2), (3, 2, 2), (3, 3, 1)]
)
def test_a_convolution_as_products(channels, taps, stride, bias):
    convolution = torch.nn.Conv1d(channels, 4, taps, stride, bias=bias)
    with torch.inference_mode():
        for n_samples in range(taps, taps + 2 * stride + 1):
            x = torch.randn(2, channels, n_samples)
            found = FrameConv1d(convolution)(x)
            torch.testing.assert_close(found, convolution(x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_blocks_behind_the_last_layer_do_not_run(names, kind, precision):
    encoder, clips = get_encoder(names[kind]), torch.stack([noise(0.5), noise(0.5, 1)])
    lengths = torch.tensor([8000, 7000])
    numbered = [name for name in encoder.layer_sizes if "_" in name]
    with torch.inference_mode():
        every = encoder.encode(clips, lengths, numbered, precision).layers
        network = _load_network(
            encoder.folder, False, encoder._files(), "cpu", precision
        )
        blocks, ran = list(_find_blocks(network)), []
        hooks = [
            block.register_forward_hook(lambda *_, i=i: ran.append(i))
            for i, block in enumerate(blocks)
        ]
        for i, name in enumerate(numbered):
            ran.clear()
            found = encoder.encode(clips, lengths, [name], precision).layers[name]
            torch.testing.assert_close(found, every[name], atol=1e-6, rtol=1e-6)
            assert set(ran) == set(range(i))
    for hook in hooks:
        hook.remove()
    assert len(blocks) == 2


def test_blocks_of_short_products_run_in_one_thread(names, monkeypatch):
    """In bf16; a product of the widest layer is 8 x 32 of each frame."""
    encoder, clip, seconds = get_encoder(names["hubert"]), noise(0.5)[None], []
    monkeypatch.setattr(
        speed, "limit_torch", lambda n: seconds.append(n) or ExitStack()
    )
    monkeypatch.setattr(speed, "n_threads_for", lambda seconds: seconds)
    n_frames = encoder.family.n_frames(8000)
    for precision in ("fp32", "bf16"):
        with torch.inference_mode():
            encoder.encode(clip, torch.tensor([8000]), ["layer_1"], precision)
    assert seconds == [pytest.approx(2 * n_frames * 8 * 32 / 3e11)]


@pytest.mark.parametrize("kind", KINDS)
def test_bf16_is_the_pass_in_autocast(names, kind):
    encoder, clips = get_encoder(names[kind]), torch.stack([noise(0.5), noise(0.5, 1)])
    layers, lengths = list(encoder.layer_sizes), torch.tensor([8000, 8000])
    with torch.inference_mode():
        exact, found = (
            encoder.encode(clips, lengths, layers, precision).layers
            for precision in ("fp32", "bf16")
        )
    for name, x in found.items():
        assert x.dtype == torch.float32
        assert 0 < (x - exact[name]).norm() / exact[name].norm() < 0.03


@pytest.mark.long
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_on_another_device_than_the_network(names, kind, precision):
    """On tensors of a GPU without values, which check devices and types."""
    from transformers import AutoModel

    family = get_encoder(names[kind]).family
    inputs, lengths = family.prepare([noise(0.5), noise(0.45, 1)])
    network = AutoModel.from_config(family.config).eval()
    network = speed.speed_up(network, "cuda", precision)
    with FakeTensorMode(), torch.no_grad():
        for part in network.modules():
            for held in (part._parameters, part._buffers):
                for name, x in held.items():
                    if x is not None:
                        held[name] = torch.empty(x.shape, dtype=x.dtype, device="cuda")
        x = torch.empty(inputs.shape, device="cuda")
        # torch.autocast does nothing where there is no GPU.
        torch.set_autocast_dtype("cuda", torch.bfloat16)
        torch.set_autocast_enabled("cuda", precision == "bf16")
        try:
            for layers in (tuple(family.layer_sizes), tuple(family.layer_sizes)[:1]):
                found = family.forward(network, x, lengths, layers)
                assert {x.device.type for x in found.values()} == {"cuda"}
        finally:
            torch.set_autocast_enabled("cuda", False)
            torch.clear_autocast_cache()
    pool = FramePool({"max", "meanstd"})
    pool.add(next(iter(found.values()))[0].float())
    assert pool.pool("meanstd").device.type == "cuda"


def test_another_folder_of_that_name_is_another_encoder(tiny_models, tmp_path):
    """The first folder's layers used to be served with the second one's weights."""
    folder, clip = tmp_path / "model", noise(0.5)[None]
    name = tiny_models.save_model("hubert", folder)
    lengths = torch.tensor([8000])
    first = get_encoder(name)
    before = first.encode(clip, lengths, ["layer_1"]).layers["layer_1"]
    shutil.rmtree(folder)
    tiny_models.save_model("ast", folder)
    assert "pooled" in get_encoder(name).layer_sizes
    # What is in use stays what it was, or says so.
    after = first.encode(clip, lengths, ["layer_1"]).layers["layer_1"]
    assert torch.equal(before, after)
    _load_network.cache_clear()
    with pytest.raises(ValueError, match=r"was replaced or removed.*an encoder by"):
        first.encode(clip, lengths, ["layer_1"])


def test_a_name_is_read_in_the_folder_of_its_moment(names, tmp_path, monkeypatch):
    for place, kind in (("a", "hubert"), ("b", "whisper")):
        shutil.copytree(names[kind].partition(":")[2], tmp_path / place / "model")
        monkeypatch.chdir(tmp_path / place)
        assert get_encoder("hf:./model").folder == str(tmp_path / place / "model")


def test_spectrograms_are_the_extractor_s(names):
    family = get_encoder(names["ast"]).family
    clips = [noise(0.3), noise(1.0, 1), torch.zeros(4800)]  # the second is cut
    found, _ = family.prepare(clips)
    expected, _ = Family.prepare(family, clips)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
