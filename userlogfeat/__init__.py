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

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0.dev0"

# Public name -> module that defines it. A new name goes into the list below, too.
_PUBLIC = {
    "ArtistEmbedder": "estimators.artist",
    "CFEmbedding": "estimators.cf",
    "CFRegressor": "estimators.cf_regressor",
    "ColdStartItems": "estimators.cold_start",
    "EncoderEmbedder": "estimators.encoder",
    "FeatureLookup": "estimators.feature_lookup",
    "KDStudentClassifier": "estimators.kd_student",
    "KDStudentRegressor": "estimators.kd_student",
    "LayerSelector": "estimators.layers",
    "LayerWeighting": "estimators.layers",
    "LogMel": "estimators.log_mel",
    "MelStatistics": "estimators.mel_statistics",
    "MetricEmbedder": "estimators.metric",
    "MusicnnEmbedder": "estimators.musicnn",
    "OnnxEmbedder": "estimators.onnx",
    "PatchVotingClassifier": "estimators.voting",
    "SharedLatentEmbedder": "estimators.shared_latent",
    "UserEmbedding": "estimators.user_tower",
    "UserLogEmbedder": "estimators.user_log",
    "WindowRegressionClassifier": "estimators.window_regression",
    "show_progress": "_progress",
    "AudioError": "audio",
    "read_audio": "audio",
    "Catalogue": "catalogue",
    "CFDisplay": "report",
    "ClasswiseDisplay": "report",
    "ClipDisplay": "report",
    "ColdStartDisplay": "report",
    "ScoreDisplay": "report",
    "read_catalogue": "catalogue",
    "explore": "exploration",
    "extract": "extraction",
    "FRONTENDS": "frontends",
    "Interactions": "logs",
    "read_logs": "logs",
    "FeatureTable": "tables",
    "TeacherData": "comparison",
    "TransferDisplay": "report",
    "compare": "comparison",
    "export_onnx": "export",
    "push_to_hub": "export",
    "list_weights": "weights",
    "load_model": "weights",
    "nearest_artists": "recommendation.artists",
    "nearest_users": "recommendation",
    "recommend": "recommendation",
    "summarise": "comparison",
    "write_html": "report",
}

__all__ = ["__version__", *_PUBLIC]

if TYPE_CHECKING:  # the same names for type checkers and editors, which load nothing
    from userlogfeat._progress import show_progress as show_progress
    from userlogfeat.audio import AudioError as AudioError
    from userlogfeat.audio import read_audio as read_audio
    from userlogfeat.catalogue import Catalogue as Catalogue
    from userlogfeat.catalogue import read_catalogue as read_catalogue
    from userlogfeat.comparison import TeacherData as TeacherData
    from userlogfeat.comparison import compare as compare
    from userlogfeat.comparison import summarise as summarise
    from userlogfeat.estimators.artist import ArtistEmbedder as ArtistEmbedder
    from userlogfeat.estimators.cf import CFEmbedding as CFEmbedding
    from userlogfeat.estimators.cf_regressor import CFRegressor as CFRegressor
    from userlogfeat.estimators.cold_start import ColdStartItems as ColdStartItems
    from userlogfeat.estimators.encoder import EncoderEmbedder as EncoderEmbedder
    from userlogfeat.estimators.feature_lookup import FeatureLookup as FeatureLookup
    from userlogfeat.estimators.kd_student import (
        KDStudentClassifier as KDStudentClassifier,
    )
    from userlogfeat.estimators.kd_student import (
        KDStudentRegressor as KDStudentRegressor,
    )
    from userlogfeat.estimators.layers import LayerSelector as LayerSelector
    from userlogfeat.estimators.layers import LayerWeighting as LayerWeighting
    from userlogfeat.estimators.log_mel import LogMel as LogMel
    from userlogfeat.estimators.mel_statistics import MelStatistics as MelStatistics
    from userlogfeat.estimators.metric import MetricEmbedder as MetricEmbedder
    from userlogfeat.estimators.musicnn import MusicnnEmbedder as MusicnnEmbedder
    from userlogfeat.estimators.onnx import OnnxEmbedder as OnnxEmbedder
    from userlogfeat.estimators.shared_latent import (
        SharedLatentEmbedder as SharedLatentEmbedder,
    )
    from userlogfeat.estimators.user_log import UserLogEmbedder as UserLogEmbedder
    from userlogfeat.estimators.user_tower import UserEmbedding as UserEmbedding
    from userlogfeat.estimators.voting import (
        PatchVotingClassifier as PatchVotingClassifier,
    )
    from userlogfeat.estimators.window_regression import (
        WindowRegressionClassifier as WindowRegressionClassifier,
    )
    from userlogfeat.exploration import explore as explore
    from userlogfeat.export import export_onnx as export_onnx
    from userlogfeat.export import push_to_hub as push_to_hub
    from userlogfeat.extraction import extract as extract
    from userlogfeat.frontends import FRONTENDS as FRONTENDS
    from userlogfeat.logs import Interactions as Interactions
    from userlogfeat.logs import read_logs as read_logs
    from userlogfeat.recommendation import nearest_users as nearest_users
    from userlogfeat.recommendation import recommend as recommend
    from userlogfeat.recommendation.artists import nearest_artists as nearest_artists
    from userlogfeat.report import CFDisplay as CFDisplay
    from userlogfeat.report import ClasswiseDisplay as ClasswiseDisplay
    from userlogfeat.report import ClipDisplay as ClipDisplay
    from userlogfeat.report import ColdStartDisplay as ColdStartDisplay
    from userlogfeat.report import ScoreDisplay as ScoreDisplay
    from userlogfeat.report import TransferDisplay as TransferDisplay
    from userlogfeat.report import write_html as write_html
    from userlogfeat.tables import FeatureTable as FeatureTable
    from userlogfeat.weights import list_weights as list_weights
    from userlogfeat.weights import load_model as load_model
else:

    def __getattr__(name):
        if name not in _PUBLIC:
            raise AttributeError(f"module 'userlogfeat' has no attribute {name!r}")
        value = getattr(import_module(f"userlogfeat.{_PUBLIC[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
