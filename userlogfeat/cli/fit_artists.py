"""`userlogfeat fit-artists`: from audio and who made it to a saved model."""

from pathlib import Path
from typing import Annotated

import typer

from userlogfeat.cli.application import app
from userlogfeat.cli.errors import check_output, explained
from userlogfeat.cli.options import (
    BatchSize,
    Description,
    Device,
    Jobs,
    Licence,
    NonCommercial,
    Output,
    Overwrite,
    Precision,
    Quiet,
    Seed,
    path_of,
)
from userlogfeat.cli.telling import tell


@app.command(
    "fit-artists",
    epilog="""\b
Examples:
  userlogfeat fit-artists tracks.csv -o artists
  userlogfeat fit-artists my_music/ -o artists --licence "CC BY 4.0"

\b
Then:
  userlogfeat extract my_music/ -o features --weights artists --layer embedding
  UserLogEmbedder("artists", layer="embedding")         in Python
  ArtistEmbedder.load("artists")                        the same, with its artists""",
)
def fit_artists(
    catalogue: Annotated[
        Path,
        typer.Argument(
            metavar="CATALOGUE",
            help="csv, tsv or parquet: which clip is by which artist; or a folder "
            "artist/album/track.",
            parser=path_of,
        ),
    ],
    output: Output,
    clip: Annotated[str, typer.Option(help="Column of paths.")] = "clip",
    item: Annotated[
        str, typer.Option(help="Column of songs; that of paths if a clip is a song.")
    ] = "item",
    artist: Annotated[str | None, typer.Option(help="Column. Default: artist")] = None,
    min_songs: Annotated[
        int, typer.Option(min=1, help="Artists with fewer are left out.")
    ] = 2,
    components: Annotated[
        int, typer.Option(min=1, help="Columns of the embedding, at most.")
    ] = 100,
    context: Annotated[float, typer.Option(help="Seconds heard at once.")] = 3.0,
    duration: Annotated[
        float | None, typer.Option(help="Seconds of a clip. Default: all of it")
    ] = None,
    channels: Annotated[int, typer.Option(min=1, help="Of the network.")] = 128,
    units: Annotated[int, typer.Option(min=1, help="Of its last layer.")] = 256,
    epochs: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Folder: a killed training goes on from it.")
    ] = None,
    licence: Licence = "not stated",
    description: Description = None,
    non_commercial: NonCommercial = False,
    device: Device = "auto",
    precision: Annotated[
        Precision, typer.Option(help="auto: bf16 on a GPU, fp32 elsewhere.")
    ] = Precision.auto,
    batch_size: BatchSize = 64,
    jobs: Jobs = 2,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Teach a network to tell artists apart (Park et al. 2018).

    What it hears then is a feature for other tasks. Of each artist's songs it learns
    from three quarters, is validated on 15 % and tested on 10 %. Clips without an
    artist are left out.
    """
    with explained():
        from userlogfeat._files import fill_folder
        from userlogfeat.catalogue import read_catalogue
        from userlogfeat.estimators.artist import ArtistEmbedder

        check_output(output, overwrite)
        whole = read_catalogue(catalogue, clip=clip, item=item, artist=artist)
        table = whole.subset(_of_artists(whole, min_songs))
        embedder = ArtistEmbedder(
            components,
            channels=channels,
            n_units=units,
            context=context,
            duration=duration,
            max_epochs=epochs,
            batch_size=batch_size,
            n_jobs=jobs,
            device=device,
            precision=precision.value,
            checkpoint=checkpoint,
            random_state=seed,
            verbose=0 if quiet else 1,
        ).fit(list(table.clips), table.artists, groups=table.groups("item"))
        n_artists = len(embedder.classes_)
        default = f"{len(table)} clips of {n_artists} artists of {catalogue.name}"
        with fill_folder(output) as folder:
            embedder.save(
                folder,
                training_data={
                    "description": description or default,
                    "licence": licence,
                    "non_commercial": non_commercial,
                },
            )
    if not quiet:
        tell(
            f"{len(table)} of {len(whole)} clips, of {n_artists} artists, taught the "
            f"model in {output}"
        )
        tell(_test_result(embedder))


def _of_artists(table, min_songs):
    """Which clips are by artists of so many songs."""
    import numpy as np

    artists, songs = table.artists, table.groups("item")
    known = np.array([artist is not None for artist in artists])
    pairs = {(artists[row], songs[row]) for row in np.flatnonzero(known)}
    n_songs = {}
    for artist, _ in pairs:
        n_songs[artist] = n_songs.get(artist, 0) + 1
    enough = [n_songs.get(artist, 0) >= min_songs for artist in artists]
    if not any(enough):
        raise ValueError(
            f"No artist has {min_songs} songs or more: {len(n_songs)} artists have "
            f"{len(pairs)} songs in all. Pass a smaller --min-songs, or more clips."
        )
    return np.array(enough)


def _test_result(embedder):
    """How many test songs' artists it names, in words."""
    n_test = len(embedder.test_clips_)
    if not n_test:
        return "No artist has songs enough to test on (six or more)."
    return (
        f"It names the artist of {embedder.test_score_:.0%} of {n_test} clips of test "
        f"songs (chance: {1 / len(embedder.classes_):.1%})"
    )
