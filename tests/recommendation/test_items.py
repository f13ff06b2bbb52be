"""Items to recommend: from factors, tables and audio; clips by the name of items."""

import importlib.util
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from userlogfeat import FeatureTable, UserLogEmbedder, read_catalogue
from userlogfeat.audio.errors import AudioError
from userlogfeat.factor_files import DIGEST, Factors, write_factors
from userlogfeat.networks import bf16
from userlogfeat.recommendation.items import (
    Items,
    has_factors,
    items_of_audio,
    items_of_factors,
    items_of_table,
    name_items,
)

FAKE = Path(__file__).parents[1].joinpath("fake_embedder.py")
_spec = importlib.util.spec_from_file_location("fake_embedder", FAKE)
fake = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fake)


def test_items_that_nobody_played_are_left_out(tmp_path):
    matrix = np.array([[1.0, 2.0], [0.0, 0.0], [0.0, 3.0]])
    write_factors(tmp_path, Factors([1], matrix[:1], ["a", "b", "c"], matrix))
    assert has_factors(tmp_path)
    found = items_of_factors(tmp_path)
    assert found.ids.tolist() == ["a", "c"]
    assert found.metric == "dot"


def test_a_table_without_the_clips_that_failed(tmp_path):
    sizes = {"embedding": 2, "max_pool": 1}
    rows = {"a.wav": np.ones(2), "b.wav": None, "c.wav": np.zeros(2)}
    with FeatureTable(tmp_path).writer(fingerprint="x", layer_sizes=sizes) as writer:
        for clip, row in rows.items():
            if row is None:
                writer.add(clip, status="EmptyAudioError", message="0 bytes")
            else:
                layers = {"embedding": row, "max_pool": row[:1]}
                writer.add(clip, layers=layers)
    found = items_of_table(tmp_path)
    assert found.ids.tolist() == ["a.wav", "c.wav"]
    assert found.metric == "cosine"
    np.testing.assert_array_equal(found.embeddings, [[1, 1], [0, 0]])


@pytest.mark.filterwarnings("ignore:Weights")
def test_a_table_of_the_model_in_either_precision(tmp_path, monkeypatch):
    """The look at both warned of bf16, which was not used."""
    monkeypatch.setattr(bf16, "warn_where_slow", lambda: None)
    model = UserLogEmbedder(precision="fp32", device="cpu", layer="embedding")
    in_bf16 = UserLogEmbedder(precision="bf16", device="cpu", layer="embedding")
    made = {"a": model.fingerprint, "b": in_bf16.fingerprint, "c": "of another"}
    assert len(set(made.values())) == 3
    monkeypatch.setattr(bf16, "warn_where_slow", lambda: pytest.fail("it warned"))
    for name, fingerprint in made.items():
        notes = {"fingerprint": fingerprint, "layer_sizes": {"embedding": 2}}
        with FeatureTable(tmp_path / name).writer(**notes) as writer:
            writer.add("a.wav", layers={"embedding": np.ones(2)})
    items_of_table(tmp_path / "a", model=model)
    items_of_table(tmp_path / "b", model=model)
    with pytest.warns(UserWarning, match="made by another model"):
        items_of_table(tmp_path / "c", model=model)


def test_items_of_another_training_are_refused(tmp_path):
    """Of the same width, they were recommended without a word."""
    ones = np.ones((1, 2))
    for name in ("mine", "other", "by_hand"):
        made_by = {} if name == "by_hand" else {DIGEST: name}
        factors = Factors([1], ones, ["a"], ones, made_by=made_by)
        write_factors(tmp_path / name, factors)
        writer = FeatureTable(tmp_path / f"{name}.table").writer(
            fingerprint="x",
            layer_sizes={"embedding": 2},
            users_digest=made_by.get(DIGEST),
        )
        with writer:
            writer.add("a.wav", layers={"embedding": ones[0]})
    mine, other = tmp_path / "mine", tmp_path / "other"
    assert items_of_factors(mine, users=mine).ids.tolist() == ["a"]
    assert items_of_factors(tmp_path / "by_hand", users=mine).ids.tolist() == ["a"]
    assert items_of_table(tmp_path / "mine.table", users=mine).ids[0] == "a.wav"
    with pytest.raises(ValueError, match=r"other and the users in .*mine are of"):
        items_of_factors(other, users=mine)
    with pytest.raises(ValueError, match=r"other.table .* trainings.*Extract"):
        items_of_table(tmp_path / "other.table", users=mine)
    with pytest.warns(UserWarning, match="not recorded on which users the model of"):
        items_of_table(tmp_path / "by_hand.table", users=mine)


def test_audio_embedded_by_the_model_of_other_users(tmp_path, monkeypatch):
    model = fake.FakeEmbedder()
    monkeypatch.setattr("userlogfeat.recommendation.items.LAYER", "mean")
    (tmp_path / "a.wav").write_bytes(b"clip 1")
    ones = np.ones((1, 2))
    made_by = {DIGEST: "mine"}
    write_factors(tmp_path, Factors([1], ones, ["a"], ones, made_by=made_by))
    model.weights, model.users_digest = "m", "other"
    with pytest.raises(ValueError, match=r"'m' and the users in .* trainings"):
        items_of_audio([tmp_path], model, users=tmp_path)
    model.users_digest = None
    with pytest.warns(UserWarning, match="not recorded on which users model 'm'"):
        items_of_audio([tmp_path], model, users=tmp_path)


def test_a_table_without_embeddings(tmp_path):
    sizes = {"max_pool": 1}
    with FeatureTable(tmp_path).writer(fingerprint="x", layer_sizes=sizes) as writer:
        writer.add("a.wav", layers={"max_pool": np.ones(1)})
    with pytest.raises(ValueError, match="layers max_pool, but not 'embedding'"):
        items_of_table(tmp_path)


def test_audio_that_fails_is_reported(tmp_path, monkeypatch):
    model = fake.FakeEmbedder()
    monkeypatch.setattr("userlogfeat.recommendation.items.LAYER", "mean")
    (tmp_path / "a.wav").write_bytes(b"clip 1")
    (tmp_path / "b.wav").write_bytes(b"")
    found = items_of_audio([tmp_path], model)
    assert found.ids.tolist() == [str(tmp_path / "a.wav")]
    assert found.embeddings.shape == (1, 8)
    assert [(Path(f[0]).name, f[1]) for f in found.failed] == [
        ("b.wav", "EmptyAudioError")
    ]
    with pytest.raises(AudioError, match="0 bytes"):
        items_of_audio([tmp_path / "b.wav"], model)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no audio in .*empty"):
        items_of_audio([tmp_path / "empty"], model)


def test_clips_of_an_item_are_averaged():
    """Of unit length first: a clip says by its direction, not by its length."""
    rows = np.array([[3.0, 0.0], [0.0, 1.0], [5.0, 5.0], [9.0, 9.0]], np.float32)
    items = Items(np.array(["x/a.wav", "b.wav", "c.wav", "d.wav"]), rows, "cosine")
    frame = pl.DataFrame(
        {"clip": ["b.wav", "x/../x/a.wav", "c.wav"], "item": [7, 7, None]}
    )
    catalogue = read_catalogue(frame, check_files=False)
    found = name_items(items, catalogue)
    assert found.ids.tolist() == [7]
    np.testing.assert_allclose(found.embeddings, [[1.0, 1.0]])
    other = pl.DataFrame({"clip": ["z.wav"], "item": [1]})
    with pytest.raises(ValueError, match="None of the 4 clips"):
        name_items(items, read_catalogue(other, check_files=False))
