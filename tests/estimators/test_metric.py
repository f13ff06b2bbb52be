"""Clips among the users who like them: learning, variants, degenerate users, saving."""

import math

import numpy as np
import pytest
import soundfile
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils.estimator_checks import check_estimator
from torch import nn

from userlogfeat import UserLogEmbedder
from userlogfeat.estimators._training import Trainer
from userlogfeat.estimators.metric import DESCENT, TABLE_1, MetricEmbedder
from userlogfeat.losses import hinge, sigmoid_loss, softmax_loss
from userlogfeat.training import DecayingSGD
from userlogfeat.training.batches import ArrayInputs
from userlogfeat.training.checkpoints import Checkpoint
from userlogfeat.weights import ModelError

DATA = {"description": "planted", "licence": "none", "non_commercial": False}
RATE = 22050


def judge(similarity, seed=0, density=0.5):
    """Verdicts on clips (rows) of users who like what is near them."""
    rng = np.random.default_rng(seed)
    verdicts = np.sign(similarity) * (rng.random(similarity.shape) < density)
    return sparse.csr_matrix(verdicts.astype(np.float32))


@pytest.fixture(scope="module")
def planted():
    """Features of clips, verdicts on them, and where the users really are."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(260, 10)).astype(np.float32)
    users = rng.normal(size=(40, 6)).astype(np.float32)
    taste = features[:, :6] @ rng.normal(size=(6, 6))  # the rest is nuisance
    return features, judge(taste @ users.T), users


@pytest.fixture(scope="module")
def spectra():
    """Log-mel of two seconds in which the loud bands are the taste."""
    rng = np.random.default_rng(0)
    users = rng.normal(size=(30, 3)).astype(np.float32)
    tastes = rng.normal(size=(120, 3))
    shapes = rng.normal(size=(3, 128))
    X = 1 + 0.3 * np.tile((tastes @ shapes)[:, :, None], (1, 1, 87))
    X = (X + rng.normal(size=X.shape)).astype(np.float32)
    return X, judge(tastes @ users.T), users


def small(users="lookup", **changes):
    """A network of the paper's kind that learns in a second."""
    settings = {
        "channels": 16,
        "pools": (4, 2),
        "context": 0.5,
        "duration": 2.0,
        "batch_size": 64,
        "max_epochs": 4,
        "random_state": 0,
    }
    return MetricEmbedder(users, **(settings | changes))


def of_features(users="lookup", **changes):
    settings = {"network": "mlp", "hidden": (32,), "random_state": 0}
    return MetricEmbedder(users, **(settings | changes))


def test_hinge_is_the_loop():
    rng = np.random.default_rng(0)
    liked, disliked = rng.uniform(-1, 1, 9), rng.uniform(-1, 1, (9, 4))
    expected = [
        sum(max(0.0, 0.2 - r + other) for other in others)
        for r, others in zip(liked, disliked, strict=True)
    ]
    found = hinge(torch.from_numpy(liked), torch.from_numpy(disliked), 0.2)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_hinge_known_values():
    leads = hinge(torch.tensor([0.5]), torch.tensor([[0.2, -1.0]]), 0.2)
    assert leads.item() == 0
    alike = hinge(torch.tensor([0.3]), torch.tensor([[0.3, 0.3]]), 0.2)
    assert alike.item() == pytest.approx(0.4)


def test_cross_entropies_are_the_loops():
    scores = np.random.default_rng(0).normal(size=(7, 5))
    picked, said = [], []
    for first, *others in scores:
        total = math.exp(first) + sum(math.exp(s) for s in others)
        picked.append(-math.log(math.exp(first) / total))
        wrong = [math.log(1 + math.exp(s)) for s in others]
        said.append(math.log(1 + math.exp(-first)) + sum(wrong) / len(wrong))
    scores = torch.from_numpy(scores)
    np.testing.assert_allclose(softmax_loss(scores), picked, rtol=1e-12)
    np.testing.assert_allclose(sigmoid_loss(scores), said, rtol=1e-12)


