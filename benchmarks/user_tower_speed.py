"""UserEmbedding: time and memory of an epoch of many events, hit rate on real logs.

    python benchmarks/user_tower_speed.py [--events N] [--items N] [--users N]
    python benchmarks/user_tower_speed.py --only hit_rate

The made-up logs are of users and items that follow power laws. Each size is made in one
process and measured in another, which only loads it: so what memory grows by is the
fit's own. Times are of the processor, on which other programs may run meanwhile.
"""

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from reporting import data_folder, record
from scipy import sparse
from threadpoolctl import threadpool_limits

from userlogfeat import CFEmbedding, read_logs
from userlogfeat.estimators.user_tower import UserEmbedding
from userlogfeat.evaluation.recommendation import evaluate_ranking

SEED = 0
K = 200
N_EPOCHS = 2
ITEMS_PER_ARTIST, ITEMS_PER_ALBUM = 20, 8
ALPHA = 1.0  # of the ALS; of 1, 10 and 40 in a trial none was better by 0.01


def make_up_logs(n_users, n_items, n_events, path):
    """Plays whose users and items follow power laws, to a file; pairs come once."""
    rng = np.random.default_rng(SEED)
    users = (n_users * rng.random(n_events) ** 2).astype(np.int32)
    items = (n_items * rng.random(n_events) ** 3).astype(np.int32)
    plays = np.ones(n_events, np.float32)
    logs = sparse.csr_matrix((plays, (users, items)), shape=(n_users, n_items))
    logs.sum_duplicates()
    logs = logs[np.diff(logs.indptr) > 0]
    sparse.save_npz(path, logs, compressed=False)


def memory():
    """Return the memory of this process, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def peak_memory():
    """The most memory this process held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(path, queue):
    """Seconds of an epoch and to embed all users; MiB before the fit and at most."""
    torch.set_num_threads(1)
    user_items = sparse.load_npz(path)
    n_items = user_items.shape[1]
    attributes = [np.arange(n_items) // n for n in (ITEMS_PER_ARTIST, ITEMS_PER_ALBUM)]
    before = memory()
    with threadpool_limits(1):
        start = time.process_time()
        tower = UserEmbedding(max_epochs=N_EPOCHS, device="cpu", random_state=SEED)
        tower.fit(user_items, item_artists=attributes[0], item_albums=attributes[1])
        fitted = time.process_time()
        most = peak_memory()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of users held out who alone knew an item
            tower.transform(user_items)
        embedded = time.process_time() - fitted
    epoch = (fitted - start) / N_EPOCHS
    queue.put((user_items.shape, user_items.nnz, epoch, embedded, before, most))


def speed(sizes):
    """A row of figures for each size, measured apart."""
    context, rows = multiprocessing.get_context("spawn"), []
    for size in sizes:
        queue = context.Queue()
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "logs.npz")
            maker = context.Process(target=make_up_logs, args=(*size, path))
            maker.start()
            maker.join()
            process = context.Process(target=measure, args=(path, queue))
            process.start()
            shape, n_pairs, epoch, embedded, before, most = queue.get()
            process.join()
        cells = (f"{epoch:.1f}", f"{embedded:.1f}", f"{before:.0f}")
        added = f"{most - before:.0f}"
        rows.append([f"{shape[0]:,} x {shape[1]:,}", f"{n_pairs:,}", *cells, added])
    record(
        "user_tower_speed",
        "UserEmbedding: an epoch over many events",
        "users x items,pairs,epoch (s),transform (s),memory before (MiB),"
        "added by the fit at most (MiB)".split(","),
        rows,
        [
            "One thread of the processor, defaults (40 units, 1,000 negatives, every "
            "user one target an epoch), with artists and albums. An epoch includes "
            "validation over all items, and its share of preparing the fit.",
            "Memory before the fit is that of Python, torch and the logs themselves, 8 "
            "bytes a pair. Of what is added, tables and the moments of Adam grow with "
            "items, the rest with users and with the events of one batch.",
        ],
        seed=SEED,
    )


def hold_out(user_items, rng):
    """One item of each user, and the rest of the histories."""
    starts, sizes = user_items.indptr[:-1], np.diff(user_items.indptr)
    targets = user_items.indices[starts + (rng.random(len(sizes)) * sizes).astype(int)]
    pairs = user_items.tocoo()
    rest = pairs.col != targets[pairs.row]
    entries = (pairs.data[rest], (pairs.row[rest], pairs.col[rest]))
    return targets, sparse.csr_matrix(entries, shape=user_items.shape)


def hit_rates(user_items, seed):
    """Hit rate of held-out targets by every method: all have seen the users' rest."""
    targets, history = hold_out(user_items, np.random.default_rng(seed))
    users = np.arange(len(targets))
    ones = np.ones(len(users))
    relevance = sparse.csr_matrix((ones, (users, targets)), shape=history.shape)

    def hits(scores):
        scored = evaluate_ranking(relevance, scores, k=K, exclude=history)
        return scored.means[f"hit_rate@{K}"]

    binary = (history > 0).astype(np.float32)
    counts = np.asarray(binary.sum(axis=0)).ravel()
    with threadpool_limits(1):
        als = CFEmbedding(alpha=ALPHA, random_state=seed).fit(history.log1p())
    tower = UserEmbedding(device="cpu", random_state=seed).fit(history)
    return (
        hits((np.ones((len(users), 1)), counts[:, None])),
        hits((als.user_factors_, als.item_factors_)),
        tower.hit_rate(user_items, targets, k=K),
    )


def compare(n_seeds):
    """Hit rates on HetRec Last.fm."""
    folder = data_folder() / "hetrec2011-lastfm-2k"
    user_items = read_logs(folder, "hetrec-lastfm-2k", min_users_per_item=3).user_items
    user_items = user_items[np.diff(user_items.indptr) > 1]
    found = np.array([hit_rates(user_items, seed) for seed in range(n_seeds)])
    names = ("popularity", "ALS (CFEmbedding)", "user tower (UserEmbedding)")
    rows = [
        [name, f"{values.mean():.3f}", f"{values.min():.3f} to {values.max():.3f}"]
        for name, values in zip(names, found.T, strict=True)
    ]
    record(
        "user_tower_speed/hit_rate",
        f"Hit rate@{K} of held-out artists on HetRec Last.fm 2K",
        ["method", f"hit rate@{K}", "range"],
        rows,
        [
            f"{user_items.shape[0]:,} users, {user_items.shape[1]:,} artists with "
            "three listeners or more; one artist of each user held out, "
            f"{n_seeds} draws. "
            "These logs have no times, so the held-out artist is a random one.",
            "ALS with alpha 1 on log(1 + plays). The tower with its defaults, without "
            "attributes or demographics; a tenth of the users are held out for early "
            "stopping, and embedded like new ones.",
        ],
        seed=0,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", choices=("speed", "hit_rate"))
    given = parser.parse_args()
    # Fewer events of as many items and users, which memory does not grow with; then a
    # tenth of the items, which it does.
    users, items, events = given.users, given.items, given.events
    sizes = [(users, items, n) for n in (events // 10, events // 3, events)]
    if given.only != "hit_rate":
        speed([*sizes, (users, items // 10, events)])
    if given.only != "speed":
        compare(given.seeds)


if __name__ == "__main__":
    main()
