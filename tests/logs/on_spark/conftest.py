"""Without pyspark these tests, whose modules import it, are left out."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("pyspark") else ["test_*.py"]