def test_the_papers_descent_against_a_loop():
    """Nesterov's momentum 0.9, and lr / (1 + 1e-6 step); 1000 times that here."""
    weight = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    settings = {"decay": 1e-3, "momentum": 0.9, "nesterov": True}
    descent = DecayingSGD([weight], lr=0.1, **settings)
    w, velocity = np.array([1.0, -2.0]), np.zeros(2)
    for step in range(50):
        descent.zero_grad()
        (weight**2).sum().backward()
        descent.step()
        gradient = 2 * w
        velocity = 0.9 * velocity + gradient
        w = w - 0.1 / (1 + 1e-3 * step) * (gradient + 0.9 * velocity)
    np.testing.assert_allclose(weight.detach(), w, rtol=1e-9)
    made = DESCENT([weight], lr=0.1).param_groups[0]
    assert (made["lr"], made["decay"], made["momentum"]) == (0.1, 1e-6, 0.9)
    assert made["nesterov"]


@pytest.mark.parametrize("name", TABLE_1)
def test_every_variant_ranks_held_out_clips(name, planted):
    """True users far above chance; the same users in another order far below them."""
    X, y, users = planted
    variant = TABLE_1[name]

    def auc(users):
        embedder = of_features(**({"users": users, "max_epochs": 8} | variant))
        return embedder.fit(X[:180], y[:180]).score(X[180:], y[180:])

    true = auc(users)
    assert true > 0.85
    if "users" not in variant:
        shuffled = np.random.default_rng(1).permutation(users)
        assert auc(shuffled) < true - 0.15


def test_audio_is_learned(spectra):
    X, y, users = spectra
    embedder = small(users).fit(X[:90], y[:90])
    assert embedder.transform(X).shape == (120, 3)
    assert embedder.score(X[90:], y[90:]) > 0.85
    shuffled = np.random.default_rng(1).permutation(users)
    assert small(shuffled).fit(X[:90], y[:90]).score(X[90:], y[90:]) < 0.75


def test_score_and_relevance_against_scikit_learn(planted):
    X, y, users = planted
    embedder = of_features(users, max_epochs=3).fit(X[:180], y[:180])
    relevance = embedder.predict(X[180:])
    assert relevance.dtype == np.float64
    clips = embedder.transform(X[180:]).astype(np.float64)
    expected = clips[5] @ users[7] / np.linalg.norm(clips[5]) / np.linalg.norm(users[7])
    assert relevance[5, 7] == pytest.approx(expected, rel=1e-6)
    test_likes = y[180:].toarray()
    aucs = [
        roc_auc_score(column[column != 0] > 0, scores[column != 0])
        for column, scores in zip(test_likes.T, relevance.T, strict=True)
        if len(set(column)) == 3
    ]
    score = embedder.score(X[180:], y[180:])
    assert score == pytest.approx(np.mean(aucs), abs=1e-3)
    with pytest.raises(ValueError, match="there is no AUC"):
        embedder.score(X[180:], abs(y[180:]))
    with pytest.raises(ValueError, match="y of 39 users, expected the 40"):
        embedder.score(X[180:], y[180:, 1:])


def test_in_searches_that_slice_clips(planted):
    X, y, users = planted
    embedder = of_features(users, max_epochs=3)
    # scikit-learn's cross_val_score takes no sparse y; its searches do.
    assert cross_val_score(embedder, X, y.toarray(), cv=2).min() > 0.75
    search = GridSearchCV(embedder, {"n_negatives": [1, 2]}, cv=2)
    assert search.fit(X, y).best_score_ > 0.75


def test_the_same_seed_gives_the_same_network(planted):
    X, y, users = planted
    np.random.seed(7)  # noqa: NPY002
    torch.manual_seed(7)
    first = of_features(users, max_epochs=3).fit(X, y)
    assert np.random.randint(2**31) == np.random.RandomState(7).randint(2**31)  # noqa: NPY002
    assert torch.rand(1) == torch.rand(1, generator=torch.Generator().manual_seed(7))
    again = clone(first).fit(X, y)
    np.testing.assert_array_equal(again.transform(X), first.transform(X))
    assert again.history_ == first.history_
    other = clone(first).set_params(random_state=1).fit(X, y)
    assert not np.allclose(other.transform(X), first.transform(X))


