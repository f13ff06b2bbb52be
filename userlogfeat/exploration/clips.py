"""The clips that a page shows: rows of one or two feature tables, and their catalogue.

A clip is shown where every table has features of it. What is left out is counted, and
the page says so.
"""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from userlogfeat._groups import is_missing
from userlogfeat._ids import examples
from userlogfeat._typing import ClipIds, PathLike
from userlogfeat.catalogue import Catalogue
from userlogfeat.tables import OK, FeatureTable

logger = logging.getLogger(__name__)
MIN_CLIPS = 3  # fewer make no map
TAG_LAYER = "taggram"
ESTIMATE = "embedding"  # the layer of estimated factors
_N_TAGS = 5  # of a clip
_ENCODER = re.compile(r"(MSD|MTT)_(musicnn|vgg)")
_WEIGHTS = re.compile(r"weights='([^']*)'")


@dataclass(frozen=True, eq=False)
class Model:
    """Features of the shown clips by one model.

    Attributes
    ----------
    name : str
        Its name on the page.
    layers : dict of str to ndarray (n_clips, size), float32
    shown : list of str
        Layers that have a map; the others are read for tags and estimates.
    tags : list of str
        Names of the columns of the layer ``taggram``; empty where they are not known.
    users_digest : str or None
        Digest of the users that the model was trained on.
    """

    name: str
    layers: dict[str, np.ndarray]
    shown: list[str]
    tags: list[str]
    users_digest: str | None


@dataclass(frozen=True, eq=False)
class Clips:
    """The clips of a page.

    Attributes
    ----------
    names : list of str
        Paths, as in the tables.
    rows : ndarray (n_clips,), int64
        Row of the catalogue; -1 where it does not have the clip.
    models : list of Model
    catalogue : Catalogue or None
    notes : list of str
        Sentences on clips that are left out.
    """

    names: list[str]
    rows: np.ndarray
    models: list[Model]
    catalogue: Catalogue | None
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.names)

    def column(self, name: str) -> list | None:
        """Return a column of the catalogue, None where a value is missing or infinite.

        None in place of the list where no shown clip has a value.
        """
        if self.catalogue is None or name not in self.catalogue.frame.columns:
            return None
        values = self.catalogue.frame[name].to_list()
        found = [values[row] if row >= 0 else None for row in self.rows]
        found = [
            None if is_missing(value) or value in (math.inf, -math.inf) else value
            for value in found
        ]
        return None if all(value is None for value in found) else found


def find_table(source: PathLike) -> FeatureTable | None:
    """The feature table in a folder, or in the only folder of an embedder's cache.

    Raises
    ------
    ValueError
        If the cache has tables of several models.
    """
    folders = [Path(source), *Path(source).glob("*")]
    tables = [table for table in map(FeatureTable, folders) if table.exists()]
    if len(tables) > 1 and tables[0].folder != folders[0]:
        raise ValueError(
            f"Got the cache {str(source)!r} of {len(tables)} models, expected one "
            f"feature table: {examples([str(table.folder) for table in tables])}. Pass "
            "one of these, or the model with features= this folder."
        )
    return tables[0] if tables else None


def open_table(
    source: PathLike | FeatureTable, clips: ClipIds | None, features: PathLike | None
) -> FeatureTable:
    """Open a feature table, or have a model make one.

    Parameters
    ----------
    source : str, Path or FeatureTable
        A table; or the name or folder of a saved model.
    clips : list of str or Path, or None
        Audio for a model.
    features : str, Path or None
        Folder for the tables of models, one for each fingerprint.

    Returns
    -------
    FeatureTable
    """
    if isinstance(source, FeatureTable):
        return source
    if table := find_table(source):
        return table
    from userlogfeat.weights import ModelError, find_model, read_config

    try:
        layers = read_config(find_model(source))["layers"]
    except ModelError as error:
        raise ValueError(
            f"Got {str(source)!r}, expected a feature table, the cache of an embedder, "
            "or a saved model. There is no feature table, which `userlogfeat extract` "
            f"makes; and: {error}"
        ) from error
    if clips is None or features is None:
        raise ValueError(
            f"Got the model {str(source)!r} without audio, expected clips to embed. "
            "Pass clips=, a catalogue of files, or a table of `userlogfeat extract`."
        )
    from userlogfeat.estimators.user_log import UserLogEmbedder
    from userlogfeat.extraction import extract

    embedder = UserLogEmbedder(source, layer=tuple(layers))
    table = FeatureTable(Path(features) / embedder.fingerprint)
    logger.info("features of %s are kept in %s", source, table.folder)
    table.folder.mkdir(parents=True, exist_ok=True)
    extract(clips, table, embedder=embedder)
    return table


