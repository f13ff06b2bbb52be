"""The page on which clips are seen and played: ``explore``.

One HTML file, which fetches nothing: its script and its style are named by their
digests in the page's policy, all else is data. What the data say is in
``report/templates/explore.js``, beside what is done with them.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from userlogfeat._check import check_choice, check_positive
from userlogfeat._files import replace_file
from userlogfeat._progress import progress_bar
from userlogfeat._typing import ClipIds, PathLike
from userlogfeat.catalogue import Catalogue
from userlogfeat.evaluation.leaks import LeakReport
from userlogfeat.exploration.clips import ESTIMATE, Clips, clip_tags, gather, open_table
from userlogfeat.exploration.copies import (
    leaks_of_split,
    near_copies_of,
    pairs_of_report,
)
from userlogfeat.exploration.layers import (
    Layer,
    align,
    choose_methods,
    default_classifier,
    view_layer,
    whole_numbers,
)
from userlogfeat.exploration.listeners import find_factors, liked_by_listeners
from userlogfeat.exploration.serve import make_server
from userlogfeat.exploration.sound import CHOICES, audio_urls
from userlogfeat.report.page import json_text, render
from userlogfeat.tables import FeatureTable

MAX_CLIPS = 10_000
MAX_PAIRS = 500  # leaks and copies that are listed
_TEXT_COLUMNS = ("title", "album", "artist", "label", "split")
Source = PathLike | FeatureTable


@dataclass(frozen=True, eq=False)
class Page:
    """A page that is made.

    Attributes
    ----------
    html : str
    files : list of str
        Paths of the clips, by the numbers of links ``audio/17``.
    notes : list of str
        Sentences on what is left out.
    """

    html: str
    files: list[str]
    notes: list[str]

    def write(self, path: PathLike) -> None:
        """Write it to a file, which is replaced as a whole."""
        with replace_file(path) as temporary:
            temporary.write_text(self.html, "utf-8", errors="xmlcharrefreplace")


def explore(
    source: Source | Sequence[Source],
    path: PathLike | None,
    *,
    catalogue: Catalogue | None = None,
    clips: ClipIds | None = None,
    features: PathLike | None = None,
    layers: Sequence[str] | None = None,
    projection: str | Sequence[str] = "auto",
    classifier: Any = "auto",
    leaks: LeakReport | None = None,
    factors: PathLike | None = None,
    names: Mapping[Any, str] | None = None,
    colours: Sequence[str] = (),
    audio: Literal["link", "embed", "none"] = "link",
    max_megabytes: float = 25,
    max_clips: int = MAX_CLIPS,
    n_neighbours: int = 10,
    random_state: int = 0,
    title: str | None = None,
) -> Page:
    """Write a page that shows clips on a map, plays them, and says what is near.

    Parameters
    ----------
    source : str, Path or FeatureTable, or two of them
        A feature table (:func:`userlogfeat.extract`), the `cache` of an embedder, or
        the name or folder of a saved model, which embeds `clips`. Two are compared side
        by side: clips are matched by their paths.
    path : str, Path or None
        The HTML file to write; an existing one is replaced. Its folder must exist.
        None: the page is for :func:`serve_explorer`.
    catalogue : Catalogue, optional
        Labels and artists of the clips, and the columns `title`, `split` ("train" and
        "test": leaks are looked for) and `tags` (separated by commas), where it has
        them. See :func:`userlogfeat.read_catalogue`.
    clips : list of str or Path, optional
        Audio for a model; by default the clips of the catalogue.
    features : str or Path, optional
        Folder that keeps what a model embeds, for the next call; by default `path` with
        the suffix ``.features``.
    layers : sequence of str, optional
        Layers to show; by default all.
    projection : {"auto", "pca", "tsne", "umap"}, or several
        How maps are made. "auto" is t-SNE (up to 3,000 clips) and PCA. UMAP needs
        umap-learn. All maps are turned to lie as the first does.
    classifier : estimator, "auto" or None
        Answers for each clip by 5-fold cross-validation on its layer, artists kept
        apart where they are known. "auto" is PCA and logistic regression.
    leaks : LeakReport, optional
        Report whose rows are those of `catalogue`. By default train and test are
        compared where there is a split, and all clips with each other.
    factors : str or Path, optional
        Folder of ``userlogfeat fit-cf`` that the model was trained on: artists (items)
        whose listeners would like a clip are listed. By default those that a saved
        model carries.
    names : mapping of item id to str, optional
        Names of the items of `factors`; by default the catalogue's artists.
    colours : sequence of str
        Other columns of the catalogue to colour by.
    audio : {"link", "embed", "none"}
        Whether the page links to files on this machine, holds excerpts itself, so that
        it can be passed on, or is silent.
    max_megabytes : float
        Limit of embedded audio: excerpts are shortened, then left out.
    max_clips : int
        A random sample of more is shown, and the page says so.
    n_neighbours : int
        Nearest clips that are listed.
    random_state : int
        Seed of maps, folds and samples.
    title : str, optional
        Heading of the page.

    Returns
    -------
    Page

    Raises
    ------
    ValueError
        Where there is no table or model, fewer than three clips have features, or the
        catalogue has none of them.
    FileNotFoundError
        Where the folder of `path` is missing.

    Warns
    -----
    UserWarning
        Where clips are left out.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from userlogfeat import FeatureTable, explore
    >>> folder = tempfile.mkdtemp()
    >>> table = FeatureTable(f"{folder}/features")
    >>> with table.writer(fingerprint="demo", layer_sizes={"mean": 3}) as writer:
    ...     for i, row in enumerate(np.random.default_rng(0).normal(size=(20, 3))):
    ...         writer.add(f"{i}.wav", layers={"mean": row})
    >>> page = explore(table, f"{folder}/page.html", audio="none")
    >>> len(page.files)
    20
    """
    folder = None
    if path is not None:
        path = Path(path)
        folder, features = path.parent, features or path.with_suffix(".features")
        if not folder.is_dir():
            raise FileNotFoundError(
                f"There is no folder {str(folder)!r} for the page. Make it first."
            )
    check_choice(audio, "audio", CHOICES)
    check_positive(max_megabytes, "max_megabytes")
    check_positive(max_clips, "max_clips", integer=True)
    check_positive(n_neighbours, "n_neighbours", integer=True)
    is_one = isinstance(source, str | Path | FeatureTable) or hasattr(
        source, "__fspath__"
    )
    sources = [source] if is_one else list(source)
    if len(sources) not in (1, 2):
        raise ValueError(
            f"Got {len(sources)} sources, expected one, or two to compare."
        )
    if leaks is not None and catalogue is None:
        raise ValueError(
            "Got leaks without a catalogue, whose rows they name. Pass catalogue=."
        )
    if clips is None and catalogue is not None:
        clips = catalogue.clips.tolist()
    tables = [open_table(one, clips, features) for one in sources]
    shown = gather(
        tables, catalogue, layers=layers, max_clips=max_clips, seed=random_state
    )
    _check_columns(shown, colours)
    if isinstance(classifier, str):
        check_choice(classifier, "classifier", ("auto",))
        classifier = default_classifier()
    views = _views(shown, projection, classifier, n_neighbours, random_state)
    pairs = _pairs(shown, views, leaks)
    urls, notes = audio_urls(shown.names, audio, folder, max_megabytes=max_megabytes)
    data = {
        "clips": _columns(shown),
        "audio": urls,
        "colours": {name: shown.column(name) for name in colours},
        "models": [_model_data(model) for model in shown.models],
        "layers": [_layer_data(view) for view in views],
        "pairs": [[p.kind, p.first, p.second, p.text] for p in pairs[:MAX_PAIRS]],
        "nPairs": len(pairs),
    }
    notes = shown.notes + notes + _add_listeners(data, shown, sources, factors, names)
    html = render(
        "explore.html",
        styles=("style.css", "explore.css"),
        script="explore.js",
        media={"link": "'self' file:", "embed": "data:", "none": "'none'"}[audio],
        title=title or " and ".join(model.name for model in shown.models),
        n_clips=len(shown),
        notes=notes,
        data=json_text(data),
    )
    page = Page(html, shown.names, notes)
    if path is not None:
        page.write(path)
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return page


def serve_explorer(page: Page, *, port: int = 0, ready: Any = print) -> None:
    """Serve a page and its audio on localhost until Ctrl-C.

    Parameters
    ----------
    page : Page
        Made by :func:`explore` with ``path=None``.
    port : int
        0 takes one that is free.
    ready : callable
        Called with the page's address.
    """
    server = make_server(page.html, page.files, port)
    ready(f"http://127.0.0.1:{server.server_port}/")
    with contextlib.suppress(KeyboardInterrupt), contextlib.closing(server.socket):
        server.serve_forever()


def _check_columns(shown, colours):
    for name in colours:
        if shown.column(name) is None:
            known = () if shown.catalogue is None else shown.catalogue.frame.columns
            raise ValueError(
                f"Got colours={list(colours)}, but no shown clip has a {name!r}. The "
                f"catalogue has: {', '.join(known) or 'nothing, since none was given'}."
            )


def _views(shown, projection, classifier, n_neighbours, seed):
    """All layers of all models, their maps turned to lie alike."""
    methods = choose_methods(projection, len(shown))
    named = [(i, name) for i, model in enumerate(shown.models) for name in model.shown]
    views = [
        view_layer(
            shown.models[place].layers[name],
            model=place,
            name=name,
            methods=methods,
            n_neighbours=n_neighbours,
            seed=seed,
            labels=shown.column("label"),
            artists=shown.column("artist"),
            classifier=classifier,
        )
        for place, name in progress_bar(named, desc="maps", unit="layer")
    ]
    for method in methods:
        turned = align([view.maps[method] for view in views])
        for view, places in zip(views, turned, strict=True):
            view.maps[method] = places
    return views


def _pairs(shown, views, leaks):
    """Leaks and copies; copies by the widest layer of the first model."""
    widest = max((v for v in views if v.model == 0), key=lambda view: view.size)
    features = shown.models[0].layers[widest.name]
    found = []
    if leaks is not None:
        places = np.full(len(shown.catalogue), -1)
        places[shown.rows[shown.rows >= 0]] = np.flatnonzero(shown.rows >= 0)
        found = pairs_of_report(leaks, places)
    elif (split := shown.column("split")) is not None:
        found = leaks_of_split(shown, split, features)
    listed = {(p.first, p.second) for p in found if p.kind == "audio"}
    listed |= {(second, first) for first, second in listed}
    copies = near_copies_of(features, widest)
    return found + [p for p in copies if (p.first, p.second) not in listed]


def _columns(shown: Clips) -> dict[str, Any]:
    """Columns of text; those with repeated values as a list of values and places."""
    columns: dict[str, Any] = {"name": shown.names}
    for name in _TEXT_COLUMNS:
        values = shown.column(name)
        if values is not None:
            columns[name] = [None if v is None else str(v) for v in values]
    tags = shown.column("tags")
    if tags is not None:
        columns["tags"] = [
            [] if text is None else [t.strip() for t in str(text).split(",")]
            for text in tags
        ]
    return columns


def _model_data(model: Any) -> dict[str, Any]:
    return {"name": model.name, "tagNames": model.tags, "tags": clip_tags(model)}


def _add_listeners(data, shown, sources, factors, names):
    """Add the items whose listeners would like each clip; return notes.

    Of two models, one may be from another training: then a note says so.
    """
    names = _artist_names(shown) if names is None else names
    errors, n_found = [], 0
    for model, source, entry in zip(shown.models, sources, data["models"], strict=True):
        folder = find_factors(source, factors)
        if folder is None:
            continue
        try:
            found = liked_by_listeners(model, folder, names)
        except ValueError as error:
            errors.append(error)
            continue
        if found is not None:
            entry["items"], n_found = found[0], n_found + 1
            entry["liked"] = found[1].tolist()
    if factors is not None and not n_found:
        if errors:
            raise errors[0]
        raise ValueError(
            f"Got factors={str(factors)!r}, but no model has the layer {ESTIMATE!r}, "
            "which estimates factors. Extract it, or leave factors out."
        )
    return [f"Listeners are not compared: {error}" for error in errors]


def _artist_names(shown):
    """Artist of each item of the catalogue."""
    items, artists = shown.column("item"), shown.column("artist")
    if items is None or artists is None:
        return None
    pairs = zip(items, artists, strict=True)
    return {i: a for i, a in pairs if i is not None and a is not None}


def _layer_data(view: Layer) -> dict[str, Any]:
    data: dict[str, Any] = {
        "model": view.model,
        "name": view.name,
        "size": view.size,
        "maps": {
            method: whole_numbers(places).ravel().tolist()
            for method, places in view.maps.items()
        },
        "near": view.nearest.tolist(),
        "far": np.round(view.distances.astype(float), 3).tolist(),
    }
    if view.answers is not None:
        found = view.answers
        data["answers"] = {
            "classes": found.classes,
            "best": found.best.tolist(),
            "sure": np.round(found.probabilities, 3).tolist(),
            "accuracy": round(found.accuracy, 3),
            "byArtist": found.by_artist,
        }
    return data
