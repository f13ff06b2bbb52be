"""Recommend items to users, and find the users of a new item.

=========  ===================================================================
ranking    ``recommend``, ``nearest_users``: exact and blocked; for users of whom
           nothing is known by popularity, such as ``mean_scores``
histories  ``mean_histories``: users as the mean of what they played
exact      the k highest products of each query, for ``recommend`` and ``ItemIndex``
index      ``ItemIndex``: items kept ready, exact or approximate, in memory and on disk
users      users in a folder: known by their ids, new by what they played
items      items to recommend: factors, a feature table, or audio embedded now
artists    the artists nearest to a clip, by a teacher's estimate
files      recommendations as a file, a block of users at a time
=========  ===================================================================

Embeddings of items with few listeners or none: ``ColdStartItems`` in ``estimators/``.
"""

from userlogfeat.recommendation.histories import mean_histories
from userlogfeat.recommendation.index import ItemIndex
from userlogfeat.recommendation.ranking import (
    mean_scores,
    nearest_users,
    recommend,
)

__all__ = ["ItemIndex", "mean_histories", "mean_scores", "nearest_users", "recommend"]
