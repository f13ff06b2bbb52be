"""Measure the gain of the defaults: an SVM with the estimate, before and after.

Tasks whose teacher, labels and test clips share no artist. An RBF SVM (C searched) on
the features, and with the teacher's estimate of each clip as further columns, from
true logs and from the three controls. Three teachers: the former defaults (play
counts as they are, alpha 40, a ridge, clips of equal weight), the present ones, and
the setting that `transfer_svm.py` uses (ones instead of counts, alpha 10, an MLP).

    python benchmarks/transfer_defaults.py [--seeds 4] [--labels 5 20 100]
"""

import argparse
import unicodedata

import numpy as np
import polars as pl
from reporting import HERE, data_folder, record
from transfer_lee2019 import between, contrast
from transfer_tasks import SEED, read_spotify

from userlogfeat import CFEmbedding, CFRegressor, KDStudentClassifier, read_logs
from userlogfeat.comparison import PLAIN_ARMS, TeacherData, compare, summarise

MIN_LISTENERS = 3
MAX_TEST = 3_000  # test clips, drawn at random
FORMER = {"head": "ridge", "clip_weight": "clip"}
# Name -> settings of CFEmbedding, whether counts become ones, settings of CFRegressor.
TEACHERS = {
    "former defaults": ({"alpha": 40.0, "confidence": "linear"}, False, FORMER),
    "defaults": ({}, False, {}),
    "as in transfer_svm": (
        {"alpha": 10.0, "confidence": "linear"},
        True,
        {"head": "mlp", "loss": "mse_cosine", "hidden": (256,), "clip_weight": "clip"},
    ),
}


def normalised(name):
    """A key for an artist's name: see the README of the data."""
    text = unicodedata.normalize("NFKD", name.lower().replace("&", "and"))
    text = "".join(c for c in text if not unicodedata.combining(c))
    text = text.removeprefix("the ")
    return "".join(c for c in text if c.isalnum())


def hetrec():
    """Plays by user and artist id of HetRec, and the ids of the columns."""
    logs = read_logs(data_folder() / "hetrec2011-lastfm-2k", "hetrec-lastfm-2k")
    return logs.user_items, logs.item_ids.tolist()


def playlists():
    """Entries by playlist and normalised artist, and the names of the columns."""
    frame = pl.read_parquet(data_folder() / "mpd_playlists.parquet")
    counts = frame.group_by("pid", "artist_norm").len("n").sort("pid", "artist_norm")
    logs = read_logs(counts, user="pid", item="artist_norm", count="n")
    return logs.user_items, logs.item_ids.tolist()


def split(known, keys, listeners):
    """Rows of teacher, labels and test: artists apart; only open artists are used."""
    open_ = ~known.sealed
    has_logs = np.array([listeners.get(key, 0) >= MIN_LISTENERS for key in keys])
    teaching = np.flatnonzero(has_logs & open_)
    labelled = (known.genres != "") & open_
    labelled &= ~np.isin(known.artists, known.artists[teaching])
    names = np.unique(known.artists[labelled])
    tested = np.random.default_rng(SEED).permutation(names)[: len(names) // 2]
    is_test = labelled & np.isin(known.artists, tested)
    test = np.random.default_rng(SEED).permutation(np.flatnonzero(is_test))[:MAX_TEST]
    return teaching, np.flatnonzero(labelled & ~is_test), np.sort(test)


def tasks():
    """Name -> features, labels, artists, parts, keys of artists in the logs, logs."""
    known = read_spotify()
    plays, ids = hetrec()
    listeners = dict(zip(ids, np.asarray((plays > 0).sum(axis=0)).ravel(), strict=True))
    keys = known.ids.tolist()
    yield "HetRec", known, split(known, keys, listeners), keys, plays, ids
    plays, ids = playlists()
    listeners = dict(zip(ids, np.asarray((plays > 0).sum(axis=0)).ravel(), strict=True))
    keys = [normalised(name) for name in known.artists.tolist()]
    yield "playlists", known, split(known, keys, listeners), keys, plays, ids


def compare_teachers(known, parts, keys, plays, ids, arguments):
    """Frames of the SVMs, by teacher."""
    teaching, train, test = parts
    rows = np.concatenate([train, test])
    fold = np.arange(len(train)), len(train) + np.arange(len(test))
    for name, (embedding, binary, regressor) in TEACHERS.items():
        matrix = (plays > 0).astype(np.float32) if binary else plays
        if "confidence" not in CFEmbedding().get_params():
            embedding = {k: v for k, v in embedding.items() if k != "confidence"}
        fitted = CFEmbedding(random_state=SEED, **embedding).fit(matrix)
        factors = dict(zip(ids, fitted.item_factors_, strict=True))
        items = np.array([keys[row] for row in teaching])
        teacher = TeacherData(
            CFRegressor("mlp", random_state=SEED, **regressor),
            known.X[teaching],
            np.stack([factors[item] for item in items.tolist()]),
            items=items,
            groups=known.artists[teaching],
            clips=np.full(len(teaching), -1),
        )
        arms = PLAIN_ARMS if name != "former defaults" else PLAIN_ARMS[:3]
        yield (
            name,
            compare(
                KDStudentClassifier(network="mlp"),
                known.X[rows],
                known.genres[rows],
                teachers=teacher,
                cv=[fold],
                seeds=arguments.seeds,
                groups=known.artists[rows],
                arms=arms,
                n_labels=arguments.labels,
                folder=HERE
                / "transfer_defaults.fits"
                / f"{name.replace(' ', '_')}_{len(ids)}",
                n_jobs=arguments.jobs,
            ),
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--labels", type=int, nargs="+", default=(5, 20, 100))
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    rows, notes = [], []
    for log, known, parts, keys, plays, ids in tasks():
        n_artists = len(np.unique(known.artists[parts[0]]))
        notes.append(
            f"{log}: {len(parts[0])} tracks of {n_artists} artists train the teacher, "
            f"{len(parts[2])} of others are tested."
        )
        frames = compare_teachers(known, parts, keys, plays, ids, arguments)
        for teacher, frame in frames:
            groups = known.artists[np.concatenate(parts[1:])]
            summary = summarise(frame, groups=groups, corrected=False)
            for row in summary.filter(arm="plain + estimate").iter_rows(named=True):
                gains = [contrast(row, arm) for arm in ("plain", *PLAIN_ARMS[2:])]
                score = between(row["mean"], row["low"], row["high"])
                rows.append([log, teacher, row["n_labels"], score, *gains])
                print(rows[-1], flush=True)
    record(
        "transfer_defaults",
        "An SVM with the estimate, before and after the present defaults",
        [
            *("logs", "teacher", "labels a class", "SVM + estimate", "minus SVM"),
            *("minus permuted", "minus random projection", "minus same artist"),
        ],
        rows,
        [
            *notes,
            f"Spotify features, 6 genres; {arguments.seeds} draws of labels; accuracy "
            "with 95% intervals over artists and draws; p of the t-test and of "
            "Wilcoxon's over draws, Holm-corrected. Open artists only.",
        ],
        seed=SEED,
    )


if __name__ == "__main__":
    main()
