"""Train the bundled weights `lastfm-mpd-musicnn`, and evaluate them.

Logs: the users of HetRec 2011 Last.fm and the playlists of the Million Playlist subset
as rows of one matrix, its columns artists by normalised name. Audio: TAFFC (750 clips
of 24 s) and 100 GTZAN clips, of which those are used whose artist has three listeners
or more. The teacher is ridge regression from layers of MSD_musicnn onto ALS factors.

A third of the artists is sealed. Settings of the ALS and the layers are chosen by the
rank percentile of a clip's own artist in artist-grouped cross-validation over the
others; the sealed artists are looked at once. The weights that are written are trained
on all artists in the same way.

    python benchmarks/lastfm_mpd_weights.py            # evidence: prints and records
    python benchmarks/lastfm_mpd_weights.py --save     # writes the weights as well
    python benchmarks/lastfm_mpd_weights.py --controls # writes their twins alone
    python benchmarks/lastfm_mpd_weights.py --twins    # the weights beside their twins

Clips weigh the same, which was the default when the weights were made: so the script
gives the bundled head again, to 2e-7. Twins (`save_controls`) learn permuted or random
factors from the same clips, with the teacher's regularisation. Left to choose it, they
take the strongest, and their estimates scatter 25 times less than the teacher's.
"""

import argparse
import re
import tempfile
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
from lastfm2k_weights import read_tracks
from reporting import data_folder, record
from scipy import sparse
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import userlogfeat
from userlogfeat import CFEmbedding, CFRegressor, MusicnnEmbedder, load_model
from userlogfeat.comparison import PLAIN_ARMS, compare, save_controls, summarise
from userlogfeat.comparison.arms import PERMUTED, SAME_ARTIST
from userlogfeat.comparison.plain import PLAIN_C
from userlogfeat.comparison.teachers import (
    choices_of,
    distinct_factors,
    permute_factors,
)
from userlogfeat.evaluation.factors import own_artist_percentile
from userlogfeat.evaluation.intervals import mean_interval
from userlogfeat.factor_files import ITEMS, ITEMS_OF_TEACHER, write_side
from userlogfeat.weights import find_controls

SEED = 0
MIN_LISTENERS = 3  # of an artist whose clips are used
MIN_NAMED = 10  # of an artist whose factor the model folder holds
SIZES = {"taggram": 50, "penultimate": 200, "mean_pool": 753, "max_pool": 753}
LAYERS = (("taggram",), ("penultimate",), ("taggram", "penultimate"), ("max_pool",))
ALS = ((10.0, 1.0), (10.0, 10.0), (1.0, 10.0), (10.0, 30.0))  # alpha, regularisation
SHIPPED, INPUT = (10.0, 30.0), ("taggram", "penultimate")  # as `choose` found
N_SEEDS = 8
N_DRAWS, N_LABELS = 20, (5, 20)
ARMS = ("estimate", "permuted logs", "same artist", "random projection")
NAME = "lastfm-mpd-musicnn"
FOLDER = Path(userlogfeat.__file__).parent / "pretrained" / NAME
TRAINING_DATA = {
    "description": "ALS factors of artists, from the users of HetRec 2011 Last.fm and "
    "playlists of the Million Playlist subset, estimated by MSD_musicnn from {clips} "
    "clips (TAFFC, GTZAN) of {artists} artists",
    "licence": "HetRec 2011 Last.fm: non-commercial use; Million Playlist Dataset, "
    "TAFFC, GTZAN: research use; musicnn: ISC",
    "non_commercial": True,
}


@dataclass
class Clips:
    """Clips of a set, with the mean and deviation of musicnn's layers."""

    paths: np.ndarray
    features: np.ndarray  # (n, 2 * 1756)
    artists: np.ndarray  # normalised names; "" where unknown

    def layer(self, names):
        """Means of layers over patches (n, size)."""
        columns, start = [], 0
        for name, size in SIZES.items():
            if name in names:
                columns.append(self.features[:, start : start + size])
            start += 2 * size
        return np.hstack(columns)

    def taggram_meanstd(self):
        """Input of the older weights (n, 100)."""
        return self.features[:, :100]

    def __getitem__(self, rows):
        return Clips(self.paths[rows], self.features[rows], self.artists[rows])

    def __len__(self):
        return len(self.paths)


