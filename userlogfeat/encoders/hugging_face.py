"""Audio models of transformers as encoders: ``"hf:owner/model@revision"``.

A model is a folder with ``config.json``, ``preprocessor_config.json`` and safetensors,
or the name of one on the Hugging Face hub, of which these files are downloaded once.
Pickled weights are not read. Code that a repository brings runs only if asked for by
name: ``"hf-code:owner/model@commit"``.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import torch

from userlogfeat._optional import import_optional
from userlogfeat._stamps import check_unchanged, sha256, stamped
from userlogfeat.encoders.hugging_face_families import find_family
from userlogfeat.encoders.hugging_face_speed import speed_up
from userlogfeat.encoders.windowed import WindowedEncoder
from userlogfeat.networks.bf16 import autocast_bf16

if TYPE_CHECKING:
    from torch import nn

    from userlogfeat.encoders.hugging_face_families import Family

_HUB = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_CODE = "hf-code:"  # the prefix that lets a repository's own code run
_TOWERS = ("ClapAudioModel", "ClapAudioModelWithProjection")  # no AutoModel has these
_UNUSED = {"masked_spec_embed"}  # weights that only training reads
_LOADING = Lock()  # of the network: passes run side by side


class HuggingFaceEncoder(WindowedEncoder):
    """A pretrained audio model of transformers.

    Parameters
    ----------
    name : str
        ``"hf:owner/model"`` or ``"hf:owner/model@revision"`` on the hub, or
        ``"hf:FOLDER"``. With ``hf-code:`` in place of ``hf:`` code of the repository is
        run (MERT needs that); then the revision must be a commit.
    window, hop : float, optional
        Seconds of a window, and between the starts of two. By default the length that
        the model was made for, or 30 s; with an overlap of 2.4 s.
    """

    needs = ("transformers",)
    runs_beside = True

    def __init__(
        self, name: str, *, window: float | None = None, hop: float | None = None
    ) -> None:
        self.folder, self.revision, self.name = _find(name)
        self._own_code = name.startswith(_CODE)
        self._stamps: Any = None
        config = _load_config(self.folder, self._own_code)
        extractor = _load_extractor(self.folder, self._own_code)
        self.family: Family = find_family(config, extractor, name)
        family = self.family
        self.sample_rate, self.min_samples = family.sample_rate, family.min_samples
        self.layer_sizes = dict(family.layer_sizes)
        self.default_layer = family.default_layer
        self.frame_samples = family.frame_samples
        self.masks_padding = family.masks_padding
        longest = family.longest
        if longest is not None and window is not None and window > longest:
            raise ValueError(
                f"Got window={window!r} s, expected at most {longest:g} s: {name!r} "
                "reads no more at once."
            )
        self._set_windows(window, hop, longest or family.default_window)
        self._files()

    @property
    def license(self) -> str:
        """Licence that the model card names."""
        return _licence(self.folder)

    @property
    def weights_hash(self) -> str:
        """SHA-256 of the weights and of the files with the model's settings."""
        return _digest(self._files())

    def __getstate__(self) -> dict[str, Any]:
        # Another machine has the same files with other stamps.
        return {**self.__dict__, "_stamps": None}

    def _files(self):
        """Files that decide the numbers, with their stamps when this was made."""
        if self._stamps is None:
            self._stamps = stamped(_find_files(self.folder, self._own_code))
        return self._stamps

    def _cost(self, n_samples):
        return self.family.n_read(n_samples)

    def _encode_windows(self, waveforms, layers, precision):
        device = waveforms[0].device
        with _LOADING:
            network = _load_network(
                self.folder, self._own_code, self._files(), str(device), precision
            )
        inputs, lengths = self.family.prepare(waveforms)
        bf16 = precision == "bf16"
        with (
            torch.random.fork_rng(devices=[]),  # some draw random numbers
            autocast_bf16(network, device, bf16),
        ):
            found = self.family.forward(network, inputs, lengths, layers)
        counts = [self.family.n_frames(length) for length in lengths]
        found = {name: x.float() for name, x in found.items()}
        return [
            {name: x[row, :n] for name, x in found.items()}
            for row, n in enumerate(counts)
        ]


def _find(name: str) -> tuple[str, str, str]:
    """Folder and revision of a model, and its name with the folder's whole path."""
    prefix, _, place = name.partition(":")
    folder = Path(place).expanduser()
    if place and folder.is_dir():
        folder = folder.resolve()
        return str(folder), "", f"{prefix}:{folder}"
    match = _HUB.fullmatch(place)
    if match is None or place.startswith((".", "/", "~")):
        raise ValueError(
            f"Got encoder={name!r}, but {place!r} is neither a folder here nor "
            "owner/model or owner/model@revision on the hub."
        )
    revision = match["revision"]
    if prefix + ":" == _CODE and not _COMMIT.fullmatch(revision or ""):
        raise ValueError(
            f"Got encoder={name!r}, which runs code of that repository. Read it, and "
            "name the commit that you have read: hf-code:owner/model@<40 hex digits>."
        )
    folder = _download(name, match["repo"], revision, prefix + ":" == _CODE)
    return str(folder), folder.name, name


