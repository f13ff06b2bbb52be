"""Saved models for other programs.

===========  ===================================================================
onnx         ``export_onnx``: an ONNX file, checked beside torch
graph        a graph of ONNX operations, built call by call
spectrogram  log-mel spectrograms in a graph
networks     the layers of all saved models in a graph
musicnn      the networks of the musicnn package in a graph
===========  ===================================================================
"""

from userlogfeat.export.onnx import export_onnx

__all__ = ["export_onnx"]
