"""Libraries that only some users need, imported where they are used."""

import platform
import sys
from importlib import import_module, metadata

from userlogfeat._pages import see

_BUILT_FOR = ("numpy", "torch")  # compiled libraries fit certain versions of these


def import_optional(module, *, extra, purpose):
    """Import `module`; otherwise name the extra that installs it, or the reason.

    Parameters
    ----------
    module : str
        Dotted name, such as ``"matplotlib.pyplot"``.
    extra : str
        The extra of userlogfeat that installs it.
    purpose : str
        The feature that needs it, as the subject of a sentence: ``"plot"``.

    Raises
    ------
    ImportError
        Where it is not installed; the message has the command that installs it. Or
        where it is, and does not load, whatever it raised (an OSError for a symbol
        that its library lacks); the message has the versions.
    """
    library = module.partition(".")[0]
    command = f"pip install 'userlogfeat[{extra}]'"
    try:
        return import_module(module)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == library:
            raise ImportError(
                f"{purpose} needs {library}, which is not installed. Install it with: "
                f"{command}"
            ) from error
        raise ImportError(
            f"{purpose} needs {library}, which is installed but does not load "
            f"({type(error).__name__}: {_one_line(error)}). Versions: "
            f"{_versions(library)}. It probably was built for other versions of these: "
            f"install newer ones with {command} --upgrade, or a release of {library} "
            "that fits them." + see("install")
        ) from error


def _versions(library):
    """List the versions of a library and of those that it may be built for."""
    names = metadata.packages_distributions().get(library, [library])
    found = [
        f"{name} {metadata.version(name)}"
        for name in dict.fromkeys([*names, *_BUILT_FOR])
        if _is_installed(name)
    ]
    return ", ".join([*found, f"Python {platform.python_version()}", sys.platform])


def _is_installed(name):
    try:
        return bool(metadata.version(name))
    except metadata.PackageNotFoundError:
        return False


def _one_line(error):
    return " ".join(str(error).split())
