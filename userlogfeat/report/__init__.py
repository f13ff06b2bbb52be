"""Plots and pages of a comparison: what was measured, and how sure that is."""

from userlogfeat.report.classwise import ClasswiseDisplay
from userlogfeat.report.page import write_html
from userlogfeat.report.transfer import TransferDisplay

__all__ = ["ClasswiseDisplay", "TransferDisplay", "write_html"]
