"""Factor spaces: which training an array of factors came from.

Factors of two trainings cannot be compared, even where one seed and nearly the same
logs were used: any rotation of users and items together leaves all scores as they are,
so each training ends in directions of its own. What `CFEmbedding` returns is an array
that remembers its training: `recommend` and others that compare two sides ask here
whether both have one. Rows, slices and copies of such an array remember it, too.
Results of arithmetic do not, since it may lead elsewhere, and are not checked; nor are
plain arrays.
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from userlogfeat._pages import see

EMBEDDING = "embedding"  # layer of a model that lies among the factors


class FactorArray(np.ndarray):
    """An array of factors that knows its space.

    Attributes
    ----------
    space : str or None
        Digest of the training; None where it is not known.
    """

    space: str | None = None

    def __array_finalize__(self, source: Any) -> None:
        self.space = getattr(source, "space", None)

    def __array_wrap__(
        self, array: Any, context: Any = None, return_scalar: bool = False
    ) -> Any:
        """Return results of arithmetic as plain arrays."""
        plain = np.asarray(array)
        return plain[()] if return_scalar else plain

    def __reduce__(self) -> tuple[Any, ...]:
        make, arguments, state, *_ = tuple(super().__reduce__())
        return make, arguments, (state, self.space)

    def __setstate__(self, state: Any) -> None:
        array, self.space = state
        super().__setstate__(array)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.copy()

    def __repr__(self) -> str:
        return repr(np.asarray(self))


def in_space(factors: np.ndarray, space: str | None) -> FactorArray:
    """Return a view of factors that knows its space.

    Parameters
    ----------
    factors : ndarray, shape (n_rows, n_factors)
    space : str or None
        Digest of the training.

    Examples
    --------
    >>> import numpy as np
    >>> from userlogfeat._spaces import in_space, space_of
    >>> users = in_space(np.eye(2), "1f0c")
    >>> space_of(users), space_of(users[:1].copy()), space_of(2 * users)
    ('1f0c', '1f0c', None)
    """
    view = np.asarray(factors).view(FactorArray)
    view.space = space
    return view


def space_of(factors: Any) -> str | None:
    """Return the digest of the training that factors are of; None where unknown."""
    return factors.space if isinstance(factors, FactorArray) else None


def space_of_model(training_data: dict[str, Any]) -> str | None:
    """Return the digest of the factors or users that a model was trained on.

    Parameters
    ----------
    training_data : dict
        As the model's folder or file has it.

    Returns
    -------
    str or None
        None where it is unknown.
    """
    if "users_digest" in training_data:  # of fit-metric
        return training_data["users_digest"]
    factors = training_data.get("factors")  # of fit-teacher
    return factors.get("users_digest") if isinstance(factors, dict) else None


def join_layers(layers: dict[str, np.ndarray], space: str | None) -> np.ndarray:
    """Put layers side by side; the embedding by itself knows its space.

    Parameters
    ----------
    layers : dict of str to ndarray, shape (n_clips, n_columns)
    space : str or None
        Digest of the training of the model that made them.

    Examples
    --------
    >>> import numpy as np
    >>> from userlogfeat._spaces import join_layers, space_of
    >>> layers = {"mean_pool": np.ones((1, 3)), "embedding": np.ones((1, 2))}
    >>> join_layers(layers, "1f0c").shape
    (1, 5)
    >>> space_of(join_layers({"embedding": layers["embedding"]}, "1f0c"))
    '1f0c'
    """
    joined = np.concatenate(list(layers.values()), axis=1)
    if tuple(layers) != (EMBEDDING,) or space is None:
        return np.asarray(joined)
    return in_space(joined, space)


def check_same_space(first: Any, second: Any, names: tuple[str, str]) -> None:
    """Raise where two sides are known to be of different trainings.

    Parameters
    ----------
    first, second : array-like
        Factors or embeddings, perhaps from :func:`in_space`.
    names : tuple of str
        Their names in the caller's signature.

    Raises
    ------
    ValueError
    """
    spaces = space_of(first), space_of(second)
    if None not in spaces and spaces[0] != spaces[1]:
        raise ValueError(
            f"Got {names[0]} of training {spaces[0]} and {names[1]} of training "
            f"{spaces[1]}, expected both of one: the spaces of two trainings have "
            "nothing to do with each other, and so would any score. Take both from one "
            "fit, go on from it with CFEmbedding.update, or bring one onto the other "
            "with userlogfeat.factorization.align_factors." + see("guide/factors")
        )


def feature_names(layer_sizes: Mapping[str, int]) -> np.ndarray:
    """Name the columns of layers side by side: ``max_pool_0``, ``max_pool_1``, ..."""
    return np.array(
        [f"{name}_{i}" for name, size in layer_sizes.items() for i in range(size)],
        dtype=object,
    )