def test_all_users_alike():
    """One place for all, and likes that agree: clips they like are near it."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4)).astype(np.float32)
    verdicts = judge(np.tile(X[:, :1], (1, 10)))
    embedder = of_features(np.ones((10, 3))).fit(X[:150], verdicts[:150])
    assert embedder.score(X[150:], verdicts[150:]) > 0.9
    assert np.ptp(embedder.predict(X), axis=1).max() < 1e-6


def test_nothing_is_learned_from_users_who_contradict_each_other():
    """In the same place, with the opposite verdicts: nothing can be learned, or NaN."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 4)).astype(np.float32)
    one = np.sign(rng.normal(size=(100, 1)))
    embedder = of_features(np.ones((2, 3)), max_epochs=5).fit(X, np.hstack([one, -one]))
    assert np.isfinite(embedder.transform(X)).all()
    assert embedder.history_[-1]["valid_loss"] > 0.19  # the margin, at best
    assert embedder.score(X, np.hstack([one, -one])) == pytest.approx(0.5)


@pytest.mark.parametrize("objective", ["metric", "multi", "binary"])
def test_one_user_with_one_like(objective):
    X = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    y = np.full((12, 1), -1.0)
    y[3] = 1
    # Where the like is held out, nothing is left to draw; this seed learns from it.
    embedder = of_features(objective=objective, n_negatives=4, max_epochs=20).fit(X, y)
    assert "valid_loss" not in embedder.history_[0]  # nothing to compare held-out with
    assert embedder.score(X, y) == 1


def test_users_who_lack_one_or_the_other(planted):
    X, y, _ = planted
    y = y.toarray()
    y[:, 0] = abs(y[:, 0])  # no dislikes
    y[:, 1] = -abs(y[:, 1])  # no likes
    y[:, 2] = 0  # neither
    embedder = of_features(max_epochs=3).fit(X, y)
    assert embedder.drawn_users_.tolist() == list(range(3, 40))
    assert not embedder.users_[:3].any()
    assert embedder.users_[3:].any(axis=1).all()
    assert not embedder.predict(X)[:, :3].any()
    with pytest.raises(ValueError, match="3 users, 2 have likes and 1 dislikes"):
        of_features().fit(X, y[:, [0, 0, 1]])


def test_users_never_trained_do_not_choose_the_epoch(planted, monkeypatch):
    """Users learned beside the network, some with verdicts on held clips only."""
    X, y, places = planted
    few = judge((y.toarray() > 0) - 0.5, density=0.02)  # five verdicts each, or so
    drawn, train = [], Trainer.fit
    monkeypatch.setattr(
        Trainer,
        "fit",
        lambda self, network, triplets, *others, **settings: (
            drawn.append(triplets.validation.users)
            or train(self, network, triplets, *others, **settings)
        ),
    )
    settings = {"max_epochs": 1, "validation_fraction": 0.5}
    lookup = of_features(**settings).fit(X, few)
    known = of_features(places, **settings).fit(X, few)
    trained = set(lookup.drawn_users_)
    assert trained == set(known.drawn_users_)
    assert set(drawn[0]) < set(drawn[1])  # whose place is given can always be asked
    assert set(drawn[0]) == set(drawn[1]) & trained


def test_users_without_a_place(planted):
    X, y, users = planted
    users = users.copy()
    users[[4, 9]] = 0
    with pytest.raises(ValueError, match=r"of 2 users are all zeros \(first: row 4\)"):
        of_features(users).fit(X, y)
    silent = y.toarray()
    silent[:, [4, 9]] = 0  # nobody asks them
    of_features(users, max_epochs=1).fit(X, silent)


def test_early_stopping_keeps_the_best_epoch(planted):
    X, y, users = planted
    embedder = of_features(users, patience=2, max_epochs=50).fit(X, y)
    losses = [epoch["valid_loss"] for epoch in embedder.history_]
    assert len(losses) < 50
    assert len(losses) - 1 - int(np.argmin(losses)) == 2


def test_groups_are_on_one_side(planted):
    """Clips of one artist: with two artists, one of them is validated on."""
    X, y, users = planted
    artists = np.repeat(["a", "b"], [200, 60])
    embedder = of_features(users, max_epochs=1)
    triplets = embedder._make_triplets(ArrayInputs(X), y, Trainer(embedder), artists)
    trained_on = set(triplets.sampler._liked) | set(triplets.sampler._disliked)
    held = set(triplets.validation.liked) | set(triplets.validation.disliked.ravel())
    assert {artists[i] for i in trained_on} != {artists[i] for i in held}
    assert len({artists[i] for i in trained_on}) == len({artists[i] for i in held}) == 1


