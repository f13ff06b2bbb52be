"""Audio features for small music tasks, learned from listening logs.

The map, from the ground up:

=================  ==================================================================
logs               listening logs (csv, tsv, parquet, frame) -> ``Interactions``;
                   their columns, named formats and chunks are in ``log_columns``,
                   ``log_formats`` and ``log_sources``
catalogue          which clip is which item, by which artist, on which album; read by
                   ``catalogue_sources``
audio              crop, fill, cut; decode ahead of the network. ``audio_files``
                   opens files by content, ``mp3`` finds how long one is,
                   ``audio_errors`` says what is wrong
frontends          ``FRONTENDS``: the spectrogram settings of each paper
networks           torch modules only: mel, musicnn, vgg, heads, teachers
losses             one function per equation
factorization      alternating least squares on implicit feedback, fold-in;
                   ``factor_files`` keeps factors on disk
training           learning heads: ridge in closed form, skorch for the rest
weights            saved models: safetensors + config.json + fingerprint; musicnn's
                   weights, through ``tensorflow_files``
tables             the feature table: Parquet parts, lookup; ``table_writer`` fills
                   it, whatever kills it
datasets           the planted corpus: ``synthetic``, ``synthesis``
estimators         scikit-learn classes; what they share is in ``_base``
extraction         many clips -> one feature table
inspection         says what a table, a model or a folder of factors is
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
