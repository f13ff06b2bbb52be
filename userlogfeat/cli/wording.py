"""Messages of the library in the words of the command line.

The library speaks to those who write Python: ``item='track'``. A command has options:
``--item track``. This is the one place where the first become the second.
"""

import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

# Parameters of the library whose options have other names.
_OPTIONS = {
    "n_factors": "factors",
    "n_components": "components",
    "n_units": "units",
    "n_negatives": "negatives",
    "n_per_like": "sample_dislikes",
    "n_jobs": "jobs",
    "n_threads": "threads",
    "max_epochs": "epochs",
    "random_state": "seed",
    "rule": "feedback",
    "text": "category",
}
_KEYWORD = re.compile(
    r"""(?<![\w./-])(?P<name>[a-z][a-z_]*)=(?!=)
    (?P<value>'[^']*'|"[^"]*"|\.\.\.|[+-]?\w+(?:\.\w+)?)?""",
    re.VERBOSE,
)
_ADVICE = re.compile(r"\s*(?:Or pass|Pass|Leave out|Give|Set) [^.]*?\b[a-z_]+=[^ ]*")
_own: ContextVar[Mapping[str, str]] = ContextVar("options of the command")
_SENTENCE = re.compile(r"(?<=[.?!])\s+(?=[A-Z(])")


def in_options(text: str, options: Mapping[str, str]) -> str:
    """A message with options in the place of keywords.

    Parameters
    ----------
    text : str
    options : mapping of str to str
        Name of a command's parameter -> its option, as of :func:`own_options`.

    Returns
    -------
    str
        Without advice to pass what the command has no option for.

    Examples
    --------
    >>> in_options("Got item='a b' and n_units=3 (user=).", {"item": "--item",
    ...     "units": "--units", "user": "--user"})
    "Got --item 'a b' and --units 3 (--user)."
    >>> in_options("No column. Pass separator=';' if it is text.", {})
    'No column.'
    """
    text = re.sub(r" ?\(Python: [^()]*\)", "", text)
    of_catalogue = "catalogue" in text

    def translate(found):
        name = found["name"]
        name = _OPTIONS.get(name, name)
        if of_catalogue and f"catalogue_{name}" in options:
            name = f"catalogue_{name}"
        if name not in options:
            return found[0]
        value = found["value"] or ""
        if value in ("...", "True"):
            value = ""
        if " " not in value and len(value) > 2:
            value = value.strip("'\"")
        return f"{options[name]} {value}".rstrip()

    sentences = [_KEYWORD.sub(translate, part) for part in _SENTENCE.split(text)]
    kept = [part for part in sentences if not _ADVICE.match(part)]
    return " ".join(kept or sentences)


def note_options(command: Any) -> None:
    """Note which options the command has that is about to run.

    Parameters
    ----------
    command : click.Command
        Of a group of commands, the options of all.
    """
    commands = getattr(command, "commands", {}).values() or [command]
    _own.set(
        {
            parameter.name: option
            for one in commands
            for parameter in one.params
            for option in parameter.opts
            if option.startswith("--")
        }
    )


def own_options() -> Mapping[str, str]:
    """The options of the command that runs: name of the parameter -> "--option"."""
    return _own.get({})
