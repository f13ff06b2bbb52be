"""A feature table in which an embedder keeps the layers of files."""

import os
from pathlib import Path
from typing import Any

import numpy as np


class CachedLayers:
    """Part of an embedder with a parameter `cache`.

    It has `fingerprint`, `users_digest`, ``iter_features``, ``_layer_names`` and
    ``_all_layer_sizes``, the sizes of all layers of its model.
    """

    users_digest: str | None = None
    _all_layer_sizes: Any
    _layer_names: Any
    iter_features: Any

    def _from_cache(self, paths, names=None):
        """Layers of files (the chosen ones), decoding only those that are not there."""
        from userlogfeat.tables import FeatureTable

        names = list(self._layer_names() if names is None else names)
        # Whole paths: the present folder may be another one tomorrow.
        paths = [os.path.abspath(path) for path in paths]
        table = FeatureTable(Path(self.cache) / self.fingerprint)
        known = table.lookup(paths, names, unchanged=True)
        if not known.found.all():
            self._fill_cache(table, paths)
            known = table.lookup(paths, names, unchanged=True)
        if not known.found.all():
            row = int(np.argmin(known.found))
            raise RuntimeError(
                f"{paths[row]} changed while it was read. Run again when nothing "
                "writes to it."
            )
        return known.layers

    def _fill_cache(self, table, paths):
        """Decode what the table lacks, and keep all layers of it."""
        from userlogfeat._files import make_below
        from userlogfeat._progress import resumable
        from userlogfeat.tables import file_stamp

        sizes = self._all_layer_sizes()
        make_below(self.cache, self.fingerprint)
        kept = resumable(
            f"Clips done so far are kept in {self.cache}: the same goes on."
        )
        with (
            kept,
            table.writer(
                fingerprint=self.fingerprint,
                layer_sizes=sizes,
                made_by=repr(self),
                users_digest=self.users_digest,
                on_locked="wait",
                max_small_parts=8,
            ) as writer,
        ):
            # Looked up again: another process may have filled it meanwhile.
            found = table.lookup(paths, [], unchanged=True).found
            missing = dict.fromkeys(
                path for path, known in zip(paths, found, strict=True) if not known
            )
            if not missing:
                return
            stamps = {path: file_stamp(path) for path in missing}
            for clip in self.iter_features(list(missing), layers=tuple(sizes)):
                size, modified_ns = stamps[clip.clip]
                writer.add(
                    clip.clip,
                    layers=clip.layers,
                    seconds=clip.seconds,
                    size=size,
                    modified_ns=modified_ns,
                    more=clip.more,
                )
