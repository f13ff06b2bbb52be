"""Any saved model as a transformer: clips in, layers and factor estimates out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY
from typing import Literal

import numpy as np

from userlogfeat._spaces import feature_names
from userlogfeat._typing import ArrayLike, PathLike
from userlogfeat.estimators._audio_transformer import name_of
from userlogfeat.estimators._model_embedder import ModelEmbedder
from userlogfeat.estimators._parameters import estimator


@estimator
class UserLogEmbedder(ModelEmbedder):
    """Features of clips from a network that was trained on listening logs.

    Nothing is fitted: the weights are bundled, in a folder, or on the Hugging Face hub.
    The default puts musicnn's `max_pool` layer (753 columns) beside the estimated
    collaborative-filtering factors (40 columns).

    Parameters
    ----------
    weights : str or Path
        Name of a bundled model (:func:`userlogfeat.list_weights`), a folder that an
        estimator's ``save`` wrote, or ``"owner/model"`` or
        ``"owner/model@revision"`` on the hub.
    layer : str or sequence of str
        One layer of the model or several, side by side: `layer_sizes` of
        :func:`userlogfeat.load_model` lists them. ``"embedding"`` is the estimate
        of collaborative-filtering factors.
    scale : bool
        Whether each layer is multiplied by the constant that brings it to unit mean
        square on the teacher's clips, so that a PCA keeps the small ones.
    cache : str, Path or None
        Folder of a feature table in which all layers of every file are kept, by path,
        size, time of change, weights and settings: another `layer`, another fold or
        another run decodes no file twice. Waveforms and spectrograms are not cached.
    duration : float or None
        Seconds to read of each clip; None is the duration of the teacher's training
        (the bundled one: all of the clip).
    crop : {"start", "middle"} or None
        Which part of a clip that is longer; None is the part of the teacher's training
        (the bundled one, and teachers of random crops: the middle).
    precision : {"auto", "fp32", "bf16"}
        Precision of matrix products; ``"auto"`` is bf16 on a GPU only.

    See Also
    --------
    userlogfeat.extract : Many files into a table, keeping on where some are bad.

    Examples
    --------
    >>> import numpy as np
    >>> from userlogfeat import UserLogEmbedder
    >>> clips = np.random.default_rng(0).normal(size=(2, 48000))  # 3 s at 16 kHz
    >>> UserLogEmbedder().fit_transform(clips).shape
    (2, 793)
    """

    weights: PathLike = "lastfm-mpd-musicnn"
    _: KW_ONLY
    layer: str | Sequence[str] = ("max_pool", "embedding")
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> np.ndarray:
        """Names of the columns: ``max_pool_0``, ..., ``embedding_39``."""
        return feature_names(self.layer_sizes)

    def _shown_model(self):
        encoder = getattr(self._load_network(), "encoder", None)
        return f"{self.weights}" + (f" on {name_of(encoder)}" if encoder else "")
