"""Whether the nearest neighbours of artists that no teacher met share listeners.

An artist is the mean of its clips, and asks for the ten others whose cosine is
greatest. Right are those who have a listener in common with it: that is what
recommendation and similarity need, and audio alone may know it as well.

musicnn: the recipe of the bundled weights (`lastfm_mpd_weights.py`) with its sealed
artists, beside the layers it reads. VGGish and Whisper: the features of HetRec's
artists, with ``CFEmbedding()`` and ``CFRegressor()`` as they come, trained on one half
of the artists and asked about the other. Controls have the teacher's head and strength.

    python benchmarks/shared_listeners.py [--cache FOLDER]
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from lastfm_mpd_weights import (
    INPUT,
    NAME,
    SEED,
    SHIPPED,
    SIZES,
    Logs,
    apply,
    artist_means,
    cosine_aucs,
    is_sealed,
    join,
    read_clips,
    train,
)
from reporting import data_folder, record
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler
from teacher_head import seal
from transfer_defaults import hetrec_factors

from userlogfeat import CFRegressor, load_model, read_logs
from userlogfeat.comparison.teachers import (
    choices_of,
    distinct_factors,
    permute_factors,
)
from userlogfeat.evaluation.intervals import mean_interval
from userlogfeat.evaluation.similarity import nearest_clips

K = 10
N_TEACHERS = 3  # of each control
CONTROLS = {"permuted logs": permute_factors, "same artist": distinct_factors}
ESTIMATE = "estimate"


def estimates_of(teacher, X, factors, artists, asked):
    """Estimates for the clips asked about, by the teacher and by its controls."""
    found = {ESTIMATE: [teacher.predict(asked)]}
    for control, change in CONTROLS.items():
        found[control] = []
        for draw in range(N_TEACHERS):
            changed = change(factors, artists, np.random.default_rng([SEED, draw]))
            other = clone(teacher).set_params(**choices_of(teacher))
            found[control].append(other.fit(X, changed, groups=artists).predict(asked))
    return found


def standardised(X, asked):
    return StandardScaler().fit(X).transform(asked)


def of_musicnn(folder):
    """Spaces of the sealed artists, their clips' artists, who shares, and listeners."""
    data = data_folder()
    clips, _ = read_clips(data, folder)
    logs = Logs(data)
    music = join(clips[name][logs.usable(clips[name])] for name in ("taffc", "gtzan"))
    sealed = is_sealed(music, np.random.default_rng(SEED))
    known, asked = music[~sealed], music[sealed]
    factors = logs.factors(*SHIPPED)
    of_known = factors[logs.columns(known.artists)]
    X = known.layer(INPUT)
    teacher = train(X, of_known, known.artists)
    spaces = estimates_of(teacher, X, of_known, known.artists, asked.layer(INPUT))
    old = load_model("lastfm2k-musicnn").network.head
    spaces["lastfm2k-musicnn"] = [apply(old, asked.taggram_meanstd())]
    for layer in SIZES:
        own = asked.layer((layer,))
        spaces[layer] = [own]
        spaces[f"{layer}, standardised"] = [standardised(known.layer((layer,)), own)]
    spaces["true factors"] = [factors[logs.columns(asked.artists)]]
    names = np.unique(asked.artists)
    return (
        spaces,
        asked.artists,
        logs.shared(names),
        logs.listeners[logs.columns(names)],
    )


