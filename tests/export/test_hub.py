"""Models on the hub: a round trip through a local stand-in of its interface."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import numpy as np
import pytest
import yaml

from userlogfeat import CFRegressor, UserLogEmbedder, load_model, push_to_hub
from userlogfeat.cli import app
from userlogfeat.encoders import get_encoder
from userlogfeat.export import model_card
from userlogfeat.inspection import describe
from userlogfeat.weights import ModelError

DATA = {
    "description": "planted factors",
    "licence": "for tests only",
    "non_commercial": False,
    "alpha": 10.0,
}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A folder with a folder for each repository and branch."""
    root = tmp_path / "hub"

    class Api:
        def create_repo(self, repo_id, *, private, exist_ok):
            (root / repo_id / "main").mkdir(parents=True, exist_ok=exist_ok)
            (root / repo_id / "private").write_text(str(private))

        def create_branch(self, repo_id, *, branch, exist_ok):
            (root / repo_id / branch).mkdir(exist_ok=exist_ok)

        def upload_folder(self, *, repo_id, folder_path, revision, commit_message):
            place = root / repo_id / (revision or "main")
            shutil.copytree(folder_path, place, dirs_exist_ok=True)
            return SimpleNamespace(commit_url=f"hub/{repo_id}/commit/1")

    def download(repo_id, *, allow_patterns, revision="main"):
        place = root / repo_id / revision
        if not place.is_dir():
            raise huggingface_hub.errors.LocalEntryNotFoundError("no such revision")
        return str(place)

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return root


@pytest.fixture
def model(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 5)).astype(np.float32)
    teacher = CFRegressor("mlp", random_state=0).fit(X, rng.normal(size=(20, 3)))
    teacher.save(tmp_path / "model", training_data=DATA)
    (tmp_path / "model" / "users.csv").write_text("data of people")
    return tmp_path / "model", X


def test_there_and_back(hub, model):
    folder, X = model
    assert push_to_hub(folder, "me/taste") == "hub/me/taste/commit/1"
    names = sorted(path.name for path in (hub / "me/taste/main").iterdir())
    assert names == ["README.md", "config.json", "model.safetensors"]
    found = UserLogEmbedder("me/taste", layer="embedding").fit_transform(X)
    expected = UserLogEmbedder(folder, layer="embedding").fit_transform(X)
    np.testing.assert_array_equal(found, expected)


def test_a_revision(hub, model):
    folder, _ = model
    push_to_hub(folder, "me/taste", revision="v2")
    assert load_model("me/taste@v2").layer_sizes == {"embedding": 3}
    with pytest.raises(ModelError, match="no such revision"):
        load_model("me/taste@v3")


def test_the_card_says_what_config_says(model):
    folder, _ = model
    card = model_card(folder, "me/taste", evaluation="| arm | accuracy |")
    metadata = yaml.safe_load(card.split("---")[1])
    assert metadata["library_name"] == "userlogfeat"
    for text in ("planted factors", "for tests only", '"alpha": 10.0', "| arm |"):
        assert text in card
    assert 'UserLogEmbedder("me/taste"' in card
    assert "Not for commercial use" not in card
    assert "Not for commercial use" in model_card("lastfm2k-musicnn")
    assert "None was recorded" in model_card(folder)


def test_the_card_names_the_encoder(tiny_models, tmp_path):
    """A model on one was said to read arrays, no audio."""
    X = np.random.default_rng(0).normal(size=(8, 8000)).astype("f4") / 9
    name = tiny_models.names["hubert"]
    CFRegressor(encoder=name, alphas=(1.0,)).fit(X, np.eye(8)).save(
        tmp_path, training_data=DATA
    )
    card = model_card(tmp_path)
    assert f"on the encoder `{name}`" in card
    assert get_encoder(name).weights_hash in card
    assert 'set_encoder(FOLDER, "hf:NEW_PLACE")' in card
    assert "no audio" not in card
    assert describe(tmp_path)["encoder"].startswith(name)
    bundled = model_card("lastfm-mpd-musicnn")
    assert "16000 Hz" in bundled
    assert "on the encoder `MSD_musicnn` (revision `" in bundled
    assert "set_encoder" not in bundled


def test_the_command(hub, model, tmp_path, capsys):
    (tmp_path / "results.md").write_text("kd beats its controls")
    arguments = ["push", str(model[0]), "me/taste", "--evaluation"]
    with pytest.raises(SystemExit) as end:
        app([*arguments, str(tmp_path / "results.md")])
    assert not end.value.code
    assert capsys.readouterr().out == "hub/me/taste/commit/1\n"
    assert "kd beats" in (hub / "me/taste/main/README.md").read_text()
    with pytest.raises(SystemExit):
        app(["push", str(model[0]), "me/other", "--private", "--revision", "v1"])
    assert (hub / "me/other/v1/README.md").is_file()
    assert (hub / "me/other/private").read_text() == "True"


def test_a_hub_that_does_not_answer(model, monkeypatch):
    class Api:
        def create_repo(self, *args, **kwargs):
            raise RuntimeError("401, no token\nand more")

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    with pytest.raises(OSError, match=r"'me/a' \(RuntimeError: 401, no token\)\. Is"):
        push_to_hub(model[0], "me/a")


def test_what_is_refused(hub, model):
    folder, _ = model
    with pytest.raises(ValueError, match="expected 'owner/model'"):
        push_to_hub(folder, "taste")
    Path(folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ModelError, match="SHA-256"):
        push_to_hub(folder, "me/taste")
    assert not hub.exists()
