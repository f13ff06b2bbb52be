"""Long clips in windows with overlap, in bounded memory: the base of most encoders.

A clip that is longer than `window` is encoded in windows, one every `hop` seconds; the
last one ends with the clip. Where an encoder has frames at a constant rate, the frames
of two windows that overlap are taken from either up to the middle of the overlap: every
frame has had (window - hop) / 2 of audio before and after it, and there are as many
frames as if the clip had been encoded in one piece. Nothing is drawn at random.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch.nn.utils.rnn import pad_sequence

from userlogfeat._check import check_positive
from userlogfeat._threads import limit_torch, n_cores
from userlogfeat.encoders.protocol import Encoding
from userlogfeat.networks.threads import map_threads

if TYPE_CHECKING:
    from torch import Tensor

OVERLAP = 2.4  # seconds, by default: 1.2 s on either side of a frame
MOST_PADDING = 1.25  # longest window of a pass, by its shortest, if padding is masked
# Seconds of audio in one pass. On a CPU few: maps of the first convolutions, 6 MB a
# second in wav2vec 2.0, should fit its caches. With 30 s a small HuBERT took 28 to 36 %
# longer in one thread than with 2, and the base one as long.
PASS_SECONDS = {"cpu": 2.0, "cuda": 960.0}
# Seconds in all passes that are made at once, for memory; a longer one is made alone.
BESIDE_SECONDS = 30.0


class Window(NamedTuple):
    """One window of a clip.

    Attributes
    ----------
    clip, number : int
        Which clip, and which window of it.
    start, stop : int
        First sample of it, and the sample after its last.
    first, last : int and int or None
        Its frames that count; None is the end.
    """

    clip: int
    number: int
    start: int
    stop: int
    first: int
    last: int | None


class WindowedEncoder:
    """Base of encoders that read windows of a bounded length.

    A subclass has what :class:`userlogfeat.encoders.Encoder` lists but `encode` and
    `settings`, and ``_encode_windows``. It calls ``_set_windows`` once.
    """

    # Whether a pass may pad its windows: the padding is masked, and changes nothing.
    masks_padding: bool = False
    # Whether several threads may use the network at once.
    runs_beside: bool = False
    name: str
    sample_rate: int
    min_samples: int
    layer_sizes: dict[str, int]
    frame_samples: int | None  # from one frame to the next; None: one row per window
    window: float | None
    hop: float | None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @property
    def settings(self) -> dict[str, Any]:
        """Settings that make it again, beside the name."""
        chosen = {"window": self.window, "hop": self.hop}
        return {name: value for name, value in chosen.items() if value is not None}

    def encode(
        self,
        waveforms: Tensor,
        lengths: Tensor,
        layers: Sequence[str],
        precision: Literal["fp32", "bf16"] = "fp32",
    ) -> Encoding:
        """Encode clips: see :class:`userlogfeat.encoders.Encoder`."""
        clips = [x[:n] for x, n in zip(waveforms, lengths.tolist(), strict=True)]
        parts: list[dict[int, dict[str, Tensor]]] = [{} for _ in clips]
        for clip, number, frames in self.iter_windows(clips, layers, precision):
            parts[clip][number] = frames
        return Encoding.of_clips(
            {
                name: [torch.cat([p[i][name] for i in sorted(p)]) for p in parts]
                for name in layers
            }
        )

    def iter_windows(
        self,
        clips: Sequence[Tensor],
        layers: Sequence[str],
        precision: Literal["fp32", "bf16"] = "fp32",
    ) -> Iterator[tuple[int, int, dict[str, Tensor]]]:
        """Yield the frames of one window after the other.

        So clips of an hour can be pooled without holding all of their frames.

        Parameters
        ----------
        clips : list of Tensor (n_samples,)
            Waveforms.
        layers : sequence of str
            Out of `layer_sizes`.
        precision : {"fp32", "bf16"}
            Precision of the matrix products.

        Yields
        ------
        clip, number : int
            Which clip, and which of its windows.
        frames : dict of str to Tensor (n_frames, size)
            The frames that count of this window.
        """
        windows = [
            window
            for row, clip in enumerate(clips)
            for window in self._windows(row, len(clip))
        ]
        device, inference = clips[0].device, torch.is_inference_mode_enabled()
        encode = partial(self._encode_pass, clips, tuple(layers), precision, inference)
        for several in self._beside(self._passes(windows, device.type), device.type):
            with limit_torch(n_cores()):  # for a pass that is alone
                found = map_threads(encode, several, device=device)
            for together, frames in zip(several, found, strict=True):
                for window, kept in zip(together, frames, strict=True):
                    yield window.clip, window.number, kept

    def _encode_pass(self, clips, layers, precision, inference, together):
        """Frames that count of each of the windows of a pass."""
        waveforms = [clips[w.clip][w.start : w.stop] for w in together]
        with torch.inference_mode(inference):
            encoded = self._encode_windows(waveforms, layers, precision)
        return [
            {name: x[window.first : window.last] for name, x in found.items()}
            for window, found in zip(together, encoded, strict=True)
        ]

    def _encode_windows(
        self, waveforms: list[Tensor], layers: tuple[str, ...], precision: str
    ) -> list[dict[str, Tensor]]:
        """Frames {layer: (n_frames, size)} of each waveform (n_samples,)."""
        raise NotImplementedError

    @property
    def frame_rate(self) -> float | None:
        """Frames per second."""
        return self.frame_samples and self.sample_rate / self.frame_samples

    def _check_attributes(self) -> None:
        """Raise where what describes the encoder cannot be."""
        for name in ("sample_rate", "min_samples", "frame_samples"):
            value = getattr(self, name)
            if name != "frame_samples" or value is not None:
                check_positive(value, f"encoder.{name}", integer=True)
        sizes = self.layer_sizes
        if not isinstance(sizes, Mapping) or not sizes:
            sizes = {None: 0}
        for name, size in sizes.items():
            if not (isinstance(name, str) and isinstance(size, Integral) and size > 0):
                raise ValueError(
                    f"Got layer_sizes={self.layer_sizes!r} of the encoder "
                    f"{self.name!r}, expected a dict from the name of each of its "
                    "layers to its columns, such as {'layer_1': 768}."
                )
        default = getattr(self, "default_layer", None)
        if default not in (None, "mean", *sizes):
            raise ValueError(
                f"Got default_layer={default!r} of the encoder {self.name!r}, expected "
                f"'mean' or one of {list(sizes)}."
            )

    def _set_windows(self, window: Any, hop: Any, default: float | None) -> None:
        """Check `window` and `hop` (s), and set them; None is the default."""
        self._check_attributes()
        settings = {"window": window, "hop": hop, "encoder.window": default}
        for name, value in settings.items():
            if value is not None:
                check_positive(value, name)
        self.window = default if window is None else float(window)
        if self.window is None:
            if hop is not None:
                raise ValueError(
                    f"Got hop={hop!r} and no window: {self.name!r} reads clips in one "
                    "piece, of any length. Pass window=, too."
                )
            self.hop = None
            return
        least = self.min_samples + (self.frame_samples or 1)
        if self.window * self.sample_rate < least:
            raise ValueError(
                f"Got window={self.window:g} s, expected at least "
                f"{least / self.sample_rate:g} s: the encoder {self.name!r} "
                "has nothing to give for less."
            )
        overlap = min(OVERLAP, self.window / 2) if self.frame_samples else 0.0
        self.hop = self.window - overlap if hop is None else float(hop)
        if self.hop > self.window:
            raise ValueError(
                f"Got hop={self.hop:g} s and window={self.window:g} s: audio between "
                "two windows would not be read. Pass a hop of at most the window."
            )

    def _windows(self, row: int, n_samples: int) -> list[Window]:
        """List the windows of a clip, and which of their frames count."""
        step = self.frame_samples or 1
        length = round((self.window or 0) * self.sample_rate)
        if self.window is None or n_samples <= length:
            return [Window(row, 0, 0, n_samples, 0, None)]
        hop = max(1, int(self.hop * self.sample_rate) // step) * step
        # The last begins on a frame, too: it is shorter than the others by up to one.
        final = -(-(n_samples - length) // step) * step
        starts = [*range(0, final, hop), final]
        windows, taken = [], 0  # frames of the clip that the windows before gave
        for number, start in enumerate(starts):
            first, last, stop = 0, None, min(start + length, n_samples)
            if self.frame_samples:
                first = taken - start // step
                if number + 1 < len(starts):
                    middle = (starts[number + 1] + start + length) // 2
                    taken = middle // step
                    last = taken - start // step
            windows.append(Window(row, number, start, stop, first or 0, last))
        return windows

    def _passes(self, windows: list[Window], device: str) -> Iterator[list[Window]]:
        """Group windows that go through the network together, of similar length."""
        most = PASS_SECONDS.get(device, PASS_SECONDS["cpu"]) * self.sample_rate
        padding = MOST_PADDING if self.masks_padding else 1.0
        together: list[Window] = []
        for window in sorted(windows, key=lambda w: w.stop - w.start):
            length = self._cost(window.stop - window.start)
            if together:
                shortest = self._cost(together[0].stop - together[0].start)
                full = length * (len(together) + 1) > most
                if full or length > padding * shortest:
                    yield together
                    together = []
            together.append(window)
        if together:
            yield together

    def _beside(
        self, passes: Iterable[list[Window]], device: str
    ) -> Iterator[list[list[Window]]]:
        """Group passes that are made side by side, the longer the fewer at once."""
        several: list[list[Window]] = []
        for together in passes:  # of rising length
            n_beside = self._n_beside(together) if device == "cpu" else 1
            # Threads for all cores take the next pass when they are free.
            most = 4 * n_beside if 1 < n_beside == n_cores() else n_beside
            if len(several) >= most:
                yield several
                several = []
            several.append(together)
        if several:
            yield several

    def _n_beside(self, together: list[Window]) -> int:
        """Passes like this one that may be made at once."""
        if not self.runs_beside:
            return 1
        longest = together[-1].stop - together[-1].start
        seconds = self._cost(longest) * len(together) / self.sample_rate
        if seconds <= PASS_SECONDS["cpu"]:
            return n_cores()
        return max(1, min(n_cores(), int(BESIDE_SECONDS / seconds)))

    def _cost(self, n_samples: int) -> int:
        """Samples that the network reads for a window of so many."""
        return n_samples


def check_frames(
    encoder: WindowedEncoder, x: Any, layer: str, waveforms: Tensor
) -> None:
    """Raise unless an object or a file gave what it promised.

    Parameters
    ----------
    encoder : WindowedEncoder
    x : Tensor
        Its frames (clips, frames, size); anything else is refused.
    layer : str
        Which layer they are said to be.
    waveforms : Tensor (n_clips, n_samples)
        Its input, of one length.
    """
    n_clips, n_samples = waveforms.shape
    size = encoder.layer_sizes[layer]
    shape = tuple(x.shape) if isinstance(x, torch.Tensor) else None
    fits = shape and len(shape) == 3 and shape[::2] == (n_clips, size) and shape[1] > 0
    if not fits or x.is_complex():
        got = type(x).__name__ if shape is None else f"{x.dtype} of shape {shape}"
        raise ValueError(
            f"The encoder {encoder.name!r} gave {got} for the layer {layer!r}, "
            f"expected real numbers of shape ({n_clips} clips, 1 frame or more, "
            f"{size} columns) for clips of {n_samples} samples. A layer with one row a "
            "clip needs an axis of one frame: x[:, None]. If it needs longer clips, "
            "min_samples says so."
        )
    if encoder.frame_samples is None or encoder.window is None:
        return
    expected = 1 + max(0, n_samples - encoder.min_samples) / encoder.frame_samples
    if abs(shape[1] - expected) > 3 + expected / 2:
        raise ValueError(
            f"The encoder {encoder.name!r} gave {shape[1]} frames for clips of "
            f"{n_samples} samples, but its frame rate of {encoder.frame_rate:g} Hz "
            f"promises about {expected:.0f}: windows could not be joined. Correct it, "
            "or leave it out."
        )


def pad_windows(waveforms: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Pad waveforms with zeros to one tensor (n, n_samples); their lengths (n,)."""
    lengths = torch.tensor([len(w) for w in waveforms], device=waveforms[0].device)
    return pad_sequence(list(waveforms), batch_first=True), lengths
