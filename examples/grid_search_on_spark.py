"""
A grid search on a Spark cluster
================================

`GridSearchCV` hands its fits to joblib, and joblib hands them to Spark: every fit is a
task of the cluster. It needs Java 17 and

    pip install 'userlogfeat[spark]' joblibspark

and says so where they are missing. By itself this file starts Spark on this machine;
``spark-submit --master spark://host:7077 grid_search_on_spark.py`` runs it on a cluster
whose workers have userlogfeat installed.
"""

# %%
import time
import warnings

import numpy as np
from joblib import parallel_config
from sklearn.model_selection import GridSearchCV, GroupKFold

from userlogfeat import KDStudentClassifier
from userlogfeat._spark import spark_session
from userlogfeat.datasets.synthetic import make_listening_corpus


def start_spark():
    """A session that joblib finds; an ImportError that says what is missing."""
    import joblibspark

    session = spark_session(purpose="a search on Spark")
    joblibspark.register_spark()
    return session


# %%
# Students of the planted labels. The waveforms travel to the workers with every fit; of
# large collections pass paths that all workers can read, or features.
def make_search():
    """A search over students, and the corpus as its X, y and groups."""
    corpus = make_listening_corpus(8, 120, duration=1.0, random_state=0)
    student = KDStudentClassifier(
        channels=8,
        pools=((4, 2), (3, 2), (2, 2)),
        duration=1.0,
        max_epochs=5,
        random_state=0,
    )
    grid = {"lr": [1e-3, 1e-2], "batch_size": [8, 32]}
    search = GridSearchCV(student, grid, cv=GroupKFold(2), n_jobs=-1)
    catalogue = corpus.catalogue
    return search, corpus.audio, catalogue.labels, catalogue.groups("artist")


def main():
    """Search on Spark where it can run."""
    try:
        session = start_spark()
    except ImportError as error:
        print(f"Skipped: {error}")
        return
    search, X, y, artists = make_search()
    # Tasks cannot ask for resources of their own, nor inherit tags: they need not.
    warnings.filterwarnings("ignore", module="joblibspark|pyspark")
    start = time.perf_counter()
    with parallel_config("spark"):
        search.fit(X, y, groups=artists)
    n_fits = len(search.cv_results_["params"]) * search.n_splits_
    cores = session.sparkContext.defaultParallelism
    print(f"{n_fits} fits in {time.perf_counter() - start:.0f} s on {cores} cores")
    for params, score in zip(
        search.cv_results_["params"],
        np.round(search.cv_results_["mean_test_score"], 3),
        strict=True,
    ):
        print(score, params)
    session.stop()


if __name__ == "__main__":
    main()
