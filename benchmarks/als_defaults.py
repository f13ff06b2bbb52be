"""Defaults of CFEmbedding, by the ranking of held-out plays of four logs.

A fifth of each user's plays is the test, a fifth of the rest the validation. Settings
are compared on the validation; what was chosen, and what it replaces, is fitted again
and ranked once on the test.

    python benchmarks/als_defaults.py [--logs planted HetRec ...]
"""

import argparse
import warnings

import numpy as np
from reporting import data_folder, record

from userlogfeat import CFEmbedding, read_logs
from userlogfeat.datasets.synthetic import make_listening_corpus
from userlogfeat.evaluation.play_search import HeldOutPlays, Plays, PlaySplit

SEED = 0
MIN_USERS, MIN_ITEMS = 3, 5  # of an item, of a user
SETTINGS = {
    "log, alpha 1": {"alpha": 1.0},
    "log, alpha 3": {"alpha": 3.0},
    "log, alpha 10 (default)": {},
    "log, alpha 30": {"alpha": 30.0},
    "binary, alpha 10": {"confidence": "binary", "alpha": 10.0},
    "binary, alpha 40 (Lee et al.)": {"confidence": "binary"},
    "linear, alpha 40 (Hu et al.)": {"confidence": "linear"},
    "20 factors": {"n_factors": 20},
    "80 factors": {"n_factors": 80},
    "regularization 0.01": {"regularization": 0.01},
}
# Before: the raw counts, and one small regularization for all logs.
FORMER = {"confidence": "linear", "alpha": 40.0, "regularization": 0.01}
FINAL = {
    "default": {},
    "Lee et al.": {"confidence": "binary"},
    "former default": FORMER,
}


def read_playlists(item):
    path = data_folder() / "mpd_playlists.parquet"
    return read_logs(path, user="pid", item=item, min_users_per_item=MIN_USERS)


def read_hetrec():
    folder = data_folder() / "hetrec2011-lastfm-2k"
    return read_logs(folder, "hetrec-lastfm-2k", min_users_per_item=MIN_USERS)


def read_planted():
    corpus = make_listening_corpus(500, 400, 6, duration=0.1, random_state=SEED)
    return read_logs(corpus.logs, count="count")


LOGS = {
    "planted": read_planted,
    "HetRec": read_hetrec,
    "playlists, artists": lambda: read_playlists("artist_norm"),
    "playlists, tracks": lambda: read_playlists("track_id"),
}


def ndcg(plays, train, held_out, settings):
    """NDCG@10 of held-out plays after a fit with some settings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of absurd confidences
        cf = CFEmbedding(random_state=SEED, **settings).fit(plays[train])
    return HeldOutPlays()(cf, plays[held_out])


def judge(user_items):
    """NDCG@10 of all settings on the validation, of the final ones on the test."""
    user_items = user_items[np.diff(user_items.indptr) >= MIN_ITEMS]
    whole = Plays(user_items)
    ((rest, test),) = PlaySplit(random_state=SEED).split(whole)
    part = Plays(whole[rest].user_items)
    ((train, valid),) = PlaySplit(random_state=SEED + 1).split(part)
    chosen = [ndcg(part, train, valid, settings) for settings in SETTINGS.values()]
    final = [ndcg(whole, rest, test, settings) for settings in FINAL.values()]
    return user_items, chosen, final


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--logs", nargs="+", default=list(LOGS), choices=list(LOGS))
    names = parser.parse_args().logs
    columns, heads = [], []
    for name in names:
        user_items, chosen, final = judge(LOGS[name]().user_items)
        n_users, n_items = user_items.shape
        heads.append(f"{name} ({n_users:,} x {n_items:,}, {user_items.nnz:,} pairs)")
        columns.append([f"{value:.3f}" for value in chosen + final])
        print(heads[-1], *columns[-1], flush=True)
    labels = [f"validation: {name}" for name in SETTINGS]
    labels += [f"test: {name}" for name in FINAL]
    rows = [
        [label, *cells]
        for label, cells in zip(labels, zip(*columns, strict=True), strict=True)
    ]
    record(
        "als_defaults",
        "Defaults of CFEmbedding: NDCG@10 of held-out plays",
        ["settings", *heads],
        rows,
        [
            "A fifth of each user's plays is held out for the test, a fifth of the "
            "rest for validation; one split, one seed. Not named: 40 factors, 15 "
            "iterations, the default regularization.",
            "The former default was linear, alpha 40, regularization 0.01.",
            f"Items with {MIN_USERS} users or more (but planted), users with "
            f"{MIN_ITEMS} items or more.",
        ],
        seed=SEED,
    )


if __name__ == "__main__":
    main()
