"""Which clip is which item, by which artist, on which album.

=======  ===================================================================
clips    ``Catalogue``, ``read_catalogue``
sources  tables, frames and folders of audio that a catalogue comes from
=======  ===================================================================
"""

from userlogfeat.catalogue.clips import (
    Catalogue,
    read_catalogue,
)

__all__ = ["Catalogue", "read_catalogue"]
