"""Features of an extracted table as a transformer: paths in, rows out, no decoding."""

import os
from collections.abc import Sequence
from dataclasses import KW_ONLY
from typing import Any, Self

import numpy as np

from userlogfeat._check import check_audio
from userlogfeat._pages import see
from userlogfeat._spaces import feature_names, join_layers
from userlogfeat._typing import ArrayLike, ClipIds, PathLike
from userlogfeat.estimators._parameters import estimator
from userlogfeat.estimators._sklearn import BaseEstimator, TransformerMixin
from userlogfeat.tables import OK, FeatureTable, clip_name

N_NAMED = 5  # clips that an error names


@estimator
class FeatureLookup(TransformerMixin, BaseEstimator):
    """Look up the features of clips in a feature table.

    Nothing is fitted, and no audio is read. A clip is found by its path as it was given
    to :func:`userlogfeat.extract`; else by its absolute path (relative ones, of the
    table too, are taken from the present folder), so ``./a.wav`` finds ``a.wav``.

    Parameters
    ----------
    table : str, Path or FeatureTable
        The table.
    layer : str, sequence of str or None
        One layer or several, side by side; None takes all.
    scale : bool
        Whether each layer is multiplied by the constant that brings it to unit mean
        square, where the table notes one: as :class:`UserLogEmbedder` does.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from userlogfeat import FeatureLookup, FeatureTable
    >>> table = FeatureTable(tempfile.mkdtemp())
    >>> with table.writer(fingerprint="demo", layer_sizes={"mean": 2}) as writer:
    ...     writer.add("a.wav", layers={"mean": np.array([1.0, 2.0])})
    ...     writer.add("b.wav", layers={"mean": np.array([3.0, 4.0])})
    >>> FeatureLookup(table).fit_transform(["b.wav", "./a.wav"])
    array([[3., 4.],
           [1., 2.]], dtype=float32)
    """

    table: PathLike | FeatureTable
    _: KW_ONLY
    layer: str | Sequence[str] | None = None
    scale: bool = True

    def fit(self, X: ClipIds, y: Any = None) -> Self:
        """Check the table and the layers; there is nothing to learn.

        Parameters
        ----------
        X : array-like of paths
            Not looked up yet.
        y : None
            Ignored.

        Returns
        -------
        self
        """
        self._check_paths(X)
        self._layer_names(self._open())
        return self

    def transform(self, X: ClipIds) -> np.ndarray:
        """Features of clips.

        Parameters
        ----------
        X : array-like of n_clips str, bytes or Path

        Returns
        -------
        ndarray (n_clips, n_features), float32

        Raises
        ------
        ValueError
            Where the table lacks clips, or they failed when it was extracted.
        """
        paths = self._check_paths(X)
        table = self._open()
        layers = self._layer_names(table)
        found = table.lookup(self._as_in_table(paths, table), layers)
        if not found.found.all():
            raise ValueError(_describe_missing(paths, found.statuses, table))
        scales = table.layer_scales if self.scale else dict.fromkeys(layers, 1.0)
        scaled = {n: found.layers[n] * np.float32(scales[n]) for n in layers}
        return join_layers(scaled, table.users_digest)

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> np.ndarray:
        """Names of the columns: ``max_pool_0``, ``max_pool_1``, ..."""
        table = self._open()
        sizes = table.layer_sizes
        return feature_names({name: sizes[name] for name in self._layer_names(table)})

    def _open(self):
        if isinstance(self.table, FeatureTable):
            return self.table
        return FeatureTable(self.table)

    def _layer_names(self, table):
        sizes = table.layer_sizes
        if self.layer is None:
            return list(sizes)
        layers = [self.layer] if isinstance(self.layer, str) else list(self.layer)
        missing = [name for name in layers if name not in sizes]
        if missing or not layers:
            raise ValueError(
                f"Got layer={self.layer!r}, but the table {table.folder} has "
                f"{list(sizes)}."
            )
        return layers

    def _check_paths(self, X):
        clips = check_audio(X)
        if clips.kind != "paths":
            raise TypeError(
                f"Got {clips.kind}, expected paths of clips: a table is looked up by "
                "path."
            )
        return clips.rows

    def _as_in_table(self, paths, table):
        """Paths as the table spells them, where it has them by their absolute path."""
        names = [clip_name(path) for path in paths]
        known = table.index().rows
        if all(name in known for name in names):
            return names
        spelled = {os.path.abspath(name): name for name in known}
        return [
            name if name in known else spelled.get(os.path.abspath(name), name)
            for name in names
        ]

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []
        return tags


def _describe_missing(paths, statuses, table):
    """Message that names the clips without features, and says what to do."""
    missing = [str(p) for p, s in zip(paths, statuses, strict=True) if s is None]
    failed = [
        f"{path} ({status})"
        for path, status in zip(paths, statuses, strict=True)
        if status not in (OK, None)
    ]
    text = []
    for names, what, advice in (
        (missing, "are not in", "Extract them into it first (userlogfeat extract)."),
        (failed, "failed in", "Leave them out: its column `message` says why."),
    ):
        if names:
            more = f" and {len(names) - N_NAMED} more" if len(names) > N_NAMED else ""
            text.append(
                f"{len(names)} of {len(paths)} clips {what} the table {table.folder}: "
                f"{', '.join(names[:N_NAMED])}{more}. {advice}"
            )
    return " ".join(text) + see("guide/many_files")