def of_encoder(name):
    """The same for features of HetRec's artists, of which one half is asked about."""
    stored = np.load(data_folder() / "lfm2k_vggish" / "lfm2k_audio_features.npz")
    X, ids = stored[name.lower()], stored["hetrec_artist_id"]
    sealed, of_artist = seal(ids), hetrec_factors()
    factors = np.stack([of_artist[artist] for artist in ids.tolist()])
    known, own = X[~sealed], X[sealed]
    teacher = CFRegressor("mlp", random_state=SEED)
    teacher.fit(known, factors[~sealed], groups=ids[~sealed])
    print(name, choices_of(teacher), flush=True)
    spaces = estimates_of(teacher, known, factors[~sealed], ids[~sealed], own)
    spaces[name] = [own]
    spaces[f"{name}, standardised"] = [standardised(known, own)]
    spaces["true factors"] = [factors[sealed]]
    logs = read_logs(data_folder() / "hetrec2011-lastfm-2k", "hetrec-lastfm-2k")
    columns = {artist: n for n, artist in enumerate(logs.item_ids.tolist())}
    asked = np.unique(ids[sealed])
    plays = logs.user_items.tocsc()[:, [columns[artist] for artist in asked.tolist()]]
    plays = (plays > 0).astype(np.float32)
    listeners = np.asarray(plays.sum(axis=0))[0]
    return spaces, ids[sealed], (plays.T @ plays).toarray(), listeners


def rows_of(title, spaces, names, n_shared, listeners):
    """Rows of a set: AUC and precision of each space, and what the estimate gains."""
    shared = n_shared > 0
    np.fill_diagonal(shared, False)
    n = len(shared)
    found, aucs = {}, {}
    for space, draws in spaces.items():
        means = [artist_means(draw, names) for draw in draws]
        nearest = [nearest_clips(mean, K, metric="cosine") for mean in means]
        found[space] = np.stack([share_right(shared, rows) for rows in nearest])
        aucs[space] = np.mean([cosine_aucs(m @ m.T, shared).mean() for m in means])
    popular = np.tile(-listeners.astype(float), (n, 1))
    np.fill_diagonal(popular, np.inf)
    most = popular.argsort(axis=1, kind="stable")[:, :K]
    found["those of most listeners"] = share_right(shared, most)[None]
    found["any others (chance)"] = shared.sum(axis=1)[None] / (n - 1)
    rows = []
    for space, values in found.items():
        gain = "-"
        if space != ESTIMATE:
            gain = between(found[ESTIMATE] - values, (-1, 1), "+.3f")
        auc = f"{aucs[space]:.3f}" if space in aucs else "-"
        rows.append([title, space, auc, between(values, (0, 1), ".3f"), gain])
        print(rows[-1], flush=True)
    return rows


def share_right(shared, nearest):
    """Share of the neighbours of each artist that have a listener in common with it."""
    return np.take_along_axis(shared, nearest, axis=1).mean(axis=1)


def between(values, bounds, spec):
    """A mean and its interval over artists and teachers."""
    mean, low, high = mean_interval(values, bounds=bounds)
    return f"{mean:{spec}} ({low:{spec}} to {high:{spec}})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, help="folder that keeps the features")
    arguments = parser.parse_args()
    folder = arguments.cache or Path(tempfile.mkdtemp())
    sets = {"musicnn": of_musicnn(folder)}
    sets |= {name: of_encoder(name) for name in ("VGGish", "Whisper")}
    rows = [row for title, given in sets.items() for row in rows_of(title, *given)]
    counts = ", ".join(f"{title} {len(given[2])}" for title, given in sets.items())
    record(
        "shared_listeners",
        f"Do the {K} nearest neighbours share listeners? Artists that no teacher met",
        ["features", "space", "share AUC", f"precision@{K}", "estimate minus this"],
        rows,
        [
            f"Artists asked about, each among the others: {counts}. Right is a "
            "neighbour with one listener or more in common (a user of HetRec; for "
            "musicnn, a playlist as well). Cosine of artists' means of clips. 95% "
            f"intervals over artists, and over {N_TEACHERS} teachers of each control.",
            f"musicnn: the estimate is of the recipe of {NAME}, trained on the "
            "development artists; a second look at its sealed artists, of whom the "
            "share AUC was known. VGGish, Whisper: defaults, trained on the other half "
            "of the artists. Nothing was chosen on these tables.",
            "Those of most listeners are nearly the same ten for everybody: they share "
            "listeners with many, and are no neighbours. lastfm2k-musicnn was trained "
            "on GTZAN artists, of which some are among these.",
        ],
        seed=SEED,
    )


if __name__ == "__main__":
    main()
