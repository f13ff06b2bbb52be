"""How the families of audio models in transformers are read, one class each.

=============  =============================================================
Waveforms      wav2vec 2.0, HuBERT, WavLM, data2vec, MERT, ...: any length
Spectrogram    AST: a spectrogram of fixed length, cut into patches
Whisper        the encoder of Whisper: 30 s, filled with silence
Clap           the audio tower of CLAP: 10 s, one row for all of it
=============  =============================================================
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from userlogfeat.encoders.hugging_face_speed import until_block
from userlogfeat.encoders.windowed import pad_windows

if TYPE_CHECKING:
    from torch import Tensor


class Family:
    """How the models of one family are read.

    Parameters
    ----------
    config, extractor : object
        Configuration and feature extractor of transformers.

    Attributes
    ----------
    sample_rate, min_samples, layer_sizes, default_layer, frame_samples, masks_padding
        As of the encoder.
    longest : float or None
        Seconds that it reads at most.
    """

    default_window: ClassVar[float] = 30.0
    longest: float | None = None
    masks_padding: bool = False
    frame_samples: int | None = None
    min_samples: int = 1
    default_layer: str = "mean"
    layer_sizes: dict[str, int]

    def __init__(self, config: Any, extractor: Any) -> None:
        self.config, self.extractor = config, extractor
        self.sample_rate = extractor.sampling_rate

    def _check_extractor(self, **settings: int) -> None:
        """Raise where a setting of the extractor is not what the model reads."""
        for name, read in settings.items():
            found = getattr(self.extractor, name, None)
            if found != read:
                raise ValueError(
                    f"Got a preprocessor_config.json with {name}={found!r} beside a "
                    f"config.json of a model that reads {read!r}: they are of two "
                    "models. Take both files from one folder."
                )

    def prepare(self, waveforms: list[Tensor]) -> tuple[Tensor, list[int]]:
        """Inputs of the network, and the samples of each waveform."""
        arrays = [waveform.cpu().numpy() for waveform in waveforms]
        found = self.extractor(
            arrays, sampling_rate=self.sample_rate, return_tensors="pt"
        )
        inputs = found[self.extractor.model_input_names[0]]
        return inputs.float().to(waveforms[0].device), [len(a) for a in arrays]

    def forward(
        self, network: Any, inputs: Tensor, lengths: list[int], layers: tuple[str, ...]
    ) -> dict[str, Tensor]:
        """Layers (n, n_frames, size) of windows."""
        raise NotImplementedError

    def n_frames(self, n_samples: int) -> int:
        """Frames of a window."""
        return 1

    def n_read(self, n_samples: int) -> int:
        """Samples that the network reads for a window of so many."""
        return (
            n_samples if self.longest is None else int(self.longest * self.sample_rate)
        )

    def _number_layers(self, size: int, n_layers: int) -> dict[str, int]:
        return {f"layer_{i}": size for i in range(n_layers + 1)}


class Waveforms(Family):
    """wav2vec 2.0 and its kin: convolutions on the waveform, then a transformer."""

    def __init__(self, config: Any, extractor: Any) -> None:
        super().__init__(config, extractor)
        self.kernels = list(zip(config.conv_kernel, config.conv_stride, strict=True))
        self.frame_samples, reach = 1, 1
        for kernel, stride in self.kernels:
            reach += (kernel - 1) * self.frame_samples
            self.frame_samples *= stride
        self.min_samples = reach
        self.layer_sizes = self._number_layers(
            config.hidden_size, config.num_hidden_layers
        )
        # The norm over a whole group sees the padding; that of each frame does not.
        self.masks_padding = getattr(config, "feat_extract_norm", "layer") == "layer"

    def n_frames(self, n_samples: int) -> int:
        """Frames of a window."""
        for kernel, stride in self.kernels:
            n_samples = (n_samples - kernel) // stride + 1
        return n_samples

    def prepare(self, waveforms: list[Tensor]) -> tuple[Tensor, list[int]]:
        """Waveforms of zero mean and unit variance, padded."""
        lengths = [len(waveform) for waveform in waveforms]
        if getattr(self.extractor, "do_normalize", False):
            waveforms = [_standardised(waveform) for waveform in waveforms]
        return pad_windows(waveforms)[0], lengths

    def forward(
        self, network: Any, inputs: Tensor, lengths: list[int], layers: tuple[str, ...]
    ) -> dict[str, Tensor]:
        """Layers (n, n_frames, size): the transformer's input, then those of it."""
        mask = None
        if min(lengths) < inputs.shape[1]:
            places = torch.arange(inputs.shape[1], device=inputs.device)
            ends = torch.tensor(lengths, device=inputs.device)
            mask = (places < ends[:, None]).long()
        run = partial(network, inputs, attention_mask=mask, output_hidden_states=True)
        states = _run_until(layers, run)[0]
        return {name: states[_number(name)] for name in layers}


