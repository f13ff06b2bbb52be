"""What must be learned from a planted world: logs, audio and verdicts of one corpus.

The tastes behind the logs of the synthetic corpus shape its audio, so the right answer
is known: users lie where their plays say, and clips that nobody has played yet are
ranked by what they sound like.
"""

import numpy as np
import pytest
from scipy import sparse

from userlogfeat import MetricEmbedder, UserEmbedding, read_logs
from userlogfeat.datasets.synthetic import make_listening_corpus
from userlogfeat.evaluation.recommendation_splits import split_items
from userlogfeat.frontends import FrontEnd

N_USERS, N_ITEMS = 200, 200
COARSE = FrontEnd(sample_rate=8000, n_fft=512, hop=200, n_bands=40)


class World:
    """A corpus, what users like of it, and artists without listeners."""

    def __init__(self):
        self.corpus = make_listening_corpus(
            N_USERS,
            N_ITEMS,
            3,
            duration=1.0,
            sample_rate=COARSE.sample_rate,
            noise=0.2,
            random_state=0,
        )
        artists = self.corpus.catalogue.artists
        self.known, self.new = split_items(N_ITEMS, (0.7, 0.3), artists=artists)
        near = self.corpus.item_tastes @ self.corpus.user_tastes.T  # items x users
        near = near - np.median(near, axis=0)
        judged = np.random.default_rng(0).random(near.shape) < 0.2
        self.verdicts = sparse.csr_matrix(np.sign(near) * judged)

    def users(self):
        """By the user tower, from plays of the known items alone."""
        logs = read_logs(self.corpus.logs, item="item", count="count")
        items = self.corpus.catalogue.items[self.known]
        plays = logs.user_items[:, np.searchsorted(logs.item_ids, items)]
        order = np.argsort(logs.user_ids.astype(int))
        tower = UserEmbedding(max_epochs=10, random_state=0, device="cpu")
        return tower.fit_transform(plays[order])

    def auc(self, users, **changes):
        """Of verdicts on new clips, by a network that learned from the known ones."""
        settings = {"context": 0.5, "duration": 1.0, "pools": (4, 2), "channels": 16}
        embedder = MetricEmbedder(
            users,
            frontend=COARSE,
            max_epochs=6,
            batch_size=128,
            device="cpu",
            random_state=0,
            **settings | changes,
        )
        audio = self.corpus.audio
        embedder.fit(audio[self.known], self.verdicts[self.known])
        return embedder.score(audio[self.new], self.verdicts[self.new])


@pytest.fixture(scope="module")
def world():
    """One world for all tests."""
    return World()


def test_unheard_clips_are_ranked_by_users_of_the_logs_and_not_by_shuffled(world):
    users = world.users()
    true = world.auc(users)
    shuffled = world.auc(np.random.default_rng(1).permutation(users))
    assert true > 0.8
    assert shuffled < 0.65


def test_users_are_learned_beside_the_audio(world):
    auc = world.auc("lookup")
    assert auc > 0.8
