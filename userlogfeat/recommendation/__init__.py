"""Recommend items to users, and find the users of a new item.

=======  ===================================================================
ranking  ``recommend``, ``nearest_users``: exact and blocked, or by faiss;
         ``mean_scores``, for users of whom nothing is known
users    users in a folder: known by their ids, new by what they played
items    items to recommend: factors, a feature table, or audio embedded now
files    recommendations as a file, a block of users at a time
=======  ===================================================================
"""

from userlogfeat.recommendation.ranking import (
    mean_scores,
    nearest_users,
    recommend,
)

__all__ = ["mean_scores", "nearest_users", "recommend"]