@pytest.fixture(scope="module")
def audio(tmp_path_factory):
    """Twelve noises of two seconds, high or low, as rows and as files."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(12, 2 * RATE))
    high = np.diff(noise, axis=1, prepend=0)
    low = np.cumsum(noise, axis=1)
    rows = np.where((np.arange(12) % 2)[:, None], high, low)
    rows = (0.1 * rows / rows.std(axis=1, keepdims=True)).astype(np.float32)
    folder = tmp_path_factory.mktemp("audio")
    paths = [folder / f"{i}.wav" for i in range(12)]
    for path, row in zip(paths, rows, strict=True):
        soundfile.write(path, row, RATE, subtype="FLOAT")
    sign = np.where(np.arange(12) % 2, 1.0, -1.0)[:, None]
    return rows, paths, sign * np.array([[1, 1, -1, -1]])


def test_any_kind_of_audio(audio, tmp_path):
    rows, paths, y = audio
    embedder = small(max_epochs=2).fit(paths, y)
    expected = embedder.transform(paths)
    assert expected.shape == (12, 40)
    assert expected.dtype == np.float32
    np.testing.assert_allclose(embedder.transform(rows), expected, atol=1e-6)
    np.testing.assert_allclose(
        np.concatenate([embedder.transform([row]) for row in rows]), expected, atol=1e-5
    )
    by_rows = small(max_epochs=2).fit(rows, y)
    np.testing.assert_array_equal(by_rows.transform(rows), embedder.transform(rows))
    embedder.save(tmp_path / "model", training_data=DATA)
    teacher = UserLogEmbedder(tmp_path / "model", layer="embedding", scale=False)
    np.testing.assert_allclose(teacher.fit_transform(paths), expected, atol=1e-6)
    scaled = UserLogEmbedder(tmp_path / "model", layer="embedding").transform(rows)
    assert np.square(scaled).mean() == pytest.approx(1, rel=1e-3)
    short = embedder.transform([rows[0][: RATE // 3]])  # less than one context
    assert np.isfinite(short).all()


def test_contexts_are_of_the_beginning(audio, tmp_path):
    """What comes after `duration` changes nothing; what is before it does.

    A saved model reads the same part wherever it is used.
    """
    rows, _, y = audio
    embedder = small(duration=1.0, max_epochs=1).fit(rows, y)
    late, early = rows.copy(), rows.copy()
    late[:, RATE:] = 0
    early[:, : RATE // 2] = 0
    expected = embedder.transform(rows)
    np.testing.assert_array_equal(embedder.transform(late), expected)
    assert not np.allclose(embedder.transform(early), expected, atol=1e-3)
    embedder.save(tmp_path, training_data=DATA)
    saved = UserLogEmbedder(tmp_path, layer="embedding", scale=False)
    np.testing.assert_allclose(saved.transform(rows), expected, atol=1e-6)
    middle = saved.set_params(crop="middle").transform(rows)
    assert not np.allclose(middle, expected, atol=1e-3)
    whole = small(duration=None, max_epochs=1).fit(list(rows), y)
    assert not np.allclose(whole.transform(late), whole.transform(rows), atol=1e-3)


def test_spectrograms_of_other_bands_and_lengths(audio):
    _, _, y = audio
    X = np.random.default_rng(0).normal(size=(12, 20, 15)).astype(np.float32)
    embedder = small(max_epochs=1).fit(X, y)  # 15 frames are repeated to fill 22
    assert embedder.transform(X).shape == (12, 40)
    with pytest.raises(ValueError, match="128 features, but MetricEmbedder is exp"):
        embedder.transform(np.zeros((1, 128, 30), np.float32))
    with pytest.raises(ValueError, match="no front end"):
        embedder.transform(["clip.wav"])


def test_bands_are_standardised(spectra):
    """A constant band, levels in decibels: the same features, but for rounding."""
    X, y, users = spectra
    decibels = 20 * X - 60
    decibels[:, 5] = -80
    embedder = small(users, max_epochs=1).fit(decibels, y)
    network = embedder.network_.network.network
    expected = decibels.mean(axis=(0, 2)), decibels.std(axis=(0, 2))
    expected[1][5] = 1
    np.testing.assert_allclose(network.mean, expected[0], rtol=1e-4)
    np.testing.assert_allclose(network.scale, expected[1], rtol=1e-3)
    plain = X.copy()
    plain[:, 5] = -1
    again = small(users, max_epochs=1).fit(plain, y)
    np.testing.assert_allclose(
        again.transform(plain), embedder.transform(decibels), atol=2e-2
    )


class Averages(nn.Module):
    """A network of one's own: bands averaged over time, and a linear layer."""

    def __init__(self, shape, n_units, n_outputs):
        super().__init__()
        self.linear = nn.Linear(shape[0], n_units)

    def penultimate(self, x):
        return self.linear(x.mean(dim=2))

    def output(self, h):
        return h


