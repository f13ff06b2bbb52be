"""Packages that a submission needs, in the versions that are installed here."""

import re
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata

# Where a package is imported by another name than it is installed by.
_MODULES = {"huggingface-hub": "huggingface_hub", "scikit-learn": "sklearn"}


def direct_requirements(more: Sequence[str] = ()) -> list[str]:
    """List what this library itself asks for: ``numpy==2.4.6``, ...

    Parameters
    ----------
    more : sequence of str
        Further packages, which an encoder needs.

    Returns
    -------
    list of str
        Without the mark of a local build, such as "+cpu" of torch.
    """
    return sorted(_pin(name) for name, _ in _direct(more))


def required_modules(more: Sequence[str] = ()) -> list[str]:
    """Return the modules to import of these packages: list of str."""
    names = sorted(name for name, _ in _direct(more))
    return [_MODULES.get(name, name) for name in names]


def pinned_requirements(more: Sequence[str] = ()) -> list[str]:
    """List all that this library needs, and what that needs in turn.

    Parameters
    ----------
    more : sequence of str
        Further packages, which an encoder needs.

    Returns
    -------
    list of str
        A package for some systems only keeps its condition:
        ``nvidia-nccl-cu12==2.28.9; platform_system == "Linux"``.
    """
    found = {}
    todo = deque(_direct(more))
    while todo:
        name, marker = todo.popleft()
        if name in found:
            continue
        found[name] = marker
        for needed, own in _needs(name):
            both = [part for part in (marker, own) if part]
            condition = " and ".join(f"({part})" for part in both) if both[1:] else ""
            condition = condition or "".join(both)
            # Packages that are needed everywhere come first, and keep no condition.
            (todo.append if condition else todo.appendleft)((needed, condition))
    pins = {name: _pin(name) for name in sorted(found)}
    return [
        f"{pins[name]}; {found[name]}" if found[name] else pins[name] for name in pins
    ]


def _direct(more):
    return [*_needs("userlogfeat"), *((name, "") for name in more)]


def _needs(name):
    """Packages that an installed one asks for and that are here, with conditions."""
    needs = []
    for line in metadata.requires(name) or ():
        requirement, _, marker = (part.strip() for part in line.partition(";"))
        if re.search(r"\bextra\b", marker):
            continue
        needed = re.match(r"[\w.-]+", requirement)[0]
        with suppress(metadata.PackageNotFoundError):  # of another system
            metadata.distribution(needed)
            needs.append((re.sub(r"[-_.]+", "-", needed).lower(), marker))
    return needs


def _pin(name):
    return f"{name}=={metadata.version(name).partition('+')[0]}"
