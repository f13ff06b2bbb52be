"""`userlogfeat fit-users`: from logs to a user tower and its embeddings."""

from pathlib import Path
from typing import Annotated

import typer

from userlogfeat.cli import options as opt
from userlogfeat.cli.application import app
from userlogfeat.cli.console import print_line
from userlogfeat.cli.errors import check_output, explained
from userlogfeat.cli.fitting import best_epoch, training_data, with_settings

DEFAULT_ATTRIBUTES = ("artist", "album")


@app.command(
    "fit-users",
    epilog="""\b
Examples:
  userlogfeat fit-users plays.csv -o users --user user_id --item track_id
  userlogfeat fit-users plays.csv -o users --time played_at \\
      --catalogue tracks.csv --catalogue-item track_id \\
      --attribute artist --attribute genre
  userlogfeat fit-users plays.csv -o users --demographics people.csv \\
      --category postcode

\b
--set reaches the other parameters of UserEmbedding: n_units=64, lr=0.01.

\b
OUTPUT gets the tower, and user_factors.parquet and item_factors.parquet as those of
fit-cf, one row an id. Then:
  userlogfeat recommend users users -o more.csv --exclude plays.csv
  userlogfeat recommend users users -o more.csv --history new_people.csv
  userlogfeat fit-metric tracks.csv plays.csv -o metric --users users
  UserEmbedding.load("users")                           in Python""",
)
def fit_users(
    logs: opt.Logs,
    output: opt.Output,
    format: opt.Format = None,
    user: opt.User = None,
    item: opt.Item = None,
    count: opt.Count = None,
    time: opt.Time = None,
    liked: opt.Liked = None,
    disliked: opt.Disliked = None,
    min_users_per_item: opt.MinCount = 1,
    min_items_per_user: opt.MinCount = 1,
    catalogue: Annotated[
        Path | None, opt.path_option(help="Table of what is known of items.")
    ] = None,
    catalogue_item: Annotated[
        str, typer.Option(help="Its column of the logs' items.")
    ] = "item",
    attribute: Annotated[
        list[str] | None,
        typer.Option(
            help="Its column to learn from; may be repeated. "
            "Default: artist and album, where they are there."
        ),
    ] = None,
    demographics: opt.Demographics = None,
    demographics_user: opt.DemographicsUser = "user",
    text: Annotated[
        list[str] | None,
        typer.Option(
            "--category",
            help="Its column of numbers that are names (a postcode); may be repeated.",
        ),
    ] = None,
    max_epochs: opt.Epochs = 100,
    batch_size: Annotated[int, typer.Option(min=1, help="Users in a step.")] = 512,
    settings: opt.Settings = None,
    licence: opt.Licence = "not stated",
    description: opt.Description = None,
    non_commercial: opt.NonCommercial = False,
    device: opt.Device = "auto",
    random_state: opt.Seed = 0,
    overwrite: opt.Overwrite = False,
    quiet: opt.Quiet = False,
) -> None:
    """Learn to embed users by what they played and who they are (Chen et al. 2021).

    New users need no training: `recommend --history` embeds them. With --time, the
    tower learns to predict each user's last item; without, one drawn anew in every
    epoch.
    """
    with explained():
        from userlogfeat._files import fill_folder
        from userlogfeat.estimators.user_tower import UserEmbedding
        from userlogfeat.factor_files import (
            DIGEST,
            Factors,
            digest_users,
            share_of_users,
            write_factors,
        )
        from userlogfeat.id_tables import read_id_table, rows_for
        from userlogfeat.logs import read_logs

        check_output(output, overwrite)
        if text and demographics is None:
            raise ValueError("Got --category without --demographics, whose it is.")
        tower = UserEmbedding(
            max_epochs=max_epochs,
            batch_size=batch_size,
            device=device,
            random_state=random_state,
            verbose=0 if quiet else 1,
        )
        tower = with_settings(tower, settings)
        # Tables are read before the logs, which take longer: errors come early.
        people = items = None
        if demographics is not None:
            people = read_id_table(
                demographics, demographics_user, text=tuple(text or ())
            )
        if catalogue is not None:
            items = _read_attributes(catalogue, catalogue_item, attribute)
        columns = opt.given(
            user=user, item=item, count=count, time=time, liked=liked, disliked=disliked
        )
        plays = read_logs(
            logs,
            format,
            **columns,
            min_users_per_item=min_users_per_item,
            min_items_per_user=min_items_per_user,
        )
        known = {"liked": plays.liked, "disliked": plays.disliked}
        if people is not None:
            place = {"path": demographics, "id_column": demographics_user}
            known["demographics"] = rows_for(people, plays.user_ids, **place)
        attributes = None
        if items is not None:
            place = {"path": catalogue, "id_column": catalogue_item}
            frame = rows_for(items, plays.item_ids, **place)
            attributes = frame.to_dict(as_series=False)
        tower.fit(
            plays.user_items,
            last_items=plays.last_items,
            item_attributes=attributes,
            **known,
        )
        embedded = tower.transform(plays.user_items, **known)
        made_by = {"class": "UserEmbedding", "logs": logs.name, "seed": random_state}
        made_by[DIGEST] = digest_users(plays.user_ids, embedded)
        popularity = share_of_users(plays.user_items)
        factors = (plays.user_ids, embedded, plays.item_ids, tower.item_embeddings_)
        default = f"{plays} of {logs.name}"
        notes = training_data(description, default, licence, non_commercial)
        with fill_folder(output) as folder:
            tower.save(folder, training_data=notes)
            write_factors(
                folder, Factors(*factors, made_by=made_by, popularity=popularity)
            )
    if not quiet:
        print_line(
            f"{plays} -> {embedded.shape[1]} numbers each, in {output} "
            f"({best_epoch(tower.history_)})"
        )


def _read_attributes(path, id_column, names):
    """The table of items, with the columns asked for, all of them text or codes."""
    from userlogfeat.catalogue.sources import read_table
    from userlogfeat.id_tables import read_id_table

    if not names:
        there = read_table(path).columns
        names = [n for n in DEFAULT_ATTRIBUTES if n in there]
        if not names:
            raise ValueError(
                f"{path} has no column {' or '.join(DEFAULT_ATTRIBUTES)}. Name with "
                f"--attribute which of its columns to learn from: {', '.join(there)}."
            )
    names = list(dict.fromkeys(names))
    return read_id_table(path, id_column, columns=names, text=names)
