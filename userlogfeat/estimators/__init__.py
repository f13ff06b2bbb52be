"""Estimators: ``...Embedding`` learns from logs, ``...Embedder`` embeds audio.

==================  ===============================================================
cf                  ``CFEmbedding``: factors of users and items
user_tower          ``UserEmbedding``: users by their histories and demographics
cf_regressor        ``CFRegressor``: the teacher that estimates factors from audio
metric              ``MetricEmbedder``: audio near the users who like it
artist              ``ArtistEmbedder``: audio where artists differ
shared_latent       ``SharedLatentEmbedder``: one space for several sets of labels
cold_start          ``ColdStartItems``: factors blended with estimates from audio
user_log            ``UserLogEmbedder``: a saved model of any of these, as features
onnx                the same of an ONNX file, without torch
encoder, musicnn    pretrained encoders as features
log_mel             ``LogMel``: spectrograms as features
mel_statistics      ``MelStatistics``: the plain features of Hamel et al.
feature_lookup      ``FeatureLookup``: rows of a feature table
layers              ``LayerSelector``, ``LayerWeighting``: which layer suits a task
kd_student          ``KDStudentClassifier``, ``KDStudentRegressor``
voting              ``PatchVotingClassifier``: the patches of a clip vote
window_regression   ``WindowRegressionClassifier``: linear regression of windows
==================  ===============================================================

What several share, or the inner half of one:

==================  ===============================================================
_audio_transformer  base of all that embeds audio: batches of clips, in order
_clip_reader        clips decoded ahead, at one rate and length
_devices            devices and precisions by name
_pooled_encoder     base of ``encoder`` and ``musicnn``
_model_embedder     base of ``user_log`` and ``onnx``
_cache              keeps the layers of files in a feature table
_parameters         ``@estimator``, and the parameters that several have
_sklearn            scikit-learn's base classes, with types
_trained            base of all that trains a network: save, load, layers
_training           clips read once for training; ``Trainer``
_designs            the networks that are trained, from parameters
_factor_head        ``CFRegressor``: training a head; ``_head_choice`` of ``"auto"``
_factor_network     ``CFRegressor``: training a network
_student            base of ``kd_student``: `fit` in all its modes
_distillation       the loss of a student, and whether distillation helps it
_teacher            the teacher of a student, whatever it is given as
_cf_files           the folder of a fitted ``CFEmbedding``
_spark_factors      ``CFEmbedding`` on Spark
_histories          checks the histories of ``UserEmbedding``
_artists            artists of clips, for ``ArtistEmbedder``
_artist_means       mean factors of artists, for ``ColdStartItems``
_label_search       labels of ``SharedLatentEmbedder``
_patches            patches of clips, for ``voting`` and ``window_regression``
_windows            statistics of windows, for the estimators after Hamel et al.
==================  ===============================================================
"""
