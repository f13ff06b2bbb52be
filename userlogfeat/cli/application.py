"""The application that the commands are added to.

A command returns a `Result`, or None. `App.command` does the rest, for all of them:
errors become a line and an exit code, notes on licences come last, and the result is
printed for people or, with ``--json``, for machines.
"""

import copy
import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer

from userlogfeat.cli import options as opt
from userlogfeat.cli.console import licence_notes_last, print_result
from userlogfeat.cli.errors import EXIT_CODES, NO_OUTPUT, explained
from userlogfeat.cli.wording import note_options

# Options of every command, in this order.
_OF_ALL = [
    inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, annotation=option, default=False
    )
    for name, option in (("as_json", opt.AsJson), ("quiet", opt.Quiet))
]


class App(typer.Typer):
    """Commands that return what is to be printed."""

    def command(
        self, name: str | None = None, *, kept: str = NO_OUTPUT, **settings: Any
    ) -> Callable[[Callable], Callable]:
        """Make a function a command, with ``--json`` and ``--quiet``.

        The function's docstring is the help: its first paragraphs, the texts of its
        parameters, and at the end its examples, line by line. A parameter without a
        default is an argument, one with a default an option. One whose type is a
        dataclass, such as :class:`options.LogColumns`, stands for the options that are
        its fields, with the texts of that docstring.

        Parameters
        ----------
        name : str, optional
            Name of the command; by default the function's.
        kept : str
            Message on the work that is kept where a signal stops the command. It may
            name arguments: "What was done is kept in {output}."
        **settings
            For Typer.
        """

        def decorate(function):
            described, texts = _documented(function)
            own = _parameters(function)
            groups = {p.name: p.annotation for p in own if is_dataclass(p.annotation)}
            for group in groups.values():
                for base in group.__mro__[:-1]:
                    texts = _documented(base)[1] | texts

            @functools.wraps(function)
            def command(*, as_json, quiet, **values):
                with explained(kept.format(**values), as_json):
                    for name, kind in groups.items():
                        options = {f.name: values.pop(f.name) for f in fields(kind)}
                        values[name] = kind(**options)
                    with licence_notes_last(quiet):
                        result = function(**values)
                    code = print_result(result, quiet=quiet, as_json=as_json)
                raise typer.Exit(code)

            parameters = [
                _as_option(option, texts)
                for p in own
                for option in (_parameters(groups[p.name]) if p.name in groups else [p])
            ]
            command.__signature__ = inspect.Signature([*parameters, *_OF_ALL])
            super(App, self).command(name, **described, **settings)(command)
            return function

        return decorate


def _parameters(function):
    return inspect.signature(function, eval_str=True).parameters.values()


def _documented(function):
    """Help and epilog of a command, and the texts of its parameters."""
    parts = re.split(r"\n*^(\w+)\n-+\n", inspect.getdoc(function), flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    found = re.findall(r"^(\w+)\n((?: .+\n?)+)", sections.get("Parameters", ""), re.M)
    texts = {name: " ".join(text.split()) for name, text in found}
    epilog = None
    if "Examples" in sections:  # \b: lines are printed as they are
        paragraphs = f"Examples:\n{sections['Examples']}".split("\n\n")
        epilog = "\n\n".join(f"\b\n{lines}" for lines in paragraphs)
    return {"help": parts[0], "epilog": epilog}, texts


def _as_option(option, texts):
    """The parameter for Typer: with its text, and its paths as they are given."""
    kind, info = option.annotation, None
    if get_origin(kind) is Annotated:
        kind, info = get_args(kind)
    elif option.default is option.empty:
        info = typer.Argument()
    info = copy.copy(info or typer.Option())
    info.help = texts.get(option.name, info.help)
    if isinstance(info, typer.models.ArgumentInfo):
        info.metavar = info.metavar or option.name.upper()
    if Path in (kind, *get_args(kind)):
        info.parser = opt.path_of
    kind = Annotated[kind, info]
    return option.replace(kind=option.KEYWORD_ONLY, annotation=kind)


_LISTED_CODES = "\n".join(f"  {code:3}  {what}" for code, what in EXIT_CODES.items())

app = App(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Audio features for small music tasks, learned from listening logs.",
    epilog=f"""\b
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
Exit codes:
{_LISTED_CODES}

With --json a command prints one JSON object per line to stdout, errors included;
progress and notes go to stderr.

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
