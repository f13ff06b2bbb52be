"""Distillation: what is added to the loss of a task, how it fades, whether it helps.

The loss between the penultimate units and the teacher's embedding is that of Lee, Lee,
Park, Lee (2019), section 3.2. Its weight falls to 0, other than in the paper: see the
notes of :class:`KDStudentClassifier`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.model_selection import GroupKFold, KFold

from userlogfeat.estimators._training import Trainer, TrainingData, check_groups
from userlogfeat.evaluation.folds import stratified_folds
from userlogfeat.losses import distillation, weighted_mean
from userlogfeat.networks.data_parallel import all_gather

if TYPE_CHECKING:
    from torch import nn

# Epochs over which the weight of the distillation falls, and at most this share of all.
KD_EPOCHS, KD_SHARE = 50, 0.25
# Cross-validation by which kd_weight="auto" decides, repeated where clips are few.
AUTO_FOLDS, AUTO_REPEATS, AUTO_FEW = 3, 3, 300


@dataclass(frozen=True)
class StudentLoss:
    """The loss of a student: that of its task, and that of the distillation.

    Attributes
    ----------
    task_loss : callable
        ``task_loss(outputs, y)``, (n,).
    kd_loss : callable
        Between the penultimate units and the teacher's embedding, (n,).
    kd_epochs : int or None
        Epochs until the weight of the distillation is 0; None if it stays.
    """

    task_loss: Callable[..., torch.Tensor]
    kd_loss: Callable[..., torch.Tensor]
    kd_epochs: int | None

    def share(self, epoch: int) -> float:
        """Share of the weight of the distillation in an epoch, counted from 0."""
        return 1.0 if self.kd_epochs is None else max(0.0, 1 - epoch / self.kd_epochs)

    def train(
        self,
        network: nn.Module,
        data: TrainingData,
        targets: dict[str, np.ndarray],
        trainer: Trainer,
        split: tuple[np.ndarray, np.ndarray],
        kd_weight: float = 0.0,
    ) -> list[dict[str, Any]]:
        """Train a network, with distillation where targets have "teacher"."""

        def objective(net, x, batch, epoch):
            hidden = all_gather(net.penultimate(x))
            task = self.task_loss(net.output(hidden).float(), batch["y"])
            task = weighted_mean(task, batch["weight"])
            loss = task
            if "teacher" in batch:
                weight = kd_weight * self.share(epoch)
                given = (hidden.float(), batch["teacher"], weight)
                loss = distillation(task, *given, self.kd_loss)
            return {"loss": loss, "task_loss": task}

        return trainer.fit(
            network,
            data.inputs,
            targets,
            objective=objective,
            split=split,
            monitor="task_loss",
            # While the distillation dominates, the loss of the task may rise.
            min_epochs=(self.kd_epochs or 0) if "teacher" in targets else 0,
        )


def epochs_of_distillation(kd_epochs: int | str | None, max_epochs: int) -> int | None:
    """Epochs until the weight of the distillation is 0; None if it stays."""
    if not isinstance(kd_epochs, str):
        return kd_epochs
    return max(1, min(KD_EPOCHS, int(max_epochs * KD_SHARE)))


def choose_weight(student, data, targets, trainer, groups, classes):
    """Choose the weight of the distillation: the default, or 0 if that is better.

    Every clip is predicted by students that have not seen its artist. Ties are for the
    teacher.
    """
    n_clips, default, gain = len(data), type(student).kd_weight, 0.0
    groups = check_groups(groups, np.empty((n_clips, 1)))
    for repeat in range(AUTO_REPEATS if n_clips < AUTO_FEW else 1):
        folds = inner_folds(n_clips, classes, groups, trainer.seed + repeat)
        for train, held in folds:
            known = [None if a is None else a[train] for a in (groups, classes)]
            split = tuple(train[rows] for rows in trainer.split(len(train), *known))
            goodness = [
                student._goodness(weight, data, targets, trainer, split, held)
                for weight in (default, 0.0)
            ]
            gain += goodness[0] - goodness[1]
    return default if gain >= 0 else 0.0


def inner_folds(n_clips, classes, groups, seed):
    """Folds of training clips: by artist, with classes in proportion."""
    n_folds = min(AUTO_FOLDS, n_clips if groups is None else len(np.unique(groups)))
    if n_folds < 2:
        return []
    # A class of a single clip cannot be on both sides.
    if classes is not None and np.bincount(classes).min() >= n_folds:
        return stratified_folds(classes, n_folds, groups=groups, seed=seed)
    kind = KFold if groups is None else GroupKFold
    splitter = kind(n_folds, shuffle=True, random_state=seed)
    return list(splitter.split(np.empty(n_clips), groups=groups))
