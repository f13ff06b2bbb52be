"""`userlogfeat fit-users`: from logs to a user tower and its embeddings."""

from pathlib import Path
from typing import Annotated

import typer

from userlogfeat.cli import options as opt
from userlogfeat.cli.application import app
from userlogfeat.cli.console import Result
from userlogfeat.cli.fitting import NetworkFit, best_epoch, sizes_of

DEFAULT_ATTRIBUTES = ("artist", "album")


@app.command("fit-users")
def fit_users(
    logs: opt.Logs,
    columns: opt.TrainingLogs,
    liked: opt.Liked = None,
    disliked: opt.Disliked = None,
    catalogue: Path | None = None,
    catalogue_item: str = "item",
    attribute: list[str] | None = None,
    demographics: Path | None = None,
    demographics_user: opt.DemographicsUser = "user",
    text: Annotated[list[str] | None, typer.Option("--category")] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 512,
    *,
    fit: NetworkFit,
) -> Result:
    r"""Learn to embed users by what they played and who they are (Chen et al. 2021).

    New users need no training: `recommend --history` embeds them. With --time, the
    tower learns to predict each user's last item; without, one drawn anew in every
    epoch.

    Parameters
    ----------
    catalogue
        Table of what is known of items.
    catalogue_item
        Its column of the logs' items.
    demographics
        Table of what is known of users.
    attribute
        Its column to learn from; may be repeated. Default: artist and album, where they
        are there.
    text
        Its column of numbers that are names (a postcode); may be repeated.
    batch_size
        Users in a step.

    Examples
    --------
      userlogfeat fit-users plays.csv -o users --user user_id --item track_id
      userlogfeat fit-users plays.csv -o users --time played_at \
          --catalogue tracks.csv --catalogue-item track_id \
          --attribute artist --attribute genre
      userlogfeat fit-users plays.csv -o users --demographics people.csv \
          --category postcode

    --set reaches the other parameters of UserEmbedding: n_units=64, lr=0.01.

    OUTPUT gets the tower, and user_factors.parquet and item_factors.parquet as those of
    fit-cf, one row per id. Then:
      userlogfeat recommend users users -o more.csv --exclude plays.csv
      userlogfeat recommend users users -o more.csv --history new_people.csv
      userlogfeat fit-metric tracks.csv plays.csv -o metric --users users
      UserEmbedding.load("users")                           in Python
    """
    from userlogfeat import factor_files
    from userlogfeat._files import fill_folder
    from userlogfeat.estimators.user_tower import UserEmbedding
    from userlogfeat.id_tables import read_id_table, rows_for

    if text and demographics is None:
        raise ValueError("Got --category without --demographics, whose it is.")
    tower = fit.estimator(UserEmbedding, batch_size=batch_size)
    # Tables are read before the logs, which take longer: errors come early.
    people = items = attributes = None
    if demographics is not None:
        people = read_id_table(demographics, demographics_user, text=tuple(text or ()))
    if catalogue is not None:
        items = _read_attributes(catalogue, catalogue_item, attribute)
    plays = columns.read(logs, liked=liked, disliked=disliked)
    known = {"liked": plays.liked, "disliked": plays.disliked}
    if people is not None:
        place = {"path": demographics, "id_column": demographics_user}
        known["demographics"] = rows_for(people, plays.user_ids, **place)
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
    digest = factor_files.digest_users(plays.user_ids, embedded)
    made_by = {"class": "UserEmbedding", "logs": logs.name}
    made_by |= {"seed": fit.random_state, factor_files.DIGEST: digest}
    factors = factor_files.Factors(
        *(plays.user_ids, embedded),
        *(plays.item_ids, tower.item_embeddings_),
        made_by=made_by,
        popularity=factor_files.item_popularity(plays.user_items),
    )
    with fill_folder(fit.output) as folder:
        notes = fit.training_data(f"{plays} of {logs.name}")
        tower.save(folder, training_data=notes)
        factor_files.write_factors(folder, factors)
        factor_files.write_plays(folder, plays.user_items, digest)
    epochs, shown = best_epoch(tower.history_)
    values = {"output": fit.output, "size": embedded.shape[1], **sizes_of(plays)}
    text = f"{plays} -> {embedded.shape[1]} numbers each, in {fit.output} ({shown})"
    return Result(values | epochs, text)


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