def normalise_name(name):
    """One spelling of an artist: no accents, case, articles or punctuation."""
    plain = unicodedata.normalize("NFKD", name or "")
    plain = "".join(c for c in plain if not unicodedata.combining(c)).lower()
    plain = re.sub(r"^the\s+", "", plain.replace("&", "and"))
    return re.sub(r"[\W_]+", "", plain)


def read_joint_logs(data):
    """Listeners (users and playlists) x artists, binary; names; spelling of each."""
    hetrec = data / "hetrec2011-lastfm-2k"
    plays = pl.read_csv(hetrec / "user_artists.dat", separator="\t")
    names = pl.read_csv(hetrec / "artists.dat", separator="\t", quote_char=None)
    named = dict(zip(names["id"], names["name"], strict=True))
    lists = pl.read_parquet(data / "mpd_playlists.parquet")
    pairs = [
        (f"user {user}", named.get(artist, ""))
        for user, artist in zip(plays["userID"], plays["artistID"], strict=True)
    ]
    pairs += [
        (f"playlist {pid}", artist)
        for pid, artist in zip(lists["pid"], lists["artist"], strict=True)
    ]
    spelling = {}
    for _, name in pairs:
        spelling.setdefault(normalise_name(name), name)
    spelling.pop("")
    pairs = {(who, normalise_name(name)) for who, name in pairs} - {("", "")}
    pairs = sorted(pair for pair in pairs if pair[1])
    rows, row = np.unique([who for who, _ in pairs], return_inverse=True)
    artists, column = np.unique([name for _, name in pairs], return_inverse=True)
    ones = np.ones(len(pairs), dtype=np.float32)
    matrix = sparse.csr_matrix((ones, (row, column)), (len(rows), len(artists)))
    return matrix, artists, spelling


def read_clips(data, folder):
    """Clips of each set by name; features are kept in `folder`."""
    taffc = pl.read_csv(data / "taffc" / "clips.csv")
    gtzan = pl.read_csv(data / "gtzan_clips" / "clips.csv")
    esc10 = sorted((data / "esc10").glob("*/*.ogg"))
    sets = {
        "taffc": ([data / "taffc" / f for f in taffc["file"]], taffc["artist"]),
        "gtzan": ([data / "gtzan_clips" / f for f in gtzan["file"]], gtzan["artist"]),
        "esc10": (esc10, [""] * len(esc10)),
    }
    clips = {}
    for name, (paths, artists) in sets.items():
        kept = folder / f"{name}.npz"
        if not kept.exists():
            embedder = MusicnnEmbedder(layer=tuple(SIZES), pooling="meanstd")
            np.savez(kept, X=embedder.transform([str(path) for path in paths]))
        names = np.array([normalise_name(artist) for artist in artists])
        clips[name] = Clips(np.array(paths), np.load(kept)["X"], names)
    labels = {
        "taffc": taffc["quadrant"].to_numpy(),
        "gtzan": gtzan["genre"].to_numpy(),
        "esc10": np.array([path.parent.name for path in esc10]),
    }
    return clips, labels


