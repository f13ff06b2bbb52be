"""The options of the commands: what several of them have is defined here, once.

What one command has is a parameter of its function, or a field of its dataclass, and is
described in the docstring: see `application`. A command's parameter has the library's
name for it, whatever the option is called (``n_jobs: opt.Jobs`` is ``--jobs``): see
`wording`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer


def path_of(value: str) -> Path:
    """Return a path as given; refuse an empty one, as of an unset shell variable."""
    if not str(value):
        raise typer.BadParameter('it is empty. For the present folder pass ".".')
    return Path(value)


def given(**values: Any) -> dict[str, Any]:
    """Keep the columns that were named; the library knows the defaults of others."""
    return {name: value for name, value in values.items() if value is not None}


def item_column(column: str | None, by: str, artist: str | None = None) -> str:
    """Return the catalogue's column of the items of the logs.

    Parameters
    ----------
    column : str or None
        As named. None is that of `by`: a catalogue of artists needs no items.
    by : {"item", "artist", "album"}
        Kind of the items of the logs.
    artist : str or None
        The catalogue's column of artists.
    """
    return column or {"artist": artist or "artist"}.get(by, by)


# What is written, and how it is reported.
Output = Annotated[
    Path, typer.Option("--output", "-o", help="Folder to write; made if missing.")
]
Overwrite = Annotated[bool, typer.Option(help="Replace what is in OUTPUT.")]


def _be_quiet(value: bool) -> bool:
    """Show no bar with --quiet; else on a terminal, or as the environment says."""
    from userlogfeat._progress import show_progress

    show_progress(False if value else None)
    return value


Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="No bar, no summary.", callback=_be_quiet),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print a JSON object per line, for machines.")
]

# Computation.
Device = Annotated[str, typer.Option(help='"auto", "cpu", "cuda", "cuda:1", ...')]
BatchSize = Annotated[int, typer.Option(min=1, help="Clips per pass of the network.")]
Jobs = Annotated[int, typer.Option("--jobs", min=1, help="Threads that decode files.")]
Seed = Annotated[
    int,
    typer.Option(
        "--seed",
        min=0,
        max=2**32 - 1,
        help="Same seed, same result (on one machine).",
    ),
]


@dataclass
class Spark:
    """Where a command computes.

    Parameters
    ----------
    backend
        This machine, or a Spark cluster.
    master
        Spark cluster: spark://host:7077, yarn, local[4]. By default what Spark is
        configured for.
    conf
        Setting of Spark, such as spark.executor.memory=8g; may be repeated.
    """

    backend: Literal["local", "spark"] = "local"
    master: Annotated[str | None, typer.Option(metavar="URL")] = None
    conf: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE")] = None

    def session(self, **settings: str) -> Any:
        """Return a Spark session for ``--backend spark``, and None for the local one.

        Parameters
        ----------
        **settings : str
            Settings of Spark, with "__" for the dots, where `conf` has no others.
        """
        if self.backend != "spark":
            first = self.conf and self.conf[0]
            for name, value in (("master", self.master), ("conf", first)):
                if value is not None:
                    raise ValueError(
                        f"--{name} {value} is of no use without --backend spark."
                    )
            return None
        from userlogfeat._spark import spark_session

        chosen = {name.replace("__", "."): value for name, value in settings.items()}
        for setting in self.conf or ():
            name, equals, value = setting.partition("=")
            if not (name and equals):
                raise ValueError(f"Got --conf {setting!r}, expected KEY=VALUE.")
            chosen[name] = value
        return spark_session(self.master, purpose="--backend spark", settings=chosen)


# Columns of listening logs.
Logs = Annotated[
    Path,
    typer.Argument(help="csv, tsv, parquet, or a folder of these; or a data set."),
]
Time = Annotated[str | None, typer.Option(help="Column of times of plays.")]
Liked = Annotated[
    str | None, typer.Option(help="Column of what users said they liked: 1 or 0.")
]
Disliked = Annotated[
    str | None, typer.Option(help="Column of what users said they disliked: 1 or 0.")
]


@dataclass
class LogColumns:
    """Names of the columns of listening logs.

    Parameters
    ----------
    format
        A published data set, such as lastfm-360k.
    user
        Column. Default: user
    item
        Column. Default: item
    count
        Column of plays. Default: a row is one play
    """

    format: str | None = None
    user: str | None = None
    item: str | None = None
    count: str | None = None

    def named(self, **others: str | None) -> dict[str, str]:
        """Return the columns that were named."""
        columns = vars(self) | others
        return given(**{name: columns[name] for name in columns if name != "format"})

    def read(self, logs: Any, **settings: Any) -> Any:
        """Read logs; settings of :func:`read_logs` that are None are left out."""
        from userlogfeat.logs import read_logs

        return read_logs(logs, self.format, **self.named(**settings))


@dataclass
class TrainingLogs(LogColumns):
    """Logs to learn from.

    Parameters
    ----------
    time
        Column of times of plays.
    min_users_per_item
        Items of fewer are left out.
    min_items_per_user
        Users of fewer are left out.
    """

    time: str | None = None
    min_users_per_item: Annotated[int, typer.Option(min=0)] = 1
    min_items_per_user: Annotated[int, typer.Option(min=0)] = 1


# Catalogues, and their columns.
Catalogue = Annotated[
    Path,
    typer.Argument(help="csv, tsv or parquet: which clip is which item."),
]
Clip = Annotated[str, typer.Option(help="CATALOGUE's column of paths.")]
CatalogueItem = Annotated[
    str | None,
    typer.Option(
        help="CATALOGUE's column of the logs' items. Default: item, or as --by says"
    ),
]
Artist = Annotated[
    str | None, typer.Option(help="CATALOGUE's column of artists. Default: artist")
]
By = Annotated[
    Literal["item", "artist", "album"], typer.Option(help="What items of the logs are.")
]

DemographicsUser = Annotated[str, typer.Option(help="Its column of users.")]

# Users and items that are compared.
Users = Annotated[
    Path,
    typer.Argument(help="Folder that fit-users, fit-cf or fit-metric made."),
]
ItemsOfClips = Annotated[
    Path | None, typer.Option(help="Which clip is which item of the logs.")
]
