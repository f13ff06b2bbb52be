"""Fixtures that many tests share."""

import os
import warnings
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from userlogfeat._progress import show_progress
from userlogfeat.encoders.musicnn import COMMAND

DATA = Path(
    os.environ.get(
        "USERLOGFEAT_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"
    )
)

collect_ignore = ["typing/user_script.py"]  # for mypy; it has mistakes


def pytest_collection_modifyitems(items):
    """Put tests of Spark first, then slow ones; the others keep their order.

    With `--dist worksteal` a process takes a run of tests that follow each other, and
    those at the end of its run are taken from it when another has none left. So one
    cluster is started, and what is waited for at the end is short.
    """
    items.sort(
        key=lambda item: (
            not {"spark", "spark_cluster"} & {*getattr(item, "fixturenames", ())},
            item.get_closest_marker("slow") is None,
        )
    )


@pytest.fixture(autouse=True)
def _progress_as_by_default():
    """`--quiet` of a command in this process would silence the tests after it."""
    yield
    show_progress(None)


@pytest.fixture(scope="session")
def data():
    """The folder with the real data sets; the test is skipped where it is missing."""
    if not DATA.is_dir():
        pytest.skip(f"no real data in {DATA} (set USERLOGFEAT_DATA to its folder)")
    return DATA


@pytest.fixture(scope="session")
def musicnn():
    """Whether the weights of the musicnn package are installed; else a skip."""
    if find_spec("musicnn") is None:
        pytest.skip(f"no musicnn weights here: {COMMAND}")


@pytest.fixture(scope="session")
def spark_cluster():
    """The module ``tests/spark_cluster.py``; a skip where Spark cannot run."""
    path = Path(__file__).with_name("spark_cluster.py")
    spec = spec_from_file_location("spark_cluster", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    reason = module.reason_to_skip()
    if reason:
        pytest.skip(reason)
    return module


@pytest.fixture(scope="session")
def spark(spark_cluster, tmp_path_factory):
    """A session on a cluster of one executor of two cores, a process of its own.

    There is one for all tests of a run: leave it running and its executor alive.
    """
    folder = tmp_path_factory.mktemp("spark")
    with spark_cluster.cluster(folder, "local-cluster[1,2,2048]") as session:
        yield session


@pytest.fixture(scope="session")
def judge():
    """A function that imports a library; a skip where that does not load."""

    def load(name):
        try:
            with warnings.catch_warnings(action="ignore"):
                return import_module(name)
        except Exception as error:  # an OSError, where its C++ is of another torch
            return pytest.skip(f"{name} does not load: {error}")

    return load


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory):
    """The module ``tests/tiny_models.py``, with `names`: of its models, by kind."""
    pytest.importorskip("transformers")
    path = Path(__file__).with_name("tiny_models.py")
    spec = spec_from_file_location("tiny_models", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("tiny_models")
    module.names = {
        kind: module.save_model(kind, folder / kind) for kind in module.KINDS
    }
    return module
