# The public names: ``__init__.py`` loads each when it is used first.

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

__version__: str
