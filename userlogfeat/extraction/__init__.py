"""Features of many clips in one table, added to until all are in it.

===========  ================================================================
run          ``extract``: finds the clips that are missing, and has them embedded
tally        ``ExtractionSummary``; counts of a run, and its bar
spark        embeds clips on a cluster: the driver's side
spark_tasks  embeds clips on a cluster: the tasks of the workers
chunks       hands clips out to workers
===========  ================================================================
"""

from userlogfeat.extraction.run import extract
from userlogfeat.extraction.tally import ExtractionSummary

__all__ = ["ExtractionSummary", "extract"]
