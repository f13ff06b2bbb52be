"""The arms of a comparison: ways to supervise a student, registered by name.

All else (training clips, seed, search) is the same for all arms. The first four are
those of Lee, Lee, Park, Lee (2019), section 3.2; three are controls, which have
everything but listeners, also the head and the strength of regularisation that the
teacher chose. The arms of mode "plain" are the obvious alternative to a
student: any scikit-learn estimator on the features, and on features with the teacher's
estimate as further columns, with the same three controls. Reports take the description
of an arm and its look from here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from sklearn.frozen import FrozenEstimator

from userlogfeat._check import check_choice
from userlogfeat._registry import FunctionT, Registry
from userlogfeat.comparison.teachers import distinct_factors, permute_factors

if TYPE_CHECKING:
    from userlogfeat.comparison.problem import Fit
    from userlogfeat.comparison.supervision import Supervision


MODES = ("base", "fix", "init", "kd", "plain")
PERMUTED, PROJECTION = "kd permuted logs", "kd random projection"
SAME_ARTIST = "kd same artist"
PLAIN, ESTIMATE = "plain", "plain + estimate"
PLAIN_PERMUTED, PLAIN_PROJECTION = "plain + permuted logs", "plain + random projection"
PLAIN_SAME_ARTIST = "plain + same artist"
# A gain counts as knowledge from the logs only where it is beyond all three controls.
CONTROLS = (PERMUTED, PROJECTION, SAME_ARTIST)
PLAIN_CONTROLS = (PLAIN_PERMUTED, PLAIN_PROJECTION, PLAIN_SAME_ARTIST)
# The arms that any other is compared with, by the baseline of its kind.
BASELINES = {"base": CONTROLS, PLAIN: PLAIN_CONTROLS}

# The student's parameter `teacher`, and targets (n_clips, n_factors), or None for each.
Given: TypeAlias = tuple[Any, np.ndarray | None]
# Colour, marker and dashes (points on and off, from 0) in matplotlib's terms.
Look: TypeAlias = tuple[str, str, Any]


@dataclass(frozen=True)
class Arm:
    """An arm of a comparison: see :func:`register_arm`."""

    function: Callable[[Supervision, Fit], Given]
    mode: str
    description: str
    look: Look | None = None
    is_control: bool = False
    needs_teacher: bool = True
    like: str | None = None


ARMS = Registry("arm")


def register_arm(
    name: str,
    *,
    mode: str,
    description: str,
    look: Look | None = None,
    is_control: bool = False,
    needs_teacher: bool = True,
    like: str | None = None,
) -> Callable[[FunctionT], FunctionT]:
    """Register the decorated function as an arm of comparisons.

    Parameters
    ----------
    name : str
        Name of the arm, which must be new.
    mode : {"base", "fix", "init", "kd", "plain"}
        The student's mode; ``"plain"`` for the plain estimator instead of the student,
        with the targets as further columns.
    description : str
        Text for reports, such as "control: as kd, from ...".
    look : (str, str, str or tuple), optional
        Colour, marker and dashes in plots, in matplotlib's terms. By default the next
        one that is free.
    is_control : bool
        Whether the arm is drawn with hollow markers.
    needs_teacher : bool
        Whether ``compare`` needs `teachers` to run the arm.
    like : str, optional
        Arm whose ready teacher serves this one, where a dict of ready teachers does not
        name it.

    Returns
    -------
    callable
        Decorator of a function ``(supervision, fit)`` that returns the student's
        parameter `teacher` and its targets (n_clips, n_factors), each None where there
        is none. `supervision` trains teachers, and has the comparison
        (``supervision.problem``); `fit` has `arm`, `n_labels`, `channels`, `seed` and
        `fold`. It is not called
        where the user passes fitted teachers for the arm.

    Examples
    --------
    >>> import numpy as np
    >>> from userlogfeat.comparison import ARMS, register_arm
    >>> @register_arm("kd noise", mode="kd", description="control: as kd, from noise",
    ...               is_control=True, needs_teacher=False)
    ... def noise(supervision, fit):
    ...     n_clips = len(supervision.problem.y)
    ...     return None, np.random.default_rng(fit.seed).normal(size=(n_clips, 40))
    >>> del ARMS["kd noise"]
    """
    check_choice(mode, "mode", MODES)
    facts = (mode, description, look, is_control, needs_teacher, like)
    return ARMS.register(name, lambda function: Arm(function, *facts))


def mode_of(arm: str) -> str:
    """Return the mode of an arm: of an unregistered one, its first word."""
    return ARMS[arm].mode if arm in ARMS else arm.split()[0]


@register_arm(
    "base",
    mode="base",
    description="learns from the labelled clips alone",
    look=("#000000", "o", "-"),
    needs_teacher=False,
)
def _base(supervision: Supervision, fit: Fit) -> Given:
    return None, None


@register_arm(
    "fix",
    mode="fix",
    description="the teacher's network, frozen; only the output layer learns",
    look=("#E69F00", "s", (0, (5, 1.5))),
    like="kd",
)
def _fix(supervision: Supervision, fit: Fit) -> Given:
    teacher = supervision.teacher(fit)
    return FrozenEstimator(teacher.estimator), teacher.targets


@register_arm(
    "init",
    mode="init",
    description="starts from the teacher's weights, then all layers learn",
    look=("#56B4E9", "^", (0, (6, 1.5, 1, 1.5))),
    like="kd",
)
def _init(supervision: Supervision, fit: Fit) -> Given:
    return FrozenEstimator(supervision.teacher(fit).estimator), None


@register_arm(
    "kd",
    mode="kd",
    description="learns the labels and, in addition, the teacher's estimate for each "
    "clip",
    look=("#0072B2", "D", "-"),
)
def _kd(supervision: Supervision, fit: Fit) -> Given:
    return None, supervision.teacher(fit).targets


@register_arm(
    PERMUTED,
    mode="kd",
    description="control: as kd, from a teacher of logs with permuted items, which "
    "have no information about the music",
    look=("#D55E00", "v", (0, (2, 1.5))),
    is_control=True,
)
def _permuted_logs(supervision: Supervision, fit: Fit) -> Given:
    return None, supervision.teacher(fit, change=permute_factors).targets


@register_arm(
    PROJECTION,
    mode="kd",
    description="control: as kd, from a random projection in place of the teacher's "
    "estimates",
    look=("#CC79A7", "X", (0, (4, 1.5, 1, 1.5, 1, 1.5))),
    is_control=True,
    needs_teacher=False,
)
def _random_projection(supervision: Supervision, fit: Fit) -> Given:
    return None, supervision.random_projection(fit)


@register_arm(
    SAME_ARTIST,
    mode="kd",
    description="control: as kd, from a teacher of random factors, distinct for each "
    "artist: they say which clips are by one artist, and nothing about listeners",
    look=("#009E73", "P", (0, (1, 1.5))),
    is_control=True,
)
def _same_artist(supervision: Supervision, fit: Fit) -> Given:
    return None, supervision.teacher(fit, change=distinct_factors, by="artist").targets


STUDENT_ARMS = tuple(ARMS)  # arms of ``compare`` for a student, if not chosen


# A plain estimator is given what the student of the same name is given.
register_arm(
    PLAIN,
    mode="plain",
    description="the plain estimator on the features alone",
    look=("#7F7F7F", "o", (0, (5, 1.5))),
    needs_teacher=False,
)(_base)

register_arm(
    ESTIMATE,
    mode="plain",
    description="the plain estimator on the features and the teacher's estimate for "
    "each clip, as further columns",
    look=("#0072B2", "d", (0, (5, 1.5))),
    like="kd",
)(_kd)

for _name, _student, _source in (
    (PLAIN_PERMUTED, PERMUTED, "a teacher of permuted logs"),
    (PLAIN_PROJECTION, PROJECTION, "a random projection"),
    (
        PLAIN_SAME_ARTIST,
        SAME_ARTIST,
        "a teacher of random factors, distinct for each artist",
    ),
):
    _arm = ARMS[_student]
    register_arm(
        _name,
        mode="plain",
        description=f"control: as {ESTIMATE}, from {_source}",
        look=(*_arm.look[:2], (0, (5, 1.5))),
        is_control=True,
        needs_teacher=_arm.needs_teacher,
        like=_student,
    )(_arm.function)


# Arms of ``compare`` for a plain estimator, if not chosen.
PLAIN_ARMS = tuple(arm for arm in ARMS if arm not in STUDENT_ARMS)
DEFAULT_ARMS = STUDENT_ARMS
