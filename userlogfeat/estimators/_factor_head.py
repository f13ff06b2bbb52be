"""One way to train a `CFRegressor`: a head, on features or on a frozen encoder.

The encoder stays as it is. Its output of each clip is computed once, and a ridge
regression or an MLP from there to the factors is trained: the right choice under about
10,000 tracks.
"""

from __future__ import annotations

import copy
import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_array

from userlogfeat._check import check_audio, check_features
from userlogfeat._digests import json_digest
from userlogfeat._progress import resumable
from userlogfeat.encoders import encoder_identity, encoder_key, get_encoder
from userlogfeat.estimators._audio_transformer import AudioTransformer, network_context
from userlogfeat.estimators._cache import CachedLayers
from userlogfeat.estimators._designs import ClipDesign
from userlogfeat.estimators._devices import as_tensor, resolve_device, resolve_precision
from userlogfeat.estimators._head_choice import CANDIDATES, MIN_ARTISTS, choose_head
from userlogfeat.estimators._parameters import resolve_loss
from userlogfeat.estimators._training import (
    NOT_IN_CHECKPOINTS,
    Trainer,
    check_groups,
    standardised,
)
from userlogfeat.evaluation.ranking import unit_rows
from userlogfeat.networks.mlp import FeatureTeacher, read_rows
from userlogfeat.networks.teacher import EncoderTeacher
from userlogfeat.training.checkpoints import NO_CHECKPOINT
from userlogfeat.training.heads import (
    estimate_briefly,
    estimate_factors,
    fit_ridge_head,
)
from userlogfeat.training.processes import join, on_first, share_rows

if TYPE_CHECKING:
    from torch import nn

    from userlogfeat.weights.models import SavedModel


_LOG = logging.getLogger(__name__)
ENCODED = "encoded"  # layer of clips as they are kept until the fit has ended


