"""CFEmbedding.update against fitting anew: how far factors move, how well they rank.

The plays of HetRec Last.fm and of the playlists (by artist) come in random weeks: the
first fit has all but the last, the update has all. A fifth of each user's plays is held
out from both.
"""

import warnings

import numpy as np
from als_defaults import LOGS, MIN_ITEMS
from reporting import record

from userlogfeat import CFEmbedding
from userlogfeat.evaluation.play_search import HeldOutPlays, Plays, PlaySplit
from userlogfeat.evaluation.ranking import unit_rows
from userlogfeat.factorization import align_factors

SEED = 0
LAST_WEEK = 0.1  # of all plays
ROUNDS = (1, 5, 15)


def cosine(items, old):
    """Mean cosine of items that both sides know."""
    items, old = np.asarray(items), np.asarray(old)
    known = items.any(axis=1) & old.any(axis=1)
    return (unit_rows(items[known]) * unit_rows(old[known])).sum(axis=1).mean()


def weeks(name):
    """Rows of a table: what was done, mean cosine with before, NDCG@10."""
    user_items = LOGS[name]().user_items
    user_items = user_items[np.diff(user_items.indptr) >= MIN_ITEMS]
    plays = Plays(user_items)
    ((train, test),) = PlaySplit(random_state=SEED).split(plays)
    now, score = plays[train].user_items, HeldOutPlays()
    ((before, _),) = PlaySplit(test_size=LAST_WEEK).split(Plays(now))
    last = CFEmbedding(random_state=SEED).fit(Plays(now)[before])
    old = np.array(last.item_factors_)

    def row(what, cf, items):
        figures = (cosine(items, old), score(cf, plays[test]))
        return [name, what, *(f"{figure:.3f}" for figure in figures)]

    anew = CFEmbedding(random_state=SEED + 1).fit(now)
    rows = [row("anew", anew, anew.item_factors_)]
    _, rotated = align_factors(anew.user_factors_, anew.item_factors_, old)
    rows.append(row("anew, rotated by align_factors", anew, rotated))
    for rounds in ROUNDS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of little in common
            cf = CFEmbedding(random_state=SEED).fit(Plays(now)[before])
            cf.update(now, iterations=rounds)
        rows.append(row(f"update, {rounds} rounds", cf, cf.item_factors_))
    return rows


def main():
    rows = [row for name in ("HetRec", "playlists, artists") for row in weeks(name)]
    record(
        "als_updates",
        "CFEmbedding.update: a tenth of the plays is new",
        ["logs", "fit", "mean cosine with the items before", "NDCG@10"],
        rows,
        [
            "The defaults; a random tenth of the plays is the last week. NDCG@10 of "
            "a fifth of each user's plays, held out from all fits. One split."
        ],
        seed=SEED,
    )
    for row in rows:
        print(*row, sep=" | ")


if __name__ == "__main__":
    main()
