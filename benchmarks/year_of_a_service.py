"""A year of a service, week by week: tastes drift, artists and users come and go.

    python benchmarks/year_of_a_service.py [--weeks 52]

Every week a job reads the plays of the last weeks, updates the factors of users and
items, extracts the audio of new items, refits the teacher's head, blends what is known
of each item by evidence, builds the index anew, and recommends. Jobs are killed with
SIGKILL at random moments, meet a full disk, each other, and a damaged partition, and
are started again. Beside it, an oracle trains everything from scratch, and a twin is
never disturbed.

The world is planted: an item's taste is that of its artist and a bit of its own; its
file holds a noisy projection of that, which stands for audio. Users turn slowly. Audio
of an item comes a week before its first plays. The real half are playlists and HetRec
Last.fm, by artist, whose plays come in random weeks: they have no drift, all history is
kept, and no artist has audio.
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
EVERY = 3  # weeks between two that are judged
N_DRAWS = 10  # of the week on which a model is judged
QUARTER = 13  # weeks between two that measure what audio and artists are worth
FIRST = 8  # week of the first job: the plays before are there when it starts
START = datetime(2024, 1, 1)
SHARE = 2.0  # of an undisturbed job's time: within it a process is killed
DATA = {"description": "planted", "licence": "none", "non_commercial": False}
GROUPS = ("warm", "semi-cold", "cold")
LIBRARIES = ("userlogfeat", "sklearn", "scipy", "implicit", "polars", "pyarrow")
MAX_FAILURES = 3  # of a job that nobody disturbed
MAX_KILLS = 2  # of a week's job
REAL_WEEKS, REAL_ITEMS, REAL_USERS = 26, 5, 10  # weeks; fewest pairs of each side
MAX_AGE, AGE_WEEKS = 8, 24


class World:
    """Users, items and their plays, drawn from a seed."""

    def __init__(self, n_users=600, n_items=3000, n_artists=300, n_weeks=52, seed=SEED):
        rng = np.random.default_rng(seed)
        self.n_weeks, self.n_users = n_weeks, n_users
        artists = rng.standard_normal((n_artists, N_TASTES))
        self.artist_of = rng.integers(0, n_artists, n_items)
        own = 0.5 * rng.standard_normal((n_items, N_TASTES))
        self.items = artists[self.artist_of] + own
        self.items /= np.linalg.norm(self.items, axis=1, keepdims=True)
        projection = rng.standard_normal((N_TASTES, N_AUDIO))
        noise = 0.3 * rng.standard_normal((n_items, N_AUDIO))
        self.audio = (self.items @ projection + noise).astype(np.float32)
        # Half of the items are there at the start; the others come week by week.
        self.release = np.maximum(0, rng.integers(-n_weeks, n_weeks, n_items))
        taste = rng.standard_normal((n_users, N_TASTES))
        self.joins = np.maximum(0, rng.integers(-n_weeks, n_weeks, n_users))
        self.leaves = self.joins + rng.integers(n_weeks // 2, 3 * n_weeks, n_users)
        self.tastes, self.plays = [], []
        for week in range(n_weeks + 1):
            taste = taste + TURN * rng.standard_normal(taste.shape) * np.sqrt(N_TASTES)
            taste /= np.linalg.norm(taste, axis=1, keepdims=True)
            self.tastes.append(taste)
            self.plays.append(self.draw(rng, week))

    def draw(self, rng, week):
        """Draw a week's plays: arrays of users and items."""
        here = np.flatnonzero((self.joins <= week) & (week < self.leaves))
        there = np.flatnonzero(self.release <= week)
        chances = np.exp(5 * self.tastes[week][here] @ self.items[there].T)
        chances *= np.where(self.release[there] == week, 2, 1)  # what is new is shown
        limits = chances.cumsum(axis=1)
        drawn = rng.random((len(here), N_PLAYS)) * limits[:, -1:]
        places = [np.searchsorted(*pair) for pair in zip(limits, drawn, strict=True)]
        return np.repeat(here, N_PLAYS), there[np.concatenate(places)]

    def matrix(self, week, rng=None):
        """Return one week's plays, users x items; with `rng` another draw of them."""
        from scipy import sparse

        users, items = self.plays[week] if rng is None else self.draw(rng, week)
        shape = (self.n_users, len(self.items))
        return sparse.csr_matrix((np.ones(len(users)), (users, items)), shape)

    def deliver(self, folder, week):
        """Write the week's partition, and what is released next week."""
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
        released = np.flatnonzero(self.release <= week + 1)
        for item in released:
            path = folder / "audio" / f"i{item:04}.npy"
            if not path.exists():
                np.save(path, self.audio[item])
        names = {"item": [f"i{i:04}" for i in released]}
        names["artist"] = [f"a{a}" for a in self.artist_of[released]]
        pl.DataFrame(names).write_parquet(folder / "catalogue.parquet")


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
    from userlogfeat._files import replace_file
    from userlogfeat._locks import file_lock

    folder, start = Path(folder), time.process_time()
    with file_lock(folder / ".job", on_locked="error"):
        if (folder / f"week-{week:02}.json").exists():
            return
        before = folder / f"week-{week - 1:02}.json"
        anew = from_scratch or not before.exists()
        cf, user_items = update_factors(folder, week, anew=anew)
        found, report = embed_items(folder, week, cf, user_items, anew=anew)
        report |= recommend_week(folder, week, cf, user_items, *found)
        report |= {"seconds": time.process_time() - start, "space": cf.space_}
        with replace_file(folder / f"week-{week:02}.json") as path:
            path.write_text(json.dumps(report))


