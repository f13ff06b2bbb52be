"""A page on which clips are seen and played: ``explore``.

================  ====================================================================
page              ``explore``: the page as one HTML file, or on this machine's network
clips             the clips that are shown, and what is known of them
layers            one layer of one model: maps, nearest clips, the classifier's answers
listeners         artists whose listeners would like a clip
copies            leaks and copies, as pairs of clips
sound             the audio of clips: linked, or embedded within a limit
serve             the page on localhost
================  ====================================================================
"""

from userlogfeat.exploration.page import explore, serve_explorer

__all__ = ["explore", "serve_explorer"]
