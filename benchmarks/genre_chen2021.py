"""Genre from musicnn's patches, with and without an embedding learned from listeners.

The pipeline of Chen & Liang (2020) and of Chen, Liang, Ma, Gu (2021): patches of
MSD_musicnn's max_pool, alone and beside an embedding learned from listeners, PCA to
128, an RBF SVM with C=1 and gamma 1/128. Whitening and the majority vote over the
patches of a clip are ours (see docs/papers/chen2020.md). The controls are embeddings
trained on users in another order and on permuted logs, and an untrained network on the
same tags (`genre_embedding.py`).

    python benchmarks/genre_chen2021.py                     # clips at hand
    python benchmarks/genre_chen2021.py --gtzan genres      # 443/197/290, all of GTZAN
    python benchmarks/genre_chen2021.py --fma FOLDER        # FMA-small, 7:3 per genre

The tables are described in `genre_tasks.py`. Patches and embeddings are kept in
`genre_chen2021.fits/`.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import genre_tasks as tasks
import numpy as np
from genre_embedding import ARMS, embed_once, embed_patches, read_frames
from reporting import data_folder, record
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from userlogfeat import PatchVotingClassifier
from userlogfeat.evaluation.intervals import mean_interval

SEED = 0
N_SEEDS = 3  # of embedders, permutations and projections
N_COMPONENTS = 128
AT_HAND = {
    "gtzan_clips": tasks.gtzan_clips,
    "gtzan_by_artist": tasks.gtzan_by_artist,
    "esc10": tasks.esc10,
    "gtzan_tags": tasks.gtzan_frames,
}


def make_classifier(n_columns):
    """Return the paper's classifier of patches."""
    n_components = min(N_COMPONENTS, n_columns)
    steps = [
        PCA(n_components, whiten=True, random_state=SEED),
        SVC(kernel="rbf", C=1.0, gamma=1 / n_components),
    ]
    return PatchVotingClassifier(make_pipeline(*steps))


def outcomes(clips, task):
    """Return whether each clip is classified correctly, NaN where not tested."""
    right = np.full((len(task.folds), len(clips)), np.nan)
    for fold, (train, test) in enumerate(task.folds):
        classifier = make_classifier(clips[0].shape[1])
        classifier.fit([clips[i] for i in train], task.labels[train])
        found = classifier.predict([clips[i] for i in test])
        right[fold, test] = found == task.labels[test]
    return np.nanmean(right, axis=0) if len(right) > 1 else right[0]


def beside(first, second):
    """Two kinds of columns, each brought to unit mean square, side by side."""
    scales = [
        1 / np.sqrt(np.mean([np.square(clip).mean() for clip in clips]))
        for clips in (first, second)
    ]
    return [
        np.hstack([a * scales[0], b * scales[1]])
        for a, b in zip(first, second, strict=True)
    ]


def run(name, task, n_seeds):
    """Outcomes (n_seeds, n_clips) of each arm."""
    main, tags = task.patches or embed_patches(task.paths, name)
    frames = read_frames(task.excluded, task.training_parts)
    first = "tags" if main is tags else "max_pool"
    found = {first: [outcomes(main, task)]}
    if task.published:
        whole = replace(task, folds=task.published)
        found[f"{first}, all of the train part"] = [outcomes(main, whole)]
    if main is not tags:
        found["tags alone"] = [outcomes(tags, task)]
    for arm in ARMS:
        for seed in range(n_seeds):
            embedded = embed_once(name, tags, frames, arm, seed)
            for name_of_row, clips in (
                (f"{first} + {NAMES[arm]}", beside(main, embedded)),
                (f"{NAMES[arm]}, alone", embedded),
            ):
                found.setdefault(name_of_row, []).append(outcomes(clips, task))
            print(name, arm, seed, flush=True)
    return {arm: np.stack(rows) for arm, rows in found.items()}, frames


NAMES = {"true": "embedding"} | {arm: f"embedding, {arm}" for arm in ARMS[1:]}
NAMES["random projection"] = "untrained network on the tags"


def report(name, task, found, frames):
    """Record accuracies, and differences to max_pool on the same clips."""
    first = next(iter(found))
    alone, rows = found[first][0], []
    for arm, right in found.items():
        cells = []
        for values, bounds in ((right, (0, 1)), (right - alone, (-1, 1))):
            mean, low, high = mean_interval(
                values, tested=~np.isnan(values), groups=task.groups, bounds=bounds
            )
            cells.append(f"{mean:.3f} ({low:.3f} to {high:.3f})")
        rows.append([arm, len(right), cells[0], "" if arm == first else cells[1]])
    n_artists = len(np.unique(frames.artists))
    tested = ~np.isnan(alone)
    record(
        f"genre_chen2021/{name}",
        task.title,
        ["patches of", "runs", "accuracy", f"minus {first}"],
        rows,
        [
            *task.notes,
            f"{tested.sum()} clips are tested. MSD_musicnn, patches of 3 s, "
            f"PCA({N_COMPONENTS}, whiten=True), or as many as there are columns, "
            "SVC(C=1, gamma=1/components), majority vote. The embedding was trained "
            f"on published tag frames of {n_artists} artists in HetRec Last.fm's "
            "logs, none of whose clips is used for training the classifier or for "
            "testing; dislikes are drawn, not expressed. Columns of both kinds at "
            "unit mean square.",
            "95% intervals over clips"
            + (", by artist," if task.groups is not None else "")
            + " and runs.",
        ],
        seed=SEED,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gtzan", type=Path, help="folder with all of GTZAN")
    parser.add_argument("--lists", type=Path, help="folder with the published lists")
    parser.add_argument("--fma", type=Path, help="folder with fma_small and metadata")
    parser.add_argument("--only", nargs="+", choices=AT_HAND, default=list(AT_HAND))
    parser.add_argument("--seeds", type=int, default=N_SEEDS)
    arguments = parser.parse_args()
    wanted = {}
    if arguments.gtzan:
        lists = arguments.lists or data_folder() / "gtzan_splits"
        wanted["gtzan_full"] = tasks.full_gtzan(arguments.gtzan, lists)
    if arguments.fma:
        wanted["fma_small"] = tasks.full_fma(arguments.fma)
    if not wanted:
        wanted = {name: AT_HAND[name]() for name in arguments.only}
    for name, task in wanted.items():
        report(name, task, *run(name, task, arguments.seeds))


if __name__ == "__main__":
    main()
