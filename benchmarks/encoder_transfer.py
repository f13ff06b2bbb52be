"""A pretrained encoder of sound effects beside musicnn, by `EncoderEmbedder`.

aiSFX (Ma & Lerch 2022, CC BY 4.0) is the one whose real weights come from the package
index; its own requirements are those of 2022, so it is installed without them:

    pip install --no-deps aisfx==0.1.2
    python benchmarks/encoder_transfer.py [--only esc10 taffc]

Its front end was Essentia's, which is rebuilt here in a few lines: mel bands whose
triangles are drawn on the mel scale (HTK's), each of sum 1, then log10(10000 x + 1).
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import polars as pl
import torch
from reporting import data_folder, record
from sklearn.model_selection import (
    PredefinedSplit,
    StratifiedGroupKFold,
    cross_val_predict,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from userlogfeat import EncoderEmbedder, MelStatistics
from userlogfeat.evaluation.intervals import mean_interval

SEED, FOLDS = 0, 5
SECONDS = 3.0  # of a clip: a block of aiSFX, a patch of musicnn
N_FFT, HOP, N_BANDS, RATE = 2048, 1024, 96, 44100
BLOCK, BLOCK_HOP = 100, 50  # frames: half of a block of 2.3 s, as in the paper
LARGEST = 9.457798957824707  # of the authors' spectrograms, which they divide by


class SoundEffects:
    """The embedding network of aiSFX, as an encoder of one's own."""

    name, license, sample_rate = "aisfx", "CC BY 4.0", RATE
    layer_sizes, frame_rate = {"embedding": 512}, RATE / (BLOCK_HOP * HOP)
    min_samples = (BLOCK - 1) * HOP

    def __init__(self):
        import aisfx
        from aisfx.models.cnn2d import EmbeddingNet

        file = Path(aisfx.__file__).parent / "models" / "checkpoint.pth"
        # Of code, the pickle may name what makes numbers of numpy, and no more.
        scalar = (np._core.multiarray.scalar, "numpy.core.multiarray.scalar")
        allowed = [scalar, np.dtype, np.dtypes.Int64DType]
        with torch.serialization.safe_globals(allowed):
            weights, _ = torch.load(file, map_location="cpu", weights_only=True)
        prefix = "embedding_net."
        own = {k.removeprefix(prefix): v for k, v in weights.items() if prefix in k}
        self.network = EmbeddingNet("max", 3, 1, 64).eval().requires_grad_(False)
        self.network.load_state_dict(own)
        self.weights_hash = hashlib.sha256(file.read_bytes()).hexdigest()
        self.filters = mel_filters()
        self.hann = torch.hann_window(N_FFT, periodic=False)

    def __call__(self, waveforms, lengths):
        """Embedding of each block of clips of one length."""
        spectrum = torch.stft(
            waveforms,
            N_FFT,
            HOP,
            window=self.hann,
            pad_mode="constant",
            return_complex=True,
        )
        bands = self.filters @ spectrum.abs().square()  # B, 96, T
        log_mel = (1e4 * bands + 1).log10().mT / LARGEST
        blocks = log_mel.unfold(1, BLOCK, BLOCK_HOP).mT  # B, P, 100, 96
        rows = self.network(blocks.flatten(0, 1))
        return {"embedding": rows.unflatten(0, blocks.shape[:2])}


def mel_filters():
    """Triangles on the mel scale, (96, 1025), each of sum 1."""

    def mel(hertz):
        return 2595 * np.log10(1 + hertz / 700)

    bins = mel(np.linspace(0, RATE / 2, N_FFT // 2 + 1))
    edges = np.linspace(0, mel(RATE / 2), N_BANDS + 2)[:, None]
    width = edges[1] - edges[0]
    triangles = np.maximum(0, 1 - np.abs(bins - edges[1:-1]) / width)
    return torch.tensor(triangles / triangles.sum(1, keepdims=True)).float()


def read_esc10(data):
    """Paths, labels and the published folds."""
    paths = sorted((data / "esc10").glob("*/*.ogg"))
    labels = [path.parent.name for path in paths]
    return paths, np.array(labels), np.array([int(p.name[0]) - 1 for p in paths])


def read_taffc(data):
    """Paths, mood quadrants, and folds of which no two have an artist."""
    clips = pl.read_csv(data / "taffc" / "clips.csv")
    labels, artists = clips["quadrant"].to_numpy(), clips["artist"].to_numpy()
    folds = np.empty(len(clips), dtype=int)
    deal = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=SEED)
    for fold, (_, held) in enumerate(deal.split(artists, labels, artists)):
        folds[held] = fold
    return [data / "taffc" / file for file in clips["file"]], labels, folds


SETS = {
    "esc10": ("ESC-10: 10 classes of sounds, 400 clips, published folds", read_esc10),
    "taffc": ("TAFFC: 4 moods, 750 clips of music, folds by artist", read_taffc),
}


def correct(X, labels, folds):
    model = make_pipeline(StandardScaler(), SVC())
    return cross_val_predict(model, X, labels, cv=PredefinedSplit(folds)) == labels


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--cache", help="folder that keeps the features")
    arguments = parser.parse_args()
    settings = {"duration": SECONDS, "precision": "fp32", "device": "cpu"}
    settings |= {"cache": arguments.cache}
    embedders = {
        "musicnn max_pool (753)": EncoderEmbedder("MSD_musicnn", **settings),
        "aiSFX (512)": EncoderEmbedder(SoundEffects(), **settings),
    }
    for stem in arguments.only:
        title, read = SETS[stem]
        paths, labels, folds = read(data_folder())
        features = {"mel statistics (800)": MelStatistics(duration=SECONDS)}
        features = {k: e.fit_transform(paths) for k, e in features.items()}
        features |= {name: e.transform(paths) for name, e in embedders.items()}
        features["both (1265)"] = np.hstack([features[name] for name in embedders])
        right = {name: correct(X, labels, folds) for name, X in features.items()}
        reference, rows = right["musicnn max_pool (753)"].astype(float), []
        for name, found in right.items():
            mean, low, high = mean_interval(found.astype(float), bounds=(0, 1))
            apart, *bounds = mean_interval(found - reference, bounds=(-1, 1))
            ends = " to ".join(f"{100 * end:+.1f}" for end in bounds)
            rows.append(
                [
                    name,
                    f"{mean:.3f} ({low:.3f} to {high:.3f})",
                    "-" if "musicnn" in name else f"{100 * apart:+.1f} ({ends})",
                ]
            )
        record(
            f"encoder_transfer/{stem}",
            f"Another encoder beside musicnn. {title}",
            ["features", "accuracy (95% over clips)", "points over musicnn"],
            rows,
            [
                f"StandardScaler and SVC as they are; {SECONDS:g} s of each clip at "
                "most. aiSFX was trained on sound effects, musicnn on music: nothing "
                "here is trained on listening logs.",
                "The front end of aiSFX is rebuilt from its description, and was not "
                "compared with Essentia's.",
            ],
            seed=SEED,
        )


if __name__ == "__main__":
    main()
