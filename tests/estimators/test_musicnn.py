"""MusicnnEmbedder: what comes out for audio in, and parity with the original."""

import pickle

import numpy as np
import pytest
import soundfile as sf

from userlogfeat import MusicnnEmbedder
from userlogfeat.encoders.musicnn import load_network, metadata
from userlogfeat.encoders.musicnn_fast import Musicnn

pytestmark = pytest.mark.usefixtures("musicnn")

RATE = 16000
CLIPS = (
    "classical.00005",
    "metal.00003",
    "joram-moments_of_clarity-08-solipsism-59-88",
)


@pytest.fixture(scope="module")
def clips():
    """Three noises with a tone: 5 s (three patches), 3 s (one), 7 s (five)."""
    rng = np.random.default_rng(0)
    return [
        (
            0.1 * rng.normal(size=n * RATE) + 0.3 * np.sin(np.arange(n * RATE) / n)
        ).astype("f4")
        for n in (5, 3, 7)
    ]


def distance(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def test_patches_and_their_poolings(clips):
    def encode(pooling):
        embedder = MusicnnEmbedder(layer=("taggram", "cnn1"), pooling=pooling)
        return embedder.fit_transform(clips)

    # 5 s are 313 frames of 16 ms: patches of 187 at 0, 61 and 122.
    patches = encode(None)
    assert [x.shape for x in patches] == [(3, 114), (1, 114), (5, 114)]
    assert distance(encode("mean"), [x.mean(0) for x in patches]) < 1e-5
    assert distance(encode("max"), [x.max(0) for x in patches]) < 1e-5
    both = encode("meanstd")
    assert both.shape == (3, 228)
    expected = [
        np.concatenate([f(x[:, part], axis=0) for part in parts for f in statistics])
        for x in patches
        for parts, statistics in [
            ((slice(0, 50), slice(50, 114)), (np.mean, np.std)),
        ]
    ]
    assert distance(both, expected) < 1e-5
    assert np.abs(both[1, 50:100]).max() == 0  # one patch does not deviate
    assert both.dtype == np.float32


def test_names_and_sizes():
    embedder = MusicnnEmbedder(layer=("taggram", "cnn1"))
    names = embedder.get_feature_names_out()
    assert [*names[:2], *names[49:51]] == [
        "taggram_0",
        "taggram_1",
        "taggram_49",
        "cnn1_0",
    ]
    assert embedder.layer_sizes == {"taggram": 50, "cnn1": 64}
    embedder.set_params(pooling="meanstd", layer="max_pool")
    names = embedder.get_feature_names_out()
    assert (names[0], names[753], names[-1]) == (
        "max_pool_mean_0",
        "max_pool_std_0",
        "max_pool_std_752",
    )
    assert embedder.layer_sizes == {"max_pool": 1506}
    embedder.set_params(pooling=None)
    assert not hasattr(embedder, "get_feature_names_out")
    with pytest.raises(ValueError, match="With pooling=None a clip has as many rows"):
        _ = embedder.layer_sizes


def test_tags_of_the_training_set():
    assert MusicnnEmbedder("MSD_vgg").tags[:2] == ["rock", "pop"]
    assert MusicnnEmbedder("MTT_musicnn").tags[:2] == ["guitar", "classical"]


def test_files_waveforms_and_spectrograms_agree(clips, tmp_path):
    embedder = MusicnnEmbedder(duration=3.0, crop="start")
    waveforms = [clip[: 3 * RATE] for clip in clips]
    paths = [tmp_path / f"{i}.wav" for i in range(3)]
    for path, clip in zip(paths, clips, strict=True):
        sf.write(path, clip, RATE, subtype="FLOAT")
    network = embedder._load_network()
    import torch

    log_mel = network.front_end.clips([torch.from_numpy(w) for w in waveforms])
    expected = embedder.transform(waveforms)
    assert distance(embedder.transform(paths), expected) < 1e-5
    assert distance(embedder.transform(clips), expected) < 1e-5
    assert distance(embedder.transform(np.stack(waveforms)), expected) < 1e-5
    assert distance(embedder.transform(np.stack(log_mel)), expected) < 1e-5


def test_alone_as_in_any_batch(clips):
    embedder = MusicnnEmbedder(layer=("max_pool", "taggram"))
    together = embedder.transform(clips)
    alone = np.concatenate([embedder.transform([clip]) for clip in clips])
    pairs = MusicnnEmbedder(layer=("max_pool", "taggram"), batch_size=2)
    assert distance(alone, together) < 1e-5
    assert distance(pairs.transform(clips), together) < 1e-5


def test_a_short_clip_is_repeated(clips):
    second = clips[0][:RATE]
    embedder = MusicnnEmbedder(layer="taggram")
    assert (
        distance(
            embedder.transform([second]),
            embedder.transform([np.tile(second, 3)[:47616]]),
        )
        < 1e-5
    )


def test_full_scale_sounds_stay_finite():
    time = np.arange(4 * RATE) / RATE
    sounds = [
        np.sin(2 * np.pi * 60 * time),
        np.sign(np.sin(2 * np.pi * 441 * time)),
        np.ones_like(time),
        np.zeros_like(time),
    ]
    for precision in ("fp32", "bf16"):
        embedder = MusicnnEmbedder(layer=list(Musicnn.layer_sizes), precision=precision)
        features = embedder.transform(np.array(sounds))
        assert features.shape == (4, sum(Musicnn.layer_sizes.values()))
        assert np.isfinite(features).all()


def test_nothing_heavy_is_kept(clips):
    embedder = MusicnnEmbedder().fit(clips)
    expected = embedder.transform(clips[:1])
    dump = pickle.dumps(embedder)
    assert len(dump) < 2000
    assert np.array_equal(pickle.loads(dump).transform(clips[:1]), expected)
    one, other = (load_network("MSD_musicnn") for _ in range(2))
    assert one is other


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"model": "MSD_big"}, "Got model='MSD_big', expected one of 'MSD_musicnn'"),
        ({"layer": "pool5"}, "Got layer='pool5', expected one or several"),
        ({"model": "MTT_vgg"}, "Got layer='max_pool', expected one or several"),
        ({"layer": ()}, r"Got layer=\(\)"),
        ({"pooling": "median"}, "Got pooling='median', expected one of 'mean'"),
        ({"patch_hop": 0}, "Got patch_hop=0, expected a positive finite number"),
        ({"precision": "fp16"}, "Got precision='fp16'"),
    ],
)
def test_wrong_parameters_are_refused_in_fit(clips, parameters, reason):
    with pytest.raises(ValueError, match=reason):
        MusicnnEmbedder(**parameters).fit(clips)


