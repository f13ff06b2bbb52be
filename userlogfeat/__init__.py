"""Audio features for small music tasks, learned from listening logs.

The map, from the ground up:

=================  ==================================================================
logs               listening logs (csv, tsv, parquet, frame) -> ``Interactions``
catalogue          which clip is which item, by which artist, on which album
audio              decode, crop, fill, cut; decode ahead of the network
frontends          ``FRONTENDS``: the spectrogram settings of each paper
encoders           pretrained audio encoders behind one protocol: musicnn,
                   models of transformers and torchaudio, ONNX files
networks           torch modules only: mel, se_cnn, metric, artist, towers
losses             one function per equation; ``LOSSES`` has those that are options
evaluation         arrays in, numbers out: folds, leaks, significance,
                   recommendation, similarity, learning curves
factorization      alternating least squares on implicit feedback, fold-in
factor_files       factors of users and items on disk
id_tables          tables of what is known of users and items
feedback           likes and dislikes, explicit, derived or sampled; triplets
users              data for user towers, their training, and their files
training           the loop that trains networks; batches,
                   checkpoints, heads
weights            saved models: safetensors + config.json + fingerprint
tables             the feature table: Parquet parts, valid at any moment
datasets           published sets with their splits, a file each, listed by
                   ``DATASETS``; and the planted corpus: ``synthetic``
estimators         scikit-learn classes; files that begin with ``_`` are what several
                   share, or the inner half of one
export             saved models for other programs: ONNX files, the Hugging Face hub,
                   HEAR, X-ARES
extraction         many clips -> one feature table
forgetting         users who ask for it are removed from logs and models
recommendation     the best items of users, the nearest users of a new track
comparison         ``ARMS`` (base, fix, init, kd and the controls) on the same folds
                   and seeds
report             plots, registered by name, and the HTML page of a comparison
exploration        a page on which clips are seen, played and compared
mirex              MIREX train/test submissions: the four calls, the folder to hand
                   in, the organisers' side
inspection         says what a table, a model or a folder of factors is
cli                the ``userlogfeat`` command, a file per command
=================  ==================================================================

A package says in its first lines what its files are.

Public names are loaded on first use: ``import userlogfeat`` is cheap and imports
neither torch nor any optional library.
"""

import ast
from importlib import import_module
from pkgutil import get_data

__version__ = "0.1.0.dev0"

# Public name -> module that defines it, as the stub beside this file lists them: there
# type checkers and editors find the same names, and nothing is loaded.
_PUBLIC = {
    alias.name: node.module.removeprefix("userlogfeat.")
    for node in ast.parse(get_data(__name__, "__init__.pyi")).body
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
}
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'userlogfeat' has no attribute {name!r}")
    value = getattr(import_module(f"userlogfeat.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
