"""Pipelines by name and as descriptions."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from userlogfeat import (
    ArtistEmbedder,
    FeatureLookup,
    FeatureTable,
    LogMel,
    MelStatistics,
    MusicnnEmbedder,
    UserLogEmbedder,
)
from userlogfeat.mirex.pipeline import (
    describe_pipeline,
    load_pipeline,
    write_description,
)
from userlogfeat.mirex.submission import classify, train, train_and_classify

TOY = Path(__file__).with_name("toy.py")
_spec = importlib.util.spec_from_file_location("toy", TOY)
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)


def test_the_default():
    first, pca, svc = (step for _, step in load_pipeline().steps)
    assert repr(first) == "UserLogEmbedder()"
    assert pca.n_components == 128
    assert repr(svc) == "SVC()"
    last = load_pipeline(tags=True).steps[-1][1]
    assert repr(last) == "OneVsRestClassifier(estimator=SVC(class_weight='balanced'))"


def test_a_function_of_a_file_or_a_module(tmp_path, monkeypatch):
    assert load_pipeline(f"{TOY}:pipeline").steps[0][0] == "toyembedder"
    (tmp_path / "my_own_pipeline.py").write_text(TOY.read_text())
    monkeypatch.chdir(tmp_path)
    assert load_pipeline("my_own_pipeline:neighbours").steps[1][0] == "standardscaler"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("pipeline", "expected module:function, file.py:function, or a .json"),
        ("no_such_module:pipeline", "no module 'no_such_module'"),
        ("no_such_file.py:pipeline", "There is no file no_such_file.py"),
        (f"{TOY}:nothing", "There is no function 'nothing' in"),
        (f"{TOY}:no_features", "starts with StandardScaler, expected UserLogEmbedder"),
        (f"{TOY}:ToyEmbedder", "Got ToyEmbedder from .*, expected a scikit-learn Pipe"),
        # These were found out after all clips were encoded.
        (
            make_pipeline(UserLogEmbedder(), PCA(5)),
            r"ends with PCA\(n_components=5\), expected a classifier",
        ),
        (make_pipeline(UserLogEmbedder(), Ridge()), r"ends with Ridge\(\), expected"),
        (make_pipeline(UserLogEmbedder(), KMeans()), r"ends with KMeans\(\), expected"),
        (make_pipeline(LogMel(), SVC()), "starts with LogMel, expected UserLogEmb"),
        (
            make_pipeline(ArtistEmbedder(), SVC()),
            "starts with ArtistEmbedder, expected .* Save a model of your own",
        ),
    ],
)
def test_no_pipeline(source, message):
    with pytest.raises((ValueError, TypeError), match=message):
        load_pipeline(source)


@pytest.mark.parametrize(
    "steps",
    [
        [
            UserLogEmbedder(layer="max_pool", scale=False),
            PCA(32, whiten=True),
            SVC(C=3),
        ],
        [MusicnnEmbedder("MTT_musicnn"), StandardScaler(), KNeighborsClassifier(5)],
        [UserLogEmbedder(layer=("taggram",)), OneVsRestClassifier(SVC(gamma=0.1))],
        [MelStatistics(statistics=("mean", "max"), pooling="meanstd"), SVC()],
    ],
    ids=str,
)
def test_a_description_gives_the_same_pipeline(tmp_path, steps):
    pipeline = make_pipeline(*steps)
    write_description(tmp_path / "p.json", pipeline)
    assert repr(load_pipeline(tmp_path / "p.json")) == repr(pipeline)


def test_what_a_description_cannot_hold(tmp_path):
    own = make_pipeline(UserLogEmbedder(), FunctionTransformer(np.sqrt), SVC())
    assert describe_pipeline(own) is None
    assert (
        describe_pipeline(make_pipeline(UserLogEmbedder(), SVC(kernel=np.dot))) is None
    )
    with pytest.raises(ValueError, match=r"Pass it as file.py:function"):
        write_description(tmp_path / "p.json", own)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a description of a pipeline"),
        ("[]", "not a description"),
        ("[" * 200 + "]" * 200, "not a description .*nested more than 100 times"),
        ('{"format": "other"}', "its format is 'other'"),
        ('{"format": "userlogfeat pipeline 1"}', "'steps'"),
    ],
)
def test_faulty_descriptions(tmp_path, text, message):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_pipeline(tmp_path / "p.json")


@pytest.mark.parametrize(
    "name", ["os.system", "Pipeline", "system", "FunctionTransformer"]
)
def test_a_description_names_classes_of_the_list_only(tmp_path, name):
    """So that a description from a stranger runs no code of his."""
    step = {"class": name, "parameters": {}}
    text = json.dumps({"format": "userlogfeat pipeline 1", "steps": [step]})
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(ValueError, match=r"is none of .*FeatureLookup, MelStatistics"):
        load_pipeline(tmp_path / "p.json")


def test_weights_beside_the_description(tmp_path):
    """A folder that was moved with its description is found."""
    (tmp_path / "weights").mkdir()
    pipeline = make_pipeline(UserLogEmbedder("weights"), SVC())
    write_description(tmp_path / "p.json", pipeline)
    found = load_pipeline(tmp_path / "p.json").steps[0][1].weights
    assert found == str(tmp_path / "weights")


def test_statistics_of_spectrograms(tmp_path):
    """Noise of two colours; the estimator had no fingerprint, and so no table."""
    import soundfile

    rng = np.random.default_rng(0)
    lines = []
    for i in range(8):
        noise = 0.1 * rng.standard_normal(44100)
        clip = tmp_path / f"{i}.wav"
        soundfile.write(clip, np.cumsum(noise) / 50 if i % 2 else noise, 22050)
        lines.append(f"{clip}\t{'brown' if i % 2 else 'white'}\n")
    (tmp_path / "train.txt").write_text("".join(lines[:4]))
    (tmp_path / "test.txt").write_text("".join(lines[4:]))
    lists = [tmp_path / name for name in ("train.txt", "test.txt", "out.txt")]
    pipeline = make_pipeline(MelStatistics(), SVC())
    train_and_classify(tmp_path / "s", *lists, pipeline=pipeline)
    assert lists[2].read_text() == "".join(lines[4:])
    lists[2].unlink()  # once more, where nothing is left to extract
    train_and_classify(tmp_path / "s", *lists, pipeline=pipeline)
    assert lists[2].read_text() == "".join(lines[4:])
    assert [path.name for path in (tmp_path / "s" / "features").iterdir()] == [
        MelStatistics().fingerprint
    ]


def test_features_of_a_table_that_is_there(tmp_path, monkeypatch):
    """Spelled as the list does, or by another path to the same file."""
    monkeypatch.chdir(tmp_path)
    table = FeatureTable("table")
    names = [f"./a{i}.wav" for i in range(8)]
    with table.writer(fingerprint="given", layer_sizes={"x": 2, "y": 1}) as writer:
        for i, name in enumerate(names):
            place = np.array([i % 2, 0.1 * i], np.float32)
            writer.add(name, layers={"x": place, "y": place[:1]})
    Path("train.txt").write_text(
        "".join(f"{n}\t{i % 2}\n" for i, n in enumerate(names))
    )
    Path("test.txt").write_text(f"./a3.wav\na4.wav\n{tmp_path}/a5.wav\nnot there\n")
    for layer in (None, "x", ["y", "x"]):
        lookup = make_pipeline(FeatureLookup("table", layer=layer), SVC(C=100))
        train_and_classify("s", "train.txt", "test.txt", "out.txt", pipeline=lookup)
        answers = [
            line.split("\t")[1] for line in Path("out.txt").read_text().split("\n")[:4]
        ]
        assert answers == ["1", "0", "1", "0"]
    train(
        "s",
        "train.txt",
        pipeline=make_pipeline(FeatureLookup("table", layer="x"), SVC()),
    )
    other = make_pipeline(FeatureLookup("table", layer="y"), SVC())
    with pytest.raises(ValueError, match="There is no model of this pipeline"):
        classify("s", "test.txt", "out.txt", pipeline=other)  # it learned layer x
