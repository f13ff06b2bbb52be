"""`userlogfeat fit-users`: from logs to a user tower and its embeddings."""

from pathlib import Path
from typing import Annotated

import typer

from userlogfeat.cli.application import app
from userlogfeat.cli.errors import check_output, explained
from userlogfeat.cli.options import (
    CountColumn,
    Description,
    Device,
    DislikedColumn,
    Format,
    ItemColumn,
    Licence,
    LikedColumn,
    Logs,
    NonCommercial,
    Output,
    Overwrite,
    Quiet,
    Seed,
    TimeColumn,
    UserColumn,
    named_columns,
    path_of,
)
from userlogfeat.cli.telling import tell

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
OUTPUT gets the tower, and user_factors.parquet and item_factors.parquet as those of
fit-cf, one row an id. Then:
  userlogfeat recommend users users -o more.csv --exclude plays.csv
  userlogfeat recommend users users -o more.csv --history new_people.csv
  userlogfeat fit-metric tracks.csv plays.csv -o metric --users users
  UserEmbedding.load("users")                           in Python""",
)
def fit_users(
    logs: Logs,
    output: Output,
    format: Format = None,
    user: UserColumn = None,
    item: ItemColumn = None,
    count: CountColumn = None,
    time: TimeColumn = None,
    liked: LikedColumn = None,
    disliked: DislikedColumn = None,
    min_users_per_item: Annotated[int, typer.Option(min=0)] = 1,
    min_items_per_user: Annotated[int, typer.Option(min=0)] = 1,
    catalogue: Annotated[
        Path | None,
        typer.Option(help="Table of what is known of items.", parser=path_of),
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
    demographics: Annotated[
        Path | None,
        typer.Option(help="Table of what is known of users.", parser=path_of),
    ] = None,
    demographics_user: Annotated[
        str, typer.Option(help="Its column of the logs' users. All others are used.")
    ] = "user",
    category: Annotated[
        list[str] | None,
        typer.Option(
            help="Its column of numbers that are names (a postcode); may be repeated."
        ),
    ] = None,
    units: Annotated[int, typer.Option(min=1, help="Length of an embedding.")] = 40,
    epochs: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    batch_size: Annotated[int, typer.Option(min=1, help="Users in a step.")] = 512,
    licence: Licence = "not stated",
    description: Description = None,
    non_commercial: NonCommercial = False,
    device: Device = "auto",
    seed: Seed = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Learn to embed users by what they played and who they are (Chen et al. 2021).

    New users need no training: `recommend --history` embeds them. With --time, the
    tower learns to tell each user's last item; without, one drawn anew in every epoch.
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
        from userlogfeat.id_tables import read_id_table
        from userlogfeat.logs import read_logs

        check_output(output, overwrite)
        if category and demographics is None:
            raise ValueError("Got --category without --demographics, whose it is.")
        people = demographics and read_id_table(
            demographics, demographics_user, text=tuple(category or ())
        )
        items = catalogue and _read_attributes(catalogue, catalogue_item, attribute)
        plays = read_logs(
            logs,
            format,
            **named_columns(user, item, count, time, liked, disliked),
            min_users_per_item=min_users_per_item,
            min_items_per_user=min_items_per_user,
        )
        known = _known_of(plays, people, demographics, demographics_user)
        known |= _attributes_of(plays, items, catalogue, catalogue_item)
        tower = UserEmbedding(
            units,
            max_epochs=epochs,
            batch_size=batch_size,
            device=device,
            random_state=seed,
            verbose=0 if quiet else 1,
        ).fit(plays.user_items, last_items=plays.last_items, **known)
        known = {k: v for k, v in known.items() if k != "item_attributes"}
        embedded = tower.transform(plays.user_items, **known)
        default = f"{plays} of {logs.name}"
        made_by = {"class": "UserEmbedding", "logs": logs.name, "seed": seed}
        made_by[DIGEST] = digest_users(plays.user_ids, embedded)
        with fill_folder(output) as folder:
            tower.save(
                folder,
                training_data={
                    "description": description or default,
                    "licence": licence,
                    "non_commercial": non_commercial,
                },
            )
            factors = (plays.user_ids, embedded, plays.item_ids, tower.item_embeddings_)
            popularity = share_of_users(plays.user_items)
            known = {"made_by": made_by, "popularity": popularity}
            write_factors(folder, Factors(*factors, **known))
    if not quiet:
        losses = [epoch["valid_loss"] for epoch in tower.history_]
        tell(
            f"{plays} -> {units} numbers each, in {output} (best of {len(losses)} "
            f"epochs: {losses.index(min(losses)) + 1})"
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
                f"{path} has no column {' or '.join(DEFAULT_ATTRIBUTES)}. Say with "
                f"--attribute which of its columns to learn from: {', '.join(there)}."
            )
    names = list(dict.fromkeys(names))
    return read_id_table(path, id_column, columns=names, text=names)


def _known_of(plays, people, path, id_column):
    """Feedback and demographics of users, as `fit` and `transform` take them."""
    from userlogfeat.id_tables import rows_for

    known = {"liked": plays.liked, "disliked": plays.disliked}
    if people is not None:
        known["demographics"] = rows_for(
            people, plays.user_ids, path=path, id_column=id_column
        )
    return {name: value for name, value in known.items() if value is not None}


def _attributes_of(plays, items, path, id_column):
    from userlogfeat.id_tables import rows_for

    if items is None:
        return {}
    frame = rows_for(items, plays.item_ids, path=path, id_column=id_column)
    return {"item_attributes": frame.to_dict(as_series=False)}
