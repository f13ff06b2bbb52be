"""`userlogfeat push`: a saved model to the Hugging Face hub."""

from pathlib import Path
from typing import Annotated

import typer

from userlogfeat.cli import options as opt
from userlogfeat.cli.application import app
from userlogfeat.cli.console import Result


@app.command(
    epilog="""\b
Examples:
  hf auth login
  userlogfeat push teacher me/my-teacher --evaluation results.md
  userlogfeat extract my_music/ -o features --weights me/my-teacher@main"""
)
def push(
    folder: Annotated[Path, opt.path_argument("FOLDER", "Folder of a saved model.")],
    repo: Annotated[str, typer.Argument(metavar="OWNER/MODEL")],
    evaluation: Annotated[
        Path | None,
        typer.Option(help="Markdown file of results, with controls, for the card."),
    ] = None,
    private: Annotated[bool, typer.Option(help="A new repository is private.")] = False,
    revision: Annotated[
        str | None, typer.Option(help="Branch. Default: the main one")
    ] = None,
) -> Result:
    """Upload a saved model to the Hugging Face hub, with a model card.

    The model's two files and the card are uploaded, no data of users.
    """
    from userlogfeat.export import push_to_hub

    text = None if evaluation is None else evaluation.read_text(encoding="utf-8")
    address = push_to_hub(
        folder, repo, evaluation=text, private=private, revision=revision
    )
    return Result({"address": address}, address)
