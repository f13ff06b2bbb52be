"""ALS and fold-in against plain loops that solve the normal equations."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse
from threadpoolctl import threadpool_limits

from userlogfeat.factorization import als, confidences, fit_als, fold_in

SETTINGS = {"n_factors": 5, "regularization": 0.1, "alpha": 10.0, "iterations": 30}
EQUATION = {"regularization": 0.1, "alpha": 10.0}


def random_plays(n_users=40, n_items=30, seed=0):
    rng = np.random.default_rng(seed)
    plays = rng.geometric(0.3, (n_users, n_items)) * (
        rng.random((n_users, n_items)) < 0.2
    )
    return sparse.csr_matrix(plays.astype(np.float32))


def solve_by_loop(factors, plays, regularization, alpha):
    """Equation 4 of Hu et al. 2008 as it stands, a row at a time."""
    n_factors = factors.shape[1]
    rows = []
    for r in plays.toarray().astype(float):
        C = np.diag(1 + alpha * r)
        p = (r > 0).astype(float)
        A = factors.T @ C @ factors + regularization * np.eye(n_factors)
        rows.append(np.linalg.solve(A, factors.T @ C @ p))
    return np.array(rows)


def loss(users, items, plays, regularization, alpha):
    r = plays.toarray()
    errors = (1 + alpha * r) * ((r > 0) - users @ items.T) ** 2
    return errors.sum() + regularization * ((users**2).sum() + (items**2).sum())


@pytest.mark.parametrize("alpha", [0.0, 1.0, 40.0, 1e5])
def test_fold_in_solves_the_normal_equations(alpha):
    """Also where confidences reach a million, which float32 would not survive."""
    items = np.random.default_rng(1).normal(size=(30, 5)).astype(np.float32)
    equation = {"regularization": 0.01, "alpha": alpha}
    users = fold_in(items, random_plays(), **equation)
    expected = solve_by_loop(items.astype(float), random_plays(), **equation)
    assert users.dtype == np.float32
    np.testing.assert_allclose(users, expected, rtol=2e-6, atol=1e-6)


def test_fold_in_of_a_row_does_not_depend_on_the_others():
    items = np.random.default_rng(1).normal(size=(30, 5)).astype(np.float32)
    plays = random_plays()
    together = fold_in(items, plays, **EQUATION)
    alone = [fold_in(items, plays[row], **EQUATION)[0] for row in range(40)]
    np.testing.assert_array_equal(together, alone)


def test_users_and_items_returned_belong_together():
    users, items = fit_als(random_plays(), random_state=0, **SETTINGS)
    np.testing.assert_array_equal(users, fold_in(items, random_plays(), **EQUATION))
    for factors in (users, items):
        assert factors.dtype == np.float32
        assert factors.flags.c_contiguous


def test_als_reaches_the_loss_of_exact_alternation():
    """And less than half of what the exact alternation has after one round."""
    plays = random_plays()
    users, items = fit_als(plays, random_state=0, **SETTINGS)
    exact_users = np.random.default_rng(5).random((40, 5)) * 0.01
    for _ in range(30):
        exact_items = solve_by_loop(exact_users, plays.T.tocsr(), **EQUATION)
        exact_users = solve_by_loop(exact_items, plays, **EQUATION)
    reached = loss(users, items, plays, **EQUATION)
    assert reached < 1.02 * loss(exact_users, exact_items, plays, **EQUATION)


def test_als_is_as_good_as_implicit_itself():
    from implicit.cpu.als import AlternatingLeastSquares

    plays = random_plays()
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=5, regularization=0.1, iterations=30, random_state=0
        )
        model.fit(confidences(plays, 10.0), show_progress=False)
    theirs = loss(model.user_factors, model.item_factors, plays, **EQUATION)
    ours = loss(*fit_als(plays, random_state=0, **SETTINGS), plays, **EQUATION)
    assert ours < 1.02 * theirs


def test_items_with_a_prior_solve_the_equations_of_its_penalty():
    """Those of equation 4, with reg times the prior on the right side."""
    plays = random_plays().tolil()
    plays[:, 7] = 0  # nobody's: the prior alone draws it from zero
    plays = plays.tocsr()
    prior = np.random.default_rng(2).normal(size=(30, 5)).astype(np.float32)
    prior[9] = 0
    settings = SETTINGS | {"regularization": 3.0, "iterations": 200}
    users, items = fit_als(plays, random_state=0, item_prior=prior, **settings)
    x, expected = users.astype(float), []
    for r, expectation in zip(plays.T.toarray(), prior, strict=True):
        C = np.diag(1 + 10.0 * r)
        right = x.T @ C @ (r > 0) + 3.0 * expectation
        expected.append(np.linalg.solve(x.T @ C @ x + 3.0 * np.eye(5), right))
    np.testing.assert_allclose(items, expected, atol=2e-3)
    assert np.abs(items[7]).max() > 0.05
    without = fit_als(plays, random_state=0, item_prior=0 * prior, **settings)
    plain = fit_als(plays, random_state=0, **settings)
    np.testing.assert_allclose(
        without[0] @ without[1].T, plain[0] @ plain[1].T, atol=1e-4
    )


def test_nobody_and_nothing_are_zeros():
    plays = random_plays().tolil()
    plays[3] = 0
    plays[:, 7] = 0
    users, items = fit_als(plays.tocsr(), random_state=0, **SETTINGS)
    assert not users[3].any()
    assert not items[7].any()
    assert np.abs(np.delete(users, 3, axis=0)).max(axis=1).min() > 0


def test_confidences_are_one_plus_alpha_r_of_what_was_played():
    plays = sparse.csr_matrix(([2.0, 0.0, 1.0], [0, 2, 1], [0, 2, 3]), shape=(2, 3))
    expected = [[21, 0, 0], [0, 11, 0]]
    np.testing.assert_array_equal(confidences(plays, 10).toarray(), expected)
    assert plays.nnz == 3  # the caller's matrix is left as it was


def test_one_thread_or_several_makes_no_difference(monkeypatch):
    one = fit_als(random_plays(), random_state=0, **SETTINGS)
    monkeypatch.setattr(als, "n_threads_for", lambda seconds: 2)
    several = fit_als(random_plays(), random_state=0, **SETTINGS)
    np.testing.assert_array_equal(one[0], several[0])


def test_indices_of_64_bits_and_read_only_memory():
    plays = random_plays()
    expected = fit_als(plays, random_state=0, **SETTINGS)
    plays.indices = plays.indices.astype(np.int64)
    plays.indptr = plays.indptr.astype(np.int64)
    for array in (plays.data, plays.indices, plays.indptr):
        array.flags.writeable = False
    for ours, theirs in zip(
        fit_als(plays, random_state=0, **SETTINGS), expected, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    "make",
    [int, np.random.RandomState, np.random.default_rng],
    ids=["int", "RandomState", "Generator"],
)
def test_equal_seeds_give_equal_factors(make):
    first = fit_als(random_plays(), random_state=make(3), **SETTINGS)
    again = fit_als(random_plays(), random_state=make(3), **SETTINGS)
    other = fit_als(random_plays(), random_state=make(4), **SETTINGS)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("seed", [None, 0])
def test_the_global_generator_is_left_alone(seed):
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    fit_als(random_plays(), random_state=seed, **SETTINGS)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_blas_threads_are_limited_while_fitting_only():
    """implicit warns of BLAS threads once per process: so in a process of its own."""
    script = """