def gather(
    tables: Sequence[FeatureTable],
    catalogue: Catalogue | None,
    *,
    layers: Sequence[str] | None,
    max_clips: int,
    seed: int,
) -> Clips:
    """Collect the clips that all tables have, and their features.

    Parameters
    ----------
    tables : sequence of FeatureTable
    catalogue : Catalogue or None
    layers : sequence of str or None
        Layers to show; None is all.
    max_clips : int
        A random sample is taken where there are more.
    seed : int

    Returns
    -------
    Clips

    Raises
    ------
    ValueError
        Where fewer than three clips are left, or no table has a layer.
    """
    listed = [table.clips() for table in tables]
    common = set(listed[0]).intersection(*listed[1:])
    names = [clip for clip in listed[0] if clip in common]
    notes = [
        f"{len(clips) - len(names)} of {len(clips)} clips of {_short(table)} are left "
        "out, since the other table does not have them."
        for table, clips in zip(tables, listed, strict=True)
        if len(clips) > len(names)
    ]
    statuses = [table.lookup(names, []).statuses for table in tables]
    good = [
        row
        for row, found in enumerate(zip(*statuses, strict=True))
        if set(found) == {OK}
    ]
    if len(good) < len(names):
        notes.append(f"{len(names) - len(good)} clips could not be read or embedded.")
    if len(good) < MIN_CLIPS:
        raise ValueError(
            f"Got {len(good)} clips with features, expected {MIN_CLIPS} or more for a "
            f"map. {' '.join(notes)}".rstrip()
            + " Clips of two tables are matched by their paths, as these were given "
            "when the features were extracted." * (len(tables) > 1)
        )
    if len(good) > max_clips:
        notes.append(
            f"A random {max_clips:,} of {len(good):,} clips are shown, so that the "
            "page stays quick; nearest clips and copies are looked for among these."
        )
        rng = np.random.default_rng(seed)
        good = np.sort(rng.choice(good, max_clips, replace=False)).tolist()
    names = [names[row] for row in good]
    rows = np.full(len(names), -1)
    if catalogue is not None:
        rows = _catalogue_rows(names, catalogue)
        if (rows < 0).all():
            raise ValueError(
                f"None of the {len(names)} clips ({names[0]!r}, ...) is in the "
                f"catalogue ({catalogue.clips[0]!r}, ...). Both name files: check the "
                "column of clips, and the folder that relative paths begin in."
            )
        if (rows < 0).any():
            notes.append(f"{(rows < 0).sum()} clips are not in the catalogue.")
    models = [_read_model(table, names, layers) for table in tables]
    shown = [model.name for model in models]
    if len(set(shown)) < len(shown):
        models = [
            replace(model, name=f"{model.name} ({place})")
            for place, model in enumerate(models, 1)
        ]
    return Clips(names, rows, models, catalogue, notes)


def clip_tags(model: Model) -> list[list[tuple[int, float]]] | None:
    """Return the strongest tags of each clip: (number of the tag, 0 to 1)."""
    if not model.tags:
        return None
    values = model.layers[TAG_LAYER]
    best = np.argsort(-values, axis=1, kind="stable")[:, :_N_TAGS]
    return [
        [(int(tag), round(float(values[row, tag]), 3)) for tag in tags]
        for row, tags in enumerate(best)
    ]


def _catalogue_rows(names, catalogue):
    """Row of each clip: by its path as written, else by the whole path."""
    written = catalogue.clips.tolist()
    places = {os.path.abspath(clip): row for row, clip in enumerate(written)}
    places |= {clip: row for row, clip in enumerate(written)}
    return np.array(
        [places.get(name, places.get(os.path.abspath(name), -1)) for name in names]
    )


def _read_model(table, names, layers):
    sizes = table.layer_sizes
    missing = [name for name in layers or () if name not in sizes]
    if missing and len(missing) == len(layers):
        raise ValueError(
            f"Got layers={list(layers)}, but {table.folder} has {', '.join(sizes)}."
        )
    chosen = [name for name in sizes if layers is None or name in layers]
    tags = _tag_names(table)
    read = {*chosen, *({TAG_LAYER} if tags else ()), *({ESTIMATE} & set(sizes))}
    values = table.lookup(names, sorted(read, key=list(sizes).index)).layers
    return Model(_short(table), values, chosen, tags, table.users_digest)


def _short(table):
    """Name of a table on the page: its folder, without the folders above."""
    return Path(table.folder).resolve().name


def _tag_names(table):
    """Names of the columns of the tag layer, where the table's model is known."""
    if TAG_LAYER not in table.layer_sizes:
        return []
    from userlogfeat.encoders import get_encoder
    from userlogfeat.estimators.user_log import UserLogEmbedder
    from userlogfeat.weights import ModelError, find_model, read_config

    made_by = table.made_by
    encoder = _ENCODER.search(made_by)
    name = encoder and encoder[0]
    if name is None and made_by.startswith("UserLogEmbedder"):
        weights = _WEIGHTS.search(made_by)
        try:
            config = read_config(
                find_model(weights[1] if weights else UserLogEmbedder().weights)
            )
        except ModelError:
            return []
        network = config["network"]
        name = network.get("model") or network.get("encoder", {}).get("name")
    tags = list(getattr(get_encoder(name), "tags", ())) if name else []
    return tags if len(tags) == table.layer_sizes[TAG_LAYER] else []
