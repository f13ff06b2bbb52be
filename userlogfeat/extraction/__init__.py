"""Many clips into one feature table, again and again until all are in it.

===========  ================================================================
run          ``extract``: what is missing, and who hears it
tally        what a run did: ``ExtractionSummary``, counts, the bar
local        hearing in this process
spark        hearing on a cluster: the driver's side
spark_tasks  hearing on a cluster: what a worker does
chunks       how the clips are handed out to workers
===========  ================================================================
"""

from userlogfeat.extraction.run import extract
from userlogfeat.extraction.tally import ExtractionSummary

__all__ = ["ExtractionSummary", "extract"]
