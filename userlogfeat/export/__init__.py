"""Saved models for other programs.

===========  ===================================================================
onnx         ``export_onnx``: an ONNX file, checked beside torch
graph        a graph of ONNX operations, built call by call; its opset
spectrogram  log-mel spectrograms in a graph
networks     the layers of all saved models in a graph
musicnn      the networks of the musicnn package in a graph
hub          ``push_to_hub`` and ``model_card``: the Hugging Face hub
windows      a saved model over windows of a waveform
hear         the interface of HEAR
xares        an encoder for X-ARES
===========  ===================================================================
"""

from userlogfeat.export.hub import model_card, push_to_hub
from userlogfeat.export.onnx import export_onnx

__all__ = ["export_onnx", "model_card", "push_to_hub"]