class Spectrogram(Family):
    """AST: patches of a spectrogram that is padded to a fixed length."""

    FRAME, HOP, N_FFT = 400, 160, 512  # samples of its spectrogram's frames
    PREEMPHASIS, FLOOR = 0.97, 1.192092955078125e-07  # as Kaldi has them

    def __init__(self, config: Any, extractor: Any) -> None:
        super().__init__(config, extractor)
        self._check_extractor(
            max_length=config.max_length, num_mel_bins=config.num_mel_bins
        )
        self.frame_samples = config.time_stride * self.HOP
        self.min_samples = self.FRAME
        n_samples = (config.max_length - 1) * self.HOP + self.FRAME
        steps = n_samples // self.frame_samples
        self.longest = steps * self.frame_samples / self.sample_rate
        sizes = self._number_layers(config.hidden_size, config.num_hidden_layers)
        self.layer_sizes = {**sizes, "pooled": config.hidden_size}
        self.default_layer = "pooled"

    def n_frames(self, n_samples: int) -> int:
        """Columns of patches that a window has reached."""
        n = 1 + max(0, n_samples - self.FRAME) // self.HOP
        columns = (n - self.config.patch_size) // self.config.time_stride + 1
        return max(1, min(columns, self._n_columns()))

    def prepare(self, waveforms: list[Tensor]) -> tuple[Tensor, list[int]]:
        """Spectrograms (n, frames, bands); the extractor would go frame by frame."""
        extractor = self.extractor
        if not hasattr(extractor, "mel_filters"):  # torchaudio makes them
            return super().prepare(waveforms)
        filters = torch.from_numpy(extractor.mel_filters)  # float64: not all devices
        window = torch.from_numpy(extractor.window)
        inputs = filters.new_zeros(len(waveforms), extractor.max_length, len(filters.T))
        for row, waveform in zip(inputs, waveforms, strict=True):
            frames = waveform.cpu().double().unfold(0, self.FRAME, self.HOP)[: len(row)]
            frames = frames - frames.mean(dim=1, keepdim=True)
            before = torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
            frames = (frames - self.PREEMPHASIS * before) * window
            power = torch.fft.rfft(frames, self.N_FFT).abs().square()
            row[: len(frames)] = (power @ filters).clamp(min=self.FLOOR).log()
        if extractor.do_normalize:
            inputs = (inputs - extractor.mean) / (2 * extractor.std)
        lengths = [len(waveform) for waveform in waveforms]
        return inputs.float().to(waveforms[0].device), lengths

    def forward(
        self, network: Any, inputs: Tensor, lengths: list[int], layers: tuple[str, ...]
    ) -> dict[str, Tensor]:
        """Layers (n, n_frames, size), the mean over the bands of a column of patches.

        ``pooled`` is the model's own embedding of the window, the same in each frame.
        """
        run = partial(network, inputs, output_hidden_states=True)
        states, found = _run_until(layers, run)
        n = self._n_columns()
        encoded = {}
        for name in layers:
            if name == "pooled":
                encoded[name] = found.pooler_output[:, None].expand(-1, n, -1)
            else:
                patches = states[_number(name)][:, 2:]  # without 2 tokens
                encoded[name] = patches.unflatten(1, (-1, n)).mean(dim=1)
        return encoded

    def _n_columns(self):
        config = self.config
        return (config.max_length - config.patch_size) // config.time_stride + 1


