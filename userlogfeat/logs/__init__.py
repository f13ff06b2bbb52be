"""Listening logs, from files or frames, as one sparse matrix of users x items.

============  ==============================================================
interactions  ``read_logs``, ``Interactions``
formats       where five published logs keep their users, items and plays
sources       any table, a file or a frame, as a stream of chunks
columns       identifiers become codes, counts and times numbers
on_spark      the same on a Spark cluster: ``SparkInteractions``
============  ==============================================================
"""

from userlogfeat.logs.interactions import (
    Interactions,
    read_logs,
)

__all__ = ["Interactions", "read_logs"]