class FactorHead:
    """Train, apply and save a head.

    Parameters
    ----------
    regressor : CFRegressor
        Gets `head_`, and `alpha_` or `history_`.
    """

    def __init__(self, regressor: Any) -> None:
        self.regressor = regressor

    def fit(
        self, X: Any, y: Any, sample_weight: Any, groups: Any
    ) -> dict[str, np.floating]:
        """Train the head; return the mean square of every layer.

        Parameters
        ----------
        X, y, sample_weight, groups
            See ``CFRegressor.fit``.
        """
        regressor, kept = self.regressor, None
        if regressor._reads_features:
            features = check_features(regressor, X, ensure_min_samples=2)
            squares = {}
        else:
            AudioTransformer.fit(regressor, X)
            if check_audio(X).kind == "paths" and regressor.checkpoint and not join():
                kept = _KeptEncoding(self, check_audio(X).rows)
            features, squares = self._encode(X, kept)
        y, weight = regressor._check_targets(features, y, sample_weight, groups)
        self._fit_head(features, y, weight, groups)
        squares["embedding"] = np.square(self._apply(features)).mean()
        if kept is not None:
            kept.remove()
        return squares

    def inputs(self, X: Any) -> np.ndarray:
        """Compute what the head reads of each clip (n_clips, n_inputs), float32."""
        if self.regressor._reads_features:
            return check_features(self.regressor, X, reset=False)
        return self._encode(X)[0]

    def refit(self, inputs: Any, y: Any, sample_weight: Any, groups: Any) -> Any:
        """Train the head that was chosen again; return its mean square.

        Parameters
        ----------
        inputs, y, sample_weight, groups
            See ``CFRegressor.refit``.
        """
        regressor = self.regressor
        inputs = check_array(inputs, dtype=np.float32, input_name="inputs")
        sizes = regressor.head_[0].in_features, regressor.head_[-1].out_features
        shape = np.shape(y)
        if (inputs.shape[1], *(shape[1:] or (1,))) != sizes:
            raise ValueError(
                f"Got inputs of shape {inputs.shape} and y of shape {shape}, but the "
                f"head reads {sizes[0]} numbers per clip and estimates {sizes[1]} "
                "factors. inputs= is what head_inputs(X) returns; where the number of "
                "factors is another, fit a new teacher."
            )
        y, weight = regressor._check_targets(inputs, y, sample_weight, groups)
        before = self._apply(inputs)
        default = {"head": regressor.head, "loss": regressor._loss}
        chosen = {**default, **getattr(regressor, "chosen_", {})}
        regressor.head_, fitted = self._fit_candidate(
            Trainer(regressor),
            (chosen["head"], chosen["loss"]),
            *(inputs, y, weight, check_groups(groups, inputs)),
            alphas=(getattr(regressor, "alpha_", None),),
        )
        for name, value in fitted.items():
            setattr(regressor, name, value)
        now = self._apply(inputs)
        cosines = (unit_rows(now) * unit_rows(before)).sum(axis=1)
        regressor.alignment_ = float(np.average(cosines, weights=weight))
        return np.square(now).mean()

    def embed(self, X: Any) -> np.ndarray:
        """Estimate factors (n_clips, n_factors), float32."""
        regressor = self.regressor
        if regressor._reads_features:
            X = check_features(regressor, X, reset=False)
            return self._apply(X)
        clips = regressor.iter_features(X, layers=("embedding",))
        return np.stack([clip.layers["embedding"] for clip in clips])

    def load_network(self) -> nn.Module:
        """The encoder with the head, where it is trained, on the chosen device."""
        regressor = self.regressor
        if regressor._reads_features:
            return FeatureTeacher(regressor.head_)
        device = resolve_device(regressor.device)
        precision = resolve_precision(regressor.precision, device)
        return self._load_encoder(device, precision)

    def saved_network(self) -> tuple[nn.Module, dict[str, Any]]:
        """The torch module that is saved, and how `weights` builds it."""
        regressor = self.regressor
        head = copy.deepcopy(regressor.head_).cpu()
        sizes = [head[0].in_features] + [
            layer.out_features for layer in head if hasattr(layer, "out_features")
        ]
        if regressor._reads_features:
            return FeatureTeacher(head), {"name": "mlp", "head": sizes}
        network = self._load_encoder("cpu", "fp32")
        return network, {
            "name": "encoder",
            "encoder": encoder_identity(network.encoder),
            "head": sizes,
            "head_layer": list(network.head_layers),
            "head_pooling": regressor.head_pooling,
        }

    def restore(self, saved: SavedModel) -> None:
        """Take over the head of a saved model."""
        head = self.regressor.head_ = copy.deepcopy(saved.network.head)
        if self.regressor._reads_features:
            self.regressor.n_features_in_ = head[0].in_features

    def rate_and_context(self) -> tuple[int, float | None]:
        """Rate (Hz) and context (s) of the encoder."""
        return network_context(self._load_encoder("cpu", "fp32"))

    def check(self) -> None:
        """Raise where parameters do not suit a head."""
        encoder = self.regressor.encoder
        if encoder is not None:
            get_encoder(encoder)
            if self.regressor._reads_features:
                raise ValueError(
                    f'Got encoder={encoder!r} and network="mlp", which reads '
                    "precomputed features: pass one of them."
                )
        if self.regressor._reads_features:
            self.regressor._check_layers({"embedding": None})
        if self.regressor.crop == "random":
            raise ValueError(
                'Got crop="random" for a head on frozen features, whose training '
                'reads each clip once. Pass crop="middle" or "start".'
            )

    def iter_encoded(self, rows: Any) -> Iterator[Any]:
        """Yield clips with the input of the head, and a number for each layer."""
        sizes = self.load_network().encoder.layer_sizes
        names = (*sizes, "head_input")
        for clip in self.regressor.iter_features(rows, layers=names):
            squares = [np.square(clip.layers[name]).mean() for name in sizes]
            encoded = np.concatenate([clip.layers["head_input"], squares])
            yield replace(clip, layers={ENCODED: encoded})

    def _encode(self, X, kept=None):
        """Input of the head (n_clips, n), and the mean square of every layer."""
        sizes = self.load_network().encoder.layer_sizes
        rows = check_audio(X, self.regressor).rows

        def encode(rows):
            return np.stack([clip.layers[ENCODED] for clip in self.iter_encoded(rows)])

        with nullcontext() if kept else resumable(NO_CHECKPOINT):
            encoded = share_rows(rows, encode if kept is None else kept.encode)
        if len(encoded) < 2:
            raise ValueError(
                "Got n_samples = 1: a head is learned from two clips or more."
            )
        features, squares = np.split(encoded, [-len(sizes)], axis=1)
        means = squares.mean(axis=0, dtype=np.float64).tolist()
        return np.ascontiguousarray(features), dict(zip(sizes, means, strict=True))

    def _fit_head(self, features, y, weight, groups):
        regressor, trainer = self.regressor, Trainer(self.regressor)
        groups = check_groups(groups, features)
        given = features, y, weight, groups
        candidate = regressor.head, regressor._loss
        fitted = None
        if regressor.head == "auto":
            fitted = self._fit_candidate(trainer, CANDIDATES[0], *given)
            candidate, results = self._choose(trainer, fitted[1]["alpha_"], *given)
            regressor.chosen_ = {"head": candidate[0]}
            if candidate[0] == "mlp":
                regressor.chosen_["loss"], fitted = candidate[1], None
            regressor.candidates_ = results
        fitted = fitted or self._fit_candidate(trainer, candidate, *given)
        regressor.head_, attributes = fitted
        for name, value in attributes.items():
            setattr(regressor, name, value)

    def _choose(self, trainer, alpha, features, y, weight, groups):
        """Choose a head and its loss, by short fits, and report it."""
        regressor, start = self.regressor, time.perf_counter()
        candidates = CANDIDATES
        if regressor.loss is not None:
            candidates = (CANDIDATES[0], ("mlp", regressor.loss))
        data = standardised(features)

        def estimate(candidate, train, ending, held):
            if candidate == CANDIDATES[0]:
                train = np.concatenate([train, ending])
                parts = (None if a is None else a[train] for a in (y, weight, groups))
                given = candidate, features[train], *parts
                head, _ = self._fit_candidate(trainer, *given, alphas=(alpha,))
                return read_rows(head, as_tensor(features[held])).numpy()
            n_units, seed = y.shape[1], trainer.seed
            network = ClipDesign(regressor).build(data, n_units=n_units, seed=seed)
            return estimate_briefly(
                network,
                data.inputs.array,
                *(as_tensor(part) for part in (y, weight)),
                (train, ending, held),
                loss=resolve_loss(candidate[1], "loss"),
                lr=regressor.lr,
                seed=seed,
            )

        def choose():
            return choose_head(
                estimate, y, candidates=candidates, groups=groups, seed=trainer.seed
            )

        chosen, results = on_first(join(), choose)
        found = "; ".join(
            f"{r['head']}{'' if r['loss'] is None else ' ' + str(r['loss'])} "
            f"{r['own_artist']:.3f}, {r['cosine']:.3f}, "
            f"{r['gain']:+.3f} ± {r['error']:.3f}"
            for r in results
        )
        _LOG.info(
            "head='auto' chose %s in %.1f s: %s",
            " with ".join(str(part) for part in chosen if part is not None),
            time.perf_counter() - start,
            f"own-artist rank, cosine and gain of unseen artists: {found}"
            if results
            else f"it compares heads where fit has groups= of {MIN_ARTISTS} artists, "
            "and two factors",
        )
        return chosen, results

    def _fit_candidate(
        self, trainer, candidate, features, y, weight, groups, *, alphas=None
    ):
        """Fit a head of one kind; return it and the attributes that it adds."""
        (head, loss), regressor = candidate, self.regressor
        if head == "ridge":
            network, alpha = fit_ridge_head(
                features,
                y,
                alphas=alphas or regressor.alphas,
                sample_weight=weight,
                groups=groups,
                seed=trainer.seed,
            )
            return network, {"alpha_": alpha}
        data, n_units = standardised(features), y.shape[1]
        network = ClipDesign(regressor).build(data, n_units=n_units, seed=trainer.seed)
        history = trainer.fit(
            network,
            data.inputs,
            {"factors": y, "weight": weight},
            objective=partial(estimate_factors, loss=resolve_loss(loss, "loss")),
            split=trainer.split(len(data), groups),
        )
        return data.for_raw_input(network, n_units).head, {"history_": history}

    def _apply(self, features):
        return read_rows(self.regressor.head_, as_tensor(features)).numpy()

    def _load_encoder(self, device, precision):
        regressor = self.regressor
        return EncoderTeacher(
            get_encoder(regressor.encoder),
            head=copy.deepcopy(getattr(regressor, "head_", None)),  # none yet in fit
            head_layer=regressor.head_layer,
            head_pooling=regressor.head_pooling,
            precision=precision,
        ).to(device)


