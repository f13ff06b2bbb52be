"""The pipeline of a submission: the default, or one's own by name or description.

A pipeline is a scikit-learn ``Pipeline``. Its first step turns paths into features: an
embedder such as :class:`~userlogfeat.UserLogEmbedder`, or a
:class:`~userlogfeat.FeatureLookup` in a table that is there already. All other steps
work on these features, so they may be any of scikit-learn or of one's own; the last one
is a classifier.

An embedder has ``iter_features(paths, on_error="yield")``, ``fingerprint`` and
``layer_sizes``; an estimator that learns has to be saved, and is then named by its
folder: ``UserLogEmbedder(folder)``.

A pipeline is given as a function in one's own code, or as a description: a JSON file of
classes by name and their parameters. Reading a description runs no code of it.
"""

import importlib
import importlib.util
import inspect
import json
import logging
import sys
from pathlib import Path
from typing import Any

from sklearn.pipeline import Pipeline, make_pipeline

from userlogfeat._typing import PathLike
from userlogfeat._untrusted import parse_json, read_whole

logger = logging.getLogger(__name__)

FORMAT = "userlogfeat pipeline 1"
_EMBEDDER = ("iter_features", "fingerprint", "layer_sizes")
N_COMPONENTS = 128  # Chen and Liang (2020); Park et al. (2017) use the features as are
MAX_DESCRIPTION_BYTES = 1 << 20
_WRITTEN = "cache"  # the parameter that names a folder to write: not for strangers
# Classes that a description may name, and their modules.
_CLASSES = {
    "EncoderEmbedder": "userlogfeat.estimators.encoder",
    "FeatureLookup": "userlogfeat.estimators.feature_lookup",
    "MelStatistics": "userlogfeat.estimators.mel_statistics",
    "MusicnnEmbedder": "userlogfeat.estimators.musicnn",
    "UserLogEmbedder": "userlogfeat.estimators.user_log",
    "PCA": "sklearn.decomposition",
    "KNeighborsClassifier": "sklearn.neighbors",
    "LinearDiscriminantAnalysis": "sklearn.discriminant_analysis",
    "LinearSVC": "sklearn.svm",
    "LogisticRegression": "sklearn.linear_model",
    "Normalizer": "sklearn.preprocessing",
    "OneVsRestClassifier": "sklearn.multiclass",
    "RidgeClassifier": "sklearn.linear_model",
    "StandardScaler": "sklearn.preprocessing",
    "SVC": "sklearn.svm",
}


def default_pipeline(*, tags: bool = False) -> Pipeline:
    """UserLogEmbedder, PCA(128), and a support vector machine with RBF kernel.

    Parameters
    ----------
    tags : bool
        Whether clips have several labels: then there is one SVM for each tag, and the
        clips that have it weigh as much as the others together.

    Returns
    -------
    Pipeline

    Examples
    --------
    >>> [name for name, _ in default_pipeline().steps]
    ['userlogembedder', 'pca', 'svc']
    """
    from sklearn.decomposition import PCA
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.svm import SVC

    from userlogfeat.estimators.user_log import UserLogEmbedder

    last = OneVsRestClassifier(SVC(class_weight="balanced")) if tags else SVC()
    return make_pipeline(UserLogEmbedder(), PCA(N_COMPONENTS, svd_solver="full"), last)


def load_pipeline(
    source: PathLike | Pipeline | None = None, *, tags: bool = False
) -> Pipeline:
    """Load a pipeline by name.

    Parameters
    ----------
    source : str, Path, Pipeline or None
        ``"module:function"`` or ``"file.py:function"``, whose code is run: name your
        own only. A ``.json`` file that :func:`write_description` wrote. None: the
        default. A pipeline is returned as it is.
    tags : bool
        Whether the default is that for tags.

    Returns
    -------
    Pipeline

    Raises
    ------
    ValueError, TypeError
        Where there is no such function, it returns no pipeline, the first step is no
        embedder, or the last one is not a classifier.
    """
    if source is None:
        return default_pipeline(tags=tags)
    if isinstance(source, Pipeline):
        return check_pipeline(source, "the pipeline")
    source = str(source)
    if source.endswith(".json"):
        return check_pipeline(read_description(source), source)
    where, _, name = source.rpartition(":")
    if not where or not name:
        raise ValueError(
            f"Got the pipeline {source!r}, expected module:function, file.py:function, "
            "or a .json description."
        )
    function = getattr(_import(where), name, None)
    if not callable(function):
        raise ValueError(f"There is no function {name!r} in {where}.")
    return check_pipeline(function(), source)


def check_pipeline(pipeline: Any, name: str) -> Pipeline:
    """Raise unless it is a pipeline of features and something that classifies them."""
    if not isinstance(pipeline, Pipeline) or len(pipeline.steps) < 2:
        raise TypeError(
            f"Got {type(pipeline).__name__} from {name}, expected a scikit-learn "
            "Pipeline of an embedder and a classifier: "
            "make_pipeline(UserLogEmbedder(), PCA(64), SVC())."
        )
    first, last = pipeline.steps[0][1], pipeline.steps[-1][1]
    if not hasattr(first, "table") and not all(_has(first, part) for part in _EMBEDDER):
        raise TypeError(
            f"The pipeline of {name} starts with {type(first).__name__}, expected "
            "UserLogEmbedder, EncoderEmbedder, MusicnnEmbedder, MelStatistics or "
            "FeatureLookup, which turn paths into features. Save a model of your own "
            "and name its folder: UserLogEmbedder(folder)."
        )
    if not hasattr(last, "predict") or _kind_of(last) not in ("classifier", None):
        raise TypeError(
            f"The pipeline of {name} ends with {last!r}, expected a classifier, such "
            "as SVC(): the last step gives clips their classes or tags."
        )
    return pipeline


