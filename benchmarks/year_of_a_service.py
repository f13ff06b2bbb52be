"""A year of a service, week by week: tastes drift, artists and users come and go.

    python benchmarks/year_of_a_service.py [--weeks 52]

Every week a job reads the plays of the last weeks, updates the factors of users and
items, extracts the audio of new items, refits the teacher's head, and recommends. Jobs
are killed with SIGKILL at random moments, meet a full disk, each other, and a damaged
partition, and are started again. Beside it, an oracle trains from scratch every week,
and a twin is never disturbed.

The world is planted: an item's taste is that of its artist and a bit of its own; its
file holds a noisy projection of that, which stands for audio. Users turn slowly. Audio
of an item comes a week before its first plays.
"""

import argparse
import json
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np

SEED = 0
N_TASTES, N_AUDIO, N_FACTORS = 6, 24, 16
TURN = 0.06  # of a user's taste a week
N_PLAYS = 8  # of a user a week
WINDOW, HALF_LIFE = 16, 6  # weeks that are read, and after which a play counts half
FEW = 5  # users; items of fewer are semi-cold
START = datetime(2024, 1, 1)
SHARE = 2.0  # of an undisturbed job's time: within it a process is killed
DATA = {"description": "planted", "licence": "none", "non_commercial": False}
GROUPS = ("warm", "semi-cold", "cold")
LIBRARIES = ("userlogfeat", "sklearn", "scipy", "implicit", "polars", "pyarrow")
MAX_FAILURES = 3  # of a job that nobody disturbed
MAX_KILLS = 2  # of a week's job


