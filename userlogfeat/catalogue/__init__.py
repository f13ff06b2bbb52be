"""The catalogue: the item, artist and album of each clip.

=======  ===================================================================
clips    ``Catalogue``, ``read_catalogue``
sources  tables, frames and folders of audio that a catalogue comes from
=======  ===================================================================
"""

from userlogfeat.catalogue.clips import Catalogue, read_catalogue

__all__ = ["Catalogue", "read_catalogue"]
