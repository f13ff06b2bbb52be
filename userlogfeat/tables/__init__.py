"""The feature table: a folder of Parquet parts, one row per clip.

=======  ====================================================================
footers  the schema; the footer of a part, checked; how large a part may be
parts    rows on their way to a file of the table
writer   filling it, so that a kill at any moment loses and doubles nothing
reader   ``FeatureTable``: reading it, and looking clips up
keeping  ``compact``, ``prune``, ``rename_clips``, ``merge_tables``, and the one name
         of a path
=======  ====================================================================
"""

from userlogfeat.tables.footers import FORMAT, PARTS, TableError
from userlogfeat.tables.keeping import (
    Change,
    canonical_name,
    compact,
    merge_tables,
    prune,
    rename_clips,
)
from userlogfeat.tables.parts import OK, as_matrix, clip_name, file_stamp, row_names
from userlogfeat.tables.reader import FeatureTable

__all__ = [
    "Change",
    "FORMAT",
    "FeatureTable",
    "OK",
    "PARTS",
    "TableError",
    "as_matrix",
    "canonical_name",
    "compact",
    "clip_name",
    "file_stamp",
    "merge_tables",
    "prune",
    "rename_clips",
    "row_names",
]
