"""One layer of one model, as a page shows it: maps, nearest clips, answers.

Features are standardised. Distances are cosine distances of standard scores, as for
copies in :mod:`userlogfeat.evaluation.leaks`; maps begin with their first principal
components.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np

from userlogfeat._threads import n_threads_for, one_blas_thread
from userlogfeat.evaluation.copies import unit_scores
from userlogfeat.evaluation.folds import StratifiedArtistKFold, stratified_folds
from userlogfeat.evaluation.ranking import iter_rows, top_items

METHODS = ("pca", "tsne", "umap")
TSNE_CLIPS = 3000  # at most, by default: t-SNE takes a minute and more beyond
N_COMPONENTS = 50  # that t-SNE, UMAP and the classifier begin with
N_FOLDS = 5
_PERPLEXITY = 30
_STEP_SECONDS = 5e-6  # of t-SNE in one thread, for each clip
_SIDE = 10_000  # coordinates are whole numbers from 0 to this
_N_ANSWERS = 3


@dataclass(frozen=True, eq=False)
class Answers:
    """Answers of a classifier that has not been trained on the clip, nor its artist.

    Attributes
    ----------
    classes : list of str
    best : ndarray (n_clips, n_best), int64
        The most probable classes.
    probabilities : ndarray (n_clips, n_best), float64
    accuracy : float
        Fraction of right answers, among the clips with a label.
    by_artist : bool
        Whether artists were kept apart.
    """

    classes: list[str]
    best: np.ndarray
    probabilities: np.ndarray
    accuracy: float
    by_artist: bool


@dataclass(frozen=True, eq=False)
class Layer:
    """The parts of a page that are about a layer.

    Attributes
    ----------
    model : int
        Place of its model.
    name : str
    size : int
    maps : dict of str to ndarray (n_clips, 2)
        Places by method.
    nearest : ndarray (n_clips, n_neighbours), int64
    distances : ndarray (n_clips, n_neighbours), float32
    answers : Answers or None
    """

    model: int
    name: str
    size: int
    maps: dict[str, np.ndarray]
    nearest: np.ndarray
    distances: np.ndarray
    answers: Answers | None = field(default=None)


def choose_methods(projection: Any, n_clips: int) -> list[str]:
    """Return the methods to draw; "auto" adds t-SNE where it takes seconds."""
    if projection == "auto":
        return ["tsne", "pca"] if n_clips <= TSNE_CLIPS else ["pca"]
    methods = [projection] if isinstance(projection, str) else list(projection)
    unknown = [name for name in methods if name not in METHODS]
    if unknown or not methods:
        raise ValueError(
            f'Got projection={projection!r}, expected "auto", or one or several of '
            f"{', '.join(METHODS)}."
        )
    if "umap" in methods:
        _umap()
    return methods


def view_layer(
    features: np.ndarray,
    *,
    model: int,
    name: str,
    methods: list[str],
    n_neighbours: int,
    seed: int,
    labels: list | None = None,
    artists: list | None = None,
    classifier: Any = None,
) -> Layer:
    """Make all that a page shows of a layer.

    Parameters
    ----------
    features : ndarray (n_clips, size)
    model, name
        See :class:`Layer`.
    methods : list of str
    n_neighbours : int
    seed : int
    labels, artists : list or None
        None where a value is missing.
    classifier : estimator or None
        None has no answers.

    Returns
    -------
    Layer
    """
    n = len(features)
    try:
        units = unit_scores(features, np.arange(n))
    except ValueError as error:
        raise ValueError(f"The layer {name!r} makes no map. {error}") from error
    with one_blas_thread():
        components = principal_components(units, seed)
        maps = {method: project(components, method, seed) for method in methods}
    nearest, distances = nearest_clips(units, min(n_neighbours, n - 1))
    answers = None
    if classifier is not None and labels is not None:
        answers = answer(features, labels, artists, classifier, seed)
    return Layer(model, name, features.shape[1], maps, nearest, distances, answers)


def principal_components(units: np.ndarray, seed: int) -> np.ndarray:
    """Return the first principal components: (n_clips, at most `N_COMPONENTS`)."""
    from sklearn.decomposition import PCA

    n = min(N_COMPONENTS, len(units) - 1, units.shape[1])
    found = PCA(n, random_state=seed, svd_solver="auto").fit_transform(units)
    if n < 2:  # one feature: a line
        found = np.column_stack([found, np.zeros(len(units))])
    return found.astype(np.float32)


def project(components: np.ndarray, method: str, seed: int) -> np.ndarray:
    """Return places on a plane: (n_clips, 2)."""
    if method == "pca":
        return components[:, :2]
    if method == "umap":
        n_near = min(15, len(components) - 1)
        reducer = _umap().UMAP(n_neighbors=n_near, random_state=seed, n_jobs=1)
        return reducer.fit_transform(components)
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(_PERPLEXITY, (len(components) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, init=_start(components), random_state=seed)
    n_threads = n_threads_for(_STEP_SECONDS * len(components))
    with threadpool_limits(n_threads, "openmp"):
        return tsne.fit_transform(components)


def nearest_clips(units: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest other clips, and their cosine distances.

    Parameters
    ----------
    units : ndarray (n_clips, size)
        Unit vectors.
    k : int
        Below n_clips.

    Returns
    -------
    nearest : ndarray (n_clips, k), int64
        Nearest first.
    distances : ndarray (n_clips, k), float32, in [0, 2]
    """
    nearest = np.empty((len(units), k), np.int64)
    distances = np.empty((len(units), k), units.dtype)
    for rows in iter_rows(len(units), len(units)):
        block = 1 - units[rows] @ units.T
        block[np.arange(len(block)), np.arange(rows.start, rows.stop)] = np.inf
        nearest[rows], values = top_items(-block, k)
        distances[rows] = -values
    return nearest, np.clip(distances, 0, 2)