def update_factors(folder, week, *, anew):
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
    if anew:
        settings = {"n_factors": N_FACTORS, "random_state": SEED}
        cf = CFEmbedding(**settings).fit(logs)
    else:
        cf = CFEmbedding.load(before).update(logs)
    cf.save(folder / f"factors-{week:02}", training_data=DATA, notes={"week": week})
    return cf, logs.user_items


def embed_items(folder, week, cf, user_items, *, anew):
    """Extract new audio; embed every item with audio: vectors, ids; and a report."""
    import polars as pl
    from sklearn.frozen import FrozenEstimator

    from userlogfeat import CFRegressor, ColdStartItems, FeatureTable, extract

    clips = sorted(str(path) for path in (folder / "audio").glob("*.npy"))
    table = FeatureTable(folder / "features")
    extract(clips, table.folder, embedder=PlantedEmbedder(), progress=False)
    features = table.lookup(clips).layers["embedding"]
    item_ids = np.array([Path(clip).stem for clip in clips])
    catalogue = pl.read_parquet(folder / "catalogue.parquet")
    artist_of = dict(catalogue.select("item", "artist").iter_rows())
    artists = np.array([artist_of[item] for item in item_ids])
    place = {item: row for row, item in enumerate(item_ids)}
    rows = np.array([place[item] for item in cf.item_ids_])
    given = {"sample_weight": np.bincount(user_items.indices, minlength=len(rows))}
    given["groups"] = artists[rows]
    if anew:
        teacher = CFRegressor("mlp", head="ridge", factor_norm="raw", random_state=SEED)
        teacher.fit(features[rows], cf.item_factors_, **given)
    else:
        teacher = CFRegressor.load(folder / f"teacher-{week - 1:02}")
        teacher.refit(features[rows], cf.item_factors_, **given)
    teacher.save(folder / f"teacher-{week:02}", training_data=DATA)
    # A map of 24 numbers learned from thousands of items: estimates of its own items
    # are hardly better than those of others.
    estimates = teacher.predict(features)
    worths = {"random_state": SEED}
    if not anew and week % QUARTER:
        before = json.loads((folder / f"week-{week - 1:02}.json").read_text())
        worths |= {name: before[name] for name in ("k0", "artist_worth")}
    items = ColdStartItems(FrozenEstimator(cf), factor_norm="raw", **worths)
    known = items.fit_transform(
        estimates[rows], user_items.T, artists=artists[rows].tolist()
    )
    vectors = np.array(items.transform(estimates, artists=artists.tolist()))
    vectors[rows] = known
    report = {"k0": items.k0_, "artist_worth": items.artist_worth_}
    return (vectors, item_ids), report | {"teacher": teacher.space_}


