"""Without pyspark, the modules that import it and their tests are left out."""

from importlib.util import find_spec

collect_ignore_glob = [
    "userlogfeat/logs/on_spark/*",
    "userlogfeat/extraction/spark.py",
    "tests/logs/on_spark/test_*",
    "tests/extraction/test_spark.py",
]
if find_spec("pyspark"):
    collect_ignore_glob = []
