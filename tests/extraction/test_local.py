"""Hearing clips in this process."""

import numpy as np

from userlogfeat.extraction.chunks import Todo
from userlogfeat.extraction.local import hear


class Deaf:
    """An embedder that must not be asked."""

    def iter_features(self, X, *, on_error="raise"):
        raise AssertionError("nothing was to be heard")


def test_nothing_to_hear():
    todo = Todo([], np.empty((0, 2), np.int64))
    tally = hear(todo, None, Deaf(), on_error="skip", progress=False, n_clips=3)
    assert not tally.counts
