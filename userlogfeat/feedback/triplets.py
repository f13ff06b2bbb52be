"""Draws of (user, liked clip, disliked clips), and batches of them for a network.

Metric learning after Chen, Liang, Ma, Gu (2021), "Learning audio embeddings with user
listening data for content-based music recommendation": every example is a user, a clip
the user liked, and one or several that the user disliked. How they are drawn is not
stated there. Here every like is as probable as any other (so users count by their
likes), and the disliked clips are the same user's, each as probable as any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.utils.validation import check_array, check_consistent_length
from torch import Tensor

from userlogfeat._check import require_y
from userlogfeat._typing import Device, Matrix

SEEDS = 2**62  # how many a torch generator draws a NumPy seed from


@dataclass(frozen=True)
class Triplets:
    """Triplets, as row numbers.

    Attributes
    ----------
    users : ndarray (n,), int64
    liked : ndarray (n,), int64
        A clip that the user liked.
    disliked : ndarray (n, n_negatives), int64
        Clips that the same user disliked.
    """

    users: np.ndarray
    liked: np.ndarray
    disliked: np.ndarray

    def __len__(self) -> int:
        return len(self.users)


class TripletSampler:
    """Draw (user, liked clip, disliked clips), a million a second and more.

    Users who lack likes or dislikes are never drawn.

    Parameters
    ----------
    verdicts : sparse matrix (n_clips, n_users)
        Above 0 where the user liked the clip, below 0 where the user disliked it.
    n_negatives : int
        Disliked clips of each draw. They differ if the user has so many; with fewer,
        all come equally often, or once more.
    clips : ndarray of int, optional
        Rows of `verdicts` to draw from; all by default.

    Attributes
    ----------
    n_likes : int
        Likes that can be drawn: those of users who have dislikes too.
    users : ndarray of int
        Users that can be drawn.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> from userlogfeat.feedback.triplets import TripletSampler
    >>> verdicts = sparse.csr_matrix([[1, 0], [-1, 1], [-1, 1]])  # clips x users
    >>> sampler = TripletSampler(verdicts, n_negatives=2)
    >>> sampler.users  # the second user dislikes nothing
    array([0])
    >>> draws = sampler.draw(3, np.random.default_rng(0))
    >>> draws.liked, np.sort(draws.disliked)
    (array([0, 0, 0]), array([[1, 2],
           [1, 2],
           [1, 2]]))
    """

    def __init__(
        self, verdicts: Matrix, n_negatives: int = 1, *, clips: np.ndarray | None = None
    ) -> None:
        verdicts = sparse.csr_matrix(verdicts)
        clips = np.arange(verdicts.shape[0]) if clips is None else np.asarray(clips)
        of_user = verdicts[clips].tocsc()
        users = np.repeat(np.arange(of_user.shape[1]), np.diff(of_user.indptr))
        rows = clips[of_user.indices]
        is_disliked = of_user.data < 0
        self.n_negatives = n_negatives
        # Disliked clips user after user: those of user u begin at _first[u].
        self._disliked = rows[is_disliked]
        self._n_disliked = np.bincount(users[is_disliked], minlength=of_user.shape[1])
        self._first = np.cumsum(self._n_disliked) - self._n_disliked
        drawn = (of_user.data > 0) & (self._n_disliked[users] > 0)
        self._like_users, self._liked = users[drawn], rows[drawn]
        self.users = np.unique(self._like_users)

    @property
    def arrays(self) -> list[np.ndarray]:
        """All arrays that determine the draws."""
        dislikes = [self._n_disliked, self._disliked]
        return [self._like_users, self._liked, *dislikes]

    @property
    def n_likes(self) -> int:
        """Likes that can be drawn."""
        return len(self._liked)

    def draw(self, n: int, rng: np.random.Generator) -> Triplets:
        """Draw triplets.

        Parameters
        ----------
        n : int
            Number of triplets; likes are drawn with replacement.
        rng : numpy.random.Generator

        Returns
        -------
        Triplets

        Raises
        ------
        ValueError
            Where no user has both likes and dislikes.
        """
        if not self.n_likes:
            raise ValueError(
                "No user has both a liked and a disliked clip: there is nothing to "
                "draw."
            )
        likes = rng.integers(self.n_likes, size=n)
        users = self._like_users[likes]
        places = draw_places(self._n_disliked[users], self.n_negatives, rng)
        disliked = self._disliked[self._first[users][:, None] + places]
        return Triplets(users, self._liked[likes], disliked)


def draw_places(counts: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `n` of the places 0 to counts[row] - 1 for every row, different if possible.

    The k-th place of a row with c places to choose from is the (k mod c)-th of a round.
    Within a round, with j places taken, a number r below c - j stands for the r-th of
    those not taken. To find it, go through the taken ones in ascending order and add 1
    to r for every one that is at most r: after those below it have been counted, r is
    the place itself.

    Parameters
    ----------
    counts : ndarray (n_rows,) of int
        At least 1 each.
    n : int
        Places for each row.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray (n_rows, n), int64
        Within a round, every ordered choice is as probable as any other.
    """
    places = np.empty((len(counts), n), dtype=np.int64)
    for k in range(n):
        n_taken = k % counts  # in this round
        # random() < 1, and (1 - 2^-53) c is below c in double precision as well
        r = (rng.random(len(counts)) * (counts - n_taken)).astype(np.int64)
        if k:
            # Places of earlier rounds are put where no r reaches them.
            earlier = np.arange(k) < (k - n_taken)[:, None]
            taken = np.where(earlier, counts[:, None], places[:, :k])
            for place in np.sort(taken, axis=1).T:
                r += r >= place
        places[:, k] = r
    return places


