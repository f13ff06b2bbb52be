"""The feature table: a folder of Parquet parts, one row a clip.

=======  ====================================================================
footers  the schema; the footer of a part, checked; how large a part may be
parts    rows on their way to a file of the table
writer   filling it, so that a kill at any moment loses and doubles nothing
reader   ``FeatureTable``: reading it, and looking clips up
=======  ====================================================================
"""

from userlogfeat.tables.footers import (
    FIELDS,
    FORMAT,
    METADATA,
    PARTS,
    TableError,
    layer_fields,
)
from userlogfeat.tables.parts import OK, as_matrix, clip_name, file_stamp, row_names
from userlogfeat.tables.reader import FeatureTable

__all__ = [
    "FIELDS",
    "FORMAT",
    "FeatureTable",
    "METADATA",
    "OK",
    "PARTS",
    "TableError",
    "as_matrix",
    "clip_name",
    "file_stamp",
    "layer_fields",
    "row_names",
]
