"""kill -9 at random moments: extraction, fits with checkpoints, saved weights, MIREX.

Each writer works in a process of its own, which a server that has the imports done
forks in some milliseconds. It is killed after a random time; what it left is read and
checked, and another process goes on. When a run is finished it is compared with one
that nobody disturbed, and the next begins in a new folder.
"""

import hashlib
import json
import multiprocessing
import os
import shutil
import tempfile
import time
from collections import Counter
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np

SEED = 0
N_CLIPS = 120
SHARE = 0.6  # of an undisturbed run's time: within it a process is killed
SIZES = {"mean": 8, "max": 3}
LOST, DOUBLED, UNREADABLE = "files lost", "files doubled", "unreadable"
DIFFERENT, LEFT = "results that differ", "files left behind"
FAULTS = (LOST, DOUBLED, UNREADABLE, DIFFERENT, LEFT)
PRELOADED = [
    *("robustness_kills", "robustness_models", "userlogfeat.extraction.run"),
    *("userlogfeat.estimators.kd_student", "userlogfeat.mirex.features"),
    *("userlogfeat.training", "tqdm", "userlogfeat.tables.writer", "userlogfeat.audio"),
]


class CheapEmbedder:
    """Features drawn from the bytes of a file, a millisecond a clip."""

    fingerprint = "cheap"
    layer_sizes = SIZES

    def get_params(self, deep=False):
        """Return the parameters, of which there are none."""
        return {}

    def iter_features(self, X, *, on_error="raise"):
        """Yield features as `AudioTransformer` does."""
        for index, clip in enumerate(X):
            time.sleep(0.001)
            digest = hashlib.sha256(Path(clip).read_bytes()).digest()
            rng = np.random.default_rng(int.from_bytes(digest[:8]))
            layers = {
                n: rng.standard_normal(size, np.float32) for n, size in SIZES.items()
            }
            yield SimpleNamespace(
                index=index, clip=clip, seconds=1.0, layers=layers, error=None
            )


def make_clips(folder):
    """Small files that no two of are alike."""
    folder.mkdir(parents=True)
    for number in range(N_CLIPS):
        (folder / f"{number:03d}.wav").write_bytes(f"sound {number}".encode())
    return sorted(map(str, folder.iterdir()))


def rows_of(table):
    """Every clip of a table and its features, and how often it is on disk."""
    from userlogfeat.tables import FeatureTable

    table = FeatureTable(table)
    if not table.exists():
        return {}, Counter()
    rows = table.read()
    clips = rows["clip"].to_pylist()
    values = zip(clips, rows["mean"].to_pylist(), rows["max"].to_pylist(), strict=True)
    return {Path(c).name: (mean, top) for c, mean, top in values}, Counter(clips)


class Extraction:
    """`extract` into a table that is flushed and merged all the time."""

    name = "extract"

    def work(self, folder):
        """Do the work that is killed."""
        from userlogfeat.extraction import extract

        settings = {
            "embedder": CheapEmbedder(),
            "flush_seconds": 0.01,
            "progress": False,
        }
        extract(folder / "clips", folder / "table", **settings)

    def begin(self, folder):
        """A new run."""
        make_clips(folder / "clips")
        self.n_rows = 0

    def check(self, folder):
        """Faults of what a kill left."""
        rows, counts = rows_of(folder / "table")
        faults = [LOST] if len(rows) < self.n_rows else []
        self.n_rows = len(rows)
        return faults + [DOUBLED] * (max(counts.values(), default=1) > 1)

    def result(self, folder):
        """Return the result of a finished run."""
        return rows_of(folder / "table")[0]

    def left_behind(self, folder):
        """Files of a finished run that should not be there."""
        names = sorted(path.name for path in (folder / "table").iterdir())
        return [n for n in names if n != ".lock" and not n.startswith("part-")] + names[
            2:
        ]


