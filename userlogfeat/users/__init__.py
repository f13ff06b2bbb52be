"""Data for user towers, their training, and their files.

============  ==============================================================
demographics  numbers and categories of users, with gaps
inputs        histories, targets and attributes of items, checked
batches       users as batches: events, demographics, targets
training      the loop: one target a user and epoch, negatives from all items
tower_files   a saved tower
============  ==============================================================
"""
