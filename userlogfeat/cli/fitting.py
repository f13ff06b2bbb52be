"""Commands that learn from data: their common options, and steps.

Such a command is a function of its own arguments and of a `Fit`, which holds the common
options. It returns a `Result`.
"""

from ast import literal_eval
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from userlogfeat.cli import options as opt
from userlogfeat.cli.errors import check_output
from userlogfeat.cli.wording import note_settings

Settings = Annotated[list[str] | None, typer.Option("--set", metavar="PARAMETER=VALUE")]


@dataclass
class Fit:
    """Options of every command that learns from data.

    Parameters
    ----------
    settings
        Set any other parameter of the model's class; may be repeated.
    licence
        Licence of the logs and the audio.
    description
        Description of the logs and the audio.
    non_commercial
        Loading the model then warns.
    """

    output: opt.Output
    settings: Settings = None
    licence: str = "not stated"
    description: str | None = None
    non_commercial: Annotated[bool, typer.Option("--non-commercial")] = False
    random_state: opt.Seed = 0
    overwrite: opt.Overwrite = False

    def __post_init__(self) -> None:
        check_output(self.output, self.overwrite)

    def estimator(self, kind: type, **parameters: Any) -> Any:
        """Make an estimator with the options that are parameters of it.

        Parameters
        ----------
        kind : type
            Class of the estimator.
        **parameters
            Parameters that are not common options.

        Raises
        ------
        ValueError
            Where ``--set`` has another form, or the class has no such parameter.
        """
        estimator = kind(**parameters)
        known = estimator.get_params()
        note_settings(known)
        common = {k: value for k, value in vars(self).items() if k in known}
        estimator.set_params(**common | parameters)
        for setting in self.settings or ():
            name, equals, value = setting.partition("=")
            if not equals or name not in known:
                raise ValueError(
                    f"Got --set {setting!r}, expected PARAMETER=VALUE with a parameter "
                    f"of {kind.__name__}: {', '.join(known)}."
                )
            estimator.set_params(**{name: _parse(value)})
        return estimator

    def training_data(self, default: str, **more: Any) -> dict[str, Any]:
        """Return the notes on logs and audio that are saved with the model.

        Parameters
        ----------
        default : str
            Description of logs and audio, where the user gave none.
        **more
            Further notes.
        """
        return {
            "description": self.description or default,
            "licence": self.licence,
            "non_commercial": self.non_commercial,
            **more,
        }


@dataclass
class NetworkFit(Fit):
    """Options of commands that train a network.

    Parameters
    ----------
    max_epochs
        Maximum number of epochs.
    """

    max_epochs: Annotated[int, typer.Option("--epochs", min=1)] = 100
    device: opt.Device = "auto"


@dataclass
class AudioFit(NetworkFit):
    """Options of commands that train a network on audio.

    Parameters
    ----------
    checkpoint
        Folder: a killed training goes on from it.
    """

    checkpoint: Path | None = None
    batch_size: opt.BatchSize = 32
    n_jobs: opt.Jobs = 2


def best_epoch(history: Sequence[dict[str, float]]) -> tuple[dict[str, Any], str]:
    """Return which epoch was kept, that of the lowest validation loss; in words."""
    losses = [epoch["valid_loss"] for epoch in history]
    best = losses.index(min(losses)) + 1
    found = {"epochs": len(losses), "best_epoch": best, "valid_loss": min(losses)}
    return found, f"best of {len(losses)} epochs: {best}"


def sizes_of(plays: Any) -> dict[str, int]:
    """Return the numbers of users, items and pairs of logs, here or on Spark."""
    if hasattr(plays, "n_users"):
        shape = (plays.n_users, plays.n_items, plays.n_pairs)
    else:
        shape = (*plays.user_items.shape, plays.user_items.nnz)
    return dict(zip(("users", "items", "pairs"), shape, strict=True))


def _parse(text):
    """A number, True, None or a list, as Python writes them; else the text itself."""
    try:
        return literal_eval(text)
    except (ValueError, SyntaxError):
        return text
