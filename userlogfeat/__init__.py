"""Audio features for small music tasks, learned from listening logs.

The map, from the ground up:

=================  ==================================================================
logs               listening logs (csv, tsv, parquet, frame) -> ``Interactions``
catalogue          which clip is which item, by which artist, on which album
audio              decode, downmix, resample, crop, cut; decode ahead of the network
frontends          ``FRONTENDS``: the spectrogram settings of each paper
networks           torch modules: mel, musicnn, teachers
tensorflow_files   variables of a TensorFlow checkpoint, read without TensorFlow
factorization      alternating least squares on implicit feedback, fold-in
training           the skorch nets that trainable estimators share
weights            saved models: safetensors + config.json + fingerprint
tables             the feature table: Parquet parts, schema, lock, resume
datasets           the planted corpus, readers of published sets
estimators         scikit-learn classes
extraction         many clips -> one feature table
cli                the ``userlogfeat`` command
=================  ==================================================================

Public names are loaded on first use: ``import userlogfeat`` is cheap and imports
neither torch nor any optional library.
"""

from importlib import import_module

__version__ = "0.1.0.dev0"

# Public name -> module that defines it.
_PUBLIC = {
    "CFEmbedding": "estimators.cf",
    "CFRegressor": "estimators.cf_regressor",
    "FeatureLookup": "estimators.feature_lookup",
    "LogMel": "estimators.log_mel",
    "MusicnnEmbedder": "estimators.musicnn",
    "PatchVotingClassifier": "estimators.voting",
    "UserLogEmbedder": "estimators.user_log",
    "AudioError": "audio",
    "read_audio": "audio",
    "Catalogue": "catalogue",
    "read_catalogue": "catalogue",
    "extract": "extraction",
    "FRONTENDS": "frontends",
    "Interactions": "logs",
    "read_logs": "logs",
    "FeatureTable": "tables",
    "list_weights": "weights",
    "load_model": "weights",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'userlogfeat' has no attribute {name!r}")
    value = getattr(import_module(f"userlogfeat.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(__all__)