class World:
    """Users, items and their plays, drawn from a seed."""

    def __init__(self, n_users=300, n_items=500, n_artists=60, n_weeks=52, seed=SEED):
        rng = np.random.default_rng(seed)
        self.n_weeks = n_weeks
        artists = rng.standard_normal((n_artists, N_TASTES))
        artist_of = rng.integers(0, n_artists, n_items)
        self.items = artists[artist_of] + 0.5 * rng.standard_normal((n_items, N_TASTES))
        self.items /= np.linalg.norm(self.items, axis=1, keepdims=True)
        projection = rng.standard_normal((N_TASTES, N_AUDIO))
        noise = 0.3 * rng.standard_normal((n_items, N_AUDIO))
        self.audio = (self.items @ projection + noise).astype(np.float32)
        # Half of the items are there at the start; the others come week by week.
        self.release = np.maximum(0, rng.integers(-n_weeks, n_weeks, n_items))
        taste = rng.standard_normal((n_users, N_TASTES))
        self.joins = np.maximum(0, rng.integers(-n_weeks, n_weeks, n_users))
        self.leaves = self.joins + rng.integers(n_weeks // 2, 3 * n_weeks, n_users)
        self.plays = [self._week(rng, taste, week) for week in range(n_weeks + 1)]

    def _week(self, rng, taste, week):
        """Draw one week's plays: arrays of users and items."""
        taste += TURN * rng.standard_normal(taste.shape) * np.sqrt(N_TASTES)
        taste /= np.linalg.norm(taste, axis=1, keepdims=True)
        here = np.flatnonzero((self.joins <= week) & (week < self.leaves))
        there = np.flatnonzero(self.release <= week)
        chances = np.exp(5 * taste[here] @ self.items[there].T)
        chances *= np.where(self.release[there] == week, 2, 1)  # what is new is shown
        chances /= chances.sum(axis=1, keepdims=True)
        items = [rng.choice(there, N_PLAYS, p=row) for row in chances]
        return np.repeat(here, N_PLAYS), np.concatenate(items)

    def deliver(self, folder, week):
        """Write the week's partition, and the audio of what is released next week."""
        import polars as pl

        users, items = self.plays[week]
        seconds = np.linspace(0, 7 * 86_400 - 1, len(users)).astype(int)
        times = [START + timedelta(weeks=week, seconds=int(s)) for s in seconds]
        frame = pl.DataFrame(
            {"user": [f"u{u}" for u in users], "item": [f"i{i:04}" for i in items]}
        )
        frame = frame.with_columns(time=pl.Series(times))
        (folder / "plays").mkdir(parents=True, exist_ok=True)
        frame.write_parquet(folder / "plays" / f"week-{week:02}.parquet")
        (folder / "audio").mkdir(exist_ok=True)
        for item in np.flatnonzero(self.release <= week + 1):
            path = folder / "audio" / f"i{item:04}.npy"
            if not path.exists():
                np.save(path, self.audio[item])


class PlantedEmbedder:
    """Features of a planted file: what it holds."""

    fingerprint = "planted"
    layer_sizes = {"embedding": N_AUDIO}

    def get_params(self, deep=False):
        """Return the parameters, of which there are none."""
        return {}

    def iter_features(self, X, *, on_error="raise"):
        """Yield features as `AudioTransformer` does."""
        for index, clip in enumerate(X):
            layers = {"embedding": np.load(clip)}
            found = {"clip": clip, "seconds": 1.0, "layers": layers, "error": None}
            yield SimpleNamespace(index=index, **found)


def run_week(folder, week, *, from_scratch=False):
    """Do a week's job in a service's folder. Done twice, it is done once."""
    from userlogfeat._files import file_lock, replace_file

    folder, start = Path(folder), time.process_time()
    with file_lock(folder / ".job", on_locked="error"):
        if (folder / f"week-{week:02}.json").exists():
            return
        cf, user_items = update_factors(folder, week, from_scratch=from_scratch)
        vectors, item_ids = estimate_items(folder, cf, user_items)
        report = recommend_week(folder, week, cf, user_items, vectors, item_ids)
        report |= {"seconds": time.process_time() - start, "space": cf.space_}
        with replace_file(folder / f"week-{week:02}.json") as path:
            path.write_text(json.dumps(report))


def update_factors(folder, week, *, from_scratch):
    """Read the last weeks' plays; go on from the last factors."""
    import polars as pl

    from userlogfeat import CFEmbedding, read_logs

    weeks = range(max(0, week - WINDOW + 1), week + 1)
    files = [folder / "plays" / f"week-{number:02}.parquet" for number in weeks]
    read_logs(files[-1], time="time")  # the new one by itself: an error names it
    logs = read_logs(
        pl.read_parquet(files),
        time="time",
        until=START + timedelta(weeks=week + 1),
        half_life=timedelta(weeks=HALF_LIFE),
    )
    before = folder / f"factors-{week - 1:02}"
    if week == 0 or from_scratch:
        settings = {"n_factors": N_FACTORS, "random_state": SEED}
        cf = CFEmbedding(**settings).fit(logs)
    else:
        cf = CFEmbedding.load(before).update(logs)
    cf.save(folder / f"factors-{week:02}", training_data=DATA, notes={"week": week})
    return cf, logs.user_items


def estimate_items(folder, cf, user_items):
    """Extract new audio; return a vector for every item with audio, and their ids."""
    from sklearn.linear_model import Ridge

    from userlogfeat import FeatureTable, extract

    clips = sorted(str(path) for path in (folder / "audio").glob("*.npy"))
    table = FeatureTable(folder / "features")
    extract(clips, table.folder, embedder=PlantedEmbedder(), progress=False)
    features = table.lookup(clips).layers["embedding"]
    item_ids = np.array([Path(clip).stem for clip in clips])
    place = {item: row for row, item in enumerate(item_ids)}
    rows = np.array([place[item] for item in cf.item_ids_])
    n_users = np.bincount(user_items.indices, minlength=len(rows))
    known = np.asarray(cf.item_factors_)
    head = Ridge(1.0).fit(features[rows], known, sample_weight=n_users)
    vectors = head.predict(features)
    evidence = (n_users / (n_users + FEW / 2))[:, None]
    vectors[rows] = evidence * known + (1 - evidence) * vectors[rows]
    return vectors.astype(np.float32), item_ids


def recommend_week(folder, week, cf, user_items, vectors, item_ids):
    """Write recommendations for all users of the window, and what they are made of."""
    from scipy import sparse

    from userlogfeat import recommend
    from userlogfeat._files import replace_file

    users = np.asarray(cf.user_factors_)
    place = {item: row for row, item in enumerate(item_ids)}
    columns = np.array([place[item] for item in cf.item_ids_])
    pairs = user_items.tocoo()
    played = sparse.csr_matrix(
        (np.ones(pairs.nnz), (pairs.row, columns[pairs.col])),
        shape=(len(users), len(item_ids)),
    )
    chosen, _ = recommend(users, vectors, k=10, exclude=played)
    arrays = {"users": users, "items": vectors, "chosen": chosen}
    arrays |= {"user_ids": cf.user_ids_.astype(str), "item_ids": item_ids}
    with replace_file(folder / f"week-{week:02}.npz") as path, open(path, "wb") as file:
        np.savez(file, **arrays)
    return {"n_users": len(users), "n_items": len(item_ids), "n_pairs": pairs.nnz}


def judge(world, folder, week):
    """NDCG@10 of the next week's first plays, by how well items are known."""
    from scipy import sparse

    from userlogfeat.evaluation.recommendation import evaluate_ranking

    with np.load(folder / f"week-{week:02}.npz") as made:
        users, items = made["users"], made["items"]
        row = {u: r for r, u in enumerate(made["user_ids"].tolist())}
        column = {i: c for c, i in enumerate(made["item_ids"].tolist())}
    shape = (len(users), len(items))
    history = np.zeros(shape, bool)
    listeners = np.zeros(shape, bool)
    for number in range(week + 1):
        for user, item in zip(*world.plays[number], strict=True):
            where = row.get(f"u{user}"), column[f"i{item:04}"]
            if where[0] is not None:
                history[where] = True
                listeners[where] |= number > week - WINDOW
    new = np.zeros(shape, bool)
    for user, item in zip(*world.plays[week + 1], strict=True):
        if f"u{user}" in row:
            new[row[f"u{user}"], column[f"i{item:04}"]] = True
    new &= ~history
    n = listeners.sum(axis=0)
    masks = {"warm": n >= FEW, "semi-cold": (n > 0) & (n < FEW), "cold": n == 0}
    scores = {}
    for group, mask in masks.items():
        relevant = sparse.csr_matrix((new & mask).astype(np.float32))
        candidates = sparse.csr_matrix((~history & mask).astype(np.float32))
        means = {"ndcg@10": np.nan}
        if relevant.nnz:
            means = evaluate_ranking(
                relevant, (users, items), k=10, candidates=candidates
            ).means
        scores[group] = means["ndcg@10"]
    return scores


def disturbed_week(context, folder, week, rng, expected, events):
    """Run a week's job until it is done, whatever happens to it."""
    failures = kills = 0
    kind = {3: "full disk", 5: "two at once", 7: "damaged partition"}.get(week % 13)
    done = folder / f"week-{week:02}.json"
    if kind is None:
        while not done.exists():
            job = context.Process(target=run_week, args=(folder, week))
            job.start()
            if kills < MAX_KILLS:
                job.join(rng.uniform(0, SHARE * expected))
            else:
                job.join()
            if job.is_alive():
                os.kill(job.pid, signal.SIGKILL)
                kills += 1
                events["kills"] += 1
            job.join()
            failures += job.exitcode not in (0, -signal.SIGKILL)
            if failures > MAX_FAILURES:
                raise RuntimeError(f"the job of week {week} fails by itself")
    elif kind == "two at once":
        jobs = [context.Process(target=run_week, args=(folder, week)) for _ in range(2)]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()
        events["refused beside another"] += sum(job.exitcode != 0 for job in jobs)
    else:
        partition = folder / "plays" / f"week-{week:02}.parquet"
        whole = partition.read_bytes()
        if kind == "damaged partition":
            partition.write_bytes(whole[: len(whole) // 2])
        limit = 2000 if kind == "full disk" else None
        job = context.Process(target=run_quietly, args=(folder, week, limit))
        job.start()
        job.join()
        events[kind] += job.exitcode == 3
        partition.write_bytes(whole)
    if not done.exists():
        job = context.Process(target=run_week, args=(folder, week))
        job.start()
        job.join()


def run_quietly(folder, week, limit):
    """Run a job that has to fail: with exit code 3 where the error is the right one."""
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        run_week(folder, week)
    except OSError as error:
        sys.exit(3 if limit is not None and error.errno else 1)
    except ValueError as error:
        sys.exit(3 if f"week-{week:02}.parquet" in str(error) else 1)


def year(world, folder, *, disturb=True):
    """Run the year; return scores, seconds, events and faults."""
    context = multiprocessing.get_context("forkserver")
    rng = np.random.default_rng(SEED)
    names = ("twin", "oracle", "service")
    places = {name: Path(folder) / name for name in names}
    events = dict.fromkeys(
        ("kills", "full disk", "refused beside another", "damaged partition"), 0
    )
    scores, seconds, expected = {name: [] for name in names}, [], 2.0
    for week in range(world.n_weeks):
        if week == 1:  # now all that a job needs is imported
            used = [name for name in sys.modules if name.startswith(LIBRARIES)]
            context.set_forkserver_preload(used)
        for name, place in places.items():
            world.deliver(place, week)
            start = time.perf_counter()
            if name == "service" and disturb and week:
                disturbed_week(context, place, week, rng, expected, events)
            else:
                run_week(place, week, from_scratch=name == "oracle")
            if name == "oracle":
                expected = time.perf_counter() - start
            scores[name].append(judge(world, place, week))
        report = json.loads((places["twin"] / f"week-{week:02}.json").read_text())
        seconds.append(report["seconds"])
    faults = find_faults(world, places)
    return scores, seconds, events, faults


def find_faults(world, places):
    """Compare what the service has with what it should have: a list of faults."""
    from userlogfeat import FeatureTable
    from userlogfeat.factor_files import read_factors

    service, faults = places["service"], []
    table = FeatureTable(service / "features")
    files = {str(path) for path in (service / "audio").glob("*.npy")}
    if set(table.clips()) != files or set(table.status_counts()) != {"ok"}:
        faults.append("rows of the feature table are lost or too many")
    if sum(part.n_rows for part in table.parts()) != len(files):
        faults.append("rows of the feature table are doubled on disk")
    spaces = set()
    for week in range(world.n_weeks):
        report = json.loads((service / f"week-{week:02}.json").read_text())
        spaces.add(report["space"])
        factors = read_factors(service / f"factors-{week:02}")
        for ids in (factors.user_ids, factors.item_ids):
            if len(set(ids.tolist())) < len(ids):
                faults.append(f"ids of week {week} are doubled")
        ours = np.load(service / f"week-{week:02}.npz")
        theirs = np.load(places["twin"] / f"week-{week:02}.npz")
        if not np.array_equal(ours["chosen"], theirs["chosen"]):
            faults.append(f"recommendations of week {week} differ from the twin's")
    if len(spaces) > 1:
        faults.append(f"factors are of {len(spaces)} spaces")
    hidden = [p for p in service.rglob(".*") if p.name not in (".job", ".lock")]
    return faults + [f"left behind: {path.name}" for path in hidden]


def plot(path, scores, seconds):
    """Draw weekly quality beside the oracle's, and the weekly cost."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    for color, group in zip(("C0", "C1", "C2"), GROUPS, strict=True):
        for name, style in (("service", "-"), ("oracle", ":")):
            line = [week[group] for week in scores[name]]
            top.plot(line, style, color=color, label=f"{group}, {name}")
    top.set_ylabel("NDCG@10 of the next week")
    top.legend(ncols=3, fontsize="small")
    bottom.plot(seconds, color="C3")
    bottom.set(xlabel="week", ylabel="processor (s)", ylim=(0, None))
    figure.savefig(path, dpi=100)


def main():
    """Run the year, record its figures, draw its plot."""
    from reporting import HERE, record

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weeks", type=int, default=52)
    args = parser.parse_args()
    world = World(n_weeks=args.weeks)
    with tempfile.TemporaryDirectory() as folder:
        scores, seconds, events, faults = year(world, folder)
    first = WINDOW // 2  # weeks before have little to learn from
    rows = []
    for group in GROUPS:
        ours, theirs = (
            np.nanmean([week[group] for week in scores[name][first:]])
            for name in ("service", "oracle")
        )
        ratio = f"{ours / theirs:.3f}"
        rows.append([group, f"{ours:.3f}", f"{theirs:.3f}", ratio, "0.97"])
    plot(HERE / "figures" / "year_of_a_service.png", scores, seconds)
    disturbed = ", ".join(f"{n} {name}" for name, n in events.items())
    late = np.mean(seconds[-10:])
    filled = np.mean(seconds[WINDOW : WINDOW + 10]) if len(seconds) > WINDOW + 10 else 0
    record(
        "year_of_a_service",
        f"A year of a service: {args.weeks} weeks of a planted world that drifts",
        ["items", "NDCG@10", "oracle's", "ratio", "required"],
        rows,
        [
            f"Faults found at the end: {', '.join(faults) or 'none'}.",
            f"Jobs disturbed: {disturbed}.",
            f"Processor seconds of a week's job: {filled:.2f} in the ten weeks after "
            f"the window of {WINDOW} weeks is full, {late:.2f} in the last ten weeks.",
            f"Means of the weeks from {first} on. The oracle trains factors from "
            "scratch every week on the same plays; the twin is not disturbed, and has "
            "the same recommendations where no fault says otherwise.",
            f"An item is semi-cold with fewer than {FEW} listeners, cold with none. "
            "Only 0 to 13 items a week are either, so ten of them are nearly all; "
            "these two rows do not show quality. The warm row does.",
        ],
        seed=SEED,
    )


if __name__ == "__main__":
    main()
