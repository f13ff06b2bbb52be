"""Networks of configs: those we know, and no others."""

import pytest
import torch

from userlogfeat.weights.builders import build, check_encoder
from userlogfeat.weights.config import ModelError


def test_own_tensors_are_on_no_device_yet():
    """What a stranger's config asks for takes no memory before weights are compared."""
    spec = {"name": "mlp", "head": [1 << 20, 1 << 20, 3]}
    network = build({"network": spec, "front_end": None}, "cpu", "fp32", None)
    assert {p.device for p in network.parameters()} == {torch.device("meta")}
    assert network.head[0].weight.shape == (1 << 20, 1 << 20)


def test_unknown_networks_are_named():
    config = {"network": {"name": "os.system"}, "front_end": None}
    with pytest.raises(ModelError, match=r"is 'os\.system', this version builds \['"):
        build(config, "cpu", "fp32", None)
    config["network"] = {"name": "custom", "class": "Bands"}
    with pytest.raises(ModelError, match="your own class 'Bands', which a folder does"):
        build(config, "cpu", "fp32", None)


def test_settings_that_are_none_are_not_set():
    """As encoders of objects and ONNX files were noted, before such were left out."""
    found = {"name": "onnx:a.onnx", "revision": "", "weights_hash": "1", "settings": {}}
    check_encoder(found | {"settings": {"window": None, "hop": None}}, found)
    check_encoder(found, found)
    for saved in ({"settings": {"window": 3.0, "hop": None}}, {"weights_hash": "2"}):
        with pytest.raises(ModelError, match="its estimates would be wrong"):
            check_encoder(found | saved, found)