def _kind_of(step):
    """Return scikit-learn's type of an estimator; None where it has no tags."""
    try:
        return step.__sklearn_tags__().estimator_type
    except AttributeError:
        return None


def _has(embedder, name):
    """Whether it has an attribute, without asking for its value: that reads weights."""
    return hasattr(type(embedder), name) or name in vars(embedder)


def describe_pipeline(pipeline: Pipeline) -> dict[str, Any] | None:
    """Describe a pipeline as names of classes and their parameters.

    Parameters
    ----------
    pipeline : Pipeline

    Returns
    -------
    dict or None
        Values for JSON; None where a class is not on the list of this module, or a
        parameter is not a number, text, list or listed estimator.
    """
    steps = [_describe(step) for _, step in pipeline.steps]
    if None in steps:
        return None
    return {"format": FORMAT, "steps": steps}


def write_description(path: PathLike, pipeline: Pipeline) -> None:
    """Write the description of a pipeline, for :func:`load_pipeline`.

    Parameters
    ----------
    path : str or Path
        Name that ends with ``.json``.
    pipeline : Pipeline

    Raises
    ------
    ValueError
        Where it cannot be described.
    """
    described = describe_pipeline(pipeline)
    if described is None:
        raise ValueError(
            "The pipeline has steps of your own, which a description cannot hold. Pass "
            "it as file.py:function."
        )
    text = json.dumps(described, indent=1, ensure_ascii=False)
    Path(path).write_text(text + "\n", encoding="utf-8")


def read_description(path: PathLike) -> Pipeline:
    """Make the pipeline of a description, from classes of a fixed list.

    Parameters
    ----------
    path : str or Path
        Relative paths in it (of weights, of a table) are taken from its folder, where
        they exist there.

    Returns
    -------
    Pipeline
    """
    try:
        text = read_whole(path, max_bytes=MAX_DESCRIPTION_BYTES).decode("utf-8")
        described = parse_json(text)
        if described["format"] != FORMAT:
            raise ValueError(f"its format is {described['format']!r}")
        steps = [_build(step, Path(path).parent) for step in described["steps"]]
        return make_pipeline(*steps)
    except FileNotFoundError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, OSError) as error:
        raise ValueError(
            f"{path} is not a description of a pipeline ({error}). Write one with "
            "userlogfeat.mirex.pipeline.write_description."
        ) from error


def source_file(source: Any) -> Path | None:
    """Return the file of ``file.py:function``; None for anything else."""
    where, _, name = str(source or "").rpartition(":")
    return Path(where) if name and where.endswith(".py") else None


def _import(where):
    if not where.endswith(".py"):
        if "" not in sys.path:
            sys.path.insert(0, "")  # as for `python -m`: modules of the present folder
        try:
            return importlib.import_module(where)
        except ModuleNotFoundError as error:
            raise ValueError(
                f"There is no module {where!r} ({error}). Name a file instead: "
                "path/to/file.py:function."
            ) from error
    if not Path(where).is_file():
        raise ValueError(f"There is no file {where}.")
    spec = importlib.util.spec_from_file_location(Path(where).stem, where)
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(Path(where).stem, module)
    spec.loader.exec_module(module)
    return module


def _describe(step):
    name = type(step).__name__
    if name not in _CLASSES or not hasattr(step, "get_params"):
        return None
    if type(step).__module__.partition(".")[0] != _CLASSES[name].partition(".")[0]:
        return None
    changed = {}
    defaults = inspect.signature(type(step)).parameters
    for key, value in step.get_params(deep=False).items():
        if key == _WRITTEN:
            if value is not None:
                logger.warning(
                    "%s=%r is left out: the scratch folder keeps features", key, value
                )
            continue
        if value is not defaults[key].default and value != defaults[key].default:
            changed[key] = _as_json(value)
            if changed[key] is None:
                return None
    return {"class": name, "parameters": changed}


def _as_json(value):
    """Return a parameter for JSON, or None."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, list | tuple):
        values = [_as_json(item) for item in value]
        return None if None in values else values
    if hasattr(value, "folder"):  # a feature table
        return str(value.folder)
    return _describe(value) if hasattr(value, "get_params") else None


def _place(encoder, folder):
    """An encoder by name; if it is in the folder, by its path there."""
    kind, _, place = encoder.partition(":")
    is_there = place and (folder / place).exists()
    return f"{kind}:{folder / place}" if is_there else encoder


def _build(described, folder):
    name = described["class"]
    if name not in _CLASSES:
        raise ValueError(f"class {name!r} is none of {', '.join(_CLASSES)}")
    cls = getattr(importlib.import_module(_CLASSES[name]), name)
    parameters = {}
    for key, value in described["parameters"].items():
        if key == _WRITTEN and value is not None:
            raise ValueError(
                f"{key}={value!r} would write to a folder: set it yourself"
            )
        if isinstance(value, dict):
            value = _build(value, folder)
        elif key in ("weights", "table") and (folder / value).exists():
            value = str(folder / value)
        elif key == "encoder":
            value = _place(value, folder)
        parameters[key] = tuple(value) if isinstance(value, list) else value
    return cls(**parameters)