class Logs:
    """The joint logs, and ALS factors of their artists."""

    def __init__(self, data):
        self.matrix, self.artists, self.spelling = read_joint_logs(data)
        self.column = {name: i for i, name in enumerate(self.artists)}
        self.listeners = np.asarray(self.matrix.sum(axis=0))[0]

    def usable(self, clips):
        """Which clips are by an artist of enough listeners."""
        counts = [self.listeners[self.column[a]] if a in self.column else 0
                  for a in clips.artists]  # fmt: skip
        return np.array(counts) >= MIN_LISTENERS

    def columns(self, names):
        """Columns of artists."""
        return np.array([self.column[name] for name in names])

    @cache  # noqa: B019
    def factors(self, alpha, regularization):
        """Factors of all artists (n, 40)."""
        embedding = CFEmbedding(
            alpha=alpha,
            regularization=regularization,
            confidence="binary",
            random_state=SEED,
        )
        return np.asarray(embedding.fit(self.matrix).item_factors_)

    def shared(self, names):
        """How many listeners each two artists share."""
        columns = self.columns(names)
        some = self.matrix.tocsc()[:, columns]
        return (some.T @ some).toarray()


def train(features, factors, artists, **settings):
    head = CFRegressor(
        network="mlp", head="ridge", clip_weight="clip", random_state=SEED, **settings
    )
    return head.fit(features, factors, groups=artists)


def estimate_held_out(features, factors, artists, n_folds=6):
    """Estimate each clip by a head that was trained without its artist."""
    estimates = np.zeros_like(factors)
    for fold, held in GroupKFold(n_folds).split(features, groups=artists):
        head = train(features[fold], factors[fold], artists[fold])
        estimates[held] = head.predict(features[held])
    return estimates


