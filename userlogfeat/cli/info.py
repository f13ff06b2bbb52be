"""`userlogfeat weights` and `userlogfeat info`: what there is."""

from typing import Annotated

import typer

from userlogfeat.cli.application import app
from userlogfeat.cli.errors import explained
from userlogfeat.cli.telling import tell


@app.command()
def weights() -> None:
    """List the bundled weights, and what they were learned from."""
    with explained():
        from userlogfeat.weights import find_model, list_weights, read_config

        for name in list_weights():
            data = read_config(find_model(name))["training_data"]
            typer.echo(f"{name}\n  {data['description']}\n  licence: {data['licence']}")


@app.command()
def info(
    path: Annotated[
        str | None,
        typer.Argument(
            metavar="PATH", help="Feature table, factors, saved model or weights' name."
        ),
    ] = None,
) -> None:
    """Say what something is. Without PATH: versions, and what is installed."""
    with explained():
        from userlogfeat.inspection import describe

        lines = describe(path)
        width = max(map(len, lines))
        for name, value in lines.items():
            tell(f"{name:{width}}  {value}")
