"""Spark starts processes that train together, and does the fits of a search."""

import runpy
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, KFold

from userlogfeat import KDStudentRegressor

EXAMPLE = Path(__file__).parents[2] / "examples" / "grid_search_on_spark.py"
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(41, 7)), RNG.normal(size=41)


def student():
    return KDStudentRegressor(network="mlp", batch_size=8, max_epochs=3, random_state=0)


@pytest.mark.long
def test_processes_that_spark_started_have_the_losses_of_one(spark):
    """Two processes of this machine, and the function's result of the first.

    With ``local_mode=False`` they are tasks of two executors, with the same result; but
    the first torchrun then waits five minutes now and then, for one that has ended.
    """
    from pyspark.ml.torch.distributor import TorchDistributor

    def train(X, Y, student):  # within, so that it travels whole
        from userlogfeat.training.processes import join

        history = student.fit(X, Y).history_
        return history, join().size

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pyspark's own
        distributor = TorchDistributor(2, local_mode=True, use_gpu=False)
        history, size = distributor.run(train, X, Y, student())
    assert size == 2
    expected = student().fit(X, Y).history_
    assert len(history) == 3
    for found, wanted in zip(history, expected, strict=True):
        assert found == pytest.approx(wanted, abs=1e-4)


@pytest.mark.long
def test_a_grid_search_whose_fits_are_tasks(spark):
    """The gallery's function gives the scores of a search in this process."""
    search_on_spark = runpy.run_path(str(EXAMPLE))["search_on_spark"]
    grid = {"lr": [1e-3, 1e-2]}
    expected = GridSearchCV(student(), grid, cv=2).fit(X, Y).cv_results_
    folds = list(KFold(2).split(X))
    candidates, found = search_on_spark(spark, student(), grid, X, Y, folds=folds)
    assert candidates == expected["params"]
    np.testing.assert_allclose(
        found.mean(axis=1), expected["mean_test_score"], rtol=1e-4
    )
