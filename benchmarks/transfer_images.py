"""Tasks of `transfer_lee2019.py` on spectrograms, for the paper's network.

GTZAN's public images hold the first 5 s of each track: 544 linear bands, 57 frames, dB
scaled per clip to 0 to 255. ESC-10 and the middle 5 s of TAFFC's clips are rendered the
same way from audio. All are pooled to 96 mel bands. 57 frames are too few for the
paper's pools, so these are short.
"""

from pathlib import Path

import numpy as np
import polars as pl
import torch
from reporting import data_folder
from sklearn.model_selection import StratifiedGroupKFold
from transfer_tasks import (
    MIN_LISTENERS,
    SEED,
    Task,
    gtzan_folds,
    gtzan_tracks,
    teacher_data,
)

from userlogfeat import CFRegressor, KDStudentClassifier, read_audio
from userlogfeat.audio import find_audio
from userlogfeat.frontends import FrontEnd
from userlogfeat.networks.mel import mel_filters

POOLS = ((4, 2), (3, 2), (2, 2), (2, 2))
NETWORK = {
    "network": "se_cnn",
    "channels": 32,
    "pools": POOLS,
    "max_epochs": 60,
    "patience": 12,
    "precision": "bf16",
}
# Two widths take hours on two cores: shorter training, in fp32 where bf16 is slow.
SHORTER = NETWORK | {"max_epochs": 30, "patience": 8, "precision": "fp32"}
# The linear spectrum of the images, so that the filters fit its 544 bands.
IMAGE = FrontEnd(sample_rate=22050, n_fft=1086, hop=1968, n_bands=96, f_min=30.0)
SECONDS = 5.0


def student(settings=NETWORK):
    """The paper's network with short pools, 32 channels."""
    return KDStudentClassifier(**settings)


def to_mel(images):
    """Images (n_clips, 544, frames), 0 to 255, as mean level of 96 mel bands."""
    filters = mel_filters(IMAGE).numpy().T  # bands, 544
    filters = filters / filters.sum(axis=1, keepdims=True)
    return np.matmul(filters.astype(np.float32), images.astype(np.float32) / 255)


def render(waveform):
    """The image (544, 57) of 5 s, dB scaled to 0 to 255."""
    window = torch.hann_window(IMAGE.n_fft)
    spectrum = torch.stft(
        torch.from_numpy(waveform),
        IMAGE.n_fft,
        IMAGE.hop,
        window=window,
        pad_mode="constant",
        return_complex=True,
    )
    decibel = 20 * torch.log10(spectrum.abs().clamp(min=1e-5)).numpy()
    low, high = decibel.min(), decibel.max()
    return 255 * (decibel - low) / max(high - low, 1e-6)


def _teachers(X, **links):
    known = gtzan_tracks("gtzan_specgram5s_u8")
    estimator = CFRegressor(random_state=SEED, **NETWORK)
    data = teacher_data(X, known.artists, known.has_logs, estimator=estimator, **links)
    # Three heads for out-of-fold estimates: each is a network to train.
    return type(data)(**{**vars(data), "n_folds": 3})


def gtzan_mel():
    """Mel levels (1000, 96, 57) of GTZAN's images."""
    return to_mel(np.load(data_folder() / "gtzan_specgram5s_u8.npz")["S"])


def gtzan_images():
    """GTZAN's genres from 5 s images, artist-filtered."""
    known, X = gtzan_tracks("gtzan_specgram5s_u8"), gtzan_mel()
    return Task(
        "GTZAN, artist-filtered 3-fold, 5 s spectrograms, se_cnn of 32 channels",
        X,
        known.genres,
        gtzan_folds(known, "artist-filtered 3-fold"),
        _teachers(X, clips=known.has_logs, groups=known.groups[known.has_logs]),
        known.groups,
        n_labels=(20, None),
        seeds=1,
    )


def read_images(paths):
    """Return images (n_clips, 544, 57) of the middle of audio files."""
    settings = {"sample_rate": IMAGE.sample_rate, "duration": SECONDS}
    return np.stack([render(read_audio(path, **settings)) for path in paths])


def taffc_images():
    """TAFFC's moods; the teacher learns from its other artists and from GTZAN's."""
    clips = pl.read_csv(data_folder() / "taffc" / "clips.csv")
    paths = [data_folder() / "taffc" / file for file in clips["file"]]
    X = to_mel(read_images(paths))
    has_logs = (clips["hetrec_listeners"] >= MIN_LISTENERS).to_numpy()
    known = gtzan_tracks("gtzan_specgram5s_u8")
    artists = np.concatenate(
        [
            clips["hetrec_artist_id"].to_numpy()[has_logs].astype(int),
            known.artists[known.has_logs],
        ]
    )
    rows = np.arange(len(artists))
    teachers = teacher_data(
        np.concatenate([X[has_logs], gtzan_mel()[known.has_logs]]),
        artists,
        rows,
        clips=np.full(len(rows), -1),
        groups=artists.astype(str),
        estimator=CFRegressor(random_state=SEED, **SHORTER),
    )
    y = clips["quadrant"].to_numpy()[~has_logs]
    groups = clips["artist"].fill_null(clips["clip"]).to_numpy()[~has_logs]
    folds = StratifiedGroupKFold(2, shuffle=True, random_state=SEED)
    return Task(
        "TAFFC quadrants, 5 s spectrograms, se_cnn",
        X[~has_logs],
        y,
        list(folds.split(y, y, groups)),
        teachers,
        groups,
        n_labels=(None,),
        seeds=1,
        note=f"{has_logs.sum()} clips of TAFFC and {len(known.has_logs)} of GTZAN, by "
        f"{len(np.unique(artists))} artists, train the teacher; the clips by TAFFC's "
        "other artists are the task. Figure 4 of Lee et al. has 128 and 256 channels, "
        "too.",
    )


def esc10_images():
    """ESC-10's sounds in its five folds: not music."""
    paths = [Path(path) for path in find_audio(data_folder() / "esc10")]
    fold = np.array([int(path.name[0]) for path in paths])
    return Task(
        "ESC-10 (not music), its 5 folds, spectrograms, se_cnn of 32 channels",
        to_mel(read_images(paths)),
        np.array([path.parent.name for path in paths]),
        [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(1, 6)],
        _teachers(gtzan_mel(), clips=np.full(len(gtzan_tracks().has_logs), -1)),
        n_labels=(None,),
        seeds=1,
        note="The teacher was trained on GTZAN's tracks.",
    )
