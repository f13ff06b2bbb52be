"""Coverage of 95 % intervals: `mean_interval` and percentiles of a bootstrap.

    python benchmarks/interval_coverage.py [--draws 1000]

Outcomes of clips are made from what varies in a comparison: artists, clips, seeds
(common to all clips) and chance. The true mean is known, so intervals that hold it can
be counted. Artists have unequal numbers of clips, 8 on average.
"""

import argparse

import numpy as np
from reporting import record
from scipy import stats

from userlogfeat.evaluation.intervals import mean_interval

SEED = 0
GROUPS, SEEDS = (5, 10, 20), (1, 3, 5, 8)
ARTIST, CHANCE, UNEVEN = 0.7, 0.5, 0.6  # sd; a clip's is 1; of the logarithm of sizes
SEED_SPREADS = {"little": 0.1, "much": 0.5}  # sd of a seed, common to all its clips
KINDS = ("accuracy 0.7", "accuracy 0.95", "difference", "squared error")
BOUNDS = {"difference": (-1, 1), "squared error": (0, np.inf)}


def make(kind, n_groups, n_seeds, spread, rng):
    """Outcomes (n_seeds, n_clips), artist of each clip, the true mean.

    A single seed does not vary: its own mean is then the true mean.
    """
    spread = spread if n_seeds > 1 else 0.0
    sizes = np.round(8 * np.exp(rng.normal(0, UNEVEN, n_groups) - UNEVEN**2 / 2))
    groups = np.repeat(np.arange(n_groups), np.maximum(sizes, 1).astype(int))

    def latent():
        of_seed = rng.normal(0, spread, (n_seeds, 1))
        return of_seed + rng.normal(0, CHANCE, (n_seeds, len(groups)))

    shared = rng.normal(0, ARTIST, n_groups)[groups] + rng.normal(size=len(groups))
    deviation = np.sqrt(ARTIST**2 + 1 + spread**2 + CHANCE**2)
    if kind == "squared error":
        return (shared + latent()) ** 2, groups, deviation**2
    if kind == "difference":
        shares = 0.75, 0.65
        limits = deviation * stats.norm.ppf(shares)
        first, second = ((shared + latent() < limit) * 1.0 for limit in limits)
        return first - second, groups, shares[0] - shares[1]
    share = float(kind.split()[1])
    limit = deviation * stats.norm.ppf(share)
    return (shared + latent() < limit) * 1.0, groups, share


def percentiles(outcomes, groups, rng, n_draws=400):
    """2.5 % and 97.5 % of means with artists and seeds drawn with replacement."""
    n_seeds, n_groups = len(outcomes), groups.max() + 1
    sums = np.stack([np.bincount(groups, row, n_groups) for row in outcomes])
    seeds = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), n_draws)
    drawn = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), n_draws)
    totals = np.einsum("bj,bj->b", seeds @ sums, drawn)
    counts = n_seeds * (drawn @ np.bincount(groups, minlength=n_groups))
    return np.quantile(totals / counts, [0.025, 0.975])


def coverage(kind, n_groups, n_seeds, spread, n_draws, rng):
    """Shares of intervals that hold the true mean: ours, the bootstrap's."""
    held = np.zeros(2)
    for _ in range(n_draws):
        outcomes, groups, truth = make(kind, n_groups, n_seeds, spread, rng)
        ours = mean_interval(outcomes, groups=groups, bounds=BOUNDS.get(kind))[1:]
        for i, (low, high) in enumerate((ours, percentiles(outcomes, groups, rng))):
            held[i] += low <= truth <= high
    return held / n_draws


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000, help="tables a cell")
    n_draws = parser.parse_args().draws
    rng, rows = np.random.default_rng(SEED), []
    for kind in KINDS:
        for words, spread in SEED_SPREADS.items():
            for n_groups in GROUPS:
                found = [
                    coverage(kind, n_groups, n_seeds, spread, n_draws, rng)
                    for n_seeds in SEEDS
                ]
                cells = [f"{ours:.1%} ({theirs:.1%})" for ours, theirs in found]
                rows.append([kind, words, n_groups, *cells])
                print(rows[-1], flush=True)
    record(
        "interval_coverage",
        "How often 95 % intervals hold",
        ["outcome", "seeds vary", "artists", *(f"{n} seed(s)" for n in SEEDS)],
        rows,
        [
            "Fraction of intervals that contain the true mean, and in brackets that of "
            "percentiles of a bootstrap over artists and seeds, which was used before. "
            f"{n_draws} made tables a cell: the standard error is 0.7 points at 1,000.",
            "Artists of 8 clips on average, of unequal size. Latent standard "
            f"deviations: clip 1, artist {ARTIST}, chance {CHANCE}, a seed "
            + " or ".join(f"{v} ({k})" for k, v in SEED_SPREADS.items())
            + ". The interval of one seed is for that seed alone.",
        ],
        seed=SEED,
    )


if __name__ == "__main__":
    main()