def recommend_week(folder, week, cf, user_items, vectors, item_ids):
    """Write an index, recommendations for all users of the window, and both sides."""
    from userlogfeat._files import replace_file
    from userlogfeat._spaces import in_space
    from userlogfeat.recommendation import ItemIndex

    users = cf.user_factors_
    ItemIndex.build(in_space(vectors, cf.space_), item_ids).save(folder / "index")
    index = ItemIndex.load(folder / "index")
    own = np.split(cf.item_ids_[user_items.indices], user_items.indptr[1:-1])
    chosen, _ = index.query(users, 10, exclude=own)
    arrays = {"users": np.asarray(users), "items": vectors, "item_ids": item_ids}
    arrays |= {"user_ids": cf.user_ids_.astype(str), "chosen": chosen.astype(str)}
    with replace_file(folder / f"week-{week:02}.npz") as path, open(path, "wb") as file:
        np.savez(file, **arrays)
    n_pairs = int(user_items.nnz)
    return {"n_users": len(users), "n_items": len(item_ids), "n_pairs": n_pairs}


def judge(world, folder, week):
    """NDCG@10 of the next week's first plays, by how well items are known.

    Of each draw of that week: with few plays a user, one draw scatters too much to
    distinguish a service from an oracle.
    """
    rng = np.random.default_rng([SEED, week])
    with np.load(folder / f"week-{week:02}.npz") as made:
        users, items = made["users"], made["items"]
        u = np.array([int(name[1:]) for name in made["user_ids"]])
        i = np.array([int(name[1:]) for name in made["item_ids"]])
    before = sum(world.matrix(number) for number in range(week + 1))
    first = max(0, week - WINDOW + 1)
    n = (sum(map(world.matrix, range(first, week + 1))) > 0).sum(axis=0)
    n = np.asarray(n).ravel()[i]
    history = before[u][:, i].toarray() > 0
    draws = [
        (world.matrix(week + 1, rng)[u][:, i].toarray() > 0) & ~history
        for _ in range(N_DRAWS)
    ]
    masks = {"warm": n >= FEW, "semi-cold": (n > 0) & (n < FEW), "cold": n == 0}
    scores = {}
    for group, mask in masks.items():
        scores[group] = [
            ndcg(new[:, mask], users, items[mask], history[:, mask]) for new in draws
        ]
        scores[f"{group} items"] = int(mask.sum())
        scores[f"{group} users"] = int(draws[0][:, mask].any(axis=1).sum())
    return scores


def ndcg(relevant, users, items, history):
    """Mean NDCG@10 of the users who have something relevant; NaN without any."""
    from scipy import sparse

    from userlogfeat.evaluation.recommendation import evaluate_ranking

    rows = np.flatnonzero(relevant.any(axis=1))
    if len(rows) == 0:
        return np.nan
    relevant, history = (
        sparse.csr_matrix(mask[rows].astype(np.float32)) for mask in (relevant, history)
    )
    sides = (users[rows], items)
    return evaluate_ranking(relevant, sides, k=10, exclude=history).means["ndcg@10"]


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
    scores, seconds, expected = {name: [] for name in names[1:]}, [], 2.0
    for week in range(FIRST):
        for place in places.values():
            world.deliver(place, week)
    for week in range(FIRST, world.n_weeks):
        if week == FIRST + 1:  # now all that a job needs is imported
            used = [name for name in sys.modules if name.startswith(LIBRARIES)]
            context.set_forkserver_preload(used)
        is_judged = (week - FIRST) % EVERY == 0
        for name, place in places.items():
            world.deliver(place, week)
            start = time.perf_counter()
            if name == "service" and disturb and week > FIRST:
                disturbed_week(context, place, week, rng, expected, events)
            elif name != "oracle" or is_judged:
                run_week(place, week, from_scratch=name == "oracle")
            if name == "twin":
                expected = time.perf_counter() - start
            if name in scores and is_judged:
                scores[name].append({"week": week} | judge(world, place, week))
        report = json.loads((places["twin"] / f"week-{week:02}.json").read_text())
        seconds.append(report["seconds"])
        print(week, f"{seconds[-1]:.2f} s", events, flush=True)
    return scores, seconds, events, find_faults(world, places)


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
    for week in range(FIRST, world.n_weeks):
        report = json.loads((service / f"week-{week:02}.json").read_text())
        spaces |= {report["space"], report["teacher"]}
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


