"""Speed of drawing triplets of users and clips, compared with a plain loop.

python benchmarks/sampler_speed.py
"""

import time
from statistics import median

import numpy as np
from machine_rates import memory_rate
from reporting import record
from scipy import sparse

from userlogfeat.feedback.triplets import TripletSampler

SEED = 0
N_CLIPS, N_USERS = 20_000, 5_000
LIKES, DISLIKES = 40, 40  # of a user
BATCH = 4096  # triplets
N_BATCHES = 50
LOOP_DRAWS = 4096
ROUNDS = 5


def made_up_verdicts():
    """Clips x users: every user has judged as many, drawn alike."""
    rng = np.random.default_rng(SEED)
    judged = LIKES + DISLIKES
    clips = np.stack(
        [rng.choice(N_CLIPS, judged, replace=False) for _ in range(N_USERS)]
    )
    signs = np.where(np.arange(judged) < LIKES, 1.0, -1.0)
    users = np.repeat(np.arange(N_USERS), judged)
    values = np.tile(signs, N_USERS).astype(np.float32)
    return sparse.csr_matrix((values, (clips.ravel(), users)), shape=(N_CLIPS, N_USERS))


def loop(likes, disliked_of, n, n_negatives, rng):
    """One draw after the other, as one writes it first."""
    draws = []
    for _ in range(n):
        user, liked = likes[rng.integers(len(likes))]
        disliked = rng.choice(disliked_of[user], n_negatives, replace=False)
        draws.append((user, liked, disliked))
    return draws


def measure(verdicts, n_negatives):
    """Draws a second, ours and the loop's, in turn: medians; and bytes of a draw."""
    of_user = verdicts.T.tocsr()
    rows = np.repeat(np.arange(N_USERS), np.diff(of_user.indptr))
    liked = of_user.data > 0
    likes = list(zip(rows[liked], of_user.indices[liked], strict=True))
    disliked_of = of_user.indices[~liked].reshape(N_USERS, DISLIKES)
    sampler = TripletSampler(verdicts, n_negatives)
    rng = np.random.default_rng(SEED)
    found = {"ours": [], "loop": []}
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(N_BATCHES):
            sampler.draw(BATCH, rng)
        found["ours"].append(N_BATCHES * BATCH / (time.perf_counter() - start))
        start = time.perf_counter()
        loop(likes, disliked_of, LOOP_DRAWS, n_negatives, rng)
        found["loop"].append(LOOP_DRAWS / (time.perf_counter() - start))
    return {name: median(rates) for name, rates in found.items()}


def main():
    verdicts, fastest = made_up_verdicts(), memory_rate()
    rows = []
    for n_negatives in (1, 4):
        rates = measure(verdicts, n_negatives)
        written = 8 * (2 + n_negatives)  # bytes of a draw
        rows.append(
            [
                n_negatives,
                f"{rates['ours'] / 1e6:.1f}",
                f"{rates['loop'] / 1e6:.3f}",
                f"{rates['ours'] / rates['loop']:.0f}x",
                f"{written * rates['ours'] / fastest:.1%}",
            ]
        )
    record(
        "sampler_speed",
        f"Triplets: {N_USERS:,} users, {N_CLIPS:,} clips, batches of {BATCH:,}",
        [
            "negatives",
            "million draws/s",
            "plain loop",
            "faster",
            "of memory's rate",
        ],
        rows,
        [
            f"{LIKES} likes and {DISLIKES} dislikes a user. The loop draws one like "
            "and its dislikes at a time, with NumPy's choice.",
            "Of memory's rate: bytes of the drawn triplets against "
            f"{fastest / 1e9:.1f} GB/s, read and written, of copies in memory. Draws "
            "read at random places, so that they cannot come near.",
        ],
        seed=SEED,
    )


if __name__ == "__main__":
    main()
