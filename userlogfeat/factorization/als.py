"""Alternating least squares on implicit feedback, and exact fold-in of new rows.

Hu, Koren, Volinsky 2008, *Collaborative filtering for implicit feedback datasets*.
With r the plays of user u and item i, preference p = 1 where r > 0, else 0, and
confidence c = 1 + alpha r (section 4), the factors x of users and y of items minimise

    sum over all u, i of c_ui (p_ui - x_u . y_i)^2  +  reg (sum |x_u|^2 + sum |y_i|^2)

and, with the items fixed, those of one user are (equation 4)

    x_u = (Y'Y + Y'(C_u - I)Y + reg I)^-1  Y' C_u p_u.

The solvers are implicit's. Two things differ from its own `fit`:

- Entries of its matrix *are* the confidences c of what was played (everything else has
  c = 1). So they are 1 + alpha r here, not alpha r as by its own `alpha`.
- It solves approximately: `CG_STEPS` of conjugate gradients, from the factors of the
  round before. Here a round is items, then users, and the users of the last round are
  solved for exactly. So the factors returned belong together; of 15 rounds this is a
  tenth more work.
"""

import logging
from contextlib import contextmanager
from functools import partial

import numpy as np
from scipy import sparse

from userlogfeat._progress import progress_bar
from userlogfeat._threads import n_threads_for, one_blas_thread
from userlogfeat._typing import RandomState
from userlogfeat.factorization.alignment import rotation_onto
from userlogfeat.factorization.confidence import confidences

logger = logging.getLogger(__name__)
RATE = 8e9  # operations a second of implicit in one thread: its vectors are short
TINY = 1e-5  # length of a listener who stands for a prior, relative to it
CG_STEPS = 3  # of conjugate gradients, for each row in each round, as in implicit


