"""Losses, one function per equation; those that are options are registered by name.

A registered loss takes the tensors it needs by name, and its own parameters, which have
defaults. Estimators offer the losses whose tensors they have: ``CFRegressor`` and the
distillation of students have `predicted` and `target`, (n_clips, n_factors) each.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from userlogfeat._registry import FunctionT, Registry

MAX_LOGITS = 1 << 24  # logits in memory at a time: 64 MB


@dataclass(frozen=True)
class Loss:
    """A registered loss.

    Attributes
    ----------
    function : callable
        Function that returns a loss for each row, as a Tensor (n,).
    needs : tuple of str
        Names of the tensors that it takes: its arguments without a default.
    parameters : dict of str to object
        Its other arguments, and their defaults.
    """

    function: Callable[..., Tensor]

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the tensors that the loss is of."""
        given = inspect.signature(self.function).parameters
        return tuple(name for name in given if name not in self.parameters)

    @property
    def parameters(self) -> dict[str, Any]:
        """Defaults of the other arguments."""
        given = inspect.signature(self.function).parameters.values()
        return {p.name: p.default for p in given if p.default is not p.empty}


LOSSES = Registry("loss")
FACTOR_LOSS = ("predicted", "target")  # tensors for a loss of estimated factors


def register_loss(name: str) -> Callable[[FunctionT], FunctionT]:
    """Register the decorated function as a loss, an option of estimators.

    Parameters
    ----------
    name : str
        Name of the loss, which must be new.

    Returns
    -------
    callable
        Decorator of a function of tensors that returns a value for each clip, (n,).
        Arguments without a default are the tensors it needs, by the names that
        estimators give them; arguments with one are its parameters.

    Examples
    --------
    >>> import torch
    >>> from userlogfeat.losses import LOSSES, make_loss, register_loss
    >>> @register_loss("huber")
    ... def huber(predicted, target, delta=1.0):
    ...     loss = torch.nn.functional.huber_loss
    ...     return loss(predicted, target, delta=delta, reduction="none").mean(dim=1)
    >>> loss = make_loss("huber", {"delta": 2.0})
    >>> loss(predicted=torch.zeros(1, 2), target=torch.tensor([[1.0, 3.0]]))
    tensor([2.2500])
    >>> del LOSSES["huber"]
    """
    return LOSSES.register(name, Loss)


def make_loss(
    name: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    given: Sequence[str] = FACTOR_LOSS,
    option: str = "loss",
) -> Callable[..., Tensor]:
    """Return a registered loss with its parameters set.

    Parameters
    ----------
    name : str
        Name of the loss.
    parameters : mapping of str to object, optional
        Parameters of this loss; the others keep their defaults.
    given : sequence of str
        Names of the tensors that the estimator can give.
    option : str
        Name of the estimator's parameter, for messages.

    Returns
    -------
    callable
        Function of the tensors, by name, that returns a loss for each clip, (n,).

    Raises
    ------
    ValueError
        If there is no such loss, it needs other tensors, or it has no such parameter.
    """
    loss = LOSSES.find(name, option)
    if not set(loss.needs) <= set(given):
        usable = [n for n, one in LOSSES.items() if set(one.needs) <= set(given)]
        raise ValueError(
            f"Got {option}={name!r}, a loss of {', '.join(loss.needs)}, but there are "
            f"only {', '.join(given)} here: expected one of {', '.join(usable)}."
        )
    unknown = sorted(set(parameters or {}) - set(loss.parameters))
    if unknown:
        known = ", ".join(loss.parameters) or "none"
        raise ValueError(
            f"Got the parameter {unknown[0]!r} for {option}={name!r}, whose parameters "
            f"are: {known}."
        )
    return partial(loss.function, **(parameters or {}))


