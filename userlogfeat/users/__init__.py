"""Data for user towers, their training, and their files.

============  ==============================================================
demographics  numbers and categories of users, with gaps
histories     ``histories_for``: logs in the order of a model's items
inputs        histories, targets and attributes of items, checked
batches       users as batches: events, demographics, targets
training      the loop: one target per user and epoch, negatives from all items
tower_files   a saved tower
============  ==============================================================
"""

from userlogfeat.users.histories import histories_for

__all__ = ["histories_for"]