def _download(name, repo, revision, own_code):
    import_optional("transformers", extra="hf", purpose=f"The encoder {name!r}")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    wanted = ["*.json", "*.safetensors", "README.md"] + ["*.py"] * own_code
    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=wanted))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ValueError(
            f"Got encoder={name!r}, but it is not in the cache and cannot be "
            f"downloaded ({type(error).__name__}: {str(error).splitlines()[0]}). Is "
            "the name right, and the hub reachable? A folder is named as hf:./FOLDER."
        ) from error


def _find_files(folder: str, own_code: bool = False) -> list[Path]:
    """Files that decide the numbers of a model."""
    places = Path(folder)
    weights = sorted(places.glob("*.safetensors"))
    if not places.is_dir():
        raise ValueError(f"The folder {folder} of an encoder is not there any more.")
    if not weights:
        pickled = [path.name for path in places.glob("*.bin")]
        but = f", only {', '.join(pickled)}, which is a pickle: it could run code"
        raise ValueError(
            f"{folder} has no *.safetensors{but if pickled else ''}. Save the model "
            "again: model.save_pretrained(FOLDER) of transformers."
        )
    settings = [places / "config.json", places / "preprocessor_config.json"]
    settings += [places / "processor_config.json"]
    code = sorted(places.glob("*.py")) if own_code else []
    return [*weights, *(path for path in settings if path.is_file()), *code]


@lru_cache(maxsize=32)
def _digest(files: Any) -> str:
    check_unchanged(files)
    digest = hashlib.sha256()
    for path, _ in files:
        digest.update(f"{Path(path).name} {sha256(path)}\n".encode())
    return digest.hexdigest()


def _load_config(folder, own_code):
    import_optional("transformers", extra="hf", purpose=f"The encoder in {folder}")
    from transformers import CONFIG_MAPPING, AutoConfig, PretrainedConfig

    if not (Path(folder) / "config.json").is_file():
        raise ValueError(
            f"{folder} has no config.json, expected a folder that save_pretrained of "
            "transformers wrote. A folder that an estimator's save wrote is for "
            "UserLogEmbedder(weights=FOLDER)."
        )
    with _explained(f"{folder} has no config.json that transformers can read"):
        written = PretrainedConfig.get_config_dict(folder)[0]
        known = written.get("model_type") in CONFIG_MAPPING
    if "auto_map" in written and not known and not own_code:
        raise ValueError(
            f"The model in {folder} needs code of its own repository, which runs "
            "only if asked for by name. Read that code, then name the encoder "
            "hf-code:owner/model@commit (or hf-code:FOLDER)."
        )
    with _explained(f"{folder} has no config.json that transformers can read"):
        return AutoConfig.from_pretrained(
            folder, trust_remote_code=own_code, local_files_only=True
        )


def _load_extractor(folder, own_code):
    from transformers import AutoFeatureExtractor

    fact = f"{folder} has no preprocessor_config.json that transformers can read"
    with _explained(fact, " Write one: its extractor's save_pretrained(FOLDER)."):
        return AutoFeatureExtractor.from_pretrained(
            folder, trust_remote_code=own_code, local_files_only=True
        )


@contextmanager
def _explained(fact, advice=" Was it cut short on its way? Fetch it again."):
    """Turn what transformers and its parts raise about a folder into one error."""
    try:
        yield
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # of json, safetensors, huggingface_hub, ...
        reason = (str(error).splitlines() or [""])[0]
        raise ValueError(
            f"{fact} ({type(error).__name__}: {reason}).{advice}"
        ) from error


@lru_cache(maxsize=2)
def _load_network(
    folder: str, own_code: bool, files: Any, device: str, precision: Any
) -> nn.Module:
    """Load a model, once per process, as long as its files stay the same."""
    check_unchanged(files)
    import transformers

    named = _load_config(folder, own_code).architectures or ["AutoModel"]
    load = getattr(transformers, named[0] if named[0] in _TOWERS else "AutoModel")
    with (
        torch.random.fork_rng(devices=[]),  # weights are drawn before they are read
        _without_report(),
        _explained(f"transformers cannot load the model in {folder}"),
    ):
        network, found = load.from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=own_code,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # those are in `found`
        )
    others = [name for name, *_ in found["mismatched_keys"]]
    missing = sorted({*found["missing_keys"], *others} - _UNUSED)
    if missing:
        raise ValueError(
            f"The weights in {folder} lack {len(missing)} of the tensors that its "
            f"config.json asks for, such as {missing[0]!r}, or have them in another "
            "shape: they would be drawn at random, anew in every process. Fetch the "
            "folder again, or save the model again: model.save_pretrained(FOLDER)."
        )
    return speed_up(network.eval(), device, precision).to(device)


@contextmanager
def _without_report():
    """Let transformers print neither a bar nor what it did with each weight."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if bars:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _licence(folder):
    card = Path(folder) / "README.md"
    text = card.read_text("utf-8", errors="replace") if card.is_file() else ""
    match = re.search(r"^license:\s*(\S+)", text, re.M)
    return match[1] if match else "not stated"
