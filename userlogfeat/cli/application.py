"""The application that the commands are added to."""

from typing import Annotated

import typer

from userlogfeat.cli.wording import note_options

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Audio features for small music tasks, learned from listening logs.",
    epilog="""\b
From nothing to features:
  userlogfeat extract my_music/ -o features          with the bundled weights
  userlogfeat fit-cf plays.csv -o factors            or learn from your own logs:
  userlogfeat fit-teacher tracks.csv factors -o teacher
  userlogfeat extract my_music/ -o features --weights teacher

\b
Tracks that nobody has played, for those who will like them:
  userlogfeat fit-users plays.csv -o users
  userlogfeat fit-metric tracks.csv plays.csv -o metric --users users
  userlogfeat recommend metric new_tracks/ -o recommendations.csv

\b
Exit codes: 0 all well, 1 some files failed, 2 wrong usage or input,
3 stopped because the output could not be written, 130 interrupted, 143 terminated.

`userlogfeat COMMAND --help` explains a command, with examples.
With USERLOGFEAT_DEBUG=1 in the environment, errors show where they arose.""",
)


def _version(value):
    if value:
        import userlogfeat

        typer.echo(f"userlogfeat {userlogfeat.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show it."),
    ] = False,
) -> None:
    """Options of all commands."""
    if context.invoked_subcommand:
        note_options(context.command.commands[context.invoked_subcommand])
