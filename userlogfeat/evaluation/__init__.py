"""Arrays in, numbers out: scores of experiments, and how far to trust them.

=======================  ==========================================================
folds                    folds, splits and small subsets of clips, artists apart
leaks                    what training and test share: tracks, artists, audio
copies                   near-duplicate audio, by features
intervals                ``mean_interval``, over clips or artists, and seeds
significance             paired tests of two models, corrections, effect sizes
friedman                 several models on the same cases
factors                  estimates of factors: cosine, rank of a clip's own artist
similarity               precision of a clip's nearest neighbours
learning_curves          accuracy by the number of labels
recommendation           ``evaluate_ranking``: all metrics, for all users
recommendation_metrics   AUC, NDCG, recall, coverage, ...: registered by name
recommendation_splits    plays per user, by time, with users or items apart
over_time                recommending week after week, by the age of the model
play_search              a grid search over models of logs, on held-out plays
thinning                 histories of items cut down to a few listeners
ranking                  the best of many scores, in blocks; checks of embeddings.
                         Recommendation and estimators use it, too; no metrics here
=======================  ==========================================================
"""
