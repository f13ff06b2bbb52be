"""A MIREX submission, packaged and run as a black box, on GTZAN.

``folds``: accuracy on the artist-filtered 3-fold lists, from published features of all
their tracks (Choi et al. 2017: five convnet layers; MFCC), which a feature table hands
to the same train and classify calls. ``scripts``: the default package on the 100 clips
of real audio, halves of each genre: what it costs, and that its scripts agree. No
accuracy is quoted there, since genre and artist are confounded at that size.

    python benchmarks/mirex_submission.py [--only folds|scripts]
"""

import argparse
import csv
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from reporting import data_folder, record
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from userlogfeat import FeatureLookup, FeatureTable
from userlogfeat.datasets.gtzan import gtzan_tracks
from userlogfeat.evaluation.friedman import friedman_test
from userlogfeat.evaluation.intervals import mean_interval
from userlogfeat.mirex.black_box import run_script
from userlogfeat.mirex.evaluate import evaluate
from userlogfeat.mirex.folds import read_folds
from userlogfeat.mirex.lists import write_labels
from userlogfeat.mirex.package import write_package
from userlogfeat.mirex.pipeline import write_description

SEED = 0
N_THREADS = 2
LAYERS = {
    "convnet layers (160)": [f"layer_{i}" for i in range(5)],
    "MFCC (120)": ["mfcc"],
}
SCRIPT = """#!/bin/sh
exec "{python}" -P -m userlogfeat mirex train-and-classify --quiet \\
    --pipeline "{folder}/pipeline.json" "$@"
"""


def write_published(data, folder, clips):
    """A feature table of the published features of the listed tracks."""
    published = np.load(data / "convnet_features" / "gtzan_genre.npz")
    tracks = gtzan_tracks(published["meta_filepath"].tolist())
    row_of = {track: row for row, track in enumerate(tracks.tolist())}
    names = [f"layer_{i}" for i in range(5)] + ["mfcc"]
    layers = {name: published[name] for name in names}
    sizes = {name: array.shape[1] for name, array in layers.items()}
    table = FeatureTable(folder)
    with table.writer(fingerprint="published", layer_sizes=sizes) as writer:
        for clip, track in zip(clips, gtzan_tracks(clips).tolist(), strict=True):
            row = row_of[track]
            writer.add(clip, layers={name: x[row] for name, x in layers.items()})


def submit(folder, layers):
    """A submission that looks features up, and learns as the default does."""
    folder.mkdir()
    pipeline = make_pipeline(
        FeatureLookup(folder.parent / "table", layer=layers),
        StandardScaler(),
        PCA(128, svd_solver="full"),
        SVC(),
    )
    write_description(folder / "pipeline.json", pipeline)
    script = folder / "TrainAndClassify.sh"
    script.write_text(SCRIPT.format(python=sys.executable, folder=folder))
    script.chmod(0o755)
    return folder


def measure_folds(data, work):
    lists = data / "gtzan_splits" / "artist_filtered_3fold"
    root = work / "audio"  # no audio is read: the table knows these paths
    clips = [clip for fold in read_folds(lists) for clip in fold.truth]
    write_published(data, work / "table", [str(root / clip[2:]) for clip in clips])
    submissions = {
        name: submit(work / name.split()[0], layers) for name, layers in LAYERS.items()
    }
    found = evaluate(
        lists, submissions, work / "out", audio_root=root, n_threads=N_THREADS
    )
    assert all(r.status == "ok" and not r.answers.faults for r in found.results)
    rows, by_class = [], {}
    for name in LAYERS:
        results = found.of(name)
        answers = found.answers.filter(submission=name)
        correct = answers["correct"].cast(float).to_numpy()
        artists = [artist for r in results for artist in r.artists]
        truth = answers["class"].to_numpy()
        genres = np.unique(truth).tolist()
        by_class[name] = {genre: correct[truth == genre].mean() for genre in genres}
        mean, low, high = mean_interval(correct, groups=artists)
        folds = [f"{r.accuracy:.3f}" for r in results]
        means = np.mean(list(by_class[name].values()))
        rows.append([name, *folds, f"{mean:.3f}", f"{low:.3f} to {high:.3f}"])
        rows[-1].append(f"{means:.3f}")
    shared = [
        fold.leaks().get("train", "test", kind).n_shared
        for fold in found.folds
        for kind in ("track", "artist")
    ]
    commonest = np.mean([_commonest(fold) for fold in found.folds])
    sizes = [f"{len(f.train)}/{len(f.truth)}" for f in found.folds]
    test = friedman_test(np.stack([list(b.values()) for b in by_class.values()], 1))
    record(
        "mirex_submission/folds",
        f"MIREX submissions on GTZAN's artist-filtered 3 folds ({len(clips)} tracks)",
        [
            "features",
            "fold 1",
            "fold 2",
            "fold 3",
            "all",
            "95% over artists",
            "classes",
        ],
        rows,
        [
            f"Folds of {', '.join(sizes)} training and test tracks. Run as black boxes "
            "by `userlogfeat mirex evaluate`, through a feature table of published "
            "features (Choi et al. 2017), which are not ours: this shows the path of a "
            "submission, not the merit of our embedder.",
            "StandardScaler, PCA(128), SVC with their defaults, chosen before any "
            'result; nothing was tuned. "classes": mean accuracy of the ten classes. '
            "Always the commonest class of the training list: "
            f"{commonest:.3f}.",
            f"Tracks and artists that train and test share, by fold: {shared}. The "
            "convnet learned tags of the Million Song Dataset, which may share tracks "
            "with GTZAN: that is not known.",
            f"Friedman's test on the ten class accuracies: chi-squared "
            f"{test.statistic:.2f}, p = {test.p_value:.2g}.",
        ],
        seed=SEED,
    )
    record(
        "mirex_submission/folds_by_class",
        "MIREX submissions on GTZAN's artist-filtered 3 folds, class by class",
        ["class", *LAYERS],
        [
            [genre, *(f"{by_class[name][genre]:.3f}" for name in LAYERS)]
            for genre in next(iter(by_class.values()))
        ],
        ["Part of the class's test tracks that is right, over all three folds."],
        seed=SEED,
    )


