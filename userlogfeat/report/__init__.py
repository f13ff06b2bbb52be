"""Plots and pages of a comparison: scores, differences and their uncertainty.

================  ====================================================================
comparison_page   ``write_html``: the page of a comparison
page              a page of sections as HTML; ``templates/page.html`` is its markup
plots             plots registered by name, each for a page
transfer          scores of all arms by channels or labels
classwise         recall of each class with two feature sets
embedding_map     a map of items by taste
scores            scores of methods against baselines, or by a searched parameter
cold_start        the calibration of ``ColdStartItems``
clip              a log-mel spectrogram beside the nearest artists
findings          differences in sentences
tables            tables of a comparison
frames            frames of a comparison, checked; how scores are written
style             axes, legends, and the look of what is not an arm; an arm brings
                  its colour, marker and dashes (``comparison/arms.py``)
================  ====================================================================
"""

from userlogfeat.report.classwise import ClasswiseDisplay
from userlogfeat.report.clip import ClipDisplay
from userlogfeat.report.cold_start import ColdStartDisplay
from userlogfeat.report.comparison_page import write_html
from userlogfeat.report.embedding_map import CFDisplay
from userlogfeat.report.plots import Picture, register_plot
from userlogfeat.report.scores import ScoreDisplay
from userlogfeat.report.transfer import TransferDisplay

__all__ = [
    "CFDisplay",
    "ClasswiseDisplay",
    "ClipDisplay",
    "ColdStartDisplay",
    "Picture",
    "ScoreDisplay",
    "TransferDisplay",
    "register_plot",
    "write_html",
]
