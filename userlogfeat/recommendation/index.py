"""`ItemIndex`: items prepared for many queries, exact or approximate, kept on disk.

Approximate search is faiss' inverted lists (IVF): k-means groups the items, and a query
looks at the nearest groups alone. How many is measured when the index is built, on
queries that are given, so that `recall` of the true neighbours is found. For scalar
products items get one more dimension that brings all to one length (Bachrach et al.
2014, *Speeding up the Xbox recommender system using a Euclidean transformation*), so
that long ones do not gather in every group.

Why faiss: on 200,000 items of 40 factors graphs (HNSW of voyager, usearch, faiss) were
as fast at equal recall, and took eight times as long to build. See
``benchmarks/search_speed.py``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from scipy import sparse

from userlogfeat._check import check_choice, check_number, check_positive
from userlogfeat._digests import json_digest
from userlogfeat._files import (
    is_described,
    make_folder,
    read_described,
    replace_pair,
)
from userlogfeat._ids import positions
from userlogfeat._optional import import_optional
from userlogfeat._spaces import check_same_space, in_space, space_of
from userlogfeat._typing import ArrayLike, Matrix, PathLike
from userlogfeat._untrusted import parse_json
from userlogfeat.evaluation.ranking import (
    as_floats,
    check_embeddings,
    check_pairs,
    unit_rows,
)
from userlogfeat.recommendation.exact import highest_products, known_rows
from userlogfeat.recommendation.ranking import METRICS, warn_of_unknown

FORMAT = "userlogfeat item index 1"
TENSORS, CONFIG = "index.safetensors", "index.json"
METHODS = ("exact", "approximate")
_N_SAMPLE = 256  # queries that the recall is measured on
_SAMPLE_K = 50
_TRAIN_PER_GROUP = 64  # items that k-means sees
_KMEANS_ROUNDS = 10
_MARGIN = 1.2  # length of the longest item in the added dimension: later ones fit
_SHOWN = 3  # examples in a message


class ItemIndex:
    """Items prepared for search: build, save, load, add, query.

    An index is made by :meth:`build` or :meth:`load`.

    Attributes
    ----------
    ids : ndarray, shape (n_items,)
        Names that queries return.
    metric : {"dot", "cosine"}
    method : {"exact", "approximate"}
    recall : float
        Share of the 50 best items that were found when the index was built; 1.0 for an
        exact one.
    n_probes : int
        Groups of items that a query looks at; 0 in an exact index. More find more, and
        take longer.
    space : str or None
        Digest of the training that the items are of: users of another are refused.

    Examples
    --------
    >>> import numpy as np
    >>> from userlogfeat.recommendation import ItemIndex
    >>> items = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    >>> index = ItemIndex.build(items, ["ann", "bob", "cid"], metric="cosine")
    >>> index.query([[1.0, 0.0]], 2)[0]
    array([['ann', 'cid']], dtype=object)
    >>> index.add([[1.0, 0.0]], ["dan"])
    >>> index.query([[1.0, 0.0]], 2, exclude=[["ann"]])[0]
    array([['dan', 'cid']], dtype=object)
    """

    ids: np.ndarray
    metric: str
    method: str
    recall: float
    n_probes: int
    space: str | None

    def __init__(self) -> None:
        raise TypeError("Make an index with ItemIndex.build or ItemIndex.load.")

    @classmethod
    def build(
        cls,
        item_embeddings: ArrayLike,
        ids: ArrayLike | None = None,
        *,
        metric: Literal["dot", "cosine"] = "dot",
        method: Literal["exact", "approximate"] = "exact",
        recall: float = 0.97,
        queries: ArrayLike | None = None,
        random_state: int = 0,
    ) -> Self:
        """Prepare items.

        Parameters
        ----------
        item_embeddings : array-like, shape (n_items, n_factors)
            Items of zeros, of which nothing is known, are never found.
        ids : array-like, shape (n_items,), optional
            Names of the items, each once; by default their row numbers.
        metric : {"dot", "cosine"}
            As for :func:`userlogfeat.recommend`.
        method : {"exact", "approximate"}
            "approximate" needs ``pip install 'userlogfeat[search]'``, and pays for
            hundreds of thousands of items that have near neighbours, as factors do; on
            items without any it is slower than "exact".
        recall : float
            Share, in (0, 1), of the 50 best items that an approximate index should
            find, on average.
        queries : array-like, shape (n_queries, n_factors), optional
            Users, or some of them, on whom that is measured. By default items are.
        random_state : int
            Draws what groups are learned from, and who is measured.

        Returns
        -------
        ItemIndex

        Raises
        ------
        ValueError
            Where shapes do not fit, an id comes twice, or embeddings are NaN.
        ImportError
            Where faiss is missing, with the command that installs it.
        """
        check_choice(metric, "metric", METRICS)
        check_choice(method, "method", METHODS)
        check_number(recall, "recall", 0, 1, ends="()")
        self = cls.__new__(cls)
        self.metric, self.method = metric, method
        self.recall, self.n_probes, self._longest = 1.0, 0, 0.0
        self.space = space_of(item_embeddings)
        rows = _vectors(item_embeddings)
        self._put(rows, _ids(ids, len(rows), ()))
        if method == "approximate":
            if queries is not None:
                check_same_space(queries, item_embeddings, ("queries", "items"))
                queries = check_embeddings(queries, "queries", rows.shape[1])
            self._group(recall, queries, np.random.default_rng(random_state))
        return self

    def add(self, item_embeddings: ArrayLike, ids: ArrayLike | None = None) -> None:
        """Add items; those of an id that is there already are replaced.

        Parameters
        ----------
        item_embeddings : array-like, shape (n_new, n_factors)
            From the same training as the others.
        ids : array-like, shape (n_new,), optional
            By default the next row numbers.

        Raises
        ------
        ValueError
            Where they are known to be from another training; or an item is so much
            longer than all before that the groups do not fit it.
        """
        own = in_space(self._vectors, self.space)
        check_same_space(item_embeddings, own, ("items", "the index"))
        rows = _vectors(item_embeddings, self._vectors.shape[1])
        names = _ids(ids, len(rows), self.ids)
        places = positions(names, self.ids)
        vectors = self._vectors.copy()
        prepared = unit_rows(rows) if self.metric == "cosine" else rows
        vectors[places[places >= 0]] = prepared[places >= 0]
        vectors = np.concatenate([vectors, prepared[places < 0]])
        all_ids = np.concatenate([self.ids, names[places < 0]])
        if self.method == "approximate":
            lengthened = self._lengthened(prepared)  # refuses what does not fit
            groups = self._nearest_groups(lengthened)
            old = self._groups.copy()
            old[places[places >= 0]] = groups[places >= 0]
            self._groups = np.concatenate([old, groups[places < 0]])
        self._keep(vectors, all_ids)
        if self.method == "approximate":
            self._fill_lists()

    def query(
        self,
        user_embeddings: ArrayLike,
        k: int,
        *,
        exclude: Matrix | Sequence[Sequence[Any]] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the k best items of each user.

        Parameters
        ----------
        user_embeddings : array-like, shape (n_users, n_factors)
        k : int
        exclude : csr matrix (n_users, n_items), or one sequence of ids a user, optional
            Items that are not recommended, such as those already played. A matrix has a
            column for each of `ids`; ids that are not in the index are ignored.

        Returns
        -------
        ids : ndarray of object, shape (n_users, k)
            Best first; None where fewer than k were found.
        scores : ndarray of float32, shape (n_users, k)
            Scalar products or cosines; -inf beside None.

        Raises
        ------
        ValueError
            Where shapes do not fit, or the users are known to be from another training.
        """
        rows, scores = self._find(user_embeddings, k, exclude, None)
        found = self._padded_ids[rows]
        return found, scores

    def query_rows(
        self,
        user_embeddings: ArrayLike,
        k: int,
        *,
        exclude: Matrix | Sequence[Sequence[Any]] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the k best items of each user, as places in `ids`; -1 for None.

        Parameters
        ----------
        user_embeddings, k, exclude
            As in :meth:`query`.
        """
        return self._find(user_embeddings, k, exclude, -1)

    def _find(self, user_embeddings, k, exclude, nothing):
        """Find rows and scores; `nothing` is what the caller returns in place of -1."""
        check_positive(k, "k", integer=True)
        own = in_space(self._vectors, self.space)
        check_same_space(user_embeddings, own, ("user_embeddings", "the index"))
        n_factors = self._vectors.shape[1]
        users = check_embeddings(user_embeddings, "user_embeddings", n_factors)
        users = users.astype(np.float32, copy=False)
        shape = (len(users), len(self.ids))
        if exclude is not None:
            exclude = check_pairs(self._pairs(exclude, shape), "exclude", shape)
        advice = "Leave them out."
        warn_of_unknown(users, "users", advice, nothing=nothing, stacklevel=4)
        if self.metric == "cosine":
            users = unit_rows(users)
        search = self._search_lists if self.method == "approximate" else self._search
        rows, scores = search(users, int(k), exclude)
        asked = users.any(axis=1)
        rows[~asked], scores[~asked] = -1, -np.inf
        return rows, scores

    def save(self, folder: PathLike) -> None:
        """Write the index: at any moment the folder holds the old one or the new one.

        Parameters
        ----------
        folder : str or Path
            Made where it is missing. No pickle.
        """
        from safetensors.numpy import save_file

        tensors = {"vectors": self._vectors}
        if self.method == "approximate":
            tensors |= {"centres": self._centres, "groups": self._groups}
        names = ("metric", "method", "recall", "n_probes", "space")
        config = {name: getattr(self, name) for name in names}
        config |= {"format": FORMAT, "longest": self._longest}
        config["ids"] = self.ids.tolist()
        json.dumps(config)  # fails before any file is touched
        folder = make_folder(folder, "an index")

        def describe(digest):
            whole = {**config, "sha256": digest}
            return json.dumps({**whole, "digest": json_digest(whole)})

        replace_pair(
            folder / TENSORS,
            folder / CONFIG,
            write=lambda path: save_file(tensors, path),
            describe=describe,
        )

    @classmethod
    def load(cls, folder: PathLike) -> Self:
        """Read an index that :meth:`save` wrote.

        Parameters
        ----------
        folder : str or Path

        Raises
        ------
        ValueError
            Where there is none, or a file is damaged.
        """
        folder = Path(folder)
        if not is_described(folder / TENSORS) or not (folder / CONFIG).is_file():
            raise ValueError(
                f"There is no index in {folder}: it lacks {TENSORS} or {CONFIG}, which "
                "ItemIndex.save(folder) writes."
            )
        try:
            return cls._read(folder)
        except (OSError, LookupError, TypeError, ValueError) as error:
            raise ValueError(
                f"The index in {folder} is damaged, or was not written by userlogfeat "
                f"({type(error).__name__}: {error}). Build it again, and save it."
            ) from error

    @classmethod
    def _read(cls, folder):
        from safetensors.numpy import load

        config = parse_json((folder / CONFIG).read_bytes())
        digest = config.pop("digest")
        if config["format"] != FORMAT or digest != json_digest(config):
            raise ValueError(f"{CONFIG} was changed, or is from another version")
        data = read_described(folder / TENSORS, config["sha256"])
        if data is None:
            raise ValueError(f"{TENSORS} is not the file that {CONFIG} describes")
        tensors = load(data)
        self = cls.__new__(cls)
        for name in ("metric", "method", "recall", "n_probes", "space"):
            setattr(self, name, config[name])
        self._longest = config["longest"]
        vectors, ids = tensors["vectors"], _ids(config["ids"], len(config["ids"]), ())
        if vectors.dtype != np.float32 or vectors.shape[:1] != ids.shape:
            raise ValueError("its vectors and ids do not fit each other")
        self._keep(vectors, ids)
        if self.method == "approximate":
            self._centres, self._groups = tensors["centres"], tensors["groups"]
            fits = self._groups.shape == ids.shape and self._groups.dtype == np.int64
            if not fits or not np.isin(self._groups, range(len(self._centres))).all():
                raise ValueError("its groups and ids do not fit each other")
            self._fill_lists()
        return self

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        how = self.method
        if how == "approximate":
            how += f", recall {self.recall:.2f}"
        n_items, n_factors = self._vectors.shape
        return f"<ItemIndex of {n_items} items x {n_factors}: {self.metric}, {how}>"

    def _put(self, rows, ids):
        self._keep(unit_rows(rows) if self.metric == "cosine" else rows, ids)

    def _keep(self, vectors, ids):
        self._vectors, self.ids = np.ascontiguousarray(vectors), ids
        self._known = known_rows(vectors, "item_embeddings")
        self._padded_ids = np.append(ids.astype(object), None)  # place -1 is None
        self._place = None

    def _pairs(self, exclude, shape):
        """Ids a user, or a matrix, as a matrix."""
        if sparse.issparse(exclude) or hasattr(exclude, "shape"):
            return exclude
        if len(exclude) != shape[0]:
            raise ValueError(
                f"Got {len(exclude)} lists of ids to exclude for {shape[0]} users, "
                "expected one for each."
            )
        if self._place is None:  # made once, when ids are first asked for
            self._place = {name: row for row, name in enumerate(self.ids.tolist())}
        found = [
            [self._place[name] for name in _plain(names) if name in self._place]
            for names in exclude
        ]
        columns = np.concatenate([np.array(row, int) for row in found])
        indptr = np.cumsum([0, *map(len, found)])
        return sparse.csr_matrix((np.ones(len(columns)), columns, indptr), shape)

    def _search(self, users, k, exclude):
        return highest_products(
            users, self._vectors, k, exclude=exclude, known=self._known
        )

    def _group(self, recall, queries, rng):
        """Learn the groups, and how many of them a query has to look at."""
        faiss = _faiss()
        places = np.arange(len(self.ids)) if self._known is None else self._known
        known = self._vectors[places]
        lengths = np.linalg.norm(known, axis=1)
        self._longest = 1.0 if self.metric == "cosine" else _MARGIN * lengths.max()
        rows = self._lengthened(self._vectors)
        # Two groups for the root of the items. With four, 200,000 items need an eighth
        # fewer products per query, and three times as long to build.
        n_groups = int(np.clip(2 * len(known) ** 0.5, 1, max(1, len(known) // 8)))
        drawn = rng.permutation(len(known))[: _TRAIN_PER_GROUP * n_groups]
        means = faiss.Kmeans(
            rows.shape[1],
            n_groups,
            niter=_KMEANS_ROUNDS,
            seed=int(rng.integers(1 << 30)),
            min_points_per_centroid=1,
            max_points_per_centroid=_TRAIN_PER_GROUP,
            # Centres of one length: else a query looks at dense groups first, which
            # took a fifth more time at equal recall.
            spherical=self.metric == "cosine",
        )
        means.train(np.ascontiguousarray(rows[places][drawn]))
        self._centres = means.centroids
        self._groups = self._nearest_groups(rows)
        self._fill_lists()
        self._tune(recall, known if queries is None else queries, rng)

    def _tune(self, recall, queries, rng):
        """Find the fewest groups that hold enough of the best items."""
        queries = queries[queries.any(axis=1)]
        drawn = rng.permutation(len(queries))[:_N_SAMPLE]
        sample = np.ascontiguousarray(queries[drawn], dtype=np.float32)
        if self.metric == "cosine":
            sample = unit_rows(sample)
        k = min(_SAMPLE_K, len(self.ids))
        exact = self._search(sample, k, None)[0]

        def is_enough(n_probes):
            self.n_probes = n_probes
            found = self._search_lists(sample, k, None)[0]
            pairs = zip(exact, found, strict=True)
            hits = [len(np.intersect1d(a[a >= 0], b)) for a, b in pairs]
            self.recall = float(sum(hits) / max((exact >= 0).sum(), 1))
            return self.recall >= recall

        too_few, enough = 0, 1
        while not is_enough(enough) and enough < len(self._centres):
            too_few, enough = enough, min(2 * enough, len(self._centres))
        while enough - too_few > max(1, enough // 16):
            middle = (too_few + enough) // 2
            too_few, enough = (
                (too_few, middle) if is_enough(middle) else (middle, enough)
            )
        is_enough(enough)

    def _lengthened(self, vectors):
        """Bring items to one length with another dimension; cosines have one."""
        vectors = np.asarray(vectors, np.float32)
        if self.metric == "cosine":
            return vectors
        squares = np.square(vectors, dtype=np.float64).sum(axis=1)
        if squares.max(initial=0) > self._longest**2:
            raise ValueError(
                f"An item has length {squares.max() ** 0.5:.3g}, more than the groups "
                f"of this index fit ({self._longest:.3g}). Build the index again."
            )
        rest = np.sqrt(self._longest**2 - squares)
        return np.hstack([vectors, rest[:, None].astype(np.float32)])

    def _nearest_groups(self, rows):
        faiss = _faiss()
        near = faiss.knn(np.ascontiguousarray(rows), self._centres, 1)[1]
        return near[:, 0].astype(np.int64)

    def _fill_lists(self):
        """Make faiss' lists of the vectors, whose groups are known."""
        faiss = _faiss()
        n_factors = self._vectors.shape[1]
        centres = np.ascontiguousarray(self._centres[:, :n_factors])
        quantiser = faiss.IndexFlatIP(n_factors)
        quantiser.add(centres)
        lists = faiss.IndexIVFFlat(
            quantiser, n_factors, len(centres), faiss.METRIC_INNER_PRODUCT
        )
        lists.is_trained = True
        places = np.arange(len(self.ids))
        if self._known is not None:
            places = places[self._known]
        # A copy in the lists; the arrays below must live until then.
        rows = np.ascontiguousarray(self._vectors[places])
        names = np.ascontiguousarray(places, dtype=np.int64)
        groups = np.ascontiguousarray(self._groups[places])
        pointers = [faiss.swig_ptr(array) for array in (rows, names, groups)]
        lists.add_core(len(rows), *pointers)
        self._quantiser, self._lists = quantiser, lists  # faiss keeps no reference

    def _search_lists(self, users, k, exclude):
        """Look k and what is left out deeper, then leave it out."""
        faiss = _faiss()
        n_excluded = np.zeros(len(users), int)
        if exclude is not None:
            n_excluded = np.diff(exclude.indptr)
        rows = np.full((len(users), k), -1, np.int64)
        scores = np.full((len(users), k), -np.inf, np.float32)
        users = np.ascontiguousarray(users)
        order = np.argsort(n_excluded, kind="stable")
        parameters = faiss.SearchParametersIVF(nprobe=self._probes())
        for start in range(0, len(users), _N_SAMPLE):  # of similar numbers
            part = order[start : start + _N_SAMPLE]
            depth = min(k + int(n_excluded[part].max()), len(self.ids))
            near, found = self._lists.search(users[part], depth, params=parameters)
            for row, values, places in zip(part, near, found, strict=True):
                kept = places >= 0
                if n_excluded[row]:
                    own = exclude.indices[slice(*exclude.indptr[[row, row + 1]])]
                    kept &= ~np.isin(places, own)
                best = np.flatnonzero(kept)[:k]
                rows[row, : len(best)] = places[best]
                scores[row, : len(best)] = values[best]
        return rows, scores

    def _probes(self):
        return int(np.clip(self.n_probes, 1, len(self._centres)))


def _faiss():
    return import_optional(
        "faiss", extra="search", purpose='ItemIndex(method="approximate")'
    )


def _vectors(rows, n_factors=None):
    """Check embeddings of items; return them as float32."""
    rows = as_floats(rows)
    known_rows(rows, "item_embeddings", n_factors)
    if len(rows) == 0:
        raise ValueError("Got no items, expected at least one.")
    return np.ascontiguousarray(rows, dtype=np.float32)


def _ids(ids, n_rows, before):
    """Check ids; return them as an array of one type."""
    if ids is None:
        ids = np.arange(len(before), len(before) + n_rows)
    ids = np.asarray(ids)
    if ids.shape != (n_rows,):
        raise ValueError(f"Got {len(ids)} ids, expected {n_rows}: one for each item.")
    if len(before) and type(ids.tolist()[0]) is not type(before.tolist()[0]):
        raise ValueError(
            f"Got ids such as {ids.tolist()[:_SHOWN]} for an index of ids such as "
            f"{before.tolist()[:_SHOWN]}: bring both to one type."
        )
    if len(set(ids.tolist())) < n_rows:
        raise ValueError("Some ids come twice, expected each once.")
    return ids


def _plain(names):
    if names is None or isinstance(names, str):
        raise TypeError(
            f"Got exclude= with {names!r} for a user, expected a list of ids; [] where "
            "there are none."
        )
    return names.tolist() if hasattr(names, "tolist") else names
