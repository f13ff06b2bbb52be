"""Messages of the library, with options in the place of Python's keywords.

The library writes ``item='track'`` where a command has ``--item track``. Parameters of
the commands have the library's names, whatever their options are called, so the options
of the running command are all that is needed.
"""

import re
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import Any

_KEYWORD = re.compile(
    r"""(?<![\w./-])(?P<name>[a-z][a-z_]*)=(?!=)
    (?P<value>'[^']*'|"[^"]*"|\.\.\.|\([^()]*\)|[+-]?\w+(?:\.\w+)?)?""",
    re.VERBOSE,
)
_ADVICE = re.compile(r"\s*(?:Or pass|Pass|Leave out|Give|Set) [^.]*?\b[a-z_]+=[^ ]*")
_SENTENCE = re.compile(r"(?<=[.?!])\s+(?=[A-Z(])")
# Name of a parameter -> its option, in the command that runs.
_options: ContextVar[Mapping[str, str]] = ContextVar("options")


def in_options(text: str, options: Mapping[str, str] | None = None) -> str:
    """Replace the keywords in a message by options.

    Parameters
    ----------
    text : str
        Message of the library.
    options : mapping of str to str, optional
        Name of a parameter -> its option; by default those of the running command.

    Returns
    -------
    str
        Without advice to pass what the command has no option for.

    Examples
    --------
    >>> options = {"item": "--item", "max_epochs": "--epochs", "lr": "--set lr="}
    >>> in_options("Got item='a b' and max_epochs=3 (lr=).", options)
    "Got --item 'a b' and --epochs 3 (--set lr=)."
    >>> in_options("No column. Pass separator=';' if it is text.", {})
    'No column.'
    """
    options = _options.get({}) if options is None else options
    text = re.sub(r" ?\(Python: [^()]*\)", "", text)
    of_catalogue = "catalogue" in text

    def translate(found):
        name, value = found["name"], found["value"] or ""
        if of_catalogue and f"catalogue_{name}" in options:
            name = f"catalogue_{name}"
        if name not in options:
            return found[0]
        if value in ("...", "True"):
            value = ""
        if " " not in value and len(value) > 2:
            value = value.strip("'\"")
        between = "" if options[name].endswith("=") else " "
        return f"{options[name]}{between}{value}".rstrip()

    sentences = [_KEYWORD.sub(translate, part) for part in _SENTENCE.split(text)]
    kept = [part for part in sentences if not _ADVICE.match(part)]
    return " ".join(kept or sentences)


def note_options(command: Any) -> None:
    """Note the options of the command that is about to run.

    Parameters
    ----------
    command : click.Command
        A command, or a group: then the options of all its commands.
    """
    commands = getattr(command, "commands", {}).values() or [command]
    _options.set(
        {
            parameter.name: option
            for one in commands
            for parameter in one.params
            for option in parameter.opts
            if option.startswith("--")
        }
    )


def note_settings(names: Iterable[str]) -> None:
    """Note the parameters that ``--set`` takes, where they have no other option."""
    _options.set({name: f"--set {name}=" for name in names} | dict(_options.get({})))
