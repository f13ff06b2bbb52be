"""Likes and dislikes, and triplets drawn from them for training.

========  ==================================================================
rules     explicit, or derived from plays
sampling  dislikes that nobody expressed, from what was never played
triplets  draws of (user, liked clip, disliked clips)
========  ==================================================================
"""

from userlogfeat.feedback.rules import (
    RULES_OF_PLAYS,
    THRESHOLDS,
    Feedback,
    feedback_of_logs,
    read_feedback,
)
from userlogfeat.feedback.sampling import sample_dislikes

__all__ = [
    "Feedback",
    "RULES_OF_PLAYS",
    "THRESHOLDS",
    "feedback_of_logs",
    "read_feedback",
    "sample_dislikes",
]