def real_logs(name):
    """Pairs of users and artists, those of few left out: a matrix."""
    import polars as pl
    from reporting import data_folder
    from scipy import sparse

    from userlogfeat import read_logs

    limits = {"min_users_per_item": REAL_ITEMS, "min_items_per_user": REAL_USERS}
    if name == "HetRec":
        folder = data_folder() / "hetrec2011-lastfm-2k"
        logs = read_logs(folder, "hetrec-lastfm-2k", weights="binary", **limits)
    else:
        plays = pl.read_parquet(data_folder() / "mpd_playlists.parquet")
        columns = {"user": "pid", "item": "artist_norm"}
        plays = plays.filter(pl.col("artist_norm").is_not_null())
        logs = read_logs(plays, weights="binary", **columns, **limits)
    return sparse.csr_matrix(logs.user_items)


def real_year(name, rng):
    """Update and retrain as random weeks come in: scores, seconds and pairs."""
    from scipy import sparse

    from userlogfeat import CFEmbedding

    pairs = real_logs(name).tocoo()
    # Half of the plays are there at the start.
    week_of = rng.integers(-REAL_WEEKS, REAL_WEEKS + 1, pairs.nnz)
    scores, seconds, n_pairs, cf = [], [], [], None
    for week in range(REAL_WEEKS):
        past, now = week_of <= week, week_of == week + 1
        history, new = (
            sparse.csr_matrix(
                (pairs.data[at], (pairs.row[at], pairs.col[at])), pairs.shape
            )
            for at in (past, now)
        )
        settings = {"n_factors": N_FACTORS, "random_state": SEED}
        start = time.process_time()
        cf = CFEmbedding(**settings).fit(history) if cf is None else cf.update(history)
        seconds.append(time.process_time() - start)
        n_pairs.append(history.nnz)
        if week % EVERY:
            continue
        oracle = CFEmbedding(**settings).fit(history)
        n = np.bincount(history.indices, minlength=history.shape[1])
        masks = {"warm": n >= FEW, "semi-cold": (n > 0) & (n < FEW)}
        given = history.toarray() > 0, new.toarray() > 0
        scores.append(
            {
                (group, who): ndcg(
                    given[1][:, mask],
                    np.asarray(model.user_factors_),
                    np.asarray(model.item_factors_)[mask],
                    given[0][:, mask],
                )
                for group, mask in masks.items()
                for who, model in (("service", cf), ("oracle", oracle))
            }
        )
    return scores, np.array(seconds[1:]), np.array(n_pairs[1:])


def ages():
    """Quality by the age of a model, in a world that drifts."""
    from userlogfeat import CFEmbedding
    from userlogfeat.evaluation.over_time import evaluate_over_time

    world = World(n_users=300, n_items=800, n_artists=100, n_weeks=AGE_WEEKS)

    def fit(history):
        cf = CFEmbedding(N_FACTORS, random_state=SEED).fit(history)
        return np.asarray(cf.user_factors_), np.asarray(cf.item_factors_)

    weeks = [world.matrix(week) for week in range(AGE_WEEKS)]
    scores = evaluate_over_time(weeks, fit, max_age=MAX_AGE, first=FIRST)
    return scores.table("ndcg@10")


