"""The common interface of HEAR, the Holistic Evaluation of Audio Representations.

Turian et al. (2022), "HEAR: Holistic evaluation of audio representations", with three
functions that its tools find in this module::

    python -m heareval.embeddings.runner userlogfeat.export.hear --model FOLDER
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from userlogfeat.export.windows import WindowedModel

if TYPE_CHECKING:
    from torch import Tensor


DEFAULT = "lastfm-mpd-musicnn"
HOP = 0.05  # s between timestamps: HEAR suggests no more


class HearModel(WindowedModel):
    """A saved model with the attributes that HEAR asks for.

    Attributes
    ----------
    sample_rate : int
        In Hz.
    scene_embedding_size, timestamp_embedding_size : int
        Columns of the embeddings.
    """

    @property
    def scene_embedding_size(self) -> int:
        """Columns of an embedding of a whole clip."""
        return self.size

    @property
    def timestamp_embedding_size(self) -> int:
        """Columns of an embedding of a timestamp."""
        return self.size


def load_model(model_file_path: str = "") -> HearModel:
    """Load a saved model for HEAR.

    Parameters
    ----------
    model_file_path : str
        Name or folder of a saved model; empty: the bundled one.

    Returns
    -------
    HearModel
    """
    return HearModel(model_file_path or DEFAULT)


def get_scene_embeddings(audio: Tensor, model: HearModel) -> Tensor:
    """Embed whole clips.

    Parameters
    ----------
    audio : Tensor (n_sounds, n_samples)
        Between -1 and 1, at ``model.sample_rate``.
    model : HearModel

    Returns
    -------
    Tensor (n_sounds, scene_embedding_size), float32
    """
    return model.embed(audio)


def get_timestamp_embeddings(audio: Tensor, model: HearModel) -> tuple[Tensor, Tensor]:
    """Embed clips at regular times, every 50 ms.

    Each is of a window of the shortest length that the model reads, 3 s for the bundled
    one (1 s on encoders of waveforms): twenty passes per second of audio.

    Parameters
    ----------
    audio : Tensor (n_sounds, n_samples)
        Between -1 and 1, at ``model.sample_rate``.
    model : HearModel

    Returns
    -------
    embeddings : Tensor (n_sounds, n_timestamps, timestamp_embedding_size), float32
    timestamps : Tensor (n_sounds, n_timestamps)
        In milliseconds, from 0 on.
    """
    embeddings, times = model.windows(audio, HOP)
    times = (1000 * times).to(embeddings.device).float()
    return embeddings, times.expand(len(audio), -1)
