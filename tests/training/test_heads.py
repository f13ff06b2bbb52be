"""Heads: planted maps are found, groups are kept apart, random numbers left alone."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold

from userlogfeat import CFRegressor
from userlogfeat.networks.mlp import mlp
from userlogfeat.training import heads
from userlogfeat.training.heads import estimate_briefly, fit_ridge_head

N = 120
SETTINGS = {
    "hidden": (16,),
    "max_epochs": 60,
    "batch_size": 16,
    "lr": 1e-2,
    "patience": 10,
    "validation_fraction": 0.2,
    "device": "cpu",
    "random_state": 0,
}


@pytest.fixture
def planted():
    """Features far from the origin, of very different scales, and a linear map."""
    rng = np.random.default_rng(0)
    scales = np.array([1.0, 100.0, 0.01, 5.0])
    standard = rng.normal(size=(N, 4))
    features = (50 * scales + scales * standard).astype(np.float32)
    factors = (standard @ rng.normal(size=(4, 3))).astype(np.float32)
    return features, factors, np.ones(N, dtype=np.float32)


def fit_mlp_head(features, factors, *, sample_weight, **settings):
    model = CFRegressor("mlp", head="mlp", factor_norm="raw", **settings)
    model.fit(features, factors, sample_weight)
    return model.head_, model.history_


def predict(head, features):
    return head(torch.from_numpy(features)).numpy()


def test_ridge_finds_the_planted_map(planted):
    features, factors, weight = planted
    head, alpha = fit_ridge_head(
        features, factors, alphas=(1e-3, 1e3), sample_weight=weight, groups=None, seed=0
    )
    assert alpha == 1e-3
    np.testing.assert_allclose(predict(head, features), factors, atol=2e-2)


def test_ridge_regularises_noise(planted):
    features, factors, weight = planted
    noise = np.random.default_rng(1).normal(size=factors.shape).astype(np.float32)
    _, alpha = fit_ridge_head(
        features, noise, alphas=(1e-3, 1e5), sample_weight=weight, groups=None, seed=0
    )
    assert alpha == 1e5


def test_ridge_chooses_over_groups():
    """Features that only tell which artist it is: useless for unseen artists.

    Over clips, little regularisation wins (the artist is recognised); over artists it
    loses. Only the grouped choice can find that out.
    """
    rng = np.random.default_rng(0)
    artists = np.repeat(np.arange(20), 6)
    features = rng.normal(size=(20, 30)).astype(np.float32)[artists]
    factors = rng.normal(size=(20, 3)).astype(np.float32)[artists]
    settings = {
        "alphas": (1e-2, 1e5),
        "sample_weight": np.ones(N, dtype=np.float32),
        "seed": 0,
    }
    assert fit_ridge_head(features, factors, groups=None, **settings)[1] == 1e-2
    assert fit_ridge_head(features, factors, groups=artists, **settings)[1] == 1e5


def test_ridge_is_the_loop_over_folds(planted):
    features, factors, weight = planted
    factors = factors + np.random.default_rng(2).normal(size=factors.shape)
    groups = np.arange(N) % 10
    alphas = (0.1, 10.0, 300.0)
    standard = (features - features.mean(0)) / features.std(0)
    losses = []
    for alpha in alphas:
        folds = GroupKFold(5).split(standard, groups=groups)
        losses.append(
            np.mean(
                [
                    np.square(
                        Ridge(alpha).fit(standard[a], factors[a]).predict(standard[b])
                        - factors[b]
                    ).mean()
                    for a, b in folds
                ]
            )
        )
    head, alpha = fit_ridge_head(
        features, factors, alphas=alphas, sample_weight=weight, groups=groups, seed=0
    )
    assert alpha == alphas[int(np.argmin(losses))]
    expected = Ridge(alpha).fit(standard, factors).predict(standard)
    np.testing.assert_allclose(predict(head, features), expected, atol=2e-3)


def test_one_group_is_refused(planted):
    features, factors, weight = planted
    with pytest.raises(ValueError, match="a single group"):
        fit_ridge_head(
            features,
            factors,
            alphas=(1.0,),
            sample_weight=weight,
            groups=np.zeros(N),
            seed=0,
        )


def test_weights_of_zero_in_a_fold_are_refused(planted):
    features, factors, _ = planted
    with pytest.raises(ValueError, match="All sample weights of a fold are 0"):
        fit_ridge_head(
            features,
            factors,
            alphas=(1.0, 10.0),
            sample_weight=np.eye(1, N, dtype=np.float32)[0],
            groups=None,
            seed=0,
        )


def test_mlp_learns_and_keeps_the_best_epoch(planted):
    features, factors, weight = planted
    head, history = fit_mlp_head(features, factors, sample_weight=weight, **SETTINGS)
    found = predict(head, features)
    cosine = (found * factors).sum(1) / np.linalg.norm(found, axis=1)
    assert (cosine / np.linalg.norm(factors, axis=1)).mean() > 0.9
    losses = [epoch["valid_loss"] for epoch in history]
    assert min(losses) < losses[0]


def test_mlp_stops_early(planted):
    features, factors, weight = planted
    noise = np.random.default_rng(1).normal(size=factors.shape).astype(np.float32)
    settings = SETTINGS | {"patience": 3, "max_epochs": 500}
    _, history = fit_mlp_head(features, noise, sample_weight=weight, **settings)
    losses = [epoch["valid_loss"] for epoch in history]
    assert len(history) < 500
    assert np.argmin(losses) <= len(losses) - 3


def test_mlp_is_reproducible_and_leaves_the_generator(planted):
    features, factors, weight = planted
    settings = SETTINGS | {"max_epochs": 3}
    torch.manual_seed(3)
    first, _ = fit_mlp_head(features, factors, sample_weight=weight, **settings)
    assert torch.rand(1) == torch.rand(1, generator=torch.Generator().manual_seed(3))
    again, _ = fit_mlp_head(features, factors, sample_weight=weight, **settings)
    np.testing.assert_array_equal(predict(first, features), predict(again, features))
    other, _ = fit_mlp_head(
        features, factors, sample_weight=weight, **settings | {"random_state": 1}
    )
    assert not np.array_equal(predict(first, features), predict(other, features))


def test_mlp_ignores_clips_of_no_weight(planted):
    """Half the targets are turned round, at weight 0: the map is still found."""
    features, factors, weight = planted
    wrong = factors.copy()
    wrong[::2] *= -1
    weight = weight.copy()
    weight[::2] = 0
    head, _ = fit_mlp_head(features, wrong, sample_weight=weight, **SETTINGS)
    found = predict(head, features)
    cosine = (found * factors).sum(1) / np.linalg.norm(found, axis=1)
    assert (cosine / np.linalg.norm(factors, axis=1)).mean() > 0.8


def test_a_loss_that_explodes_says_what_to_change(planted):
    features, factors, weight = planted
    with pytest.raises(ValueError, match=r"train_loss became .* Lower lr"):
        fit_mlp_head(features, factors, sample_weight=weight, **SETTINGS | {"lr": 1e30})


def test_adam_is_that_of_torch():
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(64, 3)).astype(np.float32))
    networks = []
    for make in (heads._Adam, torch.optim.Adam):
        torch.manual_seed(0)
        network = mlp((3, 8, 2))
        optimizer = make(network.parameters(), lr=0.02)
        for _ in range(30):
            loss = (network(x) - x[:, :2].abs()).square().mean()
            if make is heads._Adam:
                optimizer.step(loss)
            else:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        networks.append(network(x).detach().numpy())
    np.testing.assert_allclose(*networks, atol=1e-5)


def test_brief_training_ends_where_estimates_are_best():
    """Absolute values are learned; of noise, nothing is better than the mean."""
    rng = np.random.default_rng(0)
    inputs = torch.from_numpy(rng.normal(size=(264, 3)).astype(np.float32))
    split = np.arange(200), np.arange(200, 232), np.arange(232, 264)

    def estimate(factors):
        torch.manual_seed(0)
        network = mlp((3, 32, 3))
        seen = []

        def loss(predicted, target):
            if not predicted.requires_grad:
                assert torch.equal(target, factors[split[1]])  # ends by these alone
                seen.append(float((predicted - target).square().mean()))
            return (predicted - target).square().mean(dim=1)

        rest = factors, torch.ones(264), split
        found = estimate_briefly(network, inputs, *rest, loss=loss, lr=1e-2, seed=0)
        assert len(seen) == 20 or np.argmin(seen) == len(seen) - 4
        error = np.square(found - factors[split[2]].numpy()).mean()
        return error / factors[split[2]].var().item(), len(seen)

    error, n_seen = estimate(inputs.abs())
    assert error < 0.1
    noise = torch.from_numpy(rng.normal(size=(264, 3)).astype(np.float32))
    error, n_seen_of_noise = estimate(noise)
    assert 0.9 < error < 1.3
    assert n_seen_of_noise < n_seen
