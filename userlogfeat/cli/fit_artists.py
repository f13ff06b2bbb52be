"""`userlogfeat fit-artists`: from audio and who made it to a saved model."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from userlogfeat.cli import options as opt
from userlogfeat.cli.application import app
from userlogfeat.cli.console import Result
from userlogfeat.cli.fitting import AudioFit


@dataclass
class ArtistsFit(AudioFit):
    """Options of fit-artists."""

    batch_size: opt.BatchSize = 64


@app.command("fit-artists")
def fit_artists(
    catalogue: Path,
    clip: opt.Clip = "clip",
    item: str = "item",
    artist: opt.Artist = None,
    min_songs: Annotated[int, typer.Option(min=1)] = 2,
    *,
    fit: ArtistsFit,
) -> Result:
    """Train a network to recognise artists by their songs (Park et al. 2018).

    Its embedding is a feature for other tasks. Of each artist's songs three quarters
    train the network, 15 % validate and 10 % test it. Clips without an artist are left
    out.

    Parameters
    ----------
    catalogue
        csv, tsv or parquet: which clip is by which artist; or a folder
        artist/album/track.
    item
        Column of songs; that of paths if a clip is a song.
    min_songs
        Artists with fewer are left out.

    Examples
    --------
      userlogfeat fit-artists tracks.csv -o artists
      userlogfeat fit-artists my_music/ -o artists --licence "CC BY 4.0"

    --set reaches the other parameters of ArtistEmbedder: n_components=50, n_units=128,
    channels=64, context=5 and duration=30 (seconds), precision=bf16.

    Then:
      userlogfeat extract my_music/ -o features --weights artists --layer embedding
      UserLogEmbedder("artists", layer="embedding")         in Python
      ArtistEmbedder.load("artists")                        the same, with its artists
    """
    from userlogfeat._files import fill_folder
    from userlogfeat.catalogue import read_catalogue
    from userlogfeat.estimators.artist import ArtistEmbedder

    embedder = fit.estimator(ArtistEmbedder)
    everything = read_catalogue(catalogue, clip=clip, item=item, artist=artist)
    table = everything.subset(_by_productive_artists(everything, min_songs))
    embedder.fit(list(table.clips), table.artists, groups=table.groups("item"))
    n_artists = len(embedder.classes_)
    notes = fit.training_data(
        f"{len(table)} clips of {n_artists} artists of {catalogue.name}"
    )
    with fill_folder(fit.output) as folder:
        embedder.save(folder, training_data=notes)
    values = {"output": fit.output, "clips": len(table), "artists": n_artists}
    values["accuracy"] = embedder.test_score_
    values["test_clips"] = len(embedder.test_clips_)
    text = (
        f"{len(table)} of {len(everything)} clips, of {n_artists} artists, trained the "
        f"model in {fit.output}\n{_test_result(embedder)}"
    )
    return Result(values, text)


def _by_productive_artists(table, min_songs):
    """Mask of the clips by artists with at least so many songs."""
    pairs = set(zip(table.artists, table.groups("item"), strict=True))
    n_songs = Counter(artist for artist, _ in pairs if artist is not None)
    enough = [n_songs[artist] >= min_songs for artist in table.artists]
    if not any(enough):
        raise ValueError(
            f"No artist has {min_songs} songs or more: {len(n_songs)} artists have "
            f"{n_songs.total()} songs in all. Pass a smaller --min-songs, or more "
            "clips."
        )
    return enough


def _test_result(embedder):
    """Accuracy on the test songs, in words."""
    n_test = len(embedder.test_clips_)
    if not n_test:
        return "No artist has songs enough to test on (six or more)."
    return (
        f"It names the artist of {embedder.test_score_:.0%} of {n_test} clips of test "
        f"songs (chance: {1 / len(embedder.classes_):.1%})"
    )