class MirexFeatures(Extraction):
    """MIREX's feature extraction in a scratch folder, and a list that is written."""

    name = "MIREX features"

    def work(self, folder):
        """Do the work that is killed."""
        from userlogfeat.mirex.features import read_features
        from userlogfeat.mirex.lists import write_labels

        clips = sorted(map(str, (folder / "clips").iterdir()))
        found = read_features(
            CheapEmbedder(), folder / "scratch", clips, folder, progress=False
        )
        labels = [f"{row.sum():.5f}" for row in found.X]
        names = [Path(clip).name for clip in clips]
        for _ in range(20):
            write_labels(folder / "out" / "list.txt", names, labels)

    def check(self, folder):
        """Faults of what a kill left."""
        faults = self._check_list(folder / "out" / "list.txt")
        rows, counts = rows_of(folder / "scratch" / "features" / "cheap")
        faults += [LOST] if len(rows) < self.n_rows else []
        self.n_rows = len(rows)
        return faults + [DOUBLED] * (max(counts.values(), default=1) > 1)

    def _check_list(self, path):
        lines = path.read_text().splitlines() if path.exists() else None
        whole = lines is None or len(lines) == N_CLIPS
        return [] if whole else [UNREADABLE]

    def result(self, folder):
        """Return the result of a finished run."""
        table = rows_of(folder / "scratch" / "features" / "cheap")[0]
        return table, (folder / "out" / "list.txt").read_text()

    def left_behind(self, folder):
        """Files of a finished run that should not be there."""
        table = folder / "scratch" / "features" / "cheap"
        names = sorted(path.name for path in table.iterdir())
        odd = [n for n in names if n != ".lock" and not n.startswith("part-")]
        return odd + [
            p.name for p in (folder / "out").iterdir() if p.name != "list.txt"
        ]


class Fit:
    """A student's fit that keeps a checkpoint after every epoch."""

    name = "fit with checkpoints"

    def work(self, folder):
        """Do the work that is killed."""
        import torch

        from userlogfeat import KDStudentClassifier
        from userlogfeat._files import replace_file

        torch.set_num_threads(1)
        rng = np.random.default_rng(0)
        X = rng.normal(size=(60, 8))
        y = np.where(X[:, 0] + X[:, 1] > 0, "loud", "calm")
        student = KDStudentClassifier(
            network="mlp",
            hidden=(16,),
            max_epochs=40,
            lr=0.01,
            batch_size=16,
            patience=100,
            checkpoint=folder / "checkpoints",
            random_state=3,
            device="cpu",
        )
        student.fit(X, y, teacher_targets=np.tanh(X @ rng.normal(size=(8, 5))))
        state = {k: v.tolist() for k, v in student.network_.state_dict().items()}
        with replace_file(folder / "result.json") as temporary:
            temporary.write_text(json.dumps([state, student.history_], default=float))

    def begin(self, folder):
        """A new run."""
        folder.mkdir(parents=True)

    def check(self, folder):
        """Faults of what a kill left."""
        faults = []
        checkpoints = list((folder / "checkpoints").glob("*.checkpoint"))
        for path in checkpoints:
            data = path.read_bytes()
            digest = hashlib.blake2b(data[16:], digest_size=16).digest()
            faults += [UNREADABLE] if digest != data[:16] else []
        return faults + [DOUBLED] * (len(checkpoints) > 1)

    def result(self, folder):
        """Return the result of a finished run."""
        return (folder / "result.json").read_text()

    def left_behind(self, folder):
        """Files of a finished run that should not be there."""
        return [path.name for path in (folder / "checkpoints").iterdir()]


class SavedWeights:
    """Three networks that are saved in turn into one folder, thirty times."""

    name = "saved weights"

    def work(self, folder):
        """Do the work that is killed."""
        import torch
        from robustness_models import save_small_model

        torch.set_num_threads(1)
        for number in range(30):
            save_small_model(folder / "model", seed=number % 3)

    def begin(self, folder):
        """A new run, with a model that is there already."""
        from robustness_models import save_small_model

        folder.mkdir(parents=True)
        save_small_model(folder / "model", seed=2)

    def check(self, folder):
        """Faults of what a kill left."""
        from userlogfeat.weights import load_model

        try:
            load_model(folder / "model")
        except ValueError as error:
            print(error, flush=True)
            return [UNREADABLE]
        return []

    def result(self, folder):
        """Return the result of a finished run."""
        from userlogfeat.weights import load_model

        return load_model(folder / "model").fingerprint

    def left_behind(self, folder):
        """Files of a finished run that should not be there."""
        names = {path.name for path in (folder / "model").iterdir()}
        return sorted(names - {"config.json", "model.safetensors"})


