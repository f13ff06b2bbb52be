"""Pretrained musicnn features: clips in, tags or layers below the tags out.

Pons & Serra (2019), "musicnn: pre-trained convolutional neural networks for music audio
tagging". A clip is cut into patches of 3 s, each patch is encoded, and a layer is
pooled over the patches.
"""

from collections.abc import Sequence
from dataclasses import KW_ONLY
from typing import Literal

from userlogfeat._check import check_choice, check_positive
from userlogfeat._digests import json_digest
from userlogfeat.encoders import get_encoder
from userlogfeat.estimators._devices import resolve_precision
from userlogfeat.estimators._parameters import ClipParameters, estimator
from userlogfeat.estimators._pooled_encoder import PooledEncoder

MODELS = ("MSD_musicnn", "MTT_musicnn", "MSD_vgg", "MTT_vgg")


@estimator
class MusicnnEmbedder(ClipParameters, PooledEncoder):
    """Features of clips from a pretrained musicnn network.

    Nothing is fitted. The weights come with the musicnn package, of which only the
    weight files are used: ``pip install --no-deps musicnn==0.1.0``.

    Parameters
    ----------
    model : {"MSD_musicnn", "MTT_musicnn", "MSD_vgg", "MTT_vgg"}
        Which network: trained on the tags of the Million Song Dataset (MSD) or of
        MagnaTagATune (MTT).
    layer : str or sequence of str
        One layer or several, side by side. Of musicnn: ``taggram`` (50 tag
        probabilities), ``penultimate`` (200), ``mean_pool`` and ``max_pool`` (753: all
        maps below, pooled over the frames of a patch), ``timbral`` (408), ``temporal``
        (153), ``cnn1``, ``cnn2``, ``cnn3`` (64), the last five averaged over frames.
        Of vgg: ``taggram`` (50), ``pool1`` to ``pool4`` (128), ``pool5`` (256).
    patch_hop : float
        Seconds between the starts of patches, at least 0.032. As in the original it
        is made whole spectrogram frames: 1.0 is 61 frames of 16 ms.
    pooling : {"mean", "max", "meanstd", None}
        Pooling over the patches of a clip; ``"meanstd"`` is the mean and the standard
        deviation, side by side. None gives a list with one (n_patches, n_features)
        array per clip.
    duration : float or None
        Seconds to read of each clip; None is all of it.
    precision : {"auto", "fp32", "bf16"}
        Precision of matrix products; ``"auto"`` is bf16 on a GPU only. With bf16
        features differ by less than 1%.

    Attributes
    ----------
    tags : list of str
        Names of the 50 columns of ``taggram``.
    layer_sizes : dict of str to int
        Columns of each chosen layer.
    n_features_in_ : int
        Length of a row of X, where X is an array.

    See Also
    --------
    UserLogEmbedder : The same trunk with a head trained on listening logs.
    PatchVotingClassifier : Classifies the patches that ``pooling=None`` gives.

    References
    ----------
    .. [1] J. Pons, X. Serra, "musicnn: pre-trained convolutional neural networks for
       music audio tagging", ISMIR late-breaking demo, 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from userlogfeat import MusicnnEmbedder
    >>> clips = np.random.default_rng(0).normal(size=(2, 80000))  # 5 s at 16 kHz
    >>> MusicnnEmbedder(layer="taggram").fit_transform(clips).shape
    (2, 50)
    >>> [patches.shape for patches in MusicnnEmbedder(pooling=None).transform(clips)]
    [(3, 753), (3, 753)]
    """

    model: Literal["MSD_musicnn", "MTT_musicnn", "MSD_vgg", "MTT_vgg"] = "MSD_musicnn"
    _: KW_ONLY
    layer: str | Sequence[str] = "max_pool"
    patch_hop: float = 1.0
    pooling: Literal["mean", "max", "meanstd"] | None = "mean"
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    @property
    def tags(self) -> list[str]:
        """Names of the 50 columns of ``taggram``."""
        return self._encoder().tags

    @property
    def fingerprint(self) -> str:
        """Identifies weights and settings: equal strings, equal features."""
        settings = [
            self._encoder().weights_hash.split("+"),  # as tables have noted it
            self.pooling,
            self.patch_hop,
            self.duration,
            self.crop,
            self.short,
            resolve_precision(self.precision, self.device),
        ]
        return json_digest(settings, sort_keys=False)[:16]

    def _chosen_sizes(self):
        sizes = self._encoder().layer_sizes
        self._check_layers(sizes)
        return {name: sizes[name] for name in self._layer_names()}

    def _encoder(self):
        check_choice(self.model, "model", MODELS)
        check_positive(self.patch_hop, "patch_hop")
        return get_encoder(self.model, patch_hop=self.patch_hop)