class _KeptEncoding(CachedLayers):
    """Encoded clips, in the folder of the checkpoint until the fit has ended.

    Parameters
    ----------
    head : FactorHead
    paths : list
        Clips of the fit, which has a table of its own.
    """

    def __init__(self, head: FactorHead, paths: Any) -> None:
        regressor = head.regressor
        self.head, self.cache = head, regressor.checkpoint
        network = head.load_network()
        sizes = network.encoder.layer_sizes
        n_inputs = sum(sizes[network.sources(n)[0]] for n in network.head_layers)
        pooled = 2 if regressor.head_pooling == "meanstd" else 1
        self._sizes = {ENCODED: pooled * n_inputs + len(sizes)}
        # As of checkpoints: only the same fit finds it, so none removes another's.
        settings = {
            name: str(value)
            for name, value in regressor.get_params(deep=False).items()
            if name not in (*NOT_IN_CHECKPOINTS, "encoder")
        }
        encoder = encoder_key(encoder_identity(network.encoder)), network.precision
        names = [str(path) for path in paths]
        self.fingerprint = json_digest([*encoder, settings, names])[:16]

    def __repr__(self) -> str:
        return repr(self.head.regressor)

    def encode(self, paths: Any) -> np.ndarray:
        """Encode files (n_clips, n), but those that are there."""
        return self._from_cache(paths)[ENCODED]

    def iter_features(self, paths: Any, *, layers: Any) -> Iterator[Any]:
        """Encode files, one after the other."""
        return self.head.iter_encoded(paths)

    def remove(self) -> None:
        """Delete the table, since the fit has ended."""
        shutil.rmtree(Path(self.cache) / self.fingerprint, ignore_errors=True)

    def _all_layer_sizes(self):
        return self._sizes

    def _layer_names(self):
        return tuple(self._sizes)
