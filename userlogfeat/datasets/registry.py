"""Published data sets by name: a reader, and facts from the docstring of its file.

The docstring of a set's file is its documentation: the first line names it, and
paragraphs that begin with "Citation:", "Licence:" and "Splits:" have the rest.
"""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from userlogfeat._registry import FunctionT, Registry


@dataclass(frozen=True)
class DataSet:
    """A published data set.

    Attributes
    ----------
    title : str
    function : callable
        Reader: from the folder of the set to :class:`LabelledClips`.
    content : str
        Number and kind of clips, in a line.
    citation, licence, splits : str
    """

    title: str
    function: Callable[..., Any]
    content: str
    citation: str
    licence: str
    splits: str


DATASETS = Registry("data set")


def register_dataset(title: str) -> Callable[[FunctionT], FunctionT]:
    """Register the decorated function as the reader of a published data set.

    It is then a name of ``userlogfeat.datasets``, an entry of ``DATASETS`` and a row of
    the tables in the documentation.

    Parameters
    ----------
    title : str
        Name of the set, which must be new.

    Returns
    -------
    callable
        Decorator of a function from a folder to :class:`LabelledClips`.

    Raises
    ------
    ValueError
        If the docstring of the reader's file has no first line "Title: content." or
        lacks one of the paragraphs "Citation: ...", "Licence: ..." and "Splits: ...".
    """

    def describe(reader):
        text = sys.modules[reader.__module__].__doc__ or ""
        facts = {
            name.lower(): _find(rf"^{name}: (.+?)(?:\n\n|\Z)", text, name, reader)
            for name in ("Citation", "Licence", "Splits")
        }
        content = _find(r"\A[^\n:]+: (.+?)\.?(?:\n|\Z)", text, "Title", reader)
        return DataSet(title, reader, content, **facts)

    return DATASETS.register(title, describe)


def _find(pattern, text, name, reader):
    found = re.search(pattern, text, re.DOTALL | re.MULTILINE)
    if found is None:
        raise ValueError(
            f"The docstring of {reader.__module__}, which describes a data set, has no "
            f"paragraph '{name}: ...'."
        )
    return " ".join(found.group(1).split())


def list_datasets() -> str:
    """Return tables of all registered sets in Markdown, for the documentation.

    Returns
    -------
    str
        Reader, content and splits of each set; then its licence and citation.
    """
    sets = DATASETS.values()
    rows = [
        "| set | reader | content | splits |\n|---|---|---|---|",
        *(
            f"| {s.title} | `{s.function.__name__}` | {s.content} | {s.splits} |"
            for s in sets
        ),
        "\n| set | licence | citation |\n|---|---|---|",
        *(f"| {s.title} | {s.licence} | {s.citation} |" for s in sets),
    ]
    return "\n".join(rows) + "\n"
