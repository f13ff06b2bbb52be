"""The `userlogfeat` command: from logs to factors, to a teacher, to features of files.

A command is a file of its own, and adds itself to `app` when it is imported; ``--help``
shows them in the order of `COMMANDS`. What they share is in `options` (arguments),
`errors` (exit codes), `console` (lines on the terminal) and `fitting` (saved models).
Heavy imports are inside the commands, so that ``--help`` is instant.
"""

import warnings
from importlib import import_module

from userlogfeat.cli.application import app
from userlogfeat.cli.console import show_warning
from userlogfeat.cli.errors import (
    INTERRUPTED,
    SOME_FAILED,
    STOPPED,
    TERMINATED,
    TOO_LOW,
    USAGE,
)

COMMANDS = [
    "extract",
    "fit_cf",
    "fit_teacher",
    "fit_artists",
    "fit_users",
    "fit_metric",
    "recommend",
    "evaluate",
    "forget",
    "nearest_artists",
    "explore",
    "export",
    "push",
    "info",
    "table",
    "mirex",
]

__all__ = [
    "INTERRUPTED",
    "SOME_FAILED",
    "STOPPED",
    "TERMINATED",
    "TOO_LOW",
    "USAGE",
    "app",
    "main",
]

for _name in COMMANDS:
    import_module(f"userlogfeat.cli.{_name}")


def main() -> None:
    """Run the command; the entry point of the package."""
    warnings.showwarning = show_warning
    app()