def plot(path, scores, seconds):
    """Draw quality beside the oracle's, and the weekly cost."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    for color, group in zip(("C0", "C1", "C2"), GROUPS, strict=True):
        for name, style in (("service", "-"), ("oracle", ":")):
            weeks = [week["week"] for week in scores[name]]
            line = [np.mean(week[group]) for week in scores[name]]
            top.plot(weeks, line, style, color=color, label=f"{group}, {name}")
    top.set_ylabel("NDCG@10 of the next week")
    top.legend(ncols=3, fontsize="small")
    bottom.plot(FIRST + np.arange(len(seconds)), seconds, color="C3")
    bottom.set(xlabel="week", ylabel="processor (s)", ylim=(0, None))
    figure.savefig(path, dpi=100)


def compared(what, group, ours, theirs, sizes=""):
    """Return a row of the table: means over weeks, and their ratio."""
    ours, theirs = np.nanmean(ours), np.nanmean(theirs)
    ratio = f"{ours / theirs:.3f}"
    return [what, group, f"{ours:.3f}", f"{theirs:.3f}", ratio, "0.97", sizes]


def planted_rows(scores):
    """Rows of the planted world."""
    rows = []
    for group in GROUPS:
        sides = ([week[group] for week in scores[n]] for n in ("service", "oracle"))
        n_items, n_users = (
            np.mean([week[f"{group} {what}"] for week in scores["oracle"]])
            for what in ("items", "users")
        )
        sizes = f"{n_items:.0f}, {n_users:.0f}"
        rows.append(compared("planted", group, *sides, sizes))
    return rows


def single_draws(scores):
    """Ratios of each group if every week had been drawn once: lowest and highest."""
    found = []
    for group in GROUPS:
        ours, theirs = (
            np.nanmean([week[group] for week in scores[name]], axis=0)
            for name in ("service", "oracle")
        )
        ratios = ours / theirs
        found.append(f"{group} {ratios.min():.3f} to {ratios.max():.3f}")
    return ", ".join(found)


def main():
    """Run the year, record its figures, draw its plot."""
    from reporting import HERE, record

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weeks", type=int, default=52)
    args = parser.parse_args()
    rows, costs = [], []
    for name in ("HetRec", "playlists"):
        scores, seconds, n_pairs = real_year(name, np.random.default_rng(SEED))
        for group in ("warm", "semi-cold"):
            sides = ([s[group, who] for s in scores] for who in ("service", "oracle"))
            rows.append(compared(f"{name}, artists", group, *sides))
        slope, constant = np.polyfit(n_pairs, seconds, 1)
        costs.append(
            f"{name}: {constant:.2f} s and {1e6 * slope:.1f} s a million pairs of "
            f"history ({n_pairs[0]:,} to {n_pairs[-1]:,} pairs)"
        )
        print(rows[-2:], costs[-1], flush=True)
    aged = ", ".join(
        f"{row['age']}: {row['mean']:.3f} "
        f"({0 - row['lost']:+.3f} ± {row['lost_error']:.3f})"
        for row in ages()
    )
    print(aged, flush=True)
    world = World(n_weeks=args.weeks)
    with tempfile.TemporaryDirectory() as folder:
        scores, seconds, events, faults = year(world, folder)
    rows = planted_rows(scores) + rows
    short = [f"{row[0]}, {row[1]} ({row[4]})" for row in rows if float(row[4]) < 0.97]
    plot(HERE / "figures" / "year_of_a_service.png", scores, seconds)
    disturbed = ", ".join(f"{n} {name}" for name, n in events.items())
    late = np.mean(seconds[-10:])
    full = WINDOW - FIRST  # jobs before the window is full
    filled = np.mean(seconds[full : full + 10])
    record(
        "year_of_a_service",
        f"A year of a service: {args.weeks} weeks of a planted world that drifts, and "
        f"{REAL_WEEKS} random weeks of two real logs",
        [
            *("logs", "items", "NDCG@10", "oracle's", "ratio", "required"),
            "items, users a judged week",
        ],
        rows,
        [
            f"Below the required ratio: {'; '.join(short) or 'nothing'}.",
            f"Faults found at the end: {', '.join(faults) or 'none'}.",
            f"Jobs disturbed: {disturbed}.",
            f"Processor seconds of a week's job: {filled:.2f} in the ten weeks after "
            f"the window of {WINDOW} weeks is full, {late:.2f} in the last ten weeks.",
            "Where all history is kept, as with the real logs, the cost of an update "
            f"is linear in it: {'; '.join(costs)}.",
            f"NDCG@10 of a model by its age in weeks, in a smaller such world of "
            f"{AGE_WEEKS} weeks (evaluate_over_time; what is lost against age 0, with "
            f"standard errors over weeks): {aged}.",
            f"The planted weeks on which models are judged are drawn {N_DRAWS} times "
            "from the chances of the planted tastes, the same for both sides. With one "
            f"draw of each the ratios scatter: {single_draws(scores)}.",
            f"Means of every {EVERY}rd week; of the planted ones the first {FIRST} are "
            "there at the start, of the real logs half of the pairs. The oracle trains "
            "factors and teacher from scratch on the same plays. The twin is not "
            "disturbed: it has the same recommendations where no fault is named.",
            f"An item is semi-cold with fewer than {FEW} listeners in the window, cold "
            "with none; each group is ranked by itself. Items come with audio and "
            "artist; those of the real logs with neither.",
        ],
        seed=SEED,
    )


if __name__ == "__main__":
    main()
