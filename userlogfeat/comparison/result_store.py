"""The folder of a comparison: one file for each finished fit.

``comparison.json`` holds digests of what defines the comparison (data, folds, student,
teachers, search): a folder of another comparison is refused, with the names of what
differs. The file of a fit is named by a digest of the comparison and the fit.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
from sklearn.frozen import FrozenEstimator

from userlogfeat._digests import json_digest
from userlogfeat._files import make_folder, remove_temporaries, replace_file
from userlogfeat._locks import file_lock
from userlogfeat._typing import PathLike
from userlogfeat.comparison.artist_overlap import TeacherData, n_rows

if TYPE_CHECKING:
    from userlogfeat.comparison.problem import Fit, Problem


FORMAT = 1
_DESCRIPTION = "comparison.json"
_NAME_LENGTH = 24  # hexadecimal digits of a file's name
# Folders of earlier versions are read: a column of another name, and parameters that
# estimators did not have, which do not count at their defaults.
_OLD_NAMES = {"n_taught": "n_teacher_clips"}
_ADDED = {"kd_loss": "mse_cosine", "loss": "mse_cosine"}
# Parameters that do not change the result of a fit, or that are set for every fit.
_IRRELEVANT = (
    *("checkpoint", "device", "n_jobs", "verbose"),
    *("mode", "random_state", "teacher"),
)


@dataclass(frozen=True)
class ResultStore:
    """Finished fits of one comparison.

    Attributes
    ----------
    folder : Path
    digest : str
        Digest of everything that defines the comparison: see `identify`.
    plain : str
        Digest of the plain estimator, which only its own arms depend on.
    """

    folder: Path
    digest: str
    plain: str

    def path(self, fit: Fit) -> Path:
        """Return the file of a fit."""
        parts = [self.digest, vars(fit)]
        parts += [self.plain] if fit.mode == "plain" else []
        text = json.dumps(parts, default=int)
        name = hashlib.sha256(text.encode()).hexdigest()[:_NAME_LENGTH]
        return self.folder / f"{name}.json"

    def read(self, fit: Fit) -> dict[str, Any] | None:
        """Return the row of a fit; None if it is not finished."""
        path = self.path(fit)
        try:
            row = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ValueError(
                f"{path} is damaged ({error}): it holds one finished fit, {fit}. "
                "Delete it, and that fit is made again."
            ) from error
        return {_OLD_NAMES.get(name, name): value for name, value in row.items()}

    def write(self, fit: Fit, row: dict[str, Any]) -> None:
        """Keep the row of a finished fit."""
        with replace_file(self.path(fit)) as path:
            path.write_text(json.dumps(row), encoding="utf-8")


@contextlib.contextmanager
def open_store(folder: PathLike, problem: Problem) -> Iterator[ResultStore]:
    """Open the store of a problem: its folder is locked inside the block.

    Another `plain` can be added to a folder: only its own fits depend on it.

    Parameters
    ----------
    folder : str or Path
        A new folder, or one of the same comparison.
    problem : Problem

    Yields
    ------
    ResultStore

    Raises
    ------
    ValueError
        If the folder holds another comparison, or something else.
    BlockingIOError
        If another process is writing to it.
    """
    folder, identity = make_folder(folder, "a comparison"), identify(problem)
    strangers = {path.name for path in folder.iterdir()} - {".lock"}
    description = folder / _DESCRIPTION
    if description.name in strangers:
        _check_description(description, identity)
    elif any(not name.startswith(f".{_DESCRIPTION}.") for name in strangers):
        raise ValueError(
            f"{str(folder)!r} holds other files and no {_DESCRIPTION}: it is "
            "no folder of a comparison. Pass a new or empty one."
        )
    plain = [_describe(problem.plain), _content(problem.plain_X)]
    plain += [_describe(problem.plain_search), problem.inner_cv]
    with file_lock(folder / ".lock"):
        remove_temporaries(folder, "*.json")
        if not description.exists():
            with replace_file(description) as path:
                text = json.dumps({"format": FORMAT, **identity})
                path.write_text(text, encoding="utf-8")
        digest = json_digest(identity, sort_keys=False)
        yield ResultStore(folder, digest, joblib.hash(plain))


def _check_description(description, identity):
    try:
        found = json.loads(description.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{str(description)!r} is not readable ({error}). Pass a new folder."
        ) from error
    expected = {"format": FORMAT, **identity}
    different = [name for name in expected if found.get(name) != expected[name]]
    if different:
        raise ValueError(
            f"{str(description.parent)!r} holds another comparison: it differs in "
            f"{', '.join(different)}. Pass a new folder, or the original "
            "arguments. (Folds differ from call to call where the splitter of `cv` "
            "shuffles without a random_state.)"
        )


def identify(problem: Problem) -> dict[str, str]:
    """Return digests of everything that defines a comparison, by name.

    Parameters
    ----------
    problem : Problem

    Returns
    -------
    dict of str to str
        Paths count by name and size, arrays by content. The student's `device`,
        `n_jobs` and `verbose` do not count, nor do arms, seeds, numbers of labels or
        of channels: another call can add more of these to a folder.
    """
    parts = {
        "X": _content(problem.X),
        "y": problem.y,
        "groups": problem.groups,
        "student": _describe(problem.student, without=_IRRELEVANT),
        "folds": problem.folds,
        "search": [_describe(problem.search), problem.inner_cv],
        "teachers": _describe(problem.teachers),
    }
    return {name: joblib.hash(part) for name, part in parts.items()}


def _describe(value, *, without=()):
    """Return a value in plain types: estimators as class and parameters.

    Pickles, which `joblib.hash` reads, refuse classes defined in functions.
    """
    if isinstance(value, FrozenEstimator):
        return [_describe(type(value.estimator)), _describe(vars(value.estimator))]
    if isinstance(value, TeacherData):
        clips = {name: _content(getattr(value, name)) for name in ("X", "student_X")}
        # Controls had heads of their own before; their fits are of another comparison.
        return _describe({**vars(value), **clips, "controls": "head of the teacher"})
    if isinstance(value, type | FunctionType):
        return value.__qualname__
    if hasattr(value, "state_dict"):
        tensors = value.state_dict().items()
        return [str(value), {name: t.cpu().float().numpy() for name, t in tensors}]
    if hasattr(value, "get_params"):
        settings = value.get_params(deep=False)
        kept = {
            name: v
            for name, v in settings.items()
            if name not in without and not (name in _ADDED and v == _ADDED[name])
        }
        return [_describe(type(value)), _describe(kept)]
    if isinstance(value, dict):
        return [[_describe(key), _describe(v)] for key, v in value.items()]
    if isinstance(value, list | tuple):
        return [_describe(v) for v in value]
    return value


def _content(X):
    """Return X, or where it holds paths their names and sizes."""
    if X is None:
        return None
    if hasattr(X, "ndim") and X.ndim > 1:
        return np.asarray(X)
    names = [row for row in X if isinstance(row, str | bytes | os.PathLike)]
    if len(names) < n_rows(X):
        return X
    sizes = []
    for name in names:
        with contextlib.suppress(OSError):
            sizes.append(os.stat(name).st_size)
    return [os.fspath(name) for name in names], sizes
