"""
A grid search on a Spark cluster
================================

Every fit of a grid search is a task of the cluster: Spark's ``parallelize`` runs over
candidates and folds, with scikit-learn's ``ParameterGrid`` and ``cross_val_score``. It
needs Java 17 and

    pip install 'userlogfeat[spark]'

and prints a message if one is missing. Run alone, this file starts Spark on this
machine; ``spark-submit --master spark://host:7077 grid_search_on_spark.py`` runs it on
a cluster whose workers have userlogfeat installed.
"""

# %%
import time

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, ParameterGrid, cross_val_score

from userlogfeat import KDStudentClassifier, MelStatistics, ScoreDisplay
from userlogfeat._spark import spark_session
from userlogfeat.datasets.synthetic import make_listening_corpus


# %%
# The data and the estimator are sent to each worker once. Here these are features,
# which are small. Paths that all workers can read would do as well.
def search_on_spark(session, estimator, grid, X, y, *, folds):
    """Score all candidates of a grid on all folds.

    Parameters
    ----------
    session : SparkSession
    estimator : estimator
    grid : dict
        Parameter values to try, as in ``GridSearchCV``.
    X, y : array-like
        All clips and their labels.
    folds : list of (train, test)
        Rows of X to fit on and to score on.

    Returns
    -------
    candidates : list of dict
    scores : ndarray of shape (n_candidates, n_folds)
    """

    def score(task):
        candidate, fold = task
        estimator, X, y = shared.value
        model = clone(estimator).set_params(**candidate)
        return cross_val_score(model, X, y, cv=[fold], error_score="raise")[0]

    candidates = list(ParameterGrid(grid))
    tasks = [(candidate, fold) for candidate in candidates for fold in folds]
    context = session.sparkContext
    shared = context.broadcast((estimator, X, y))
    try:
        scores = context.parallelize(tasks, len(tasks)).map(score).collect()
    finally:
        shared.unpersist()
    return candidates, np.reshape(scores, (len(candidates), len(folds)))


# %%
# Students learn the planted labels, on four folds that share no artist.
def main():
    """Search on Spark, if it can run here."""
    try:
        session = spark_session(purpose="a search on Spark")
    except ImportError as error:
        print(f"Skipped: {error}")
        return
    corpus = make_listening_corpus(8, 240, duration=1.0, random_state=0)
    catalogue = corpus.catalogue
    X = MelStatistics("musicnn").fit_transform(corpus.audio)
    student = KDStudentClassifier(
        network="mlp", hidden=(64,), max_epochs=10, random_state=0
    )
    folds = list(GroupKFold(4).split(X, groups=catalogue.groups("artist")))
    grid = {"lr": [1e-3, 1e-2], "batch_size": [8, 32]}
    start = time.perf_counter()
    candidates, scores = search_on_spark(
        session, student, grid, X, catalogue.labels, folds=folds
    )
    cores = session.sparkContext.defaultParallelism
    print(f"{scores.size} fits in {time.perf_counter() - start:.0f} s on {cores} cores")
    for candidate, fold_scores in zip(candidates, scores, strict=True):
        print(f"{fold_scores.mean():.3f} {candidate}")
    session.stop()
    names = [f"lr {c['lr']:g}, batches of {c['batch_size']}" for c in candidates]
    ScoreDisplay.from_predictions(
        dict(zip(names, scores, strict=True)), score="Accuracy"
    )


if __name__ == "__main__":
    main()