class Whisper(Family):
    """The encoder of Whisper, whose window is filled with silence."""

    def __init__(self, config: Any, extractor: Any) -> None:
        super().__init__(config, extractor)
        n_positions = config.max_source_positions
        self._check_extractor(
            nb_max_frames=2 * n_positions, feature_size=config.num_mel_bins
        )
        self.longest = extractor.n_samples / self.sample_rate
        self.frame_samples = extractor.n_samples // n_positions
        self.layer_sizes = self._number_layers(config.d_model, config.encoder_layers)

    def n_frames(self, n_samples: int) -> int:
        """Frames of a window, the silence that fills it left out."""
        return -(-n_samples // self.frame_samples)

    def forward(
        self, network: Any, inputs: Tensor, lengths: list[int], layers: tuple[str, ...]
    ) -> dict[str, Tensor]:
        """Layers (n, n_frames, size): the encoder's input, then each of its layers."""
        run = partial(network.get_encoder(), inputs, output_hidden_states=True)
        states = _run_until(layers, run)[0]
        return {name: states[_number(name)] for name in layers}


class Clap(Family):
    """The audio tower of CLAP: stages of a Swin transformer, one row per window."""

    def __init__(self, config: Any, extractor: Any) -> None:
        super().__init__(config, extractor)
        self.longest = extractor.nb_max_samples / self.sample_rate
        audio = getattr(config, "audio_config", config)
        self._check_extractor(feature_size=audio.num_mel_bins)
        self.n_stages = len(audio.depths)
        self.fused = bool(audio.enable_fusion)
        first = audio.patch_embeds_hidden_size
        sizes = [first * 2**i for i in range(self.n_stages)]
        self.layer_sizes = {f"stage_{i}": size for i, size in enumerate(sizes)}
        self.layer_sizes["pooled"] = sizes[-1]
        self.default_layer = "pooled"
        if hasattr(config, "audio_config"):
            self.layer_sizes["projected"] = config.projection_dim
            self.default_layer = "projected"

    def prepare(self, waveforms: list[Tensor]) -> tuple[Tensor, list[int]]:
        """Spectrograms (n, maps, frames, bands)."""
        # The extractor draws a clip that it calls longer; `forward` does not use that.
        state = np.random.get_state()  # noqa: NPY002
        try:
            return super().prepare(waveforms)
        finally:
            np.random.set_state(state)  # noqa: NPY002

    def forward(
        self, network: Any, inputs: Tensor, lengths: list[int], layers: tuple[str, ...]
    ) -> dict[str, Tensor]:
        """Layers (n, 1, size)."""
        tower = getattr(network, "audio_model", network)
        longer = torch.zeros(len(inputs), 1, dtype=torch.bool, device=inputs.device)
        run = partial(
            tower,
            input_features=inputs,
            is_longer=longer if self.fused else None,
            output_hidden_states=True,
        )
        states, found = _run_until(layers, run)
        encoded = {}
        for name in layers:
            if name == "pooled":
                row = found.pooler_output
            elif name == "projected":
                row = network.audio_projection(found.pooler_output)
                row = torch.nn.functional.normalize(row, dim=-1)
            else:
                x = states[_number(name)]  # n, places, size or n, size, bands, times
                row = x.mean(dim=1) if x.ndim == 3 else x.flatten(2).mean(dim=2)
            encoded[name] = row[:, None]
        return encoded


FAMILIES: dict[str, type[Family]] = {
    "audio-spectrogram-transformer": Spectrogram,
    "whisper": Whisper,
    "clap": Clap,
    "clap_audio_model": Clap,
}


def find_family(config: Any, extractor: Any, name: str) -> Family:
    """Return how a model is read.

    Parameters
    ----------
    config, extractor : object
        Configuration and feature extractor of transformers.
    name : str
        For the message.

    Raises
    ------
    ValueError
        If no family here reads such models.
    """
    kind = getattr(config, "model_type", None)
    family = FAMILIES.get(kind)
    if family is None and all(
        hasattr(config, key) for key in ("conv_kernel", "conv_stride", "hidden_size")
    ):
        family = Waveforms
    if family is not None:
        rate = getattr(extractor, "sampling_rate", None)
        if not isinstance(rate, int) or rate < 1:
            raise ValueError(
                f"Got encoder={name!r}, whose preprocessor_config.json has "
                f"sampling_rate={rate!r}, expected a whole number of Hz, such as 16000."
            )
        return family(config, extractor)
    raise ValueError(
        f"Got encoder={name!r}, a model of type {kind!r}, expected one that reads "
        f"waveforms as wav2vec 2.0 does, or one of {', '.join(FAMILIES)}. Wrap it in "
        "an object with sample_rate, layer_sizes and a call (waveforms, lengths)."
    )


def _run_until(layers: Sequence[str], run: Callable[[], Any]) -> tuple[Any, Any]:
    """Hidden states as far as layers need them; the output, if all blocks ran."""
    numbered = all("_" in name for name in layers)  # others come from the end
    last = max(map(_number, layers)) if numbered else None
    with until_block(last) as states:
        found = run()
        return found.hidden_states, found
    return states, None


def _standardised(waveform: Tensor) -> Tensor:
    """Zero mean and unit variance, as Wav2Vec2FeatureExtractor makes it."""
    centred = waveform - waveform.mean()
    return centred / (centred.square().mean() + 1e-7).sqrt()


def _number(layer: str) -> int:
    return int(layer.rpartition("_")[2])