import warnings
warnings.simplefilter("error")
import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits, threadpool_info
def threads():
    blas = (i for i in threadpool_info() if i["user_api"] == "blas")
    return {i["filepath"]: i["num_threads"] for i in blas}
from userlogfeat.factorization import fit_als
threadpool_limits(2, "blas")
before = threads()
plays = sparse.csr_matrix(np.eye(4, dtype=np.float32))
fit_als(plays, n_factors=2, regularization=0.1, alpha=1.0, iterations=2)
after = threads()
assert before and all(after[path] == n for path, n in before.items()), (before, after)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("n_steps", [1, 5])
def test_the_number_of_steps_is_ours(n_steps, monkeypatch):
    """It once entered the estimate of time alone: implicit took its own three."""
    three = fit_als(random_plays(), random_state=0, **SETTINGS | {"iterations": 2})
    monkeypatch.setattr(als, "CG_STEPS", n_steps)
    other = fit_als(random_plays(), random_state=0, **SETTINGS | {"iterations": 2})
    assert not np.allclose(three[1], other[1], rtol=1e-3)


def test_progress_bar(capsys):
    fit_als(random_plays(), random_state=0, **SETTINGS)
    assert capsys.readouterr().err == ""
    fit_als(random_plays(), random_state=0, progress=True, **SETTINGS)
    assert "30/30" in capsys.readouterr().err


def test_counts_too_large_for_float32():
    plays = sparse.csr_matrix(np.float32([[1e37, 1e36], [1e36, 1e37]]))
    with pytest.raises(
        ValueError, match=r"did not stay finite.*counts of up to 1e\+37"
    ):
        fit_als(plays, random_state=0, **SETTINGS)


def test_equations_without_a_solution():
    items = np.zeros((30, 5), np.float32)
    with pytest.raises(ValueError, match=r"could not be solved.*regularization=0"):
        fold_in(items, random_plays(), regularization=0.0, alpha=1.0)