@pytest.mark.parametrize("network", ["metric", "mlp", Averages])
@pytest.mark.parametrize("lookup", [True, False])
def test_save_and_load(network, lookup, planted, spectra, tmp_path):
    X, y, users = planted if network == "mlp" else spectra
    users = "lookup" if lookup else users
    embedder = small(users, network=network, hidden=(8,), max_epochs=2).fit(X, y)
    embedder.save(tmp_path, training_data=DATA)
    own = network if network is Averages else None
    again = MetricEmbedder.load(tmp_path, network=own)
    np.testing.assert_allclose(again.predict(X), embedder.predict(X), atol=1e-6)
    np.testing.assert_array_equal(again.drawn_users_, embedder.drawn_users_)
    assert again.score(X, y) == pytest.approx(embedder.score(X, y), abs=1e-4)
    assert list(again.get_feature_names_out()) == list(embedder.get_feature_names_out())
    parameters = again.get_params()
    np.testing.assert_array_equal(parameters.pop("users"), embedder.users)
    for name, value in parameters.items():
        assert value == embedder.get_params()[name]


def test_a_model_may_be_shared_without_its_users(planted, tmp_path):
    X, y, users = planted
    embedder = of_features(users, max_epochs=1).fit(X, y)
    embedder.save(tmp_path, training_data=DATA)
    (tmp_path / "users.safetensors").unlink()
    with pytest.raises(ModelError, match="was shared without its users"):
        MetricEmbedder.load(tmp_path)
    teacher = UserLogEmbedder(tmp_path, layer="embedding", scale=False)
    np.testing.assert_allclose(teacher.fit_transform(X), embedder.transform(X))
    other = of_features(2 * users, max_epochs=1).fit(X, y)
    other.save(tmp_path / "other", training_data=DATA)
    (tmp_path / "other/users.safetensors").rename(tmp_path / "users.safetensors")
    with pytest.raises(ModelError, match="the users are damaged or of another model"):
        MetricEmbedder.load(tmp_path)


def test_bf16_learns(spectra):
    X, y, users = spectra
    embedder = small(users, precision="bf16").fit(X[:90], y[:90])
    assert embedder.score(X[90:], y[90:]) > 0.85


def test_masks_train(spectra):
    X, y, users = spectra
    masked = small(users, freq_mask=20, time_mask=5, max_epochs=2).fit(X, y)
    plain = small(users, max_epochs=2).fit(X, y)
    assert masked.history_[0] != plain.history_[0]


class Killed(Exception):
    pass


@pytest.mark.parametrize("users", ["lookup", "given"])
def test_a_killed_fit_goes_on(users, planted, tmp_path, monkeypatch):
    """The learning rate's decay, the draws and the users' rows go on as well."""
    X, y, given = planted
    embedder = of_features(given if users == "given" else users, max_epochs=6)
    whole = clone(embedder).fit(X, y)
    writes, write = [], Checkpoint.write

    def write_three(self, state):
        write(self, state)
        writes.append(self.path)
        if len(writes) == 3:
            raise Killed

    monkeypatch.setattr(Checkpoint, "write", write_three)
    kept = clone(embedder).set_params(checkpoint=tmp_path)
    with pytest.raises(Killed):
        kept.fit(X, y)
    resumed = clone(kept).fit(X, y)
    assert len(writes) == 6
    assert len(set(writes)) == 1
    assert resumed.history_ == whole.history_
    np.testing.assert_array_equal(resumed.predict(X), whole.predict(X))
    assert list(tmp_path.iterdir()) == []


