"""The sets of `shared_latent_hamel2013.py`: clips as frames or features, and labels."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from reporting import data_folder
from sklearn.model_selection import PredefinedSplit
from transfer_images import IMAGE, SECONDS, render
from transfer_tasks import gtzan_tracks, read_features

from userlogfeat import LogMel, MusicnnEmbedder, read_audio
from userlogfeat.frontends import FRONTENDS
from userlogfeat.networks.mel import mel_filters

N_BANDS = FRONTENDS["hamel2013"].n_bands
N_TAGS = 5  # of a track: its most probable ones
URBANSOUND = (
    "air conditioner",
    "car horn",
    "children playing",
    "dog bark",
    "drilling",
    "engine idling",
    "gun shot",
    "jackhammer",
    "siren",
    "street music",
)


@dataclass(frozen=True, eq=False)
class Source:
    """Clips of one data set, and their labels.

    `X` is a list of (bands, frames), or with ``frames=False`` an array of features; `y`
    has one label per clip, or a list of tags; `ids` identifies clips that are in two
    sets.
    """

    name: str
    X: object
    y: list
    ids: np.ndarray
    artists: np.ndarray | None = None
    fold: np.ndarray | None = None
    frames: bool = True
    window: int = 64
    frames_per_clip: int | None = None
    note: str = ""

    @property
    def labels(self):
        """The labels as an array, of a set with one a clip."""
        return np.array(self.y)

    def folds(self):
        """The published folds."""
        return list(PredefinedSplit(self.fold).split())

    def subset(self, rows):
        """Some of the clips."""
        rows = np.asarray(rows)
        X = [self.X[i] for i in rows] if self.frames else self.X[rows]
        y = [self.y[i] for i in rows]
        return replace(self, X=X, y=y, ids=self.ids[rows], artists=None, fold=None)

    def without(self, target, rows):
        """The clips that are not the target's, or are among those rows of it."""
        known = np.isin(self.ids, target.ids)
        learned = np.isin(self.ids, target.ids[rows])
        return self.subset(np.flatnonzero(~known | learned))


def join(sets):
    """X, y and data set of the clips of several sets."""
    y = [label for source in sets for label in source.y]
    dataset = np.concatenate([[source.name] * len(source.y) for source in sets])
    if sets[0].frames:
        return [x for source in sets for x in source.X], y, dataset
    return np.concatenate([source.X for source in sets]), y, dataset


def read_images():
    """GTZAN, ESC-10 and the tags of GTZAN's train part, as 57 frames of 200 bands."""
    table = np.load(data_folder() / "gtzan_specgram5s_u8.npz")
    known = gtzan_tracks("gtzan_specgram5s_u8")
    settings = {"window": 19, "frames_per_clip": 20}  # 1.7 s, and 57 frames have 5 s
    gtzan = Source(
        "GTZAN",
        list(_to_bands(table["S"])),
        known.genres.tolist(),
        known.tracks,
        artists=known.groups,
        note="1000 images of 5 s, 57 frames of 200 mel bands, windows of 19 frames "
        "(1.7 s); artists are on one side of a fold; 20 frames a clip are learned "
        "from.",
        **settings,
    )
    paths = sorted((data_folder() / "esc10").glob("*/*.ogg"))
    rate = IMAGE.sample_rate
    rendered = np.stack(
        [render(read_audio(p, sample_rate=rate, duration=SECONDS)) for p in paths]
    )
    esc10 = Source(
        "ESC-10",
        list(_to_bands(rendered)),
        [path.parent.name[6:] for path in paths],
        np.array([path.name for path in paths]),
        **settings,
    )
    return gtzan, esc10, _read_tags(gtzan)


def _to_bands(images):
    """Images (n_clips, 544, frames), 0 to 255, as mean level of 200 mel bands."""
    front_end = replace(IMAGE, n_bands=N_BANDS)
    filters = mel_filters(front_end).numpy().T  # bands, 544
    filters /= filters.sum(axis=1, keepdims=True)
    return np.matmul(filters.astype(np.float32), images.astype(np.float32) / 255)


def _read_tags(gtzan):
    """Tracks of the fault-filtered train part with their most probable tags."""
    table = np.load(data_folder() / "gtzan_taggram" / "train.npz")
    tags = np.array(MusicnnEmbedder().tags)
    tracks, place = np.unique(table["track"], return_inverse=True)
    total = np.zeros((len(tracks), len(tags)))
    np.add.at(total, place, table["taggram"])
    best = np.argsort(-total / np.bincount(place)[:, None], axis=1)[:, :N_TAGS]
    rows = [gtzan.ids.tolist().index(track) for track in tracks]
    return replace(
        gtzan.subset(rows),
        name="tags",
        y=[set(tags[own].tolist()) for own in best],
    )


def read_audio_sets():
    """ESC-10 and the 100 GTZAN clips as log-mel of the paper's front end."""
    paths = sorted((data_folder() / "esc10").glob("*/*.ogg"))
    settings = {"frames_per_clip": 100}
    esc10 = Source(
        "ESC-10 audio",
        _log_mels(paths),
        [path.parent.name[6:] for path in paths],
        np.array([path.name for path in paths]),
        fold=np.array([int(path.name[0]) for path in paths]),
        note="400 clips of 5 s in their published folds, the paper's front end and "
        "windows of 64 frames (1.5 s); 100 frames a clip are learned from.",
        **settings,
    )
    clips = pl.read_csv(data_folder() / "gtzan_clips" / "clips.csv")
    paths = [data_folder() / "gtzan_clips" / file for file in clips["file"]]
    gtzan = Source(
        "GTZAN clips",
        _log_mels(paths),
        clips["genre"].to_list(),
        np.array(clips["file"].to_list()),
        **settings,
    )
    return esc10, gtzan


def _log_mels(paths):
    to_log_mel = LogMel("hamel2013", duration=SECONDS)
    return [to_log_mel.fit_transform([path])[0] for path in paths]


def read_feature_sets():
    """Choi's five layers of Extended Ballroom, GTZAN, EmoMusic and UrbanSound."""
    sets = []
    for stem, name, label_of in (
        ("ballroom_extended", "Extended Ballroom", _dance),
        ("gtzan_genre", "GTZAN", _genre),
        ("emoMusic", "EmoMusic", _mood),
        ("urbansound", "UrbanSound", _sound),
    ):
        X, table = read_features(stem, "convnet")
        source = Source(
            name,
            X,
            label_of(table),
            np.char.add(f"{stem}/", table["meta_id"]),
            frames=False,
            note=f"{len(X)} clips, 160 published features, a row taken as one frame.",
        )
        sets.append(source)
    return sets


def _dance(table):
    return [path.split("/")[1] for path in table["meta_filepath"]]


def _genre(table):
    return [path.split("/")[-1].split(".")[0] for path in table["meta_filepath"]]


def _mood(table):
    """Quadrant of arousal and valence, halves at the middle of the scale."""
    arousal, valence = (
        table[f"meta_label_{name}"].astype(float) > 5 / 9
        for name in ("arousal", "valence")
    )
    names = np.array([["calm, sad", "calm, glad"], ["excited, tense", "excited, glad"]])
    return names[arousal.astype(int), valence.astype(int)].tolist()


def _sound(table):
    return [URBANSOUND[int(label)] for label in table["meta_label"]]
