"""`userlogfeat push`: a saved model to the Hugging Face hub."""

from pathlib import Path
from typing import Annotated

import typer

from userlogfeat.cli.application import app
from userlogfeat.cli.console import Result


@app.command()
def push(
    folder: Path,
    repo: Annotated[str, typer.Argument(metavar="OWNER/MODEL")],
    evaluation: Path | None = None,
    private: bool = False,
    revision: str | None = None,
) -> Result:
    """Upload a saved model to the Hugging Face hub, with a model card.

    The model's two files and the card are uploaded, no data of users.

    Parameters
    ----------
    folder
        Folder of a saved model.
    repo
        Repository on the hub; made if missing.
    evaluation
        Markdown file of results, with controls, for the card.
    private
        A new repository is private.
    revision
        Branch. Default: the main one

    Examples
    --------
      hf auth login
      userlogfeat push teacher me/my-teacher --evaluation results.md
      userlogfeat extract my_music/ -o features --weights me/my-teacher@main
    """
    from userlogfeat.export import push_to_hub

    text = None if evaluation is None else evaluation.read_text(encoding="utf-8")
    address = push_to_hub(
        folder, repo, evaluation=text, private=private, revision=revision
    )
    return Result({"address": address}, address)
