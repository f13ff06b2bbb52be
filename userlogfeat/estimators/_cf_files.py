"""The folder of a fitted `CFEmbedding`: factors, and the settings in their notes."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from userlogfeat._files import fill_folder
from userlogfeat._spaces import in_space
from userlogfeat.estimators._parameters import json_parameters
from userlogfeat.factor_files import (
    DIGEST,
    USERS,
    Factors,
    read_factors,
    read_popularity,
    write_factors,
    write_plays,
)

# Learned settings, by their names in the notes.
LEARNED = ("alpha", "regularization", "epsilon")
NUMBERED = "numbered"  # noted where identifiers are numbers of rows and columns


def write_embedding(
    folder: Any,
    cf: Any,
    training_data: dict[str, Any],
    notes: dict[str, Any],
    user_items: Any = None,
) -> None:
    """Write a fitted embedding.

    Parameters
    ----------
    folder : str or Path
    cf : CFEmbedding
    training_data : dict
    notes : dict
        Further notes.
    user_items : csr matrix or Interactions, optional
        The plays of the users.
    """
    users, items = cf._known_users(), cf.item_factors_
    if user_items is not None:
        plays = getattr(user_items, "user_items", user_items)
        user_items, shape = csr_matrix(plays), (len(users), len(items))
        if user_items.shape != shape:
            raise ValueError(
                f"Got user_items of shape {user_items.shape}, but the factors are of "
                f"{shape[0]} users and {shape[1]} items: pass the logs of fit."
            )
    numbered = not hasattr(cf, "item_ids_")
    user_ids = np.arange(len(users)) if numbered else cf.user_ids_
    item_ids = np.arange(len(items)) if numbered else cf.item_ids_
    made_by = {
        "class": type(cf).__name__,
        **notes,
        **({NUMBERED: True} if numbered else {}),
        "confidence": cf.confidence,
        "n_factors": cf.n_factors,
        **{name: getattr(cf, f"{name}_") for name in LEARNED},
        "parameters": json_parameters(cf),
        "training_data": training_data,
        DIGEST: cf.space_,
    }
    popularity = getattr(cf, "popularity_", None)
    factors = Factors(user_ids, users, item_ids, items, made_by, popularity=popularity)
    with fill_folder(folder, "an embedding") as filled:
        write_factors(filled, factors)
        if user_items is not None:
            write_plays(filled, user_items, cf.space_)


def read_embedding(folder: Any, kind: type) -> Any:
    """Read what :func:`write_embedding`, `fit-cf` or Spark wrote, now or earlier.

    Folders without `confidence` in their notes are of earlier versions, whose
    confidences were linear, or of ones where the notes have ``weights="binary"``.

    Parameters
    ----------
    folder : str or Path
    kind : type
        `CFEmbedding`.

    Returns
    -------
    CFEmbedding
    """
    factors = read_factors(folder)
    notes = factors.made_by
    if notes.get("class", kind.__name__) != kind.__name__:
        raise ValueError(
            f"The factors in {folder} are of {notes['class']}, expected "
            f"{kind.__name__}. Load them with the class that made them."
        )
    cf = kind()
    known = cf.get_params()
    settings = {name: notes[name] for name in known if name in notes}
    settings |= notes.get("parameters", {})
    if "confidence" not in notes:
        binary = notes.get("weights") == "binary"
        settings["confidence"] = "binary" if binary else "linear"
    try:
        cf.set_params(**settings)
        for name in ("alpha", "regularization"):
            setattr(cf, f"{name}_", float(notes[name]))
        cf.epsilon_ = notes.get("epsilon")
        cf._check_parameters()
        if cf.confidence == "log" and not cf.epsilon_ > 0:
            raise ValueError(f"epsilon is {cf.epsilon_!r}")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"The notes of {Path(folder) / USERS} are not those of a CFEmbedding "
            f"({type(error).__name__}: {error}), so that nobody can be folded in. Make "
            f"the folder again with `userlogfeat fit-cf`, or {kind.__name__}.save."
        ) from error
    cf.space_ = notes.get(DIGEST)
    cf.user_factors_ = in_space(factors.user_factors, cf.space_)
    cf.item_factors_ = in_space(factors.item_factors, cf.space_)
    if not notes.get(NUMBERED):
        cf.user_ids_, cf.item_ids_ = factors.user_ids, factors.item_ids
    popularity = read_popularity(folder)
    if popularity is not None:
        cf.popularity_ = popularity
    cf.n_features_in_ = len(factors.item_ids)
    cf._n_features_out = factors.n_factors
    return cf
