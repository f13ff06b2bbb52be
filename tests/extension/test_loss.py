"""Another loss is one function and its registration."""

import numpy as np
import pytest
import torch

from userlogfeat import CFRegressor, KDStudentRegressor
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


@pytest.mark.usefixtures("absolute")
def test_estimators_train_with_it():
    """With a tolerance above all errors, factors and teacher supervise nothing."""
    rng = np.random.default_rng(0)
    X, factors = rng.normal(size=(30, 4)), rng.normal(size=(30, 2))

    def teacher(loss, n):
        settings = {"head": "mlp", "hidden": (4,), "loss": loss, "max_epochs": n}
        return CFRegressor("mlp", random_state=0, **settings).fit(X, factors)

    blind = ("absolute", {"tolerance": 100.0})
    one, three = (teacher(blind, n).predict(X) for n in (1, 3))
    np.testing.assert_array_equal(one, three)
    assert not np.allclose(teacher("absolute", 3).predict(X), three)
    assert teacher("absolute", 1).history_[0]["train_loss"] > 0

    def student(loss, mode="kd"):
        settings = {"hidden": (4,), "max_epochs": 3, "kd_epochs": None}
        model = KDStudentRegressor(mode=mode, network="mlp", kd_loss=loss, **settings)
        model.set_params(random_state=0)
        targets = {"teacher_targets": factors} if mode == "kd" else {}
        return model.fit(X, factors[:, 0], **targets).history_

    losses = [
        epoch["train_loss"] - epoch["train_task_loss"] for epoch in student(blind)
    ]
    assert losses == [0.0] * 3
    assert student("absolute")[0]["train_loss"] > student(blind)[0]["train_loss"]
    assert student("absolute", "base") == student("mse", "base")  # distillation alone
    for make in (
        lambda: teacher("hinge", 1),
        lambda: student("warp", "base"),
    ):
        with pytest.raises(ValueError, match=r"loss='(hinge|warp)'"):
            make()