def test_other_verdicts_have_another_checkpoint(planted, tmp_path, monkeypatch):
    X, y, users = planted
    paths, write = [], Checkpoint.write

    def note(self, state):
        write(self, state)
        paths.append(self.path)

    monkeypatch.setattr(Checkpoint, "write", note)
    for verdicts, place in ((y, users), (-y, users), (y, 2 * users), (y, users)):
        of_features(place, max_epochs=1, checkpoint=tmp_path).fit(X, verdicts)
    assert len(set(paths)) == 3
    assert paths[0] == paths[3]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"users": "tower"}, "Got users='tower', expected 'lookup' or an array"),
        ({"users": np.ones((39, 3))}, r"users of shape \(39, 3\) for y of 40 users"),
        ({"users": np.full((40, 3), np.nan)}, "users contains NaN"),
        ({"objective": "triplet"}, "Got objective='triplet'"),
        ({"n_negatives": 0}, "Got n_negatives=0"),
        ({"n_units": 1.5}, "Got n_units=1.5"),
        ({"margin": -1}, "Got margin=-1"),
        ({"temperature": 0}, "Got temperature=0"),
        ({"context": 0}, "Got context=0"),
        ({"context": 31.0}, "duration=30.0 s, which is shorter than context=31.0"),
        ({"pools": 4}, "Got pools=4, expected whole numbers"),
        ({"pools": (4, 0)}, "Got pools=0"),
        ({"network": "se_cnn"}, "Got network='se_cnn'"),
        ({"crop": "random"}, "Got crop='random'"),
        ({"lr": 0}, "Got lr=0"),
        ({"batch_size": 0}, "Got batch_size=0"),
        ({"checkpoint": "x", "random_state": None}, "checkpoint and random_state=None"),
    ],
)
def test_bad_parameters(planted, changes, words):
    X, y, _ = planted
    with pytest.raises(ValueError, match=words):
        of_features(**changes).fit(X, y)


def test_bad_inputs(planted, audio):
    X, y, users = planted
    with pytest.raises(ValueError, match="requires y to be passed"):
        of_features(users).fit(X, None)
    with pytest.raises(ValueError, match=r"expected \(n_clips, n_users\): a column a"):
        of_features(users).fit(X, np.ones(len(X)))
    with pytest.raises(ValueError, match=r"pass y\.T\.tocsr\(\)"):
        of_features(users).fit(X, y.T)
    with pytest.raises(ValueError, match="n_samples = 1: a metric compares clips"):
        of_features(users).fit(X[:1], y[:1])
    rows, _, verdicts = audio
    with pytest.raises(ValueError, match=r"128 frames or more.*longer context"):
        small(pools=None).fit(rows, verdicts)


class Labelled(MetricEmbedder):
    """For scikit-learn's checks, whose y are labels: a user for each of few labels.

    Every value of y is liked by a user who dislikes all others. Only the shape of y is
    translated; all else is the embedder's.
    """

    def fit(self, X, y, *, groups=None):
        return super().fit(X, self._users_of(y), groups=groups)

    def score(self, X, y):
        return super().score(X, self._users_of(y))

    def _users_of(self, y):
        if y is None or np.asarray(y).ndim == 0:
            return y
        labels = np.asarray(y)
        labels = labels.reshape(len(labels), -1)[:, 0]
        codes = np.unique(labels, return_inverse=True)[1] % 5
        return np.where(codes[:, None] == np.arange(5), 1.0, -1.0)


ROUNDING = "float32 sums differ in the last digits with the place in a batch"
FAILS = {
    "check_methods_sample_order_invariance": ROUNDING,
    "check_methods_subset_invariance": ROUNDING,
}


@pytest.mark.filterwarnings("ignore:Skipping check")
def test_scikit_learns_checks():
    embedder = Labelled(network="mlp", hidden=(4,), max_epochs=1, random_state=0)
    results = check_estimator(embedder, expected_failed_checks=FAILS, on_fail=None)
    failed = {
        result["check_name"]: repr(result["exception"])
        for result in results
        if result["status"] == "failed"
    }
    assert failed == {}
    assert sum(result["status"] == "passed" for result in results) >= 35


def test_users_that_are_none():
    with pytest.raises(TypeError, match="Got users=None, expected 'lookup', or an arr"):
        MetricEmbedder(None, network="mlp").fit(np.eye(4), np.eye(4))
