"""Parts of the commands that train a model."""

from ast import literal_eval
from collections.abc import Sequence
from typing import Any

from userlogfeat.cli.wording import note_settings


def with_settings(estimator: Any, settings: Sequence[str] | None) -> Any:
    """Set parameters of an estimator that have no option of their own.

    Parameters
    ----------
    estimator : estimator
        Changed, and returned.
    settings : sequence of str or None
        Values of ``--set``: ``"channels=64"``, ``"objective=binary"``.

    Raises
    ------
    ValueError
        Where one is not of this form, or the estimator has no such parameter.
    """
    known = estimator.get_params()
    note_settings(known)
    for setting in settings or ():
        name, equals, value = setting.partition("=")
        if not equals or name not in known:
            raise ValueError(
                f"Got --set {setting!r}, expected PARAMETER=VALUE with a parameter of "
                f"{type(estimator).__name__}: {', '.join(known)}."
            )
        estimator.set_params(**{name: _parse(value)})
    return estimator


def _parse(text):
    """A number, True, None or a list, as Python writes them; else the text itself."""
    try:
        return literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def training_data(
    description: str | None,
    default: str,
    licence: str,
    non_commercial: bool,
    **more: Any,
) -> dict[str, Any]:
    """Return the notes on logs and audio that are saved with a model."""
    return {
        "description": description or default,
        "licence": licence,
        "non_commercial": non_commercial,
        **more,
    }


def best_epoch(history: Sequence[dict[str, float]]) -> str:
    """Describe which epoch was kept: the one with the lowest validation loss."""
    losses = [epoch["valid_loss"] for epoch in history]
    return f"best of {len(losses)} epochs: {losses.index(min(losses)) + 1}"
