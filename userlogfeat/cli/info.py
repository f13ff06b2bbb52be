"""`userlogfeat weights` and `userlogfeat info`: what there is."""

from typing import Annotated

import typer

from userlogfeat.cli.application import app
from userlogfeat.cli.console import Result


@app.command()
def weights() -> Result:
    """List the bundled weights and their training data."""
    from userlogfeat.weights import find_model, list_weights, read_config

    rows = []
    for name in list_weights():
        data = read_config(find_model(name))["training_data"]
        of_data = {key: data[key] for key in ("description", "licence")}
        rows.append({"name": name} | of_data)
    return Result(rows, "{name}\n  {description}\n  licence: {licence}".format_map)


@app.command()
def info(
    path: Annotated[str | None, typer.Argument()] = None,
) -> Result:
    """Describe a file or folder. Without PATH: versions, and what is installed.

    Parameters
    ----------
    path
        Feature table, factors, index, saved or exported model, weights' name.
    """
    from userlogfeat.inspection import describe

    return Result(describe(path))
