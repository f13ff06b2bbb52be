"""Trained models in the scratch folder, one for every training list.

A model is a folder with ``model.json`` and, where its steps can be kept as arrays,
``model.safetensors``. Otherwise the list in model.json is the model: it is fitted again
when it is needed (see :mod:`userlogfeat.mirex.classifier`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator

from userlogfeat._files import (
    make_below,
    parse_json,
    read_described,
    read_whole,
    replace_file,
    replace_pair,
)
from userlogfeat._typing import PathLike
from userlogfeat.mirex.classifier import ArrayClassifier
from userlogfeat.mirex.features import read_features
from userlogfeat.mirex.fitting import fit_classes, fit_tags
from userlogfeat.mirex.lists import find_clip, read_training

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from userlogfeat.mirex.features import Features


logger = logging.getLogger(__name__)

FORMAT = "userlogfeat mirex model 2"  # 1 had no digest of its own
MODELS, CONFIG, TENSORS = "models", "model.json", "model.safetensors"
MAX_CONFIG_BYTES = 1 << 28  # it lists the training clips
MAX_TENSOR_BYTES = 1 << 32
_WHOLE = 10**9  # letters of an estimator's repr: all of them


@dataclass(frozen=True)
class Model:
    """What a training list taught.

    Attributes
    ----------
    classifier : object
        With ``predict(X)`` -> numbers of classes, or for tags ``affinities(X)``.
    names : list of str
        Classes or tags, sorted.
    shares : ndarray (n_names,)
        Part of the training clips that have each, unreadable ones included.
    tags : bool
    labels : dict of str to (str or list of str)
        Class, or tags, of each training clip, by absolute path.
    fingerprint : str
        Of the model that heard the clips.
    steps : str
        What was fitted, to tell pipelines apart.
    """

    classifier: object
    names: list
    shares: np.ndarray
    tags: bool
    labels: dict
    fingerprint: str
    steps: str

    @property
    def majority(self) -> int:
        """Number of the commonest class, the first by name of equals."""
        return int(np.argmax(self.shares))

    @classmethod
    def learn(
        cls, pipeline: Pipeline, features: Features, labels: list[Any], *, tags: bool
    ) -> Model:
        """Fit.

        Parameters
        ----------
        pipeline : Pipeline
        features : Features
            Of the training clips.
        labels : list of str, or of set of str
            Class or tags of each.
        tags : bool

        Returns
        -------
        Model
        """
        found, X = features.found, features.X[features.found]
        sets = [set(label) if tags else {label} for label in labels]
        shares = _shares(sets)
        sets = [names for names, ok in zip(sets, found, strict=True) if ok]
        known = sorted(set().union(*sets))
        if not known:
            raise ValueError("None of the training clips that can be read has a tag.")
        indicator = np.array([[name in own for name in known] for own in sets])
        if tags:
            classifier = fit_tags(pipeline, X, indicator.astype(int))
        else:
            y = indicator.argmax(axis=1)
            classifier = fit_classes(pipeline, X, y, known, listed=shares)
        kept = [sorted(label) if tags else label for label in labels]
        return cls(
            classifier,
            known,
            np.array([shares[name] for name in known]),
            tags,
            dict(zip(features.paths, kept, strict=True)),
            features.fingerprint,
            _text_of(pipeline),
        )


def save_model(scratch: PathLike, model: Model) -> Path:
    """Write a model into the scratch folder, in place of one of the same list.

    Parameters
    ----------
    scratch : str or Path
    model : Model

    Returns
    -------
    Path
        Its folder.
    """
    from safetensors.numpy import save_file

    key = _key(model.labels, model.fingerprint, model.steps, model.tags)
    folder = make_below(scratch, MODELS, key)
    config = {
        "format": FORMAT,
        "made": max(time.time_ns(), 1 + _newest(scratch)),
        "tags": model.tags,
        "names": model.names,
        "shares": model.shares.tolist(),
        "fingerprint": model.fingerprint,
        "steps": model.steps,
        "labels": model.labels,
        "kinds": None,
        "sha256": None,
    }
    if not isinstance(model.classifier, ArrayClassifier):
        with replace_file(folder / CONFIG) as temporary:
            temporary.write_text(_sealed(config, None), encoding="ascii")
        return folder
    arrays, config["kinds"] = model.classifier.state()
    replace_pair(
        folder / TENSORS,
        folder / CONFIG,
        write=lambda path: save_file(arrays, path),
        describe=lambda digest: _sealed(config, digest),
    )
    return folder


def choose_model(
    scratch: PathLike,
    features: Features,
    pipeline: Pipeline,
    *,
    tags: bool,
    train_list: PathLike | None = None,
) -> Model:
    """The model for some test clips.

    Parameters
    ----------
    scratch : str or Path
    features : Features
        Of the test clips.
    pipeline : Pipeline
        Only models of it count.
    tags : bool
    train_list : str or Path, optional
        Only a model of this list counts.

    Returns
    -------
    Model
        That which learned from none of the test clips; of several, or where all did,
        the newest.

    Raises
    ------
    ValueError
        Where there is none.
    """
    configs = _read_all(scratch, features.fingerprint, _text_of(pipeline), tags)
    if train_list is not None:
        labels = _labels_of(train_list, tags)
        configs = [config for config in configs if config["labels"] == labels]
    if not configs:
        of = f" of {train_list}" if train_list else ""
        raise ValueError(
            f"There is no model{of} of this pipeline{' for tags' if tags else ''} in "
            f"{Path(scratch) / MODELS}. Run `userlogfeat mirex train {scratch} "
            f"TRAINLIST{' --tags' if tags else ''}` with the same --pipeline first."
        )
    tested = set(features.paths)
    apart = [config for config in configs if tested.isdisjoint(config["labels"])]
    chosen = max(apart or configs, key=lambda config: config["made"])
    if not apart:
        shared = len(tested & set(chosen["labels"]))
        logger.warning("%d of %d test clips were trained on", shared, len(tested))
    elif len(apart) > 1 and train_list is None:
        logger.warning(
            "%d models learned from none of the test clips: the newest, %s, is taken",
            len(apart),
            chosen["folder"].name,
        )
    return _load(scratch, chosen, pipeline)


def _load(scratch, config, pipeline):
    names, labels = config["names"], config["labels"]
    if config["kinds"] is None:
        classifier = _fit_again(scratch, config, pipeline)
    else:
        classifier = _read_arrays(config)
    shares = np.array(config["shares"])
    return Model(
        classifier,
        names,
        shares,
        config["tags"],
        labels,
        config["fingerprint"],
        config["steps"],
    )


def _fit_again(scratch, config, pipeline):
    """Fit steps that were not kept, to the clips that they were fitted to."""
    logger.info("fitting again: %s is not kept as arrays", config["steps"])
    paths, tags = list(config["labels"]), config["tags"]
    features = read_features(pipeline.steps[0][1], scratch, paths, ".")
    labels = list(config["labels"].values())
    return Model.learn(pipeline, features, labels, tags=tags).classifier


def _read_arrays(config):
    """The classifier that the arrays of a model make."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = config["folder"] / TENSORS
    try:
        data = read_described(path, config["sha256"], max_bytes=MAX_TENSOR_BYTES)
        if data is None:
            raise ValueError("its SHA-256 is not that in model.json")
        classifier = ArrayClassifier.from_state(load(data), config["kinds"])
        n_names = classifier.check(n_tags=len(config["names"]) if config["tags"] else 0)
        if not config["tags"] and n_names > len(config["names"]):
            raise ValueError(f"{n_names} classes, but {len(config['names'])} names")
    except (SafetensorError, LookupError, TypeError, ValueError, OSError) as error:
        raise ValueError(
            f"{path} is damaged, or of another model ({error}). Train again."
        ) from error
    return classifier


