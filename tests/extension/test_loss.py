"""Another loss is one function and its registration."""

import pytest
import torch

from userlogfeat.losses import LOSSES, distillation, make_loss, register_loss


@pytest.fixture
def absolute():
    """Mean absolute error above a tolerance; gone after the test."""

    @register_loss("absolute")
    def absolute(predicted, target, tolerance=0.0):
        error = (predicted - target).abs() - tolerance
        return error.clamp(min=0).mean(dim=1)

    yield
    del LOSSES["absolute"]


@pytest.mark.usefixtures("absolute")
def test_a_loss_from_outside():
    """Errors 1 and 3, of which a tolerance of 2 leaves 0 and 1."""
    y, t = torch.zeros(1, 2), torch.tensor([[1.0, 3.0]])
    assert make_loss("absolute")(predicted=y, target=t).tolist() == [2.0]
    loss = make_loss("absolute", {"tolerance": 2.0})
    assert loss(predicted=y, target=t).tolist() == [0.5]
    total = distillation(torch.tensor(1.0), y, t, weight=10.0, loss=loss)
    assert total.item() == 1.0 + 10 * 0.5
    with pytest.raises(ValueError, match=r"'delta' for .*'absolute'.* are: tolerance"):
        make_loss("absolute", {"delta": 1.0})
