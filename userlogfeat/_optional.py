"""Libraries that only some users need, imported where they are used."""

from importlib import import_module


def import_optional(module, *, extra, purpose):
    """Import `module`, or say which extra brings it.

    Parameters
    ----------
    module : str
        Dotted name, such as ``"matplotlib.pyplot"``.
    extra : str
        The extra of userlogfeat that installs it.
    purpose : str
        What it is needed for, as the subject of "needs": ``"plot"``.

    Raises
    ------
    ImportError
        Where it is not installed; the message has the command that installs it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        raise ImportError(
            f"{purpose} needs {library}, which could not be imported ({error}). "
            f"Install it with: pip install 'userlogfeat[{extra}]'"
        ) from error
