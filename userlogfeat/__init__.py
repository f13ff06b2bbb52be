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
networks           torch modules only: mel, musicnn, vgg, se_cnn, heads, teachers
losses             one function per equation
evaluation         arrays in, numbers out: folds, leaks, significance, regression,
                   recommendation, similarity, learning curves
factorization      alternating least squares on implicit feedback, fold-in;
                   ``factor_files`` keeps factors on disk
demographics       users' numbers and categories, read by ``id_tables``;
                   ``user_inputs``, ``user_batches``, ``user_training`` train the user
                   tower, ``tower_files`` keeps it
feedback           likes and dislikes: told, by rules on plays, or sampled
                   (``feedback_sampling``); ``triplets`` draws from them
training           the loop that trains every network, on skorch: ``batches`` feeds
                   it, ``checkpoints`` lets it go on after a kill, ``heads`` learns
                   ridge and MLP heads; ``latent_training`` learns maps of frames and
                   labels, which ``label_sets`` reads; ``discriminants`` between
                   artists, whose ``songs`` are learned from or tested on
weights            saved models: safetensors + config.json + fingerprint; musicnn's
                   weights, through ``tensorflow_files``
tables             the feature table: Parquet parts, lookup; ``table_writer`` fills
                   it, whatever kills it
datasets           published sets (gtzan, ballroom, emomusic, fma, dcase2016,
                   artists1517, homburg, unique, magnatagatune) and the planted
                   corpus: ``synthetic``, ``synthesis``
estimators         scikit-learn classes; what they share is in ``_base``, what those
                   share that train networks in ``_network`` and ``_contexts``,
                   windows and patches of clips in ``_windows`` and ``_patches``, the
                   inner half of shared latent spaces in ``_latent``,
                   students and their teachers in ``_student`` and ``_teacher``;
                   ``_users`` and ``_listeners`` are the inner halves of the user
                   tower and of metric learning
extraction         many clips -> one feature table
recommendation     the best items of users, the nearest users of a new track, from
                   ``user_folders`` and ``item_sources`` into ``recommendation_files``
comparison         base, fix, init, kd and the controls, on the same folds and seeds
report             plots and an HTML page of a comparison, in words and numbers
mirex              MIREX train/test submissions: the four calls, the folder to hand
                   in, the organisers' side
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
    "ArtistEmbedder": "estimators.artist",
    "CFEmbedding": "estimators.cf",
    "CFRegressor": "estimators.cf_regressor",
    "ColdStartItems": "estimators.cold_start",
    "FeatureLookup": "estimators.feature_lookup",
    "KDStudentClassifier": "estimators.kd_student",
    "KDStudentRegressor": "estimators.kd_student",
    "LogMel": "estimators.log_mel",
    "MelStatistics": "estimators.mel_statistics",
    "MetricEmbedder": "estimators.metric",
    "MusicnnEmbedder": "estimators.musicnn",
    "PatchVotingClassifier": "estimators.voting",
    "SharedLatentEmbedder": "estimators.shared_latent",
    "UserEmbedding": "estimators.user_tower",
    "UserLogEmbedder": "estimators.user_log",
    "WindowRegressionClassifier": "estimators.window_regression",
    "AudioError": "audio",
    "read_audio": "audio",
    "Catalogue": "catalogue",
    "ClasswiseDisplay": "report",
    "read_catalogue": "catalogue",
    "extract": "extraction",
    "FRONTENDS": "frontends",
    "Interactions": "logs",
    "read_logs": "logs",
    "FeatureTable": "tables",
    "TeacherData": "comparison",
    "TransferDisplay": "report",
    "compare": "comparison",
    "list_weights": "weights",
    "load_model": "weights",
    "nearest_users": "recommendation",
    "recommend": "recommendation",
    "summarise": "comparison",
    "write_html": "report",
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