@register_loss("mse")
def mse(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean squared error, mean_j (y_j - t_j)^2, a value per clip."""
    return ((predicted - target) ** 2).mean(dim=1)


@register_loss("cosine")
def cosine(predicted: Tensor, target: Tensor) -> Tensor:
    """Cosine proximity, -cos(y, t), a value per clip: -1 for equal directions."""
    return -F.cosine_similarity(predicted, target, dim=1)


@register_loss("mse_cosine")
def mse_cosine(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean squared error plus cosine proximity, a value per clip.

    mean_j (y_j - t_j)^2 - cos(y, t): the loss of the teacher network in Lee, Lee,
    Park, Lee (2019), "Enhancing music features by knowledge transfer from user-item
    log data", section 3.1, and of its distillation term (section 3.2).

    Parameters
    ----------
    predicted, target : Tensor (n_clips, n_factors)
        Estimates and factors.

    Returns
    -------
    Tensor (n_clips,)
        At least -1, which is reached where both are equal.
    """
    return mse(predicted, target) + cosine(predicted, target)


@register_loss("info_nce")
def info_nce(
    predicted: Tensor, target: Tensor, temperature: float = 0.2, anchor: float = 1.0
) -> Tensor:
    """Contrast between the estimates of a batch and its factors, a value per clip.

    With s_ij = cos(y_i, t_j) / temperature, the mean of both directions

        -log( exp(s_ii) / sum_j exp(s_ij) )  and  -log( exp(s_ii) / sum_j exp(s_ji) ).

    Ferraro, Favory, Drossos, Kim, Bogdanov (2021), "Enriched music representations with
    multiple cross-modal contrastive learning", where one of the modalities is the
    factors of an item. Clips of one artist have the same factors: they are left
    out of each other's sums, or estimates would be pushed away from their own factors.

    Parameters
    ----------
    predicted, target : Tensor (n_clips, n_factors)
        Estimates y and factors t; the batch supplies the negatives.
    temperature : float
        Smaller values look at the hardest negatives alone.
    anchor : float
        Weight of :func:`mse_cosine`, which is added: a contrast alone fixes neither the
        length of estimates nor the direction that all factors have in common, and then
        they are not factors. 0 is the paper's.

    Returns
    -------
    Tensor (n_clips,)
        At least minus `anchor`.
    """
    y, t = F.normalize(predicted, dim=1), F.normalize(target, dim=1)
    scores = y @ t.T / temperature
    same = (target[:, None] == target).all(dim=2)
    same = same & ~torch.eye(len(same), dtype=torch.bool, device=same.device)
    scores = scores.masked_fill(same, float("-inf"))
    own = scores.diagonal()
    contrast = (scores.logsumexp(dim=1) + scores.logsumexp(dim=0)) / 2 - own
    return contrast + anchor * mse_cosine(predicted, target)


@register_loss("co_listen")
def co_listen(
    predicted: Tensor, target: Tensor, temperature: float = 0.2, anchor: float = 1.0
) -> Tensor:
    """Soft contrast, supervised by the similarities of listeners, a value per clip.

    For a clip i of the batch, p_ij = softmax over j of cos(t_i, t_j) / temperature says
    which others the same people play. Two distributions of the estimates are to be like
    it: of cos(y_i, t_j), which keeps estimates in the space of the factors, and of
    cos(y_i, y_j) over the others, j != i. The loss is the mean of both divergences
    KL(p_i || q_i). :func:`info_nce` has a hard p, 1 for the clip's own factors, and so
    pushes clips apart that have the same listeners.

    Parameters
    ----------
    predicted, target : Tensor (n_clips, n_factors)
        Estimates y and factors t.
    temperature : float
        Temperature of all three distributions.
    anchor : float
        Weight of :func:`mse_cosine`, which is added, as in :func:`info_nce`.

    Returns
    -------
    Tensor (n_clips,)
        At least minus `anchor`, which is reached where the estimates are the factors.
    """
    y, t = F.normalize(predicted, dim=1), F.normalize(target, dim=1)
    listeners = t @ t.T / temperature
    to_factors = _divergence(listeners, y @ t.T / temperature)
    anchored = anchor * mse_cosine(predicted, target)
    if len(t) < 2:
        return to_factors / 2 + anchored
    own = torch.eye(len(t), dtype=torch.bool, device=t.device)
    others = [m[~own].view(len(t), -1) for m in (listeners, y @ y.T / temperature)]
    return (to_factors + _divergence(*others)) / 2 + anchored


def _divergence(scores, others):
    """KL divergence of softmax(others) from softmax(scores), for each row."""
    p = scores.log_softmax(dim=1)
    return (p.exp() * (p - others.log_softmax(dim=1))).sum(dim=1)


def weighted_mean(losses: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean of losses (n_clips,), weighted by `weight` (n_clips,) where given."""
    if weight is None:
        return losses.mean()
    return (losses * weight).sum() / torch.clamp_min(weight.sum(), 1e-30)


def distillation(
    task: Tensor,
    penultimate: Tensor,
    teacher: Tensor,
    weight: float,
    loss: Callable[..., Tensor] = mse_cosine,
) -> Tensor:
    """Add the distillation term to the loss of a student's task.

    L = L_task + weight * mean_i loss(h_i, t_i): Lee et al. (2019), section 3.2, where
    the loss is `mse_cosine` and the weight is 1.

    Parameters
    ----------
    task : Tensor ()
        Loss of the task.
    penultimate : Tensor (n_clips, n_units)
        Units h below the output layer.
    teacher : Tensor (n_clips, n_units)
        Estimates t of the teacher for the same clips.
    weight : float
        Weight of the distillation; 0 leaves the task alone.
    loss : callable
        Loss of `predicted` and `target`, a value per clip: see :func:`make_loss`.

    Returns
    -------
    Tensor ()
    """
    return task + weight * loss(predicted=penultimate, target=teacher).mean()


def sampled_softmax(
    positive: Tensor,
    negatives: Tensor,
    log_expected: Tensor,
    is_target: Tensor | None = None,
) -> Tensor:
    """Cross-entropy over all items, estimated from sampled ones, a value per user.

    With scores s, the target y and k negatives drawn from q with replacement,

        L = -s_y + log( exp(s_y) + sum over draws j != y of exp(s_j - log(k q_j)) ).

    The sum is the importance sampling of Bengio & Senecal (2008), "Adaptive importance
    sampling to accelerate training of a neural probabilistic language model": each draw
    is weighted by 1 / (k q_j), so its expectation is the sum over all other items,
    whatever q is. Covington, Adams, Sargin (2016), "Deep neural networks for YouTube
    recommendations", section 3.1, train a user tower so. Without the correction,
    popular items that are often drawn would be pushed down for everybody.

    The target is in the sum with certainty, not by a draw: its own score is not
    corrected, and a draw that happens to be it is left out, or else it would be counted
    twice (Blanc & Rendle 2018, "Adaptive sampled softmax with kernel based sampling").

    Parameters
    ----------
    positive : Tensor (n_users,)
        Scores s_y of the targets.
    negatives : Tensor (n_users, n_negatives)
        Scores s_j of the drawn items; one draw may serve all users.
    log_expected : Tensor (n_negatives,) or (n_users, n_negatives)
        log(k q_j): logarithm of the expected count of the item among the k draws. Zeros
        if the negatives are all items, once each: the loss is then the exact
        cross-entropy.
    is_target : Tensor of bool (n_users, n_negatives), optional
        Draws that are the user's own target.

    Returns
    -------
    Tensor (n_users,)
        At least 0.
    """
    logits = negatives - log_expected
    if is_target is not None:
        logits = logits.masked_fill(is_target, float("-inf"))
    logits = torch.cat([positive[:, None], logits], dim=1)
    return torch.logsumexp(logits, dim=1) - positive


def hinge(liked: Tensor, disliked: Tensor, margin: float = 0.2) -> Tensor:
    """Hinge loss between relevances of liked and disliked clips, a value per triplet.

    sum_j max(0, margin - r(u, x) + r(u, x_j)), over the disliked clips x_j of a user u
    who likes x. Lee, Lee, Park, Park, Nam (2018), "Deep content-user embedding model
    for music recommendation"; Chen, Liang, Ma, Gu (2021), "Learning audio embeddings
    with user listening data for content-based music recommendation".

    Parameters
    ----------
    liked : Tensor (n,)
        Relevance r of the liked clip.
    disliked : Tensor (n, n_negatives)
        Relevance of the disliked ones.
    margin : float
        Margin between liked and disliked; 0.2 in the paper, of a cosine.

    Returns
    -------
    Tensor (n,)
        0 where the liked clip is ahead of every disliked one by the margin.
    """
    return (margin - liked[:, None] + disliked).clamp(min=0).sum(dim=1)


def softmax_loss(logits: Tensor) -> Tensor:
    """Softmax cross-entropy with the liked one first, a value per row.

    -log( exp(s_0) / sum_j exp(s_j) ), for scores s (n, 1 + n_negatives).
    """
    return F.cross_entropy(
        logits, logits.new_zeros(len(logits), dtype=torch.long), reduction="none"
    )


def sigmoid_loss(logits: Tensor) -> Tensor:
    """Binary cross-entropy of like and dislike, a value per row.

    -log sigmoid(s_0) - mean_j log sigmoid(-s_j), for scores s (n, 1 + n_negatives) with
    the liked one first: likes and dislikes weigh the same.
    """
    return -F.logsigmoid(logits[:, 0]) - F.logsigmoid(-logits[:, 1:]).mean(dim=1)


def softmax_of_many(
    units: Tensor,
    weight: Tensor,
    bias: Tensor,
    target: Tensor,
    *,
    block: int = MAX_LOGITS,
) -> Tensor:
    """Exact cross-entropy of a softmax over any number of classes, a value per row.

    log sum_c exp(w_c h + b_c) - (w_y h + b_y). Logits are made in blocks of classes,
    of which only the logarithms of the sums are kept; the backward pass makes them
    again. So memory is that of the weights, not of rows x classes.

    Parameters
    ----------
    units : Tensor (n, n_units)
        h, float32.
    weight : Tensor (n_classes, n_units)
    bias : Tensor (n_classes,)
        Weights and bias of the softmax layer.
    target : Tensor (n,), int64
        The class y of each row.
    block : int
        Maximum number of logits in memory at a time.

    Returns
    -------
    Tensor (n,)
        At least 0, but for rounding.
    """
    n_classes = max(1, block // len(units))
    if len(weight) <= n_classes:
        return F.cross_entropy(
            F.linear(units, weight, bias).float(), target, reduction="none"
        )
    sums = [
        checkpoint(_log_sum, units, w, b, use_reentrant=False, preserve_rng_state=False)
        for w, b in zip(weight.split(n_classes), bias.split(n_classes), strict=True)
    ]
    own = (units * weight[target]).sum(dim=1) + bias[target]
    return torch.stack(sums).logsumexp(dim=0) - own


def _log_sum(units, weight, bias):
    return F.linear(units, weight, bias).float().logsumexp(dim=1)


def draw_violators(
    scores: Tensor,
    positives: Tensor,
    is_label: Tensor,
    *,
    margin: float = 1.0,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw the outcome of WARP's search for a label ranked too high, for each row.

    Weston, Bengio, Usunier (2011), "Wsabie: scaling up to large vocabulary image
    annotation", algorithm 1, draws wrong labels with replacement until one violates the
    margin, s_j > s_y - margin, and counts the draws N. With v violators among n wrong
    labels every draw is one with probability v / n, whatever came before: N is
    geometric, and the violator found is any of the v, each as likely. So both are drawn
    at once for a whole batch, with the same distribution as the loop's.

    Parameters
    ----------
    scores : Tensor (B, n_labels)
        Affinities s of all labels.
    positives : Tensor (B,), int64
        The right label y of each row.
    is_label : Tensor (B, n_labels) of bool
        All right labels of each row, which are never drawn.
    margin : float
        Margin between the right label and others.
    generator : torch.Generator, optional
        Random generator, on the device of `scores`.

    Returns
    -------
    violators : Tensor (B,), int64
        Any label if there is no violator.
    weights : Tensor (B,)
        L(floor(n / N)) with L(r) = 1 + 1/2 + ... + 1/r: the estimated rank of y, and
        its cost. 0 if there is no violator, or none was found in n draws,
        after which the loop gives up. For rows of one label n is the paper's Y - 1.
    """
    bound = scores.gather(1, positives[:, None]) - margin
    violates = (scores > bound) & ~is_label
    n_violators = violates.sum(dim=1)
    n_wrong = scores.shape[1] - is_label.sum(dim=1)
    u = torch.rand(
        2, len(scores), device=scores.device, dtype=torch.float64, generator=generator
    )
    proportion = (n_violators / n_wrong.clamp(min=1)).double()
    # P(N > k) = (1 - p)^k for a proportion p, so N = 1 + floor(log(U) / log(1 - p)) for
    # a uniform U in (0, 1]; no violators make it infinite, violators alone make it 1.
    n_draws = 1 + torch.floor(torch.log1p(-u[0]) / torch.log1p(-proportion))
    rank = torch.floor(n_wrong / n_draws.clamp(min=1))
    rank = torch.where(n_violators > 0, rank, 0.0)
    chosen = torch.floor(u[1] * n_violators).to(torch.int32)[:, None]
    nth = violates.cumsum(dim=1, dtype=torch.int32)
    violators = torch.searchsorted(nth, chosen, right=True)[:, 0]
    return violators.clamp(max=scores.shape[1] - 1), harmonic(rank).to(scores.dtype)


def harmonic(n: Tensor) -> Tensor:
    """Return 1 + 1/2 + ... + 1/n of integers n (a float tensor); 0 for n = 0."""
    return torch.digamma(n + 1) - torch.digamma(torch.ones_like(n))


def warp(
    scores: Tensor,
    positives: Tensor,
    is_label: Tensor,
    *,
    margin: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Weighted approximate-rank pairwise loss, a value per row.

    L(floor(n / N)) * max(0, margin - s_y + s_j), where j is the first label drawn that
    violates the margin, N the draws it took, and n the number of wrong labels: see
    :func:`draw_violators`. Weston, Bengio, Usunier (2011), "Wsabie"; the loss of Hamel,
    Davies, Yoshii, Goto (2013), "Transfer learning in MIR". The more draws it takes,
    the better y is ranked already, and the less is to be gained.

    Parameters
    ----------
    scores : Tensor (B, n_labels)
        Affinities.
    positives : Tensor (B,), int64
        The right label of each row; of a row of several, one drawn by the caller.
    is_label : Tensor (B, n_labels) of bool
        All right labels.
    margin : float
        1 in the paper.
    generator : torch.Generator, optional
        Random generator of the draws.

    Returns
    -------
    Tensor (B,)
        At least 0.
    """
    violators, weights = draw_violators(
        scores.detach(), positives, is_label, margin=margin, generator=generator
    )
    right = scores.gather(1, positives[:, None])[:, 0]
    wrong = scores.gather(1, violators[:, None])[:, 0]
    return weights * (margin - right + wrong).clamp(min=0)


def warp_of_ranks(
    scores: Tensor, positives: Tensor, is_label: Tensor, *, margin: float = 1.0
) -> Tensor:
    """Expectation of WARP's loss, without draws: a value per row.

    L(r) times the mean of max(0, margin - s_y + s_j) over the r wrong labels j that
    violate the margin: the rank is counted, not estimated. For validation, where the
    noise of draws would choose the epoch.

    Parameters
    ----------
    scores, positives, is_label, margin
        As in :func:`warp`.

    Returns
    -------
    Tensor (B,)
    """
    right = scores.gather(1, positives[:, None])
    gaps = (margin - right + scores).clamp(min=0).masked_fill(is_label, 0.0)
    rank = (gaps > 0).sum(dim=1)
    mean = gaps.sum(dim=1) / rank.clamp(min=1)
    return harmonic(rank.double()).to(scores.dtype) * mean