def _read_all(scratch, fingerprint, steps, tags):
    """What model.json says, of all models of one pipeline."""
    found = []
    for path in sorted((Path(scratch) / MODELS).glob(f"*/{CONFIG}")):
        config = _read_config(path)
        expected = (FORMAT, fingerprint, steps, tags)
        keys = ("format", "fingerprint", "steps", "tags")
        if tuple(config.get(key) for key in keys) == expected:
            found.append({**config, "folder": path.parent})
    return found


def _newest(scratch):
    """When the newest model was made, whatever the clock says now."""
    made = [0]
    for path in (Path(scratch) / MODELS).glob(f"*/{CONFIG}"):
        with contextlib.suppress(ValueError, OSError):
            found = _read_config(path).get("made")
            made.append(found if _is_time(found) else 0)
    return max(made)


def _read_config(path):
    """One model.json, checked; what other versions wrote comes as it is."""
    try:
        config = parse_json(read_whole(path, max_bytes=MAX_CONFIG_BYTES))
        if not isinstance(config, dict):
            raise ValueError(f"it holds {type(config).__name__}")
        digest = config.pop("digest", None)
        if config.get("format") == FORMAT:
            if digest != _digest(config):
                raise ValueError("its digest does not fit")
            wrong = [k for k, check in _ENTRIES.items() if not check(config.get(k))]
            if not wrong and len(config["shares"]) != len(config["names"]):
                wrong = ["shares"]
            of_clip = list if config["tags"] is True else str
            if not wrong and not _are(list(config["labels"].values()), of_clip):
                wrong = ["labels"]
            if wrong:
                raise ValueError(f"its entry {wrong[0]!r} is none")
    except IsADirectoryError as error:
        raise ValueError(f"{path} is a folder. Delete it and train again.") from error
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged ({error}). Delete its folder and train again."
        ) from error
    return config