def default_classifier() -> Any:
    """Return the classifier of a page: standard scores, PCA, logistic regression."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(
        StandardScaler(),
        PCA(0.95, svd_solver="full"),
        StandardScaler(),
        LogisticRegression(max_iter=300),
    )


def answer(
    features: np.ndarray, labels: list, artists: list | None, classifier: Any, seed: int
) -> Answers | None:
    """Have a classifier answer for each clip, by cross-validation.

    Clips without a label get the answer of a classifier that was trained on all that
    have one.

    Parameters
    ----------
    features : ndarray (n_clips, size)
    labels, artists : list
        None where a value is missing.
    classifier : estimator
        Cloned.
    seed : int

    Returns
    -------
    Answers, or None
        None where fewer than two classes have two clips, or two artists.
    """
    from sklearn.base import clone

    known = np.array([label is not None for label in labels])
    y = np.array([str(label) for label in labels])
    classes = np.unique(y[known])
    folds, by_artist = _folds(y[known], artists, known, seed)
    if folds is None:
        return None
    scores = np.zeros((len(y), len(classes)))
    rows = np.flatnonzero(known)
    with one_blas_thread():
        for train, test in folds:
            model = clone(classifier).fit(features[rows[train]], y[rows[train]])
            scores[rows[test]] = _class_scores(model, features[rows[test]], classes)
        if not known.all():
            model = clone(classifier).fit(features[known], y[known])
            scores[~known] = _class_scores(model, features[~known], classes)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :_N_ANSWERS]
    right = classes[best[known, 0]] == y[known]
    return Answers(
        classes.tolist(),
        best,
        np.take_along_axis(scores, best, 1),
        float(right.mean()),
        by_artist,
    )


def _folds(y, artists, known, seed):
    """Folds by artist where artists are known, else by class; None without any."""
    counts = np.unique(y, return_counts=True)[1]
    if len(counts) < 2 or np.sort(counts)[-2] < 2:
        return None, False
    if artists is not None:
        named = [a for a, has_label in zip(artists, known, strict=True) if has_label]
        n_artists = len(set(named)) + named.count(None) - (None in named)
        if n_artists < 2:
            return None, True
        splitter = StratifiedArtistKFold(
            min(N_FOLDS, n_artists), shuffle=True, random_state=seed
        )
        return _usable(splitter.split(y, y, named), y), True
    smallest = int(counts.min())
    if smallest >= 2:
        return stratified_folds(y, min(N_FOLDS, smallest), seed=seed), False
    from sklearn.model_selection import KFold

    splitter = KFold(min(N_FOLDS, len(y)), shuffle=True, random_state=seed)
    return _usable(splitter.split(y), y), False


def _usable(folds, y):
    """Return the folds, or None where one trains on a single class."""
    folds = list(folds)
    return None if any(len(np.unique(y[train])) < 2 for train, _ in folds) else folds


def _class_scores(model, features, classes):
    """Probabilities of all classes; 1 for the answer where a model has none."""
    scores = np.zeros((len(features), len(classes)))
    if hasattr(model, "predict_proba"):
        columns = np.searchsorted(classes, model.classes_)
        scores[:, columns] = model.predict_proba(features)
    else:
        answers = np.searchsorted(classes, model.predict(features))
        scores[np.arange(len(features)), answers] = 1
    return scores


def align(maps: list[np.ndarray]) -> list[np.ndarray]:
    """Turn and mirror maps to lie as the first does, as far as they can."""
    from scipy.linalg import orthogonal_procrustes

    first, *others = (places - places.mean(axis=0) for places in maps)
    return [first] + [p @ orthogonal_procrustes(p, first)[0] for p in others]


def whole_numbers(places: np.ndarray) -> np.ndarray:
    """Return places as whole numbers, centred, with one scale for both axes."""
    places = np.asarray(places, np.float64)
    low, high = places.min(axis=0), places.max(axis=0)
    span = max((high - low).max(), 1e-12)
    return np.rint(((places - (low + high) / 2) / span + 0.5) * _SIDE).astype(np.int64)


def _start(components):
    """Places that t-SNE begins with: small, as its authors advise."""
    first = components[:, :2].astype(np.float32)
    return first / max(float(first[:, 0].std()), 1e-12) * 1e-4


def _umap():
    try:
        return import_module("umap")
    except ImportError as error:
        raise ImportError(
            'projection="umap" needs umap-learn, which is not installed. Install it '
            "with: pip install umap-learn"
        ) from error
