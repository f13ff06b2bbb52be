"""A Spark cluster of several processes on this machine, for tests.

Each executor is a Java process of its own, which starts Python workers of its own: what
cannot be pickled, or is not installed for them, fails as on a real cluster.
"""

import contextlib
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from userlogfeat._spark import require_spark, spark_session

MASTER = "local-cluster[2,1,2048]"  # two executors of one core and 2 GiB
# Tests are short: compile little, collect garbage in one thread.
_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto"
_SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.driver.memory": "1g",
    "spark.executor.memory": "1g",
    "spark.driver.extraJavaOptions": _JAVA,
    "spark.executor.extraJavaOptions": _JAVA,
    "spark.sql.shuffle.partitions": "2",
    # Rows are few: to compile Java for each query takes longer than to interpret it.
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.default.parallelism": "2",
    "spark.log.level": "ERROR",
    "spark.ui.showConsoleProgress": "false",
}


def reason_to_skip():
    """Why there can be no cluster here, or None."""
    try:
        require_spark("the test")
    except ImportError as error:
        return str(error)
    return None


@contextlib.contextmanager
def cluster(folder, master=MASTER, **settings):
    """A session on a fresh cluster, which is stopped at the end.

    Parameters
    ----------
    folder : Path
        Where executors write their logs, and Spark its files.
    master : str
        Executors, cores of each, MB of each.
    **settings : str or None
        Of Spark, with "__" for the dots: ``spark__task__maxFailures="8"``. With None
        Spark's own default is left.
    """
    environment = {
        "SPARK_HOME": str(_home(folder / "spark_home")),
        "SPARK_SCALA_VERSION": "2.13",  # which executors of pip's pyspark ask for
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_DIRS": str(folder / "scratch"),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
    }
    chosen = _SETTINGS | {
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        **{name.replace("__", "."): value for name, value in settings.items()},
    }
    with _environment(environment):
        builder = require_spark("the test").SparkSession.builder
        for name, value in chosen.items():
            builder = builder if value is None else builder.config(name, value)
        session = builder.master(master).getOrCreate()
        try:
            yield spark_session(session=session)
        finally:
            session.stop()


def _home(folder):
    """pyspark's own files; the logs of executors then go here, not into its package."""
    folder.mkdir(parents=True)
    package = Path(find_spec("pyspark").origin).parent
    for name in ("bin", "jars", "sbin"):
        (folder / name).symlink_to(package / name)
    return folder


@contextlib.contextmanager
def _environment(values):
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