def _are(value, kind):
    return isinstance(value, list) and all(isinstance(entry, kind) for entry in value)


def _is_time(value):
    return type(value) is int and 0 <= value < 1 << 80  # of nanoseconds


_ENTRIES = {
    "made": _is_time,
    "tags": lambda value: isinstance(value, bool),
    "names": lambda value: _are(value, str) and 0 < len(value) == len(set(value)),
    "shares": lambda value: (
        _are(value, int | float) and all(0 <= share <= 1 for share in value)
    ),
    "fingerprint": lambda value: isinstance(value, str),
    "steps": lambda value: isinstance(value, str),
    "labels": lambda value: (
        isinstance(value, dict)
        and all(isinstance(own, str) or _are(own, str) for own in value.values())
    ),
    "kinds": lambda value: value is None or _are(value, str),
    "sha256": lambda value: value is None or isinstance(value, str),
}


def _sealed(config, sha256):
    """The text of model.json; paths that are no UTF-8 are escaped."""
    config = {**config, "sha256": sha256}
    return json.dumps({**config, "digest": _digest(config)}, ensure_ascii=True) + "\n"


def _digest(config):
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def _labels_of(train_list, tags):
    """Labels of a training list as model.json has them."""
    labels = read_training(train_list, tags=tags)
    folder = Path(train_list).parent
    return {
        find_clip(clip, folder): sorted(label) if tags else label
        for clip, label in labels.items()
    }


def _shares(sets):
    names = sorted(set().union(*sets))
    return {name: sum(name in own for own in sets) / len(sets) for name in names}


def _text_of(pipeline):
    """The steps that are fitted, for people and to be compared."""
    texts = [
        step.__repr__(_WHOLE) if isinstance(step, BaseEstimator) else repr(step)
        for _, step in pipeline.steps[1:]
    ]
    text = " ".join(", ".join(texts).split())
    return re.sub(r" at 0x[0-9a-f]+", "", text)  # where a function is in memory


def _key(*parts):
    return hashlib.sha256(json.dumps(parts).encode("ascii")).hexdigest()[:16]
