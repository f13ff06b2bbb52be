"""Pretrained audio encoders behind one protocol.

=====================  ==============================================================
protocol               ``Encoder``: what estimators and saved models expect of one
registry               encoders by name; ``FACTORIES``
windowed               long clips in windows with overlap: base of the next four
hugging_face           audio models of transformers, on the hub or in a folder
hugging_face_families  how wav2vec 2.0 and its kin, AST, Whisper and CLAP are read
hugging_face_speed     their modules in forms that take a CPU less time
torchaudio             the pretrained pipelines of torchaudio
onnx                   files of ONNX
custom                 an object with ``sample_rate``, ``layer_sizes`` and a call
musicnn                the four published networks of the musicnn package
musicnn_checkpoint     its tags, and the variables of its checkpoints
musicnn_plain          the musicnn network in standard layers: reference, export
musicnn_fast           the musicnn network, with work shared between patches
musicnn_vgg            the vgg network
tensorflow_checkpoint  the variables of a TensorFlow checkpoint, without TensorFlow
=====================  ==============================================================

Estimators, saved models, ``extract`` and the command line know encoders only through
the protocol. A new one is a file here and its line in ``registry.FACTORIES``, or a
package of its own with an entry point.
"""

from userlogfeat.encoders.protocol import (
    Encoder,
    Encoding,
    averaged_layers,
    default_layer,
)
from userlogfeat.encoders.registry import (
    encoder_identity,
    encoder_key,
    get_encoder,
    list_encoders,
    register_encoder,
)

__all__ = [
    "Encoder",
    "Encoding",
    "averaged_layers",
    "default_layer",
    "encoder_identity",
    "encoder_key",
    "get_encoder",
    "list_encoders",
    "register_encoder",
]
