"""Saved models on the Hugging Face hub, with a card that is written from config.json.

Only the two files of the model and the card are uploaded. A folder may hold more (of
`fit-metric` the users and their factors): those are data of people, and stay here.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from pathlib import Path

from userlogfeat._templates import render_text
from userlogfeat._typing import PathLike
from userlogfeat.weights import CONFIG, TENSORS, find_model, load_model, read_config
from userlogfeat.weights.config import read_weights
from userlogfeat.weights.models import MAX_TENSOR_BYTES

CARD = "README.md"


def push_to_hub(
    folder: PathLike,
    repo: str,
    *,
    evaluation: str | None = None,
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
) -> str:
    """Upload a saved model to the Hugging Face hub, with a model card.

    Log in first, with ``hf auth login`` or the environment variable ``HF_TOKEN``.

    Parameters
    ----------
    folder : str or Path
        Folder that an estimator's ``save`` wrote. It is loaded first, so no damaged
        model is uploaded.
    repo : str
        ``"owner/model"``; created if missing.
    evaluation : str, optional
        Markdown for the card: results with their controls, such as a table of
        ``summarise(compare(...))``. Without, the card says that there is none.
    private : bool
        Whether a new repository is private.
    revision : str, optional
        Branch to upload to, made if missing; by default the main one.
    message : str, optional
        Message of the commit.

    Returns
    -------
    str
        Address of the commit.

    Raises
    ------
    ModelError
        If the folder is not a sound model.
    ValueError
        If `repo` has not the form ``"owner/model"``.
    OSError
        If the hub cannot be reached, or does not let you write there.

    See Also
    --------
    model_card : The card alone.
    """
    from huggingface_hub import HfApi

    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise ValueError(
            f"Got repo={repo!r}, expected 'owner/model' (letters, digits, '-', '_', "
            "'.'). A revision is passed as revision=."
        )
    folder = find_model(folder)
    load_model(folder)  # checks digests, tensors and fingerprint
    config = read_config(folder)
    data = read_weights(folder / TENSORS, config["sha256"], max_bytes=MAX_TENSOR_BYTES)
    with tempfile.TemporaryDirectory() as staging:
        shutil.copyfile(folder / CONFIG, Path(staging) / CONFIG)
        (Path(staging) / TENSORS).write_bytes(data)
        card = model_card(folder, repo, evaluation=evaluation)
        (Path(staging) / CARD).write_text(card, encoding="utf-8")
        api = HfApi()
        try:
            api.create_repo(repo, private=private, exist_ok=True)
            if revision is not None:
                api.create_branch(repo, branch=revision, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repo,
                folder_path=staging,
                revision=revision,
                commit_message=message or f"{config['class']} of userlogfeat",
            )
        except Exception as error:  # of huggingface_hub, and of what it connects by
            reason = (str(error).splitlines() or [""])[0]
            raise OSError(
                f"The hub did not take {repo!r} ({type(error).__name__}: {reason}). Is "
                "it reachable, and are you logged in with a token that may write "
                "there? `hf auth login` does that."
            ) from error
    return str(getattr(commit, "commit_url", commit))


def model_card(
    folder: PathLike, repo: str = "owner/model", *, evaluation: str | None = None
) -> str:
    """Write the model card of a saved model, from its config.json.

    Parameters
    ----------
    folder : str or Path
        Or the name of a bundled model.
    repo : str
        Name under which it is loaded.
    evaluation : str, optional
        Markdown of results; see :func:`push_to_hub`.

    Returns
    -------
    str
        Markdown, with the metadata that the hub reads.

    Examples
    --------
    >>> from userlogfeat.export import model_card
    >>> print(model_card("lastfm2k-musicnn")[:44])
    ---
    library_name: userlogfeat
    license: other
    """
    config = read_config(find_model(folder))
    data = config["training_data"]
    shown = ("description", "licence", "non_commercial")
    return render_text(
        "userlogfeat.export",
        "model_card.md",
        config=config,
        repo=repo,
        data=data,
        encoder=config["network"].get("encoder"),
        evaluation=evaluation,
        further={k: v for k, v in data.items() if k not in shown},
        settings={k: v for k, v in config["parameters"].items() if v is not None},
        code=lambda entries: f"```json\n{json.dumps(entries, indent=1)}\n```",
    )