def is_sealed(clips, rng):
    """Whether a clip's artist is of the third that is looked at once."""
    artists = rng.permutation(np.unique(clips.artists))
    return np.isin(clips.artists, artists[: len(artists) // 3])


def choose(logs, clips):
    """Choose ALS settings and layers by held-out artists; also the table's rows."""
    rows, best = [], (-1.0,)
    for settings in ALS:
        factors = logs.factors(*settings)[logs.columns(clips.artists)]
        for layers in LAYERS:
            estimates = estimate_held_out(clips.layer(layers), factors, clips.artists)
            rank = own_artist_percentile(factors, estimates, artists=clips.artists)
            auc = share_auc(logs, estimates, clips.artists)
            rows.append([*settings, " + ".join(layers), f"{rank:.3f}", f"{auc:.3f}"])
            best = max(best, (rank, settings, layers))
    return best[1:], rows


def share_auc(logs, embeddings, names):
    """AUC of the cosine of two artists as a sign that they share a listener.

    Mean over artists, each a query against all others.
    """
    means = artist_means(embeddings, names)
    cosines, shared = means @ means.T, logs.shared(np.unique(names)) > 0
    return cosine_aucs(cosines, shared).mean()


def artist_means(embeddings, names):
    """Unit mean of the unit embeddings of each artist's clips, by sorted name."""
    unit = unit_rows(embeddings)
    return unit_rows(
        np.stack([unit[names == a].mean(axis=0) for a in np.unique(names)])
    )


def cosine_aucs(cosines, shared):
    """AUC of each artist, of those who share listeners with some, not all others."""
    aucs = []
    for query in range(len(shared)):
        others = np.arange(len(shared)) != query
        relevant = shared[query][others]
        n, n_relevant = len(relevant), relevant.sum()
        if 0 < n_relevant < n:
            ranks = cosines[query][others].argsort().argsort() + 1
            wins = ranks[relevant].sum() - n_relevant * (n_relevant + 1) / 2
            aucs.append(wins / (n_relevant * (n - n_relevant)))
    return np.array(aucs)


def unit_rows(matrix):
    return matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)


def look_at_sealed(logs, trained_on, sealed, settings, layers):
    """Rows of the table of artists that were never seen."""
    factors = logs.factors(*settings)
    head = train(
        trained_on.layer(layers),
        factors[logs.columns(trained_on.artists)],
        trained_on.artists,
    )
    own = factors[logs.columns(sealed.artists)]
    estimates = head.predict(sealed.layer(layers))
    rank = own_artist_percentile(own, estimates, artists=sealed.artists)
    old = load_model("lastfm2k-musicnn").network.head
    spaces = {
        NAME: estimates,
        "lastfm2k-musicnn": apply(old, sealed.taggram_meanstd()),
        **{layer: sealed.layer((layer,)) for layer in SIZES},
        "true factors": own,
    }
    rows = [
        [
            name,
            f"{share_auc(logs, space, sealed.artists):.3f}",
            {NAME: f"{rank:.3f}", "true factors": "1.000"}.get(name, "-"),
        ]
        for name, space in spaces.items()
    ]
    return rows


def apply(head, features):
    import torch

    with torch.no_grad():
        return head(torch.from_numpy(features)).numpy()


class Teachers:
    """Estimates of the real logs and of the controls, by teachers of one recipe."""

    def __init__(self, logs, clips, settings, layers, rng):
        self.layers = layers
        features = clips.layer(layers)
        artists, which = np.unique(clips.artists, return_inverse=True)
        factors = logs.factors(*settings)[logs.columns(artists)]
        random = rng.normal(size=factors.shape).astype(np.float32)
        targets = {
            "permuted logs": factors[rng.permutation(len(artists))],
            "same artist": random,
        }
        teacher = train(features, factors[which], clips.artists)
        self.heads = {"estimate": teacher}
        for arm, of_artist in targets.items():
            like = choices_of(teacher)
            head = train(features, of_artist[which], clips.artists, **like)
            self.heads[arm] = head
        self.scaler = StandardScaler().fit(features)
        self.matrix = rng.normal(size=(features.shape[1], factors.shape[1]))

    def estimate(self, arm, clips):
        """Estimates of clips (n, 40) by the teacher of an arm."""
        features = clips.layer(self.layers)
        if arm == "random projection":
            return self.scaler.transform(features) @ self.matrix
        return self.heads[arm].predict(features)


def classify(blocks, labels, training, test):
    """Accuracy of an RBF SVM on layers scaled as `UserLogEmbedder` scales them."""
    scaled = [x / np.sqrt(np.square(x[training]).mean()) for x in blocks]
    X = np.hstack(scaled)
    n_folds = min(
        3, np.bincount(np.unique(labels[training], return_inverse=True)[1]).min()
    )
    folds = StratifiedKFold(max(2, n_folds), shuffle=True, random_state=SEED)
    pipeline = make_pipeline(PCA(min(128, len(training) // 2)), SVC())
    search = GridSearchCV(pipeline, {"svc__C": (1.0, 10.0, 100.0)}, cv=folds)
    search.fit(X[training], labels[training])
    return (search.predict(X[test]) == labels[test]).mean()


def transfer(clips, labels, groups, teachers, n_labels, rng):
    """Accuracy of max_pool alone, and the gain of each arm, over draws of labels.

    Labels are drawn from one half of the groups (artists), the others are the test.
    """
    base, gains = [], {arm: [] for arm in ARMS}
    block = clips.layer(("max_pool",))
    for draw in range(N_DRAWS):
        half = rng.permutation(np.unique(groups))
        half = set(half[: len(half) // 2].tolist())
        inside = np.array([group in half for group in groups])
        training = np.concatenate(
            [
                rng.permutation(np.flatnonzero(inside & (labels == label)))[:n_labels]
                for label in np.unique(labels)
            ]
        )
        test = np.flatnonzero(~inside)
        alone = classify([block], labels, training, test)
        base.append(alone)
        of_draw = teachers[draw % len(teachers)]
        for arm in ARMS:
            both = [block, of_draw.estimate(arm, clips)]
            gains[arm].append(classify(both, labels, training, test) - alone)
    return np.array(base), {arm: np.array(values) for arm, values in gains.items()}


def gains_of_tasks(logs, clips, labels, settings, layers, rng):
    """Rows of the transfer table: teachers never saw an artist of the task."""
    music = {name: clips[name][logs.usable(clips[name])] for name in ("taffc", "gtzan")}
    everyone = join(music.values())
    rows = []
    halves = split_artists(clips["taffc"].artists, rng)
    tasks = []
    for number, half in enumerate(halves, 1):
        tasks.append((f"TAFFC quadrants, artists' half {number}", "taffc", half))
    tasks += [("GTZAN clips, genre", "gtzan", None), ("ESC-10", "esc10", None)]
    for title, name, mask in tasks:
        mask = np.ones(len(clips[name]), bool) if mask is None else mask
        task, answers = clips[name][mask], labels[name][mask]
        groups = np.where(
            task.artists == "", [f"clip {i}" for i in range(len(task))], task.artists
        )
        others = everyone[~np.isin(everyone.artists, task.artists)]
        teachers = [Teachers(logs, others, settings, layers, rng) for _ in range(5)]
        for n_labels in N_LABELS:
            if n_labels > np.unique(answers, return_counts=True)[1].min() // 2:
                continue
            base, gains = transfer(task, answers, groups, teachers, n_labels, rng)
            rows.append(
                [
                    title,
                    len(np.unique(others.artists)),
                    n_labels,
                    f"{100 * base.mean():.1f}",
                    *(interval(100 * gains[arm]) for arm in ARMS),
                    interval(
                        100
                        * (
                            gains["estimate"]
                            - np.mean([gains[arm] for arm in ARMS[1:]], axis=0)
                        )
                    ),
                ]
            )
            print(rows[-1], flush=True)
    return rows


def split_artists(artists, rng):
    """Two halves of the clips without a common artist."""
    groups = np.where(
        artists == "", [f"clip {i}" for i in range(len(artists))], artists
    )
    names = rng.permutation(np.unique(groups))
    first = np.isin(groups, names[: len(names) // 2])
    return first, ~first


def join(parts):
    parts = list(parts)
    return Clips(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("paths", "features", "artists")
        )
    )


def interval(values):
    mean, low, high = mean_interval(values)
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"


def save_weights(logs, clips, settings, layers):
    """Train on all clips as a user would, and write the bundled folder."""
    factors = logs.factors(*settings)
    teacher = CFRegressor(
        encoder="MSD_musicnn",
        head="ridge",
        head_layer=layers,
        head_pooling="mean",
        clip_weight="clip",
        random_state=SEED,
    )
    paths = [str(path) for path in clips.paths]
    teacher.fit(paths, factors[logs.columns(clips.artists)], groups=clips.artists)
    alpha, regularization = settings
    als = {"alpha": alpha, "regularization": regularization, "confidence": "binary"}
    n_artists = len(np.unique(clips.artists))
    notes = dict(TRAINING_DATA) | als
    notes["description"] = notes["description"].format(
        clips=len(clips), artists=n_artists
    )
    teacher.save(FOLDER, training_data=notes)
    named = logs.listeners >= MIN_NAMED
    write_side(
        FOLDER / ITEMS_OF_TEACHER,
        ITEMS,
        [logs.spelling[name] for name in logs.artists[named]],
        unit_rows(factors[named]),
        made_by={"logs": notes["description"], **als},
        popularity=logs.listeners[named] / logs.matrix.shape[0],
    )
    print(f"wrote {FOLDER.name}: {len(clips)} clips, {named.sum()} named artists")
    save_twins(logs, clips, settings, layers)


def save_twins(logs, clips, settings, layers):
    """Write the controls into the bundled folder."""
    inputs = clips.layer(layers)
    factors = logs.factors(*settings)[logs.columns(clips.artists)]
    written = save_controls(FOLDER, inputs, factors, items=clips.artists)
    print(f"wrote {len(written)} twins of {FOLDER.name}")


def bundled(clips):
    """Estimates of clips by the bundled head and its twins, as `compare` takes them."""
    folders = {"kd": [FOLDER]}
    for kind, draws in find_controls(NAME).items():
        folders[f"kd {kind}"] = draws
    return {
        arm: [apply(load_model(one).network.head, clips.layer(INPUT)) for one in all_]
        for arm, all_ in folders.items()
    }


def recipe(logs, clips, features, inputs):
    """Estimates of `inputs` by heads of the bundled recipe, trained on `features`."""
    artists = clips.artists
    factors = logs.factors(*SHIPPED)[logs.columns(artists)]
    teacher = train(features, factors, artists)
    estimates = {"kd": [teacher.predict(inputs)]}
    changes = {PERMUTED: permute_factors, SAME_ARTIST: distinct_factors}
    for arm, change in changes.items():
        estimates[arm] = []
        for draw in range(3):
            changed = change(factors, artists, np.random.default_rng([SEED, draw]))
            twin = clone(teacher).set_params(**choices_of(teacher))
            twin.fit(features, changed, groups=artists)
            estimates[arm].append(twin.predict(inputs))
    return estimates


def twin_tasks(data, logs, clips, labels, music):
    """Title, features, labels, groups and estimates of the tasks beside the twins."""
    taffc, esc10 = clips["taffc"], clips["esc10"]
    new = ~np.isin(taffc.artists, np.unique(music.artists))
    unseen, max_pool = taffc[new], ("max_pool",)
    yield (
        "TAFFC quadrants, artists that the weights never met",
        *(unseen.layer(max_pool), labels["taffc"][new], unseen.artists),
        bundled(unseen),
    )
    own = np.array([f"clip {i}" for i in range(len(esc10))])
    features = esc10.layer(max_pool)
    yield "ESC-10 (not music)", features, labels["esc10"], own, bundled(esc10)
    yield gtzan_tags(data, logs, clips)


def gtzan_tags(data, logs, clips):
    """The published tags of GTZAN; heads of tags, trained without its artists."""
    tracks = [read_tracks(data, part) for part in ("train", "test")]
    tags = np.concatenate([part.features[:, :50] for part in tracks]).astype(np.float32)
    genres = np.concatenate([part.genres for part in tracks])
    groups = np.concatenate([part.groups for part in tracks])
    names = pl.read_csv(data / "gtzan_lastfm_join.csv")["artist_name"].to_list()
    known = {normalise_name(name) for name in names} | set(clips["gtzan"].artists)
    taffc = clips["taffc"]
    others = taffc[logs.usable(taffc) & ~np.isin(taffc.artists, sorted(known))]
    estimates = recipe(logs, others, others.layer(("taggram",)), tags)
    return "GTZAN tags, heads of tags", tags, genres, groups, estimates


def beside_twins(title, X, y, groups, estimates):
    """Row of the table of teachers beside their twins, with 5 labels a class."""
    ready = {
        arm: [draws[seed % len(draws)] for seed in range(N_SEEDS)]
        for arm, draws in estimates.items()
    }
    frame = compare(
        make_pipeline(StandardScaler(), SVC()),
        X,
        y,
        teachers=ready,
        teacher_artists=(),
        groups=groups,
        cv=2,
        seeds=N_SEEDS,
        n_labels=5,
        plain_search={"svc__C": PLAIN_C},
    )
    found = {row["arm"]: row for row in summarise(frame).iter_rows(named=True)}
    row = [title, len(y), f"{100 * found['plain']['mean']:.1f}"]
    row += [points(found[arm], "plain") for arm in PLAIN_ARMS[1:]]
    row += [points(found[PLAIN_ARMS[1]], arm) for arm in PLAIN_ARMS[2:]]
    print(row, flush=True)
    return row


def points(row, other):
    """A difference of `summarise` in points, with its interval."""
    names = ("difference", "diff_low", "diff_high")
    mean, low, high = (100 * row[f"{name} to {other}"] for name in names)
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"


def record_twins(*given):
    record(
        "lastfm_mpd_weights/twins",
        f"{NAME} beside its control twins: an SVM with 5 labels a class",
        [
            "task",
            "clips",
            "SVM alone, %",
            *(arm.removeprefix("plain ") for arm in PLAIN_ARMS[1:]),
            *(f"estimate minus {arm.removeprefix('plain + ')}"
              for arm in PLAIN_ARMS[2:]),
        ],
        [beside_twins(*task) for task in twin_tasks(*given)],
        [
            f"Points of accuracy, {N_SEEDS} seeds, folds by artist; intervals of 95% "
            "over artists and seeds. RBF SVM on standardised max_pool (GTZAN tags: on "
            "the 50 tags), C searched, with the estimate as further columns.",
            "TAFFC and ESC-10: the bundled weights and their three twins of each kind. "
            "The weights have met GTZAN's artists, and of its tracks only the tags are "
            "published: heads of the same recipe learned there from the tags of "
            "TAFFC's other artists.",
        ],
        seed=SEED,
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--save", action="store_true", help="write the weights")
    parser.add_argument("--only-save", action="store_true", help="without the tables")
    parser.add_argument("--controls", action="store_true", help="write the twins")
    parser.add_argument("--twins", action="store_true", help="that table alone")
    parser.add_argument("--cache", type=Path, help="folder that keeps the features")
    arguments = parser.parse_args()
    data, rng = data_folder(), np.random.default_rng(SEED)
    folder = arguments.cache or Path(tempfile.mkdtemp())
    clips, labels = read_clips(data, folder)
    logs = Logs(data)
    music = join(clips[name][logs.usable(clips[name])] for name in ("taffc", "gtzan"))
    if arguments.controls:
        save_twins(logs, music, SHIPPED, INPUT)
        return
    if arguments.twins:
        record_twins(data, logs, clips, labels, music)
        return
    sealed = is_sealed(music, rng)
    (settings, layers), rows = choose(logs, music[~sealed])
    print("chosen:", settings, layers, flush=True)
    if arguments.save or arguments.only_save:
        save_weights(logs, music, settings, layers)
    if arguments.only_save:
        return
    chosen = f"Chosen: alpha {settings[0]:g}, regularisation {settings[1]:g}, "
    chosen += " + ".join(layers)
    record(
        "lastfm_mpd_weights/choice",
        f"{NAME}: settings, by artists held out of the development artists",
        ["alpha", "regularisation", "layers", "own-artist rank", "share AUC"],
        rows,
        [
            f"{(~sealed).sum()} clips of {len(np.unique(music.artists[~sealed]))} "
            "development artists, six folds by artist; ridge head on the means of the "
            f"layers. {chosen}, by the rank.",
        ],
        seed=SEED,
    )
    record(
        "lastfm_mpd_weights/sealed",
        f"{NAME}: artists never seen",
        ["space", "share AUC", "own-artist rank"],
        look_at_sealed(logs, music[~sealed], music[sealed], settings, layers),
        [
            f"{sealed.sum()} clips of {len(np.unique(music.artists[sealed]))} sealed "
            "artists, looked at once; the teacher is trained on the development "
            "artists. Share AUC: the cosine of two artists (mean over clips) as a sign "
            "that they share a listener. Own-artist rank: share of the other sealed "
            "artists that are farther from the estimate; 0.5 is chance.",
            "lastfm2k-musicnn was trained on GTZAN artists, of which some are among "
            "these.",
        ],
        seed=SEED,
    )
    record(
        "lastfm_mpd_weights/transfer",
        f"{NAME}: an SVM on max_pool and the estimate, beside its controls",
        [
            "task",
            "teaching artists",
            "labels a class",
            "max_pool alone, %",
            *(f"+ {arm}" for arm in ARMS),
            "estimate minus the mean of the controls",
        ],
        gains_of_tasks(logs, clips, labels, settings, layers, rng),
        [
            f"Points of accuracy, mean of {N_DRAWS} draws of labels with a 95% "
            "interval over draws; labels and test of different artists; five teachers "
            "of each kind, trained on artists that are not in the task. Layers have "
            "unit mean square, as UserLogEmbedder gives them; PCA and RBF SVM, C by 3 "
            "folds.",
            "Same artist: a teacher of distinct random factors for the artists.",
        ],
        seed=SEED,
    )
    record_twins(data, logs, clips, labels, music)


if __name__ == "__main__":
    main()
