"""Devices, transfers, and memory that does not suffice."""

import numpy as np
import pytest
import torch

from userlogfeat import FRONTENDS, LogMel
from userlogfeat.estimators._devices import (
    bring_together,
    resolve_device,
    resolve_precision,
    send_together,
    to_arrays,
    to_device,
)

CPU = torch.device("cpu")


class Greedy(LogMel):
    """Spectrograms from a device with memory for `most` clips at once."""

    def _forward(self, network, log_mels, layers):
        self.batch_sizes.append(len(log_mels))
        if len(log_mels) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        return super()._forward(network, log_mels, layers)


def greedy(most, batch_size):
    embedder = Greedy("lee2019", duration=0.1, batch_size=batch_size)
    embedder.most, embedder.batch_sizes = most, []
    return embedder


WAVEFORMS = 0.1 * np.random.default_rng(0).normal(size=(13, 1600))


def test_without_memory_for_a_batch_halves_are_processed():
    expected = LogMel("lee2019", duration=0.1).fit_transform(WAVEFORMS)
    embedder = greedy(4, batch_size=6)
    with pytest.warns(UserWarning, match="for 6 clips at once") as warned:
        found = embedder.fit_transform(WAVEFORMS)
    np.testing.assert_array_equal(found, expected)
    assert embedder.batch_sizes == [6, 3, 3, 3, 3, 1]
    assert len(warned) == 1


def test_without_memory_for_half_a_batch_it_is_over():
    with (
        pytest.warns(UserWarning, match="for 8 clips at once"),
        pytest.raises(torch.OutOfMemoryError, match=r"memory for 4 clip\(s\), after"),
    ):
        greedy(3, batch_size=8).fit_transform(WAVEFORMS)
    embedder = greedy(0, batch_size=1)
    with pytest.raises(
        torch.OutOfMemoryError, match=r"memory for 1 clip\(s\), at once"
    ):
        embedder.fit_transform(WAVEFORMS)


def test_what_is_sent_together_is_the_same():
    """Clips of any shapes in one piece, as a GPU gets them."""
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=n).astype(np.float32) for n in (5, 3, (2, 4))]
    tensors = [torch.from_numpy(array) for array in arrays]
    sent = send_together(tensors, CPU, pinned=False)
    assert len({tensor.untyped_storage().data_ptr() for tensor in sent}) == 1
    for batch_sizes in (sent, to_device(arrays, CPU)):
        for tensor, array in zip(batch_sizes, arrays, strict=True):
            np.testing.assert_array_equal(tensor.numpy(), array)


def test_what_comes_back_is_the_same():
    tensors = [torch.arange(3.0), torch.ones(2, 4)]
    for batch_sizes in (to_arrays(tensors), bring_together(tensors)):
        for array, tensor in zip(batch_sizes, tensors, strict=True):
            np.testing.assert_array_equal(array, tensor.numpy())


def test_each_process_has_its_own_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch, "empty", lambda *args, **kwargs: None)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert resolve_device("auto") == torch.device("cuda")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert resolve_device("auto") == torch.device("cuda", 1)
    assert resolve_precision("auto", "cuda") == "bf16"
    monkeypatch.setenv("LOCAL_RANK", "2")  # each process sees one GPU only
    assert resolve_device("auto") == torch.device("cuda")


def test_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert resolve_device("auto") == CPU
    assert resolve_precision("auto", CPU) == "fp32"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_agrees_with_a_cpu():
    settings = {"frontend": FRONTENDS["lee2019"], "duration": 0.1}
    expected = LogMel(**settings, device="cpu").fit_transform(WAVEFORMS)
    found = LogMel(**settings, device="cuda").fit_transform(WAVEFORMS)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
