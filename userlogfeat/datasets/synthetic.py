"""A planted corpus: tastes that shape both the listening logs and the audio.

Every item is a mixture of a few tastes. Users, who mix tastes too, play the items that
suit them, and every taste changes the *sound* of an item: tempo, register, brightness,
drums, mode, decay, vibrato, chords. All that does not depend on taste (key, level,
background noise, melody, the artist's own equaliser) is a nuisance and fills
most of a spectrogram. So the relevant part of the sound can be learned from many logged
clips, but not from a handful of labelled ones, nor from permuted logs. Nothing is
downloaded, and there is no licence to observe.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from scipy.linalg import hadamard

from userlogfeat._check import check_choice, check_positive
from userlogfeat._files import replace_file
from userlogfeat._typing import PathLike, RandomState
from userlogfeat.catalogue import Catalogue, read_catalogue
from userlogfeat.datasets.synthesis import (
    EQUALISER_BANDS,
    EQUALISER_SPREAD,
    LOGARITHMIC,
    SOUND,
    SOUND_SPREAD,
    synthesise,
)

# Tastes and listening.
TASTE_WEIGHT = 0.2  # Dirichlet concentration: small = most items are of one taste
ARTIST_WEIGHT = 12.0  # concentration of an artist's items around the artist's taste
POPULARITY_SLOPE = 0.7  # an item's popularity is its random rank to minus this
LISTENING_YEAR = (1_672_531_200, 1_704_067_200)  # 2023, seconds since 1970


@dataclass(frozen=True)
class ListeningCorpus:
    """Logs, audio and catalogue of one planted world, and the truth behind them.

    Attributes
    ----------
    logs : polars.DataFrame
        One row a (user, item) pair: `user`, `item`, `count` of plays, `time` of the
        last one in seconds since 1970.
    audio : ndarray (n_items, n_samples), float32, or list of str
        Waveforms in -1..1, or the paths of the files in `folder`.
    catalogue : Catalogue
        One row per clip, in the order of `audio`: clip, item, artist, album, label.
    item_tastes : ndarray (n_items, n_tastes)
        Weights of the tastes in each item, non-negative, of sum 1.
    user_tastes : ndarray (n_users, n_tastes)
        The same for users.
    sounds : polars.DataFrame
        One row per clip: the properties of its sound, in the units of ``SOUND``.
    sample_rate : int
        Sample rate of `audio`, in Hz.
    """

    logs: pl.DataFrame
    audio: np.ndarray | list
    catalogue: Catalogue
    item_tastes: np.ndarray
    user_tastes: np.ndarray
    sounds: pl.DataFrame
    sample_rate: int


def make_listening_corpus(
    n_users: int = 1000,
    n_items: int = 1000,
    n_tastes: int = 6,
    *,
    n_artists: int | None = None,
    plays_per_user: float = 120,
    duration: float = 3.0,
    sample_rate: int = 16000,
    noise: float = 1.0,
    equaliser: Literal["artist", "item"] = "artist",
    folder: PathLike | None = None,
    random_state: RandomState | np.random.Generator = None,
) -> ListeningCorpus:
    """Make a corpus of listening logs and the audio of their items.

    Parameters
    ----------
    n_users, n_items, n_tastes : int
        Every item has one clip. Labels are "taste_0", "taste_1", ...: the strongest
        taste of the item.
    n_artists : int, optional
        Number of artists, by default one for every four items.
    plays_per_user : float
        Mean number of plays; users differ by a factor of about two either way.
    duration : float
        Duration of a clip, in s.
    sample_rate : int
        Sample rate in Hz, at least 4000.
    noise : float
        Strength of every nuisance; 0 leaves key and melody only.
    equaliser : {"artist", "item"}
        Owner of an equaliser. With one for each artist, the artist is easily recognised
        by properties that have nothing to do with taste; with one for each item, the
        items of an artist have nothing but taste in common.
    folder : str or Path, optional
        Folder for ``audio/<artist>/<album>/<item>.flac``, ``catalogue.csv`` and
        ``logs.csv``. It must be missing or empty. By default all stays in memory
        (4 bytes a sample: 192 MB for 1,000 clips of 3 s).
    random_state : int, numpy Generator or RandomState, optional
        The same seed gives the same corpus; more users leave the audio as it was.

    Returns
    -------
    ListeningCorpus

    Raises
    ------
    ValueError
        If a number makes no sense, or `folder` already holds files.

    Examples
    --------
    >>> from userlogfeat.datasets.synthetic import make_listening_corpus
    >>> corpus = make_listening_corpus(50, 20, 3, duration=0.5, random_state=0)
    >>> corpus.audio.shape, corpus.catalogue
    ((20, 8000), Catalogue(20 clips, 20 items, 5 artists, 3 labels))
    """
    _check(n_users, n_items, n_tastes, n_artists, plays_per_user, duration, noise)
    check_choice(equaliser, "equaliser", ("artist", "item"))
    check_positive(sample_rate, "sample_rate", integer=True)
    if sample_rate < 4000:
        raise ValueError(f"Got sample_rate={sample_rate}, expected at least 4000 Hz.")
    folder = None if folder is None else _empty_folder(folder)
    world, listening, rendering = _seed_sequence(random_state).spawn(3)
    rng = np.random.default_rng
    n_artists = n_artists or max(n_items // 4, 1)
    item_tastes, item_artist, equalisers = _make_items(
        n_items, n_tastes, n_artists, equaliser, rng(world)
    )
    sounds = _choose_sounds(item_tastes, noise, rng(world.spawn(1)[0]))
    user_tastes, logs = _listen(n_users, item_tastes, plays_per_user, rng(listening))
    n_samples = round(duration * sample_rate)
    settings = {"n_samples": n_samples, "sample_rate": sample_rate, "noise": noise}
    seeds = rendering.spawn(n_items)
    rows = zip(sounds.iter_rows(named=True), equalisers * noise, seeds, strict=True)
    waveforms = (
        synthesise(sound, gains, **settings, random_state=rng(seed))
        for sound, gains, seed in rows
    )
    table = _catalogue_table(item_tastes, item_artist)
    if folder is None:
        audio = np.empty((n_items, n_samples), dtype=np.float32)
        for row, waveform in zip(audio, waveforms, strict=True):
            row[:] = waveform
        catalogue = Catalogue(table)
    else:
        catalogue = _write(folder, table, logs, waveforms, sample_rate)
        audio = list(catalogue.clips)
    return ListeningCorpus(
        logs, audio, catalogue, item_tastes, user_tastes, sounds, sample_rate
    )


def _make_items(n_items, n_tastes, n_artists, equaliser, rng):
    """Draw tastes, artist and equaliser of each item."""
    if n_artists > n_items:
        raise ValueError(
            f"Got n_artists={n_artists} for n_items={n_items}: every artist needs "
            "an item."
        )
    others = rng.integers(n_artists, size=n_items - n_artists)
    item_artist = np.sort(np.concatenate([np.arange(n_artists), others]))
    artist_tastes = rng.dirichlet(np.full(n_tastes, TASTE_WEIGHT), size=n_artists)
    weights = ARTIST_WEIGHT * artist_tastes[item_artist] + 0.01
    item_tastes = np.array([rng.dirichlet(weight) for weight in weights])
    owner = item_artist if equaliser == "artist" else np.arange(n_items)
    drawn = rng.standard_normal((owner.max() + 1, EQUALISER_BANDS))
    return item_tastes, item_artist, EQUALISER_SPREAD * drawn[owner]


def _choose_sounds(item_tastes, noise, rng):
    """Draw the sound of each item: a frame with the columns of ``SOUND``."""
    n_tastes = item_tastes.shape[1]
    # Rows of a Hadamard matrix: any two tastes differ in half of the properties, or
    # in all of them; the mean of the properties does not distinguish them.
    signs = hadamard(len(SOUND))
    signs = rng.permutation(np.concatenate([signs, -signs]))[:n_tastes]
    pulls = item_tastes @ signs
    pulls += noise * SOUND_SPREAD * rng.standard_normal(pulls.shape)
    columns = {}
    for (name, (low, high)), pull in zip(SOUND.items(), pulls.T, strict=True):
        place = (np.clip(pull, -1, 1) + 1) / 2
        if name in LOGARITHMIC:
            columns[name] = low * (high / low) ** place
        else:
            columns[name] = low + (high - low) * place
    return pl.DataFrame(columns)


def _listen(n_users, item_tastes, plays_per_user, rng):
    """Draw tastes of users, and their logs.

    A play: the user picks a taste, then an item of that taste by its popularity,
    p(item | user) = sum_t p(t | user) popularity_i taste_it / sum_j (same for j).
    """
    n_items, n_tastes = item_tastes.shape
    popularity = (1.0 + rng.permutation(n_items)) ** -POPULARITY_SLOPE
    item_given_taste = popularity[:, None] * item_tastes
    item_given_taste /= item_given_taste.sum(axis=0)
    user_tastes = rng.dirichlet(np.full(n_tastes, TASTE_WEIGHT), size=n_users)
    n_plays = np.ceil(plays_per_user * rng.lognormal(-0.245, 0.7, size=n_users))
    rows = []
    for user, (tastes, n) in enumerate(zip(user_tastes, n_plays, strict=True)):
        probability = item_given_taste @ tastes
        counts = rng.multinomial(int(n), probability / probability.sum())
        items = np.flatnonzero(counts)
        rows.append(np.stack([np.full(len(items), user), items, counts[items]]))
    user, item, count = np.concatenate(rows, axis=1)
    columns = {"user": user, "item": _names("item", n_items)[item], "count": count}
    columns["time"] = rng.integers(*LISTENING_YEAR, size=len(user))
    return user_tastes, pl.DataFrame(columns)


def _names(stem, n):
    return np.array([f"{stem}_{i:04d}" for i in range(n)])


def _catalogue_table(item_tastes, item_artist):
    items = _names("item", len(item_tastes))
    artists = _names("artist", item_artist.max() + 1)[item_artist]
    # An artist's items alternate between two albums.
    albums = np.array([f"album_{i % 2}" for i in range(len(items))])
    clips = [
        f"audio/{artist}/{album}/{item}.flac"
        for artist, album, item in zip(artists, albums, items, strict=True)
    ]
    labels = [f"taste_{taste}" for taste in item_tastes.argmax(axis=1)]
    columns = {"clip": clips, "item": items, "artist": artists, "album": albums}
    return pl.DataFrame(columns | {"label": labels})


def _write(folder, table, logs, waveforms, sample_rate):
    """Write audio, logs.csv and, last, catalogue.csv; read the catalogue back."""
    import soundfile

    for clip, waveform in zip(table["clip"], waveforms, strict=True):
        path = folder / clip
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, waveform, sample_rate, subtype="PCM_16")
    for name, frame in (("logs.csv", logs), ("catalogue.csv", table)):
        with replace_file(folder / name) as temporary:
            frame.write_csv(temporary)
    return read_catalogue(folder / "catalogue.csv")


def _empty_folder(folder):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ValueError(
            f"Got folder={str(folder)!r}, which holds files already. Pass a new or "
            "empty folder, or delete its files."
        )
    return folder


def _check(n_users, n_items, n_tastes, n_artists, plays_per_user, duration, noise):
    check_positive(n_users, "n_users", integer=True)
    check_positive(n_items, "n_items", integer=True)
    check_positive(plays_per_user, "plays_per_user")
    check_positive(duration, "duration")
    if n_artists is not None:
        check_positive(n_artists, "n_artists", integer=True)
    if noise != 0:
        check_positive(noise, "noise")
    check_positive(n_tastes, "n_tastes", integer=True)
    if not 2 <= n_tastes <= 2 * len(SOUND):
        raise ValueError(
            f"Got n_tastes={n_tastes}, expected 2 to {2 * len(SOUND)}: more could not "
            "be distinguished by ear."
        )


def _seed_sequence(random_state):
    """Return a seed; the global random state is neither read nor changed."""
    if isinstance(random_state, np.random.Generator):
        random_state = int(random_state.integers(2**63))
    elif isinstance(random_state, np.random.RandomState):
        random_state = int(random_state.randint(2**31))
    return np.random.SeedSequence(random_state)
