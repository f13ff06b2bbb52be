"""`userlogfeat recommend`: the best items of users, into a file."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from userlogfeat.cli import options as opt
from userlogfeat.cli.application import app
from userlogfeat.cli.console import Result, print_failures, show_warning
from userlogfeat.cli.errors import SOME_FAILED, check_file


@dataclass
class Sides:
    """Users and items, brought together from files.

    Attributes
    ----------
    people : (ids, embeddings)
    items : Items
    metric : {"dot", "cosine"}
        How they are compared.
    played : Interactions or None
        Plays of the users, where they are known.
    known_users : bool
        Whether they are those of the model, and not of ``--history``.
    popularity : ndarray, shape (n_items,)
    basis : list of str
        Basis of each user: known, history, demographics or popularity.
    """

    people: tuple[Any, Any]
    items: Any
    metric: str
    played: Any
    known_users: bool
    popularity: Any
    basis: list[str]


@dataclass
class Compared:
    """How users and items are compared.

    Parameters
    ----------
    weights
        Model of the audio. Default: that of USERS
    metric
        auto: cosine of audio embeddings, dot of factors.
    users_by
        Users of fit-cf: their factors, or the mean of what they played. auto: history
        for audio, factors for the items of the logs.
    """

    catalogue: opt.ItemsOfClips = None
    clip: opt.Clip = "clip"
    catalogue_item: opt.CatalogueItem = None
    by: opt.By = "item"
    weights: str | None = None
    metric: Literal["auto", "dot", "cosine"] = "auto"
    users_by: Literal["auto", "factors", "history"] = "auto"
    device: opt.Device = "auto"
    batch_size: opt.BatchSize = 16
    n_jobs: opt.Jobs = 2

    def read(
        self, users: Path, items: list[Path], *, played: Any, demographics: Any = None
    ) -> Sides:
        """Read users and items.

        Parameters
        ----------
        users : Path
        items : list of Path
        played : Interactions or None
            Histories of new users.
        demographics : polars.DataFrame, optional
        """
        from userlogfeat.recommendation.items import name_items
        from userlogfeat.recommendation.ranking import mean_scores
        from userlogfeat.recommendation.users import (
            basis_of_users,
            by_history,
            embed_users,
            read_played,
            read_users,
        )

        catalogue = self._read_catalogue()
        known_users = played is None and demographics is None
        if known_users:
            people = read_users(users)
            played = read_played(users)
        else:
            people = embed_users(users, played, demographics)
        found = self._read_items(items, users)
        if catalogue is not None:
            found = name_items(found, catalogue, by=self.by)
        score = found.metric if self.metric == "auto" else self.metric
        if _choose_users(self.users_by, users, score, played) == "history":
            score = "cosine" if self.metric == "auto" else score
            people = people[0], by_history(users, played, people[0])
        popularity = found.popularity
        if popularity is None:
            known = read_users(users)[1]
            popularity = mean_scores(found.embeddings, known, metric=score)
        basis = ["known"] * len(people[0])
        if not known_users:
            basis = basis_of_users(users, people[0], played, demographics)
            people = people[0], _without_unknown(people[1], basis)
        return Sides(people, found, score, played, known_users, popularity, basis)

    def _read_catalogue(self):
        """Read which clip is which item; None without a catalogue."""
        import polars as pl

        from userlogfeat.catalogue import Catalogue, read_catalogue

        if self.catalogue is None:
            return None
        column = opt.item_column(self.catalogue_item, self.by)
        settings = {"clip": self.clip, "item": column, "artist_conflicts": "ignore"}
        found = read_catalogue(self.catalogue, **settings, check_files=False)
        # Files may be gone whose features are in a table.
        folder = self.catalogue.parent if self.catalogue.is_file() else Path()
        clips = [os.path.join(folder, clip) for clip in found.clips]
        return Catalogue(found.frame.with_columns(clip=pl.Series(clips)))

    def _read_items(self, sources, users):
        """The items: of a folder of factors, of a table, or of audio files."""
        from userlogfeat.estimators.user_log import UserLogEmbedder
        from userlogfeat.recommendation.items import (
            has_factors,
            items_of_audio,
            items_of_factors,
            items_of_table,
        )
        from userlogfeat.recommendation.users import USERS
        from userlogfeat.tables import FeatureTable
        from userlogfeat.weights.config import CONFIG

        own = self.weights is None and (users / CONFIG).is_file()
        own = own and not (users / USERS).is_file()  # a model's, not a tower's
        model = self.weights or (str(users) if own else None)
        settings = {n: getattr(self, n) for n in ("device", "batch_size", "n_jobs")}
        embedder = model and UserLogEmbedder(model, layer="embedding", **settings)
        first, *others = sources
        if not others and has_factors(first):
            return items_of_factors(first, users=users)
        if not others and first.is_dir() and FeatureTable(first).exists():
            return items_of_table(first, model=embedder, users=users)
        folders = [source for source in sources if source.is_dir()]
        tables = [f for f in folders if has_factors(f) or FeatureTable(f).exists()]
        if tables:
            raise ValueError(
                f"{tables[0]} is a folder of factors or features, which is ranked "
                "alone. Recommend from each separately; ColdStartItems, in Python, "
                "brings known and new items into one list."
            )
        if embedder is None:
            raise ValueError(
                f"{first} is neither a feature table nor a folder of factors, and "
                f"{users} has no model that could embed it as audio. Pass --weights "
                "MODEL, the model that was trained with these users."
            )
        return items_of_audio(sources, embedder, users=users if self.weights else None)


@app.command()
def recommend(
    users: opt.Users,
    items: list[Path],
    output: Annotated[Path, typer.Option("--output", "-o")],
    k: Annotated[int, typer.Option("-k", min=1)] = 10,
    exclude: Path | None = None,
    history: Path | None = None,
    include_played: Annotated[bool, typer.Option("--include-played")] = False,
    demographics: Path | None = None,
    demographics_user: opt.DemographicsUser = "user",
    *,
    columns: opt.LogColumns,
    liked: opt.Liked = None,
    disliked: opt.Disliked = None,
    compared: Compared,
    search: Literal["exact", "approximate"] = "exact",
    overwrite: opt.Overwrite = False,
) -> Result:
    r"""Recommend items to users: known ones, or new ones by their histories.

    Audio that nobody has played is recommended by what it sounds like. Users and items
    must be from one training: fit-metric and its users, or fit-cf (and fit-teacher).

    Parameters
    ----------
    items
        See below.
    output
        A .parquet, .csv or .tsv file.
    k
        Items for each user.
    exclude
        Further logs: what a user has played in them is not recommended.
    history
        Logs of new users: recommend to these, not to those of USERS.
    include_played
        Recommend also what users have played, according to USERS and --history.
    demographics
        Table of what is known of new users, as given to fit-users. With --history,
        users that are not in it are left out.
    search
        approximate: for many users and millions of items; needs the extra `search`.

    Examples
    --------
      userlogfeat recommend metric new_tracks/ -o new.csv -k 20
      userlogfeat recommend metric features -o new.parquet --catalogue tracks.csv \
          --exclude plays.csv
      userlogfeat recommend users users -o more.csv --exclude plays.csv
      userlogfeat recommend metric features -o welcome.csv --history new_people.csv \
          --demographics people.csv

    ITEMS are one of:
      audio files, or folders of them    embedded by the model of USERS, or --weights
      a feature table                    of extract --weights MODEL
      a folder of fit-cf, fit-users      the items of the logs

    The file has the columns user, rank (from 1), item, score, basis; a user whose items
    run out has fewer rows. Items are clips as they were given; with --catalogue its
    items. Basis is what is known of the user: known (to USERS), history, demographics,
    or nothing but the popularity of the items. What users have played,
    by USERS, --history and --exclude, is left out.
    """
    from userlogfeat.recommendation.files import check_suffix, write_recommendations

    check_suffix(output)
    check_file(output, overwrite)
    verdicts = {"liked": liked, "disliked": disliked}
    excluded, played = (
        None if path is None else columns.read(path, **verdicts)
        for path in (exclude, history)
    )
    known = _read_people(users, demographics, demographics_user)
    sides = compared.read(users, items, played=played, demographics=known)
    people, found, known_users = sides.people, sides.items, sides.known_users
    left_out = [excluded, None if include_played else sides.played]
    if known_users and exclude is None and sides.played is None:
        _note_nothing_left_out(include_played, users)
    n_written, n_excluded = write_recommendations(
        output,
        people,
        (found.ids, found.embeddings),
        k,
        metric=sides.metric,
        exclude=[logs for logs in left_out if logs is not None],
        popularity=sides.popularity,
        basis=sides.basis,
        search=search,
    )
    _note_unknown(people[1], users)
    if exclude is not None and n_excluded[0] == 0:
        show_warning(
            f"{exclude} has none of these users with any of these items: nothing "
            f"was left out. {_why_apart(excluded, people[0], found.ids)}"
        )
    values = {"output": output, "recommendations": n_written}
    values |= {"items": len(found.ids), "users": len(people[0])}
    text = (
        f"{n_written} recommendations, of {len(found.ids)} items for "
        f"{len(people[0])} users, in {output}"
    )
    sources = zip((exclude, users if known_users else history), left_out, strict=True)
    there = [str(path) for path, logs in sources if logs is not None]
    pairs_left_out = dict(zip(there, n_excluded, strict=True))
    values["left_out"] = pairs_left_out
    for path, n_pairs in pairs_left_out.items():
        text += f"\n{n_pairs} pairs are not recommended: played, by {path}"
        if not n_pairs and found.metric == "cosine" and compared.catalogue is None:
            text += " (its items are no clips: --catalogue says which was played)"
    print_failures(found.failed)
    values["failed"] = found.failed
    return Result(values, text, SOME_FAILED if found.failed else 0)


def _why_apart(logs, user_ids, item_ids):
    """Which ids of logs are none of ours, with examples of both."""
    from userlogfeat._ids import nothing_shared, positions

    sides = (("users", logs.user_ids, user_ids), ("items", logs.item_ids, item_ids))
    for what, ids, ours in sides:
        if (positions(ids, ours) < 0).all():
            return nothing_shared(what, ids, ours)
    return "These users have played other items."


def _note_unknown(embeddings, folder):
    n_unknown = int((~embeddings.any(axis=1)).sum())
    if n_unknown:
        show_warning(
            f"Nothing is known of {n_unknown} of {len(embeddings)} users: no item of "
            f"theirs is among those of {folder}. They get what is most popular."
        )


def _read_people(folder, demographics, demographics_user):
    """The table of what is known of new users, or None."""
    from userlogfeat.id_tables import read_id_table
    from userlogfeat.recommendation.users import category_columns

    if demographics is None:
        return None
    names = category_columns(folder)
    return read_id_table(demographics, demographics_user, text=names)


def _choose_users(users_by, folder, metric, logs):
    """Whether users are factors, or the mean of their histories."""
    from userlogfeat.recommendation.users import learned_by

    is_cf = learned_by(folder) == "CFEmbedding"
    if users_by == "history" and not (is_cf and logs is not None):
        raise ValueError(
            f"--users-by history needs users of fit-cf and what they played; {folder} "
            + ("does not keep that: pass --history LOGS." if is_cf else "is a tower's.")
        )
    if users_by == "auto":
        return "history" if is_cf and logs is not None and metric == "cosine" else ""
    return users_by


def _without_unknown(embeddings, basis):
    """Zeros for users of whom nothing is known: a tower has the mean of all for them.

    So the popular items are theirs, as they are with factors.
    """
    embeddings = embeddings.copy()
    embeddings[[name == "popularity" for name in basis]] = 0
    return embeddings


def _note_nothing_left_out(include_played, folder):
    if not include_played:
        show_warning(
            f"{folder} does not keep what its users played (as where Spark wrote it, "
            "or CFEmbedding.save without user_items=): nothing is left out. Pass "
            "--exclude LOGS, or --include-played where that is meant."
        )
