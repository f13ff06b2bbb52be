"""The feature table: a folder of Parquet parts, one row a clip.

=======  ====================================================================
footers  the schema; what a part says of itself, checked; how large it may be
reader   ``FeatureTable``: what is in it
parts    rows on their way to a file of the table
writer   filling it, so that a kill at any moment loses and doubles nothing
=======  ====================================================================
"""

from userlogfeat.tables.footers import FIELDS, FORMAT, METADATA, layer_fields
from userlogfeat.tables.reader import (
    OK,
    PARTS,
    FeatureTable,
    TableError,
    as_matrix,
    clip_name,
    file_stamp,
)

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
]
