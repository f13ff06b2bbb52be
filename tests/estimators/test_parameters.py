"""Parameters that are declared once: signatures, docstrings, and what clone sees."""

import inspect
import pickle
from dataclasses import KW_ONLY

import pytest
from sklearn.base import BaseEstimator, clone

import userlogfeat
from userlogfeat.estimators._parameters import _entries, _section, estimator

PUBLIC = [getattr(userlogfeat, name) for name in userlogfeat.__all__]
ESTIMATORS = [
    value
    for value in PUBLIC
    if isinstance(value, type) and issubclass(value, BaseEstimator)
]


@estimator
class Shared:
    """Parameters of several.

    Parameters
    ----------
    lr : float
        Learning rate.
    rows, columns : int
        Sizes of a table.
    """

    _: KW_ONLY
    lr: float = 0.5
    rows: int = 1
    columns: int = 2


@estimator
class Own(Shared, BaseEstimator):
    """An estimator.

    Parameters
    ----------
    name : str
        Its own.
    lr : float
        Learning rate of its own.

    Attributes
    ----------
    lr_ : float
        Not a parameter.
    """

    name: str
    _: KW_ONLY
    lr: float = 0.1
    size = 3  # not annotated: no parameter


def test_parameters_are_inherited_and_overridden():
    own = Own("a", rows=7)
    assert own.get_params() == {"name": "a", "lr": 0.1, "rows": 7, "columns": 2}
    copy = pickle.loads(pickle.dumps(clone(own.set_params(lr=2))))
    assert copy.get_params() == own.get_params()
    assert own != copy  # estimators are compared as scikit-learn's are
    assert {own: 1}[own] == 1
    with pytest.raises(TypeError, match="positional"):
        Own("a", 0.1)


def test_a_parameter_is_documented_by_the_nearest_class():
    assert Own.__doc__.splitlines()[2:] == [
        "Parameters",
        "----------",
        "name : str",
        "    Its own.",
        "lr : float",
        "    Learning rate of its own.",
        "rows, columns : int",
        "    Sizes of a table.",
        "",
        "Attributes",
        "----------",
        "lr_ : float",
        "    Not a parameter.",
    ]


@pytest.mark.parametrize("cls", ESTIMATORS, ids=lambda cls: cls.__name__)
def test_every_parameter_of_every_estimator_is_documented_once(cls):
    doc = inspect.getdoc(cls)
    names = list(inspect.signature(cls).parameters)
    assert set(names) == set(_entries(doc))
    start, end = _section(doc)
    entries = [line for line in doc[start:end].splitlines() if line[:1].isalpha()]
    documented = [n.strip() for e in entries for n in e.split(":")[0].split(",")]
    assert sorted(documented) == sorted(names)
