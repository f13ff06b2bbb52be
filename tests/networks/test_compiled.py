"""Compiled blocks give the same, keep their names, and are on a GPU only."""

import pytest
import torch

from userlogfeat.networks.compiled import SWITCH, compile_blocks, compile_where_wanted
from userlogfeat.networks.se_cnn import SECNN

SMALL = ((2, 2), (2, 2))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own
def test_compiled_blocks_are_the_same_network():
    network = SECNN(channels=4, pools=SMALL).eval()
    x, names = torch.randn(2, 8, 8), list(network.state_dict())
    with torch.inference_mode():
        expected = network(x)
        assert compile_blocks(network, backend="eager") == 3
        torch.testing.assert_close(network(x), expected)
    assert list(network.state_dict()) == names
    calls = [block._compiled_call_impl for block in network.blocks.values()]
    compile_blocks(network)  # again changes nothing
    assert calls == [block._compiled_call_impl for block in network.blocks.values()]


@pytest.mark.parametrize(
    ("device", "switch", "wanted"),
    [("cuda", "1", True), ("cuda", "0", False), ("cpu", "1", False)],
)
def test_off_unless_asked_for_on_a_gpu(monkeypatch, device, switch, wanted):
    asked = []
    monkeypatch.setattr("userlogfeat.networks.compiled.compile_blocks", asked.append)
    monkeypatch.delenv(SWITCH, raising=False)
    compile_where_wanted("network", torch.device("cuda"))
    assert asked == []
    monkeypatch.setenv(SWITCH, switch)
    compile_where_wanted("network", torch.device(device))
    assert asked == ["network"] * wanted
