"""`userlogfeat forget`: users who ask for it are removed from logs and models."""

from pathlib import Path
from typing import Annotated

import typer

from userlogfeat.cli import options as opt
from userlogfeat.cli.application import app
from userlogfeat.cli.console import Result
from userlogfeat.cli.extract import read_list


@app.command(
    kept="Some paths may still hold these users: run the same again.",
    epilog="""\b
Examples:
  userlogfeat forget plays.parquet factors users metric --id ann --id bob
  userlogfeat forget logs/ --list gone.txt --user user_id

\b
PATHS are logs (csv, tsv, Parquet, folders of Parquet files), and folders of fit-cf,
fit-users and fit-metric. A user's rows go; factors of items and networks, which are of
all users together, stay as they are: train again if they must not. Run the same again
after any stop.""",
)
def forget(
    paths: Annotated[
        list[Path], opt.path_argument("PATHS", "Logs and folders of models.")
    ],
    user_id: Annotated[
        list[str] | None, typer.Option("--id", help="A user; may be repeated.")
    ] = None,
    list_file: Annotated[
        str | None,
        typer.Option("--list", help='File with one user a line; "-" reads stdin.'),
    ] = None,
    user: opt.User = None,
) -> Result:
    """Remove users who ask to be forgotten from logs, factors, towers and models."""
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
