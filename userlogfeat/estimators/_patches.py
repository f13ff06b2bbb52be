"""Patches or windows of clips, for the classifiers that average over them."""

import numpy as np
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_consistent_length, column_or_1d


def check_patches(X, estimator, *, reset):
    """Return all patches in one array, and the number of patches of each clip.

    Parameters
    ----------
    X : list of ndarray (n_patches, n_features), or ndarray
        The patches of each clip. A 3-D array has equally many in each clip, a 2-D array
        one.
    estimator : estimator
        Its ``n_features_in_`` is set (`reset`), or must match.
    reset : bool
        True in ``fit``.

    Returns
    -------
    patches : ndarray (all patches, n_features)
    n_patches : list of int

    Raises
    ------
    ValueError
        Where X is empty, has NaN, or patches of several numbers of features.
    """
    if isinstance(getattr(X, "dtype", None), np.dtype) and X.dtype == object:
        X = list(X)  # an array or series of arrays
    if isinstance(X, list | tuple) and len(X) == 0:
        raise ValueError("Found 0 sample(s): X is empty, expected one clip or more.")
    if not (isinstance(X, list | tuple) and np.ndim(X[0]) == 2):
        X = check_array(X, allow_nd=True, input_name="X")
        X = X[:, None] if X.ndim == 2 else X
    clips = []
    for index, clip in enumerate(X):
        try:
            clips.append(check_array(clip, input_name=f"X[{index}]"))
        except ValueError as error:
            raise ValueError(f"Clip {index} of X: {error}") from error
    widths = sorted({clip.shape[1] for clip in clips})
    if reset and len(widths) == 1:
        estimator.n_features_in_ = widths[0]
    if len(widths) > 1 or widths[0] != estimator.n_features_in_:
        found = widths[0] if len(widths) == 1 else widths
        expected = "one number of" if reset else estimator.n_features_in_
        raise ValueError(
            f"X has {found} features, but {type(estimator).__name__} is expecting "
            f"{expected} features as input, the same in the patches of all clips."
        )
    return np.concatenate(clips), [len(clip) for clip in clips]


def check_labelled_patches(X, y, estimator):
    """Return what :func:`check_patches` does in ``fit``, and the class of each clip."""
    patches, n_patches = check_patches(X, estimator, reset=True)
    y = column_or_1d(y, warn=True)
    check_consistent_length(n_patches, y)
    assert_all_finite(y, input_name="y")
    check_classification_targets(y)
    return patches, n_patches, y


def mean_of_clips(values, n_patches):
    """Means (n_clips, n) over the patches of each clip, of values (all patches, n)."""
    first = np.concatenate([[0], np.cumsum(n_patches)[:-1]])
    return np.add.reduceat(values, first, axis=0) / np.asarray(n_patches)[:, None]