def test_without_musicnn_the_command_is_given(clips, monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    load_network.cache_clear()
    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(ModuleNotFoundError, match="pip install --no-deps musicnn==0"):
        MusicnnEmbedder().transform(clips)


def test_a_fingerprint_distinguishes_settings():
    one, same = MusicnnEmbedder(), MusicnnEmbedder(layer="taggram", batch_size=2)
    assert one.fingerprint == same.fingerprint  # other columns, equal features
    others = [
        MusicnnEmbedder("MTT_musicnn"),
        MusicnnEmbedder(patch_hop=2.0),
        MusicnnEmbedder(pooling="max"),
        MusicnnEmbedder(duration=10.0),
        MusicnnEmbedder(precision="bf16", device="cpu"),
    ]
    assert len({one.fingerprint, *(other.fingerprint for other in others)}) == 6


@pytest.mark.real
@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("model", ["MSD_musicnn", "MTT_musicnn", "MSD_vgg", "MTT_vgg"])
def test_parity_from_audio_files(data, model, clip):
    reference = data / "musicnn_reference"
    path = reference / f"{clip}.mp3"
    if not path.exists():
        path = data / "gtzan_clips" / f"{clip}.flac"
    stored = np.load(reference / f"{model}__{clip}.npz")
    layers = [name for name in stored if name != "log_mel"]
    embedder = MusicnnEmbedder(model, layer=layers, pooling=None, precision="fp32")
    (computed,) = embedder.iter_features([path])
    for name in layers:
        found, expected = computed.layers[name], stored[name]
        if name == "pool5":  # stored as the patches' two frames, one after the other
            found = found.reshape(-1, 128)
        if name == "penultimate":  # the original repeats that of the first patch
            found, expected = found[0], expected[0]
        assert distance(found, expected) < 1e-3, name


@pytest.mark.real
@pytest.mark.parametrize(
    ("duration", "step"),  # without instructions for bf16, whole clips take minutes
    [(3.0, 3), pytest.param(None, 1, marks=pytest.mark.long)],
)
def test_bf16_stays_within_one_percent(data, duration, step):
    paths = sorted((data / "gtzan_clips").glob("*.00003.flac"))
    assert len(paths) == 10
    settings = {"device": "cpu", "duration": duration}
    paths = paths[::step]
    for model in ("MSD_musicnn", "MTT_musicnn"):
        full, half = (
            MusicnnEmbedder(model, precision=precision, **settings).transform(paths)
            for precision in ("fp32", "bf16")
        )
        assert 1e-5 < distance(half, full) < 1e-2
