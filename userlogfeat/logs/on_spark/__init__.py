"""Listening logs on a Spark cluster: ``read_logs`` where the logs are.

============  ==============================================================
interactions  ``read_spark_logs``, ``SparkInteractions``
sources       a Spark frame, or any path that Spark reads, as named columns
formats       five published logs, as `logs.formats` knows them
columns       checked on the cluster: identifiers, counts, times, verdicts
codes         identifiers become 0, 1, ... in their order, on the cluster
pruning       users and items with too few of the other are left out
============  ==============================================================
"""