def _commonest(fold):
    """Accuracy of always answering the commonest class of the training list."""
    trained, truth = list(fold.train.values()), list(fold.truth.values())
    answer = max(sorted(set(trained)), key=trained.count)
    return truth.count(answer) / len(truth)


def write_halves(data, folder):
    """Fold lists: of each genre's ten clips every second one is tested."""
    folder.mkdir()
    with open(data / "gtzan_clips" / "clips.csv", newline="") as file:
        clips = list(csv.DictReader(file))
    parts = {"train": clips[::2], "evaluate": clips[1::2]}
    for part, rows in parts.items():
        paths = [str(data / "gtzan_clips" / row["file"]) for row in rows]
        write_labels(folder / f"half_{part}.txt", paths, [row["genre"] for row in rows])
    return sum(float(row["seconds"]) for row in clips)


def measure_scripts(data, work):
    seconds = write_halves(data, work / "lists")
    package = write_package(work / "package", measure=None)
    os.environ["USERLOGFEAT_PYTHON"] = sys.executable  # in place of its setup.sh
    found = evaluate(
        work / "lists", {"default": package}, work / "out", n_threads=N_THREADS
    )
    result = found.results[0]
    assert result.status == "ok"
    assert not result.answers.faults
    box = work / "out" / "default"
    arguments = {
        "Train.sh": [box / "half_train.txt"],
        "Classify.sh": [box / "half_test.txt", box / "again.txt"],
    }
    runs = {"extractFeatures.sh": found.extractions["default"], **result.runs}
    for script, rest in arguments.items():
        command = [package / script, "-numThreads", N_THREADS, box / "scratch", *rest]
        runs[script] = run_script(command, cwd=work)
        assert runs[script].status == "ok", runs[script]
    same = (box / "again.txt").read_bytes() == (box / "half_output.txt").read_bytes()
    scratch = found.scratch_bytes["default"] / 2**20
    record(
        "mirex_submission/scripts",
        f"What the packaged scripts cost: 100 GTZAN clips ({seconds / 60:.0f} min)",
        ["script", "clips", "wall, s", "processor, s", "peak memory, MiB"],
        [
            [
                script,
                {"extractFeatures.sh": "100", "TrainAndClassify.sh": "50 and 50"}.get(
                    script, "50"
                ),
                f"{run.seconds:.1f}",
                f"{run.cpu_seconds:.1f}",
                f"{run.peak_mib:.0f}",
            ]
            for script, run in runs.items()
        ],
        [
            f"`userlogfeat mirex package`, -numThreads {N_THREADS}, from another "
            "working directory; each starts Python anew. Other programs ran at the "
            "same time, which the wall time shows and the processor time hardly.",
            f"Scratch folder: {scratch:.1f} MiB. All 50 test clips have an answer in "
            f"the order asked; Train.sh with Classify.sh answered "
            f"{'exactly as' if same else 'NOT as'} TrainAndClassify.sh did.",
            "No accuracy: with five training clips a genre, often of the artists that "
            "are tested, it would say nothing about genre.",
        ],
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("folds", "scripts"))
    only = parser.parse_args().only
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder).resolve()
        if only != "scripts":
            (work / "folds").mkdir()
            measure_folds(data_folder().resolve(), work / "folds")
        if only != "folds":
            (work / "scripts").mkdir()
            measure_scripts(data_folder().resolve(), work / "scripts")


if __name__ == "__main__":
    main()