def save_repeatedly(gate, folder, seed, n_times):
    """Save a model again and again, beside others who do; it is whole each time."""
    from robustness_models import save_small_model

    from userlogfeat.weights import load_model

    gate.wait()
    for _ in range(n_times):
        save_small_model(Path(folder), seed=seed)
        load_model(folder)


def work_in_a_crowd(results, home, what, table):
    """Extract into a table, or read it until it is full; report its threads."""
    from userlogfeat.extraction import extract

    home, most = Path(home), 0
    try:
        while True:
            if what == "extract":
                settings = {
                    "on_locked": "wait",
                    "flush_seconds": 0.02,
                    "progress": True,
                }
                extract(
                    home / "clips", home / table, embedder=CheapEmbedder(), **settings
                )
            rows, _ = rows_of(home / table)
            most = max(most, len(os.listdir("/proc/self/task")))
            if len(rows) == N_CLIPS:
                return
            time.sleep(0.01)
    finally:
        results.put((what, most))


WRITERS = (Extraction, Fit, SavedWeights, MirexFeatures)


def run_writer(cls, folder, pipe):
    """In a process of its own, to be killed once it has said that it is at work."""
    for name in PRELOADED:
        import_module(name)
    pipe.send("at work")
    cls().work(Path(folder))


def kill_writer(cls, n_kills, home):
    """Kill one kind of writer `n_kills` times.

    Returns
    -------
    kills, runs : int
        Kills of a process at work, and runs that were finished.
    Counter of str
        Of faults.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    rng, faults = np.random.default_rng(SEED), Counter()
    expected, kills, runs, whole = None, 0, 0, 0.0
    while kills < n_kills or expected is None or not runs:
        writer, folder = cls(), Path(home) / f"{cls.__name__}-{runs}"
        writer.begin(folder)
        is_first = True  # process of this run
        while True:
            pipe, far_end = context.Pipe()
            process = context.Process(
                target=run_writer, args=(cls, str(folder), far_end)
            )
            process.start()
            far_end.close()
            pipe.recv()
            start = time.monotonic()
            undisturbed = expected is None or kills >= n_kills
            process.join(None if undisturbed else rng.uniform(0, SHARE * whole))
            process.kill()
            process.join()
            took = time.monotonic() - start
            killed = process.exitcode != 0
            if process.exitcode not in (0, -9):
                raise SystemExit(f"{cls.name} ended with {process.exitcode}.")
            kills += killed and not undisturbed
            if killed and kills % 25 == 0:
                print(cls.name, kills, runs, dict(+faults), flush=True)
            faults.update(safely(writer.check, folder))
            if not killed:
                break
            is_first = False
        if is_first:
            # The shortest run counts: of one that was measured while others used the
            # processor, most processes would end before they are killed.
            whole = min(whole or np.inf, took)
        if expected is None:
            expected = writer.result(folder)
        else:
            runs += 1
            faults[DIFFERENT] += writer.result(folder) != expected
        left = writer.left_behind(folder)
        faults[LEFT] += len(left)
        if left:
            print(cls.name, left, flush=True)
        shutil.rmtree(folder)
    return kills, runs, faults


def safely(check, folder):
    """The faults that a check finds; where it fails, something cannot be read."""
    try:
        return check(folder)
    except Exception as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        return [UNREADABLE]


def measure_kills(n_kills, *, recorded=True, writers=WRITERS):
    """All writers; their table is recorded."""
    from reporting import record

    rows, start = [], time.monotonic()
    with tempfile.TemporaryDirectory(prefix="robustness-") as home:
        for cls in writers:
            kills, runs, faults = kill_writer(cls, n_kills, home)
            rows.append([cls.name, kills, runs, *(faults[name] for name in FAULTS)])
            print(rows[-1], f"{time.monotonic() - start:.0f} s", flush=True)
    rows.append(["all", *(sum(row[i] for row in rows) for i in range(1, len(rows[0])))])
    if not recorded:
        return rows
    record(
        "robustness/kills",
        "kill -9 at random moments",
        ["writer", "kills", "runs finished", *FAULTS],
        rows,
        [
            "A kill hits a process that is at work; what it left is read and checked, "
            "and another goes on. A finished run is compared, bit for bit, with one "
            "that nobody disturbed. Embedders and networks are tiny, so that most of "
            "the time is spent writing.",
        ],
        seed=SEED,
    )
    return rows


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    measure_kills(3, recorded=False)
