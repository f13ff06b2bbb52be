"""`userlogfeat split` and `userlogfeat evaluate`: held-out plays, and their ranking."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from userlogfeat.cli import options as opt
from userlogfeat.cli.application import app
from userlogfeat.cli.console import Result, print_line
from userlogfeat.cli.errors import TOO_LOW, check_file, check_output
from userlogfeat.cli.recommend import Compared

HISTORY = 0.5  # part of a held-out user's plays that embeds the user


@app.command()
def split(
    logs: opt.Logs,
    output: opt.Output,
    by: Literal["plays", "latest", "time", "users", "items"] = "plays",
    test_size: Annotated[float, typer.Option(min=0, max=1)] = 0.2,
    validation_size: Annotated[float, typer.Option(min=0, max=1)] = 0.0,
    since: str | None = None,
    *,
    named: opt.LogColumns,
    time: opt.Time = None,
    catalogue: opt.ItemsOfClips = None,
    clip: opt.Clip = "clip",
    catalogue_item: opt.CatalogueItem = None,
    artist: opt.Artist = None,
    random_state: opt.Seed = 0,
    overwrite: opt.Overwrite = False,
) -> Result:
    """Split logs into plays to train on, and plays to evaluate with.

    Parameters
    ----------
    by
        What is held out; see below.
    test_size
        Part that is held out for the test.
    validation_size
        Part for choices before the test.
    since
        Of --by time: date or number; the test's start.

    Examples
    --------
      userlogfeat split plays.csv -o parts --by plays
      userlogfeat split plays.csv -o parts --by time --time played_at --since 2024-03-01
      userlogfeat fit-cf parts/train.parquet -o factors --count count
      userlogfeat evaluate factors parts/test.parquet

    --by plays     a random part of each user's plays is held out
         latest    each user's own latest plays (--time)
         time      all items that a user first plays from a moment on: --since, or by
                   --test-size (--time)
         users     users of whom training knows nothing; half of their plays are their
                   history: evaluate --history parts/test_history.parquet
         items     items that nobody has played in training; with --catalogue, all of an
                   artist: evaluate --items FEATURES

    OUTPUT gets train.parquet, test.parquet and, with --validation-size,
    validation.parquet: one row per pair of user and item, with its count. With latest
    and time a pair is where its first play is; plays of it that are as late as those of
    the next part do not count.
    """
    import numpy as np

    from userlogfeat._files import fill_folder
    from userlogfeat.evaluation import recommendation_splits as splits
    from userlogfeat.logs.reading import read_each_play

    check_output(output, overwrite)
    timed = by in ("latest", "time")
    if timed and (time is None or named.format is not None):
        raise ValueError(f"--by {by} needs --time COLUMN, and logs without --format.")
    if since is not None and by != "time":
        raise ValueError(f"--since {since} is of no use with --by {by}.")
    if since is not None and validation_size:
        raise ValueError(
            "Got --since with --validation-size: all plays from that moment on are the "
            "test, and all before it train.parquet. Leave one out."
        )
    sizes = {"train": 1 - test_size - validation_size}
    sizes |= {"validation": validation_size, "test": test_size}
    sizes = {name: size for name, size in sizes.items() if size > 0}
    if "train" not in sizes or "test" not in sizes:
        raise ValueError("Nothing is left to train on, or to test: change the sizes.")
    if timed:
        roles = {"user": "user", "item": "item"} | named.named(time=time)
        plays, (users, items, counts, times), cut = read_each_play(logs, roles, since)
    else:
        plays = named.read(logs)
    pairs, shares = plays.user_items, list(sizes.values())
    pairs.sort_indices()
    seed, histories = {"seed": random_state}, {}
    if timed:
        places = np.searchsorted(_keys(pairs), users * pairs.shape[1] + items)
        events = places, times, counts
        first = np.full(pairs.nnz, times.max())
        np.minimum.at(first, places, times)
        cuts = {"per_user": by == "latest"} if cut is None else {"cuts": [cut]}
        parts = splits.split_by_time(pairs, first, shares, **cuts)
        _drop_later(parts, pairs, events, first, per_user=by == "latest")
        sizes = sizes if cut is None else {"train": 0, "test": 0}
    elif by == "plays":
        parts = splits.split_per_user(pairs, shares, **seed)
    else:
        n_users, n_items = pairs.shape
        if by == "users":
            drawn = splits.split_users(n_users, shares, **seed)
        else:
            known = {"artists": None}
            if catalogue is not None:
                known["artists"] = _artists(
                    plays, catalogue, clip, catalogue_item or "item", artist
                )
            drawn = splits.split_items(n_items, shares, **known, **seed)
        parts = [_only(pairs, kept, axis=int(by == "items")) for kept in drawn]
    tables = dict(zip(sizes, parts, strict=True))
    if by == "users":
        for name in set(tables) - {"train"}:
            halves = splits.split_per_user(tables[name], (HISTORY, 1 - HISTORY), **seed)
            histories[f"{name}_history"], tables[name] = halves
    tables |= histories
    with fill_folder(output) as folder:
        for name, part in tables.items():
            _write(folder / f"{name}.parquet", part, plays)
    values = {"output": output} | {name: part.nnz for name, part in tables.items()}
    shown = ", ".join(f"{part.nnz} {name}" for name, part in tables.items())
    return Result(values, f"{plays} -> {shown} pairs, in {output}")


def _only(pairs, kept, axis):
    """The pairs of some users (axis 0) or items; the shape stays."""
    import numpy as np
    from scipy import sparse

    mask = np.zeros(pairs.shape[axis], pairs.dtype)
    mask[kept] = 1
    chosen = pairs.multiply(mask[None] if axis else mask[:, None])
    chosen = sparse.csr_matrix(chosen)
    chosen.eliminate_zeros()
    return chosen


def _keys(pairs):
    """A number for each pair of a matrix, ascending."""
    import numpy as np

    users = np.repeat(np.arange(pairs.shape[0]), np.diff(pairs.indptr))
    return users * pairs.shape[1] + pairs.indices


def _drop_later(parts, pairs, events, first, *, per_user):
    """Take plays out of each part that are as late as the parts after it begin.

    They are of pairs that were played before, too: training must not know of them.
    """
    import numpy as np

    keys = _keys(pairs)
    where = [np.searchsorted(keys, _keys(part)) for part in parts]
    users = keys // pairs.shape[1] * per_user
    never = events[1].max() + 1
    begin = np.full(pairs.shape[0], never, events[1].dtype)  # of the parts after
    ends = np.empty_like(first)
    for found in reversed(where):
        ends[found] = begin[users[found]]
        np.minimum.at(begin, users[found], first[found])
    places, times, counts = events
    kept = (times < ends[places]) | (times == first[places])
    sums = np.bincount(places[kept], counts[kept], minlength=len(keys))
    for part, found in zip(parts, where, strict=True):
        part.data = sums[found].astype(part.dtype)


def _artists(plays, catalogue, clip, item, artist):
    """Artist of each item of the logs, None where the catalogue has none."""
    from userlogfeat._ids import positions
    from userlogfeat.catalogue import read_catalogue

    table = read_catalogue(
        catalogue, clip=clip, item=item, artist=artist, check_files=False
    )
    rows = positions(plays.item_ids, table.items)
    return [None if row < 0 else table.artists[row] for row in rows]


def _write(path, pairs, plays):
    """Write pairs as logs."""
    import polars as pl

    pairs = pairs.tocoo()
    columns = {"user": plays.user_ids[pairs.row], "item": plays.item_ids[pairs.col]}
    pl.DataFrame(columns | {"count": pairs.data}).write_parquet(path)


@app.command()
def evaluate(
    users: opt.Users,
    held_out: Path,
    items: list[Path] | None = None,
    k: Annotated[list[int] | None, typer.Option("-k", min=1)] = None,
    exclude: Path | None = None,
    history: Path | None = None,
    at_least: Annotated[list[str] | None, typer.Option(metavar="METRIC=VALUE")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o")] = None,
    *,
    columns: opt.LogColumns,
    compared: Compared,
    overwrite: opt.Overwrite = False,
) -> Result:
    r"""Evaluate how well a model ranks held-out plays.

    Parameters
    ----------
    held_out
        Logs of plays that training did not have.
    items
        Feature table, audio or factors to rank; may be repeated. Default: the items of
        USERS
    k
        Length of a list; may be repeated. Default: 10
    exclude
        Further logs: what was played by them is not ranked.
    history
        Logs of new users, whom training did not see.
    at_least
        Exit with code 4 if a mean is lower; may be repeated.
    output
        A .parquet, .csv or .tsv file: metrics of each user.

    Examples
    --------
      userlogfeat evaluate factors parts/test.parquet
      userlogfeat evaluate users parts/test.parquet --history parts/test_history.parquet
      userlogfeat evaluate metric parts/test.parquet --items features \
          --catalogue tracks.csv
      userlogfeat evaluate factors parts/test.parquet -k 10 -k 50 --json \
          --at-least ndcg@10=0.2                       in CI: exit code 4 if it is lower

    All items of USERS, or of --items, are ranked for each user with held-out plays, but
    for those that the user has played before. Columns: the mean over users with its
    95 % interval, and the same metric of a list of the most popular items, which a
    model should beat. `userlogfeat split` makes HELD_OUT.
    """
    import numpy as np
    from scipy import sparse

    from userlogfeat.evaluation.ranking import unit_rows
    from userlogfeat.evaluation.recommendation import evaluate_ranking
    from userlogfeat.recommendation.files import check_suffix
    from userlogfeat.users import histories_for

    if output is not None:
        check_suffix(output)
        check_file(output, overwrite)
    bounds = [_bound(text) for text in at_least or ()]
    held, *others = (
        None if path is None else columns.read(path)
        for path in (held_out, history, exclude)
    )
    sides = compared.read(users, items or [users], played=others[0])
    ids = sides.people[0], sides.items.ids
    relevant = histories_for(held, *ids)["user_items"] > 0
    played = (sides.played, others[1])
    played = [histories_for(logs, *ids)["user_items"] for logs in played if logs]
    before = sum(played[1:], played[0]) if played else relevant * 0
    new = (relevant - relevant.multiply(before > 0)).tocsr().astype(np.float32)
    new.eliminate_zeros()
    _note_pairs(held.user_items.nnz, relevant.nnz, new.nnz)
    asked = np.flatnonzero(np.diff(new.indptr))
    embeddings = sides.people[1][asked], sides.items.embeddings
    if sides.metric == "cosine":
        embeddings = tuple(unit_rows(np.asarray(side)) for side in embeddings)
    known, popularity = {"k": k or [10], "exclude": before[asked]}, sides.popularity
    if played:
        counted = sparse.csr_matrix(before) > 0
        popularity = np.asarray(counted.sum(axis=0)).ravel()
        known["item_counts"] = popularity
    popular = np.ones((len(asked), 1), np.float32), popularity[:, None]
    scores, baseline = (
        evaluate_ranking(new[asked], side, **known) for side in (embeddings, popular)
    )
    rows = _rows(scores, baseline)
    means = scores.means
    for name, _ in bounds:
        if name not in means:
            raise ValueError(
                f"Got --at-least {name}, expected one of {', '.join(means)}."
            )
    if output is not None:
        _write_users(output, ids[0][asked], scores)
    low = [name for name, bound in bounds if not means[name] >= bound]
    for name, bound in bounds:
        if name in low:
            print_line(f"{name} is {means[name]:.4f}, below {bound:g}", err=True)
    return Result(rows, code=TOO_LOW if low else 0)


def _bound(text):
    """The metric and number of METRIC=VALUE."""
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise ValueError(
            f"Got --at-least {text!r}, expected METRIC=VALUE, such as ndcg@10=0.2."
        ) from None


def _note_pairs(n_pairs, n_known, n_new):
    """Print what became of the held-out pairs, where some are left out."""
    left_out = (
        f"{n_pairs - n_known} are of users or items that the model does not know, and "
        f"{n_known - n_new} were played before."
    )
    if not n_new:
        raise ValueError(f"None of {n_pairs} held-out pairs can be ranked: {left_out}")
    if n_new < n_pairs:
        text = f"Note: {n_new} of {n_pairs} held-out pairs are ranked; {left_out}"
        print_line(text, err=True)


def _rows(scores: Any, baseline: Any) -> list[dict[str, Any]]:
    """A row a metric: mean and interval over users, and the baseline's mean."""
    import numpy as np

    from userlogfeat.evaluation.intervals import mean_interval

    rows = []
    for name, mean in scores.means.items():
        low = high = np.nan
        values = scores.per_user.get(name, np.array([]))
        values = values[~np.isnan(values)]
        if len(values):
            _, low, high = mean_interval(values)
        row = {"metric": name, "mean": mean, "low": low, "high": high}
        rows.append(row | {"popular": baseline.means[name], "users": len(values)})
    return rows


def _write_users(path, ids, scores):
    import polars as pl

    from userlogfeat._files import replace_file

    frame = pl.DataFrame({"user": ids} | scores.per_user)
    with replace_file(path) as temporary:
        if path.suffix.lower() == ".parquet":
            frame.write_parquet(temporary)
        else:
            separator = "," if path.suffix.lower() == ".csv" else "\t"
            frame.write_csv(temporary, separator=separator)