def fit_als(
    user_items: sparse.csr_matrix,
    *,
    n_factors: int,
    regularization: float,
    alpha: float,
    iterations: int,
    random_state: RandomState | np.random.Generator = None,
    progress: bool = False,
    start: np.ndarray | None = None,
    item_prior: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Factorise a matrix of plays.

    Parameters
    ----------
    user_items : csr_matrix, shape (n_users, n_items)
        Numbers of plays r, not negative; or their weights, as
        :func:`userlogfeat.factorization.confidence.weigh` gives them.
    n_factors : int
    regularization : float
        reg of the equation above, not multiplied by the number of plays.
    alpha : float
        How much one play adds to the confidence.
    iterations : int
        Rounds; each solves for the items, then for the users.
    random_state : int, RandomState, Generator or None
        Seed of the initial factors.
    progress : bool
        Show a progress bar.
    start : ndarray of float32, shape (n_items, n_factors), optional
        Items to go on from, zeros where an item is new. At the end users and items are
        rotated together onto them, which changes no score.
    item_prior : ndarray of float32, shape (n_items, n_factors), optional
        Where the penalty draws each item: it is ``reg |y_i - prior_i|^2``. Zeros where
        nothing is known of an item, as without a prior.

    Returns
    -------
    user_factors : ndarray of float32, shape (n_users, n_factors)
        Equal to ``fold_in(item_factors, user_items, ...)``.
    item_factors : ndarray of float32, shape (n_items, n_factors)
        Zeros where a user or item has no plays, and the item no prior.

    Raises
    ------
    ValueError
        Where the factors do not stay finite.
    """
    rng = np.random.default_rng(seed_of(random_state))
    by_user = confidences(user_items, alpha)
    by_item = by_user.T.tocsr()
    if start is None:
        users, items = (
            0.01 * rng.random((n, n_factors), dtype=np.float32)
            for n in user_items.shape
        )
    else:
        items = np.array(start, np.float32, order="C")
        users = solve_exactly(items, by_user, regularization)
    n_threads = n_threads_for(_seconds_of_round(by_user, n_factors) / 2)
    logger.info(
        "ALS: %d users, %d items, %d pairs; %d factors; threads: %d",
        *user_items.shape,
        user_items.nnz,
        n_factors,
        n_threads,
    )
    listeners = users
    if item_prior is not None:
        by_item, listeners = _with_prior(by_item, users, item_prior, regularization)
        users = listeners[: len(users)]
    with _solver(n_factors, regularization, n_threads) as model:
        solve = partial(
            model.solver, regularization=regularization, num_threads=model.num_threads
        )
        rounds = progress_bar(
            range(iterations - 1, -1, -1), desc="ALS", unit="round", asked=progress
        )
        for left in rounds:
            solve(by_item, items, listeners)
            if left:
                solve(by_user, users, items)
    if not np.isfinite(items).all():
        largest = float(user_items.data.max())
        raise ValueError(diverged(largest, regularization, alpha))
    if start is not None:
        items = (items @ rotation_onto(items, start)[0]).astype(np.float32)
    return solve_exactly(items, by_user, regularization), items


def _with_prior(by_item, users, prior, regularization):
    """Add a listener for each item, who draws it to its prior.

    Listeners of the factors v = TINY prior, with the confidence c = reg / TINY, add
    c v = reg prior to the right side of the item's equations, as the penalty does; and
    to the left c vv' = TINY reg prior prior', next to nothing beside reg.
    """
    own = sparse.diags_array(
        np.full(len(prior), regularization / TINY, np.float32), format="csr"
    )
    by_item = sparse.hstack([by_item, own], format="csr", dtype=np.float32)
    return by_item, np.concatenate([users, np.float32(TINY) * prior])


def fold_in(
    factors: np.ndarray, rows: sparse.csr_matrix, *, regularization: float, alpha: float
) -> np.ndarray:
    """Solve for new users from their plays (or for new items from their listeners).

    Each row is solved for alone: its result does not depend on the others.

    Parameters
    ----------
    factors : ndarray, shape (n_columns, n_factors)
        The factors of the other side: of items, to fold users in.
    rows : csr_matrix, shape (n_rows, n_columns)
        Numbers of plays r, not negative.
    regularization, alpha : float
        As in :func:`fit_als`.

    Returns
    -------
    ndarray of float32, shape (n_rows, n_factors)
        Zeros for rows without plays.

    Raises
    ------
    ValueError
        Where the equations have no single solution, with ``regularization=0``.
    """
    return solve_exactly(factors, confidences(rows, alpha), regularization)


def solve_exactly(
    factors: np.ndarray,
    confidences: sparse.csr_matrix,
    regularization: float,
    *,
    gram: np.ndarray | None = None,
) -> np.ndarray:
    """Solve equation 4 for each row, by Cholesky in float64.

    Parameters
    ----------
    factors : ndarray, shape (n_columns, n_factors)
    confidences : csr_matrix, shape (n_rows, n_columns)
    regularization : float
    gram : ndarray of float64, shape (n_factors, n_factors), optional
        Y'Y, where `factors` are only some of the rows of Y: those with a confidence.

    Returns
    -------
    ndarray of float32, shape (n_rows, n_factors)
    """
    n_factors = factors.shape[1]
    n_threads = n_threads_for(_seconds_of_exact(confidences, n_factors))
    with _solver(n_factors, regularization, n_threads, np.float64, gram) as model:
        model.item_factors = np.ascontiguousarray(factors, np.float64)
        try:
            # The public way to implicit's exact solver.
            rows = np.arange(confidences.shape[0])
            solved = model.recalculate_user(rows, confidences)
        except ValueError as error:
            raise ValueError(
                f"The equations of fold-in could not be solved ({error}) with "
                f"regularization={regularization}. Raise it, or lower n_factors="
                f"{n_factors}."
            ) from error
    return solved.astype(np.float32)


@contextmanager
def _solver(n_factors, regularization, n_threads, dtype=np.float32, gram=None):
    """Yield a model of implicit, while BLAS is held to one thread.

    implicit works in threads of its own: BLAS must not start more in each of them.
    """
    from implicit.cpu.als import AlternatingLeastSquares

    class OfSome(AlternatingLeastSquares):
        """A model with the factors of some items, and Y'Y of all."""

        YtY = gram

    with one_blas_thread():
        model = (AlternatingLeastSquares if gram is None else OfSome)(
            factors=n_factors,
            regularization=regularization,
            alpha=1.0,
            dtype=dtype,
            num_threads=n_threads,
        )
        model.cg_steps = CG_STEPS
        yield model


def _seconds_of_round(confidences, n_factors):
    """Estimate one thread's time to solve for all items and all users.

    A step multiplies one vector by the Gram matrix and by the factors of what was
    played; as much is done once before the first.
    """
    once = 2 * n_factors**2 * sum(confidences.shape)
    once += 2 * 4 * n_factors * confidences.nnz  # each pair is in a row and a column
    return (1 + CG_STEPS) * once / RATE


def _seconds_of_exact(confidences, n_factors):
    """Estimate one thread's time to sum up and factorise the matrix of each row."""
    of_rows = confidences.shape[0] * n_factors**3 / 3
    return (of_rows + 2 * n_factors**2 * confidences.nnz) / RATE


def seed_of(
    random_state: RandomState | np.random.Generator,
) -> int | np.random.Generator | None:
    """Return a seed for implicit; draws nothing from the global generator."""
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(np.iinfo(np.int32).max))
    return random_state


def diverged(largest: float, regularization: float, alpha: float) -> str:
    """Return the message for infinite factors; `largest` is the highest count."""
    return (
        f"The factors did not stay finite with alpha={alpha}, regularization="
        f"{regularization} and counts of up to {largest:g}. Lower alpha, raise "
        "regularization, or give smaller counts, such as log(1 + count)."
    )
