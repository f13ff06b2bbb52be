"""Damaged models of audio, of users and of MIREX; their configs sealed again or not."""

import hashlib
import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import torch
from robustness_kinds import Kind, require

from userlogfeat import FRONTENDS
from userlogfeat.mirex.features import Features
from userlogfeat.mirex.models import Model, choose_model
from userlogfeat.mirex.models import save_model as save_mirex_model
from userlogfeat.mirex.pipeline import default_pipeline, read_description
from userlogfeat.networks.mel import LogMelSpectrogram
from userlogfeat.networks.se_cnn import SECNN
from userlogfeat.networks.teacher import SpectrogramTeacher
from userlogfeat.networks.user_tower import UserTower
from userlogfeat.users.tower_files import load_tower, save_tower
from userlogfeat.weights import load_model, save_model
from userlogfeat.weights.config import CONFIG, digest_of

DATA = {"description": "planted", "licence": "none", "non_commercial": False}
TENSORS = "model.safetensors"
# What a stranger may write in the place of any entry.
HOSTILE = (
    *(None, True, 0, -1, 1, 10**6, 10**9, 10**18, 2**70, 1e308, -0.5, "", "x"),
    *("../../x", "/tmp/x", "os.system", [], {}, [1], [[1]], {"a": 1}, [10**9] * 3),
    *([4] * 3000, "x" * 5000, float("nan"), float("inf")),
)


def small_model(folder):
    """A small network of log-mel spectrograms, as `save` writes one."""
    save_small_model(folder, seed=0)


def save_small_model(folder, *, seed):
    """One of several small networks."""
    torch.manual_seed(seed)
    front_end = FRONTENDS["lee2019"]
    pools = [[4, 5], [3, 4]]
    network = SpectrogramTeacher(
        SECNN(channels=4, pools=pools, n_units=3),
        front_end=LogMelSpectrogram(front_end),
        n_bands=front_end.n_bands,
        n_frames=40,
        n_units=3,
    )
    names = ("n_outputs", "channels", "pools", "n_units")
    spec = dict(zip(names, (None, 4, pools, 3), strict=True))
    save_model(
        folder,
        network.eval(),
        estimator={
            "class": "CFRegressor",
            "parameters": {"frontend": asdict(front_end)},
        },
        spec={"name": "se_cnn", "n_bands": 96, "n_frames": 40, **spec},
        layer_scales=dict.fromkeys(network.layer_sizes, 1.0),
        training_data=DATA,
    )


