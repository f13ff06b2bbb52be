"""`userlogfeat forget`: users who ask for it are removed from logs and models."""

from pathlib import Path
from typing import Annotated

import typer

from userlogfeat.cli import options as opt
from userlogfeat.cli.application import app
from userlogfeat.cli.console import Result
from userlogfeat.cli.extract import read_list


@app.command(kept="Some paths may still hold these users: run the same again.")
def forget(
    paths: list[Path],
    user_id: Annotated[list[str] | None, typer.Option("--id")] = None,
    list_file: Annotated[str | None, typer.Option("--list")] = None,
    user: str | None = None,
) -> Result:
    """Remove users who ask to be forgotten from logs, factors, towers and models.

    Parameters
    ----------
    paths
        Logs and folders of models.
    user_id
        A user; may be repeated.
    list_file
        File with one user per line; "-" reads stdin.
    user
        Column. Default: user

    Examples
    --------
      userlogfeat forget plays.parquet factors users metric --id ann --id bob
      userlogfeat forget logs/ --list gone.txt --user user_id

    PATHS are logs (csv, tsv, Parquet, or folders of these; text perhaps compressed),
    other tables with a column of users, and folders of fit-cf, fit-users and
    fit-metric. A user's rows go; factors of items and networks, which are of all users
    together, stay as they are: train again if they must not. Run the same again after
    any stop.
    """
    from userlogfeat.forgetting import forget_users

    users = [*(user_id or []), *read_list(list_file, null=False)]
    if not users:
        raise ValueError("Got no users: pass --id USER, or --list FILE.")
    rows = [
        {"path": path, "removed": forget_users(path, users, **opt.given(user=user))}
        for path in paths
    ]
    lines = [f"{row['path']}: {row['removed']} rows removed" for row in rows]
    if not any(row["removed"] for row in rows):
        lines.append("None of these users is in them. Are the ids right?")
    return Result(rows, "\n".join(lines))
