"""Which head estimates the factors of unseen artists: defaults of CFRegressor.

On development artists of each set, in three folds of artists: the rank of the own
artist and the cosine of a ridge with every clip or every artist weighing the same, and
of an MLP of each loss; what ``head="auto"`` chooses, and what that costs. On sealed
artists, once: the former default, a ridge with clips of equal weight, and the default.

    python benchmarks/teacher_head.py [--sealed]
"""

import argparse
import time

import numpy as np
from reporting import data_folder, record
from sklearn.model_selection import GroupKFold
from transfer_tasks import SEALED_SEED, SEED, fit_factors, read_spotify

from userlogfeat import CFRegressor
from userlogfeat.evaluation.factors import mean_cosine, own_artist_percentile

N_FOLDS = 3
MAX_CLIPS = 2_000  # of development artists, a set: drawn at random
HEADS = {
    "ridge, clips weigh the same": {"head": "ridge", "clip_weight": "clip"},
    "ridge": {"head": "ridge"},
    "mlp, mse_cosine": {"head": "mlp", "loss": "mse_cosine"},
    "mlp, info_nce": {"head": "mlp", "loss": "info_nce"},
    "mlp, info_nce alone": {"head": "mlp", "loss": ("info_nce", {"anchor": 0.0})},
    "mlp, co_listen": {"head": "mlp", "loss": "co_listen"},
}


def sets():
    """Name -> features, Last.fm artist and whether the artist is sealed."""
    known = read_spotify()
    rows = np.flatnonzero(known.has_logs)
    found = {"Spotify": (known.X[rows], known.ids[rows], known.sealed[rows])}
    table = np.load(data_folder() / "lfm2k_vggish" / "lfm2k_audio_features.npz")
    sealed = np.random.default_rng(SEALED_SEED).random(len(table["artist"])) < 0.5
    for name, column in (("VGGish", "vggish"), ("Whisper", "whisper")):
        found[name] = table[column], table["hetrec_artist_id"], sealed
    return found


def accuracy(settings, X, Y, artists, folds):
    """Own-artist rank and cosine of unseen artists, and the seconds of all fits."""
    estimates, start = np.empty_like(Y), time.perf_counter()
    for train, test in folds:
        teacher = CFRegressor("mlp", random_state=SEED, **settings)
        teacher.fit(X[train], Y[train], groups=artists[train])
        estimates[test] = teacher.predict(X[test])
    seconds = time.perf_counter() - start
    rank = own_artist_percentile(Y, estimates, artists=artists)
    return rank, mean_cosine(Y, estimates), seconds


def development(name, X, Y, artists):
    """Rows of the table of one set."""
    if len(X) > MAX_CLIPS:
        rows = np.random.default_rng(SEED).permutation(len(X))[:MAX_CLIPS]
        X, Y, artists = X[rows], Y[rows], artists[rows]
    folds = list(GroupKFold(N_FOLDS).split(X, groups=artists))
    CFRegressor("mlp", head="mlp", max_epochs=1).fit(X[:64], Y[:64])  # imports
    rows, ridge = [], None
    for head, settings in HEADS.items():
        rank, cosine, seconds = accuracy(settings, X, Y, artists, folds)
        ridge = seconds if head == "ridge" else ridge
        ratio = "-" if ridge is None else f"{seconds / ridge:.0f}"
        rows.append([name, head, f"{rank:.3f}", f"{cosine:.3f}", seconds, ratio])
        print(rows[-1], flush=True)
    start = time.perf_counter()
    teacher = CFRegressor("mlp", random_state=SEED).fit(X, Y, groups=artists)
    seconds = N_FOLDS * (time.perf_counter() - start)
    chosen = "auto: " + ", ".join(map(str, teacher.chosen_.values()))
    rows.append([name, chosen, "", "", seconds, f"{seconds / ridge:.0f}"])
    print(rows[-1], flush=True)
    return [[*row[:4], f"{row[4] / N_FOLDS:.1f}", row[5]] for row in rows]


def sealed_once(name, X, Y, artists, sealed):
    """Rows of the former and the present default on the sealed artists."""
    rows = []
    for head, settings in (
        ("former default", HEADS["ridge, clips weigh the same"]),
        ("default", {}),
    ):
        folds = [(np.flatnonzero(~sealed), np.flatnonzero(sealed))]
        train, test = folds[0]
        teacher = CFRegressor("mlp", random_state=SEED, **settings)
        teacher.fit(X[train], Y[train], groups=artists[train])
        estimates = teacher.predict(X[test])
        rank = own_artist_percentile(Y[test], estimates, artists=artists[test])
        cosine = mean_cosine(Y[test], estimates)
        chosen = ", ".join(map(str, getattr(teacher, "chosen_", {}).values()))
        n_artists = len(np.unique(artists[test]))
        rows.append([name, head, chosen, n_artists, f"{rank:.3f}", f"{cosine:.3f}"])
        print(rows[-1], flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sealed", action="store_true", help="look at sealed artists")
    arguments = parser.parse_args()
    factors, rows = fit_factors(), []
    for name, (X, artists, sealed) in sets().items():
        Y = np.stack([factors[artist] for artist in artists.tolist()])
        if arguments.sealed:
            rows += sealed_once(name, X, Y, artists, sealed)
        else:
            rows += development(name, X[~sealed], Y[~sealed], artists[~sealed])
    note = (
        "Factors: ALS of HetRec's Last.fm logs, as in the tables of transfer_lee2019."
    )
    if arguments.sealed:
        header = ["set", "head", "chosen", "artists", "own-artist rank", "cosine"]
        title = "Heads of teachers: sealed artists"
        record("teacher_head/sealed", title, header, rows, [note], seed=SEED)
        return
    header = ["set", "head", "own-artist rank", "cosine", "s a fit", "ridge = 1"]
    title = "Heads of teachers: unseen development artists"
    notes = [
        f"{note} Three folds of artists; at most {MAX_CLIPS} clips a set. The last row "
        "of a set is the default, whose choice is among ridge, mse_cosine and info_nce."
    ]
    record("teacher_head/development", title, header, rows, notes, seed=SEED)


if __name__ == "__main__":
    main()
