"""`userlogfeat explore`: a page on which clips are seen and played."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Literal

import typer

from userlogfeat.cli import options as opt
from userlogfeat.cli.application import app
from userlogfeat.cli.console import Result, print_line
from userlogfeat.cli.errors import check_file


@app.command()
def explore(
    source: Annotated[str, typer.Argument(metavar="TABLE|MODEL")],
    clips: Annotated[
        list[str] | None, typer.Argument(metavar="[FILES|FOLDERS]")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o")] = None,
    serve: Annotated[bool, typer.Option("--serve")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535)] = 0,
    compare: Annotated[str | None, typer.Option(metavar="TABLE|MODEL")] = None,
    audio: Literal["link", "embed", "none"] = "link",
    max_megabytes: Annotated[float, typer.Option(min=0.1)] = 25,
    layer: list[str] | None = None,
    projection: Annotated[list[str] | None, typer.Option("--map")] = None,
    max_clips: Annotated[int, typer.Option(min=3)] = 10_000,
    catalogue: Path | None = None,
    clip: opt.Clip = "clip",
    catalogue_item: str | None = None,
    artist: opt.Artist = None,
    label: str | None = None,
    split: str | None = None,
    colour: list[str] | None = None,
    factors: Path | None = None,
    seed: opt.Seed = 0,
    overwrite: opt.Overwrite = False,
) -> Result | None:
    r"""Write a page with a map of the clips: to see, to play, to search, to compare.

    A model embeds audio first, and keeps the features beside the page: PAGE.features.

    Parameters
    ----------
    source
        Feature table, or model.
    clips
        Audio for a model. Default: the clips of --catalogue
    output
        The HTML file to write.
    serve
        Show it on localhost until Ctrl-C.
    port
        Of --serve; 0 is a free one.
    compare
        Show it side by side.
    audio
        link: to the files here. embed: excerpts, so that the page can be passed on.
    max_megabytes
        Limit of embedded audio.
    layer
        Layer to show; may be repeated.
    projection
        pca, tsne or umap; may be repeated. Default: t-SNE and PCA
    max_clips
        Of more, a random sample is shown.
    catalogue
        Labels and artists of the clips.
    catalogue_item
        CATALOGUE's column of items. Default: item
    label
        CATALOGUE's column of labels. Default: label
    split
        CATALOGUE's column of train and test. Default: split
    colour
        Other column of CATALOGUE to colour by; may be repeated.
    factors
        Folder of fit-cf that the model was trained on: artists whose listeners would
        like a clip. Items of CATALOGUE are shown by its artists.

    Examples
    --------
      userlogfeat explore features -o page.html --catalogue tracks.csv --label genre
      userlogfeat explore features --serve
      userlogfeat explore lastfm-mpd-musicnn my_music/ -o page.html --audio embed
      userlogfeat explore teacher -o page.html --catalogue tracks.csv \
          --compare lastfm-mpd-musicnn --factors factors

    The page is one file, which fetches nothing. It colours clips by label, artist, the
    classifier's answers and errors; a click plays a clip and lists the nearest ones.
    """
    from userlogfeat._progress import resumable
    from userlogfeat.exploration.page import explore as write_page
    from userlogfeat.exploration.page import serve_explorer

    if (output is None) == (not serve):
        raise ValueError("Got neither, or both, of --output PAGE and --serve.")
    with ExitStack() as stack:
        features = None
        if output is not None:
            check_file(output, overwrite)
        else:
            stack.enter_context(
                resumable("Features are kept beside a page alone: see --output.")
            )
            features = stack.enter_context(tempfile.TemporaryDirectory())
        table = None
        if catalogue is not None:
            table = _read_catalogue(
                catalogue, clip, catalogue_item, artist, label, split
            )
        page = write_page(
            [source] if compare is None else [source, compare],
            output,
            features=features,
            catalogue=table,
            clips=clips or None,
            layers=layer or None,
            projection=projection or "auto",
            factors=factors,
            colours=colour or (),
            audio=audio,
            max_megabytes=max_megabytes,
            max_clips=max_clips,
            random_state=seed,
        )
        if output is None:
            serve_explorer(page, port=port, ready=_print_address)
            return None
    size = output.stat().st_size / 1e6
    return Result(
        {"output": output, "clips": len(page.files), "megabytes": size},
        f"{len(page.files)} clips, {size:.2f} MB, in {output}",
    )


def _print_address(address):
    print_line(f"{address}   (Ctrl-C ends it)", err=True)


def _read_catalogue(path, clip, item, artist, label, split):
    """Read a catalogue; its clips need no item, and may be ids of absent files."""
    from userlogfeat.catalogue import Catalogue, read_catalogue

    settings = {"clip": clip, "item": item, "artist": artist, "label": label}
    settings["artist_conflicts"] = "ignore"
    try:
        table = read_catalogue(path, **settings)
    except FileNotFoundError:
        if not path.exists():
            raise
        table = read_catalogue(path, **settings, check_files=False)
    if split is not None:
        table = Catalogue(table.frame.with_columns(split=table.frame[split]))
    return table
