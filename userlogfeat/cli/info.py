"""`userlogfeat weights` and `userlogfeat info`: what there is."""

from typing import Annotated

import typer

from userlogfeat.cli.application import app
from userlogfeat.cli.console import print_line
from userlogfeat.cli.errors import explained


@app.command()
def weights() -> None:
    """List the bundled weights and their training data."""
    with explained():
        from userlogfeat.weights import find_model, list_weights, read_config

        for name in list_weights():
            data = read_config(find_model(name))["training_data"]
            description, licence = data["description"], data["licence"]
            print_line(f"{name}\n  {description}\n  licence: {licence}")


@app.command()
def info(
    path: Annotated[
        str | None,
        typer.Argument(
            metavar="PATH", help="Feature table, factors, saved model or weights' name."
        ),
    ] = None,
) -> None:
    """Describe a file or folder. Without PATH: versions, and what is installed."""
    with explained():
        from userlogfeat.inspection import describe

        lines = describe(path)
        width = max(map(len, lines))
        for name, value in lines.items():
            print_line(f"{name:{width}}  {value}")