def check_verdicts(y: Matrix, clips: Any) -> sparse.csr_matrix:
    """Check verdicts; return csr float32 (n_clips, n_users) without stored zeros."""
    require_y(y, "Metric learning", "it learns from likes and dislikes of users")
    shape = y.shape if sparse.issparse(y) else np.asarray(y).shape
    if len(shape) != 2:
        raise ValueError(
            f"Got y of shape {shape}, expected (n_clips, n_users): a column a "
            "user, +1 liked, -1 disliked. Labels of clips are learned by "
            "KDStudentClassifier."
        )
    y = check_array(y, accept_sparse="csr", dtype=np.float32, input_name="y")
    if len(clips) != y.shape[0] and len(clips) == y.shape[1]:
        raise ValueError(
            f"Got y of shape {y.shape} for {len(clips)} clips, expected a row a "
            "clip and a column per user: pass y.T.tocsr()."
        )
    check_consistent_length(clips, y)
    y = sparse.csr_matrix(y)
    if (y.data == 0).any():
        y = y.copy()
        y.eliminate_zeros()
    return y


def say_nothing_to_draw(verdicts: sparse.csr_matrix) -> str:
    """Return the message where no user has both likes and dislikes."""
    n_users = verdicts.shape[1]
    liked, disliked = (
        np.bincount(verdicts.indices[mask], minlength=n_users) > 0
        for mask in (verdicts.data > 0, verdicts.data < 0)
    )
    return (
        f"No user has both a liked and a disliked clip among those to learn from: of "
        f"{n_users} users, {liked.sum()} have likes and {disliked.sum()} dislikes in "
        "all of y. Where logs know no dislikes, draw some with "
        "userlogfeat.feedback.sample_dislikes; where few clips are judged, pass more."
    )


class TripletBatch:
    """Clips of a batch, each once, and the triplets among them.

    Attributes
    ----------
    clips : Tensor (n_clips, ...)
        Features or spectrograms.
    users : Tensor (B,)
        User of each triplet.
    places : Tensor (B, 1 + n_negatives)
        Rows of `clips`: the liked one, then the disliked.
    """

    def __init__(self, clips: Tensor, users: Tensor, places: Tensor) -> None:
        self.clips, self.users, self.places = clips, users, places

    def __len__(self) -> int:
        return len(self.users)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the clips of all triplets: (B, 1 + n_negatives, ...)."""
        return (*self.places.shape, *self.clips.shape[1:])

    @property
    def n_clips(self) -> int:
        """Number of clips in the triplets, here or in other processes."""
        return int(self.places.max()) + 1

    def with_clips(self, clips: Tensor) -> TripletBatch:
        """Return the same triplets of other clips."""
        return TripletBatch(clips, self.users, self.places)

    def to(self, device: Device, **settings: Any) -> TripletBatch:
        """Copy to a device."""
        tensors = (self.clips, self.users, self.places)
        return TripletBatch(*(tensor.to(device, **settings) for tensor in tensors))

    def pin_memory(self) -> TripletBatch:
        """Copy to page-locked memory, which a GPU reads by itself."""
        tensors = (self.clips, self.users, self.places)
        return TripletBatch(*(tensor.pin_memory() for tensor in tensors))


class TripletInputs:
    """Batches of triplets for `fit_network`, with the interface of `ArrayInputs`.

    The first `n_draws` rows are drawn anew for every batch; the rest are fixed draws to
    validate on.

    Parameters
    ----------
    inputs : ArrayInputs or FrameStore
        The clips.
    sampler : TripletSampler
        Draws the training triplets.
    n_draws : int
        Triplets of an epoch.
    validation : Triplets or None
        Triplets to validate epochs on.
    """

    def __init__(
        self,
        inputs: Any,
        sampler: TripletSampler,
        n_draws: int,
        validation: Triplets | None = None,
    ) -> None:
        self.inputs, self.sampler = inputs, sampler
        self.n_draws, self.validation = n_draws, validation

    def __len__(self) -> int:
        n_validation = 0 if self.validation is None else len(self.validation)
        return self.n_draws + n_validation

    @property
    def split(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows to train on, and rows to validate on."""
        return np.arange(self.n_draws), np.arange(self.n_draws, len(self))

    @property
    def arrays(self) -> list[np.ndarray]:
        """All arrays that determine the draws, except the clips' own."""
        fixed = self.validation
        fixed = [] if fixed is None else [fixed.users, fixed.liked, fixed.disliked]
        return [*self.sampler.arrays, *fixed]

    def batch(
        self, rows: Tensor, generator: torch.Generator | None = None, **cut: Any
    ) -> TripletBatch:
        """Return a TripletBatch: new draws with a generator, else the fixed `rows`.

        A clip in several triplets of a batch is embedded once, in one context. With
        ``cut=``, only some of the clips are there, but all triplets.
        """
        if generator is not None:
            seed = torch.randint(SEEDS, (), generator=generator).item()
            triplets = self.sampler.draw(len(rows), np.random.default_rng(seed))
        else:
            chosen = rows.numpy() - self.n_draws
            fixed = self.validation
            triplets = Triplets(
                fixed.users[chosen], fixed.liked[chosen], fixed.disliked[chosen]
            )
        every = np.column_stack([triplets.liked, triplets.disliked])
        clips, places = np.unique(every, return_inverse=True)
        return TripletBatch(
            self.inputs.batch(torch.from_numpy(clips), generator, **cut),
            torch.from_numpy(triplets.users),
            torch.from_numpy(places.reshape(every.shape)),
        )
