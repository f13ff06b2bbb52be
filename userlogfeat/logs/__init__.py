"""Listening logs, from files or frames, as one sparse matrix of users x items.

============  ==============================================================
reading       ``read_logs``
interactions  ``Interactions``
formats       where five published logs keep their users, items and plays
sources       any table, a file or a frame, as a stream of chunks
columns       counts, verdicts and fractions played become numbers
times         times, bounds and spans of time become numbers
ids           identifiers become codes, and codes rows and columns
events        rows become matrices, a chunk at a time; old plays decay here
on_spark      the same on a Spark cluster: ``SparkInteractions``
============  ==============================================================
"""

from userlogfeat.logs.interactions import Interactions
from userlogfeat.logs.reading import read_logs

__all__ = ["Interactions", "read_logs"]