def small_tower(folder):
    """A small tower with one attribute and two columns of demographics."""
    torch.manual_seed(0)
    codes = [torch.arange(9), torch.arange(9) // 3]
    tower = UserTower(codes, n_numbers=2, n_categories=[2], n_units=4, hidden=[6])
    age = {"name": "age", "mean": 30.0, "scale": 9.0}
    entries = {
        "parameters": {"n_units": 4},
        "groups": ["user_items"],
        "attributes": ["artist"],
        "demographics": [age, {"name": "land", "values": ["fo", "is"]}],
        "training_data": DATA,
        "history": [],
    }
    save_tower(folder, tower.eval(), np.zeros(4, np.float32), entries)


def mirex_features(seed, n_clips):
    """Numbers in the place of features, for clips of a seed."""
    X = np.random.default_rng(seed).normal(size=(n_clips, 5))
    paths = [f"/{seed}/{i}.wav" for i in range(n_clips)]
    of_clips = {"statuses": ["ok"] * n_clips, "reasons": [""] * n_clips, "paths": paths}
    return Features(X=X, **of_clips, fingerprint="fp")


def load_mirex(folder):
    """The classes that a MIREX model gives to eight clips."""
    features = mirex_features(1, 8)
    model = choose_model(folder, features, default_pipeline(), tags=False)
    return model.trained.predict(features.X).tolist()


def small_mirex(folder):
    """The default pipeline, fitted to six clips of three classes."""
    pipeline = default_pipeline()
    model = Model.learn(pipeline, mirex_features(0, 6), list("abcabc"), tags=False)
    save_mirex_model(folder, model, pipeline)


MAKERS = {  # how each is made and loaded, and its files
    "model": (small_model, load_model, (CONFIG, TENSORS)),
    "tower": (small_tower, load_tower, (CONFIG, TENSORS)),
    "mirex": (small_mirex, load_mirex, ("*.skops",)),
}


def answer(name, loaded):
    """Return the output of a loaded model, for comparison."""
    if name == "model":
        state = loaded.network.state_dict()
        return {k: v.tolist() for k, v in state.items()} | {
            "": str(loaded.layer_scales)
        }
    if name == "tower":
        network, mean, config = loaded
        values = {k: v.tolist() for k, v in network.state_dict().items()}
        return values | {"mean": mean.tolist(), "config": config}
    return loaded


def model_kind():
    """Bytes of configs and weights: what is changed is never loaded."""
    home = Path(tempfile.mkdtemp(prefix="robustness-"))
    seeds, expected, places = {}, {}, {}
    for name, (make, load, files) in MAKERS.items():
        make(home / name)
        expected[name] = answer(name, load(home / name))
        for file in files:
            places[f"{name} {file}"] = next((home / name).rglob(file))
            seeds[f"{name} {file}"] = places[f"{name} {file}"].read_bytes()

    def check(seed, data, folder):
        name = seed.split()[0]
        place = folder / "m" / places[seed].relative_to(home / name)
        shutil.copytree(home / name, folder / "m")
        place.write_bytes(data)
        found = answer(name, MAKERS[name][1](folder / "m"))
        require(found == expected[name], "another model was loaded")

    return Kind("saved models", seeds, check, clear=("There is no model of",))


def sealed_kind():
    """Configs and weights of strangers, who write the digests anew."""
    home = Path(tempfile.mkdtemp(prefix="robustness-"))
    seeds, places = {}, {}
    for name, (make, _, files) in MAKERS.items():
        make(home / name)
        for file in files:
            places[f"{name} {file}"] = next((home / name).rglob(file))
            seeds[f"{name} {file}"] = places[f"{name} {file}"].read_bytes()

    def check(seed, data, folder):
        name, file = seed.split()
        place = folder / "m" / places[seed].relative_to(home / name)
        shutil.copytree(home / name, folder / "m")
        if name == "mirex":
            replace_training(place, data)
        else:
            config = place.with_name(CONFIG)
            entries = json.loads(config.read_text())
            if file == TENSORS:
                place.write_bytes(data)
                entries["sha256"] = hashlib.sha256(data).hexdigest()
            else:
                entries = replaced(entries, data)
            config.write_text(json.dumps(resealed(entries)))
        loaded = MAKERS[name][1](folder / "m")
        before = sorted(path.name for path in folder.iterdir())
        require(before == ["m"], f"wrote {before}")
        if name == "model":
            sizes = loaded.network.layer_sizes
            require(loaded.layer_sizes == sizes, "sizes that the network has not")

    clear = ("There is no model of", "SHA-256")
    return Kind("sealed models", seeds, check, clear=clear)


def replace_training(path, data):
    """Entries of what a MIREX model was trained on are replaced."""
    with ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    entries = replaced(json.loads(parts["training.json"]), data)
    with ZipFile(path, "w") as file:
        for name, part in {**parts, "training.json": json.dumps(entries)}.items():
            file.writestr(name, part)


def resealed(entries):
    """A config that vouches for itself."""
    entries = {k: v for k, v in entries.items() if k != "config_sha256"}
    try:
        return {**entries, "config_sha256": digest_of(entries)}
    except TypeError:
        return entries


def replaced(entries, data):
    """One or two entries replaced, as the bytes say which and by what."""
    digest = hashlib.sha256(data).digest()
    for step in range(1 + digest[0] % 2):
        paths = list(walk({k: v for k, v in entries.items() if k != "format"}))
        path = paths[int.from_bytes(digest[4 * step + 1 : 4 * step + 4]) % len(paths)]
        value = HOSTILE[digest[16 + step] % len(HOSTILE)]
        entries = with_value(entries, path, value)
    return entries


def walk(value, path=()):
    """Paths of all entries, the inner ones too."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from walk(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value[:5]):
            yield from walk(inner, (*path, index))


def with_value(value, path, new):
    """A copy with one entry replaced."""
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = with_value(value[path[0]], path[1:], new)
    return copy


def description_kind():
    """Descriptions of MIREX pipelines: only classes of the list are ever made."""
    svc = {"class": "SVC", "parameters": {"C": 2.0, "kernel": "rbf"}}
    rest = {"class": "OneVsRestClassifier", "parameters": {"estimator": svc}}
    first = {"class": "UserLogEmbedder", "parameters": {"layer": ["max_pool"]}}
    pca = {"class": "PCA", "parameters": {"n_components": 9}}
    steps = {"plain": [first, pca, svc], "tags": [first, pca, rest]}
    form = "userlogfeat pipeline 1"
    seeds = {
        name: json.dumps({"format": form, "steps": step}, indent=1).encode()
        for name, step in steps.items()
    }

    def check(seed, data, folder):
        path = folder / "pipeline.json"
        path.write_bytes(data)
        pipeline = read_description(path)
        modules = {type(step).__module__.split(".")[0] for _, step in pipeline.steps}
        require(modules <= {"sklearn", "userlogfeat"}, f"made {modules}")
        require(getattr(pipeline.steps[0][1], "cache", None) is None, "a cache")

    return Kind("pipelines", seeds, check)
