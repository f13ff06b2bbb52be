"""Spark sessions: found or started, with a clear message where Spark cannot run.

Nothing here imports pyspark before it is asked for. Spark's own engine is written in
Scala and runs on Java, which pip does not bring.
"""

import contextlib
import logging
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

from userlogfeat._optional import import_optional

_LOG = logging.getLogger(__name__)
PARTITIONS = "spark.sql.shuffle.partitions"
ROWS_PER_PARTITION = 2_000_000
# Below about so many rows one machine is faster (docs/guide/cluster.md).
FEW_ROWS = 100_000_000
MIN_JAVA = 17
MIN_PYSPARK = (4, 1)
_INSTALL_JAVA = (
    f"Install Java {MIN_JAVA} or later (Debian, Ubuntu: apt-get install "
    f"openjdk-{MIN_JAVA}-jre-headless; conda: conda install -c conda-forge openjdk), "
    "and set JAVA_HOME to its folder or have `java` on the PATH."
)
_JAVA_MESSAGE = re.compile(r"^: (?:[\w.$]+: )?(.*)$", re.MULTILINE)


def require_spark(purpose):
    """Check that Spark can run here.

    Parameters
    ----------
    purpose : str
        The feature that needs it, as the subject of a sentence: ``'backend="spark"'``.

    Returns
    -------
    module
        ``pyspark.sql``.

    Raises
    ------
    ImportError
        Where pyspark is missing or too old, or there is no Java that it can run on.
    """
    sql = import_optional("pyspark.sql", extra="spark", purpose=purpose)
    pyspark = import_optional("pyspark", extra="spark", purpose=purpose)
    found = tuple(int(part) for part in re.findall(r"\d+", pyspark.__version__)[:2])
    if found < MIN_PYSPARK:
        raise ImportError(
            f"{purpose} needs pyspark {'.'.join(map(str, MIN_PYSPARK))} or later, "
            f"found {pyspark.__version__}. Install it with: pip install "
            "'userlogfeat[spark]'"
        )
    if _running_context() is None:
        _require_java(purpose)
    return sql


def spark_session(
    master=None, session=None, *, purpose='backend="spark"', settings=None
):
    """Return the session that is given or runs already, or else a new one.

    A new session has Spark's own settings, those of ``spark-submit`` included: memory
    and cores are set by whoever starts it. Its workers run this Python where they are
    on this machine; elsewhere the one of ``PYSPARK_PYTHON``.

    Parameters
    ----------
    master : str, optional
        Master of a new session: ``"local[8]"``, ``"spark://host:7077"``, ``"yarn"``. By
        default the configured one, or all cores of this machine.
    session : SparkSession, optional
        Used as it is.
    purpose : str
        For messages, as in :func:`require_spark`.
    settings : dict of str to str, optional
        Spark's settings of a new session.

    Returns
    -------
    pyspark.sql.SparkSession

    Raises
    ------
    ImportError
        Where Spark cannot run; see :func:`require_spark`.
    ValueError
        Where a session runs already, at another master; where it was stopped; or where
        none can be started, with the reason in one line.
    TypeError
        Where the session is one of Spark Connect, or no session.
    """
    if session is None:
        builder = require_spark(purpose).SparkSession.builder.appName("userlogfeat")
        if master is not None:
            builder = builder.master(master)
        if (master or "local").startswith("local"):  # else "python3" of the PATH
            os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        for name, value in (settings or {}).items():
            builder = builder.config(name, value)
        session = _started(builder, master)
    if type(session).__module__.startswith("pyspark.sql.connect"):
        raise TypeError(
            f"{purpose} got a session of Spark Connect, which has no Spark of its own "
            'here. Start one on the cluster: SparkSession.builder.master("spark://...").'
        )
    if not hasattr(session, "sparkContext"):
        raise TypeError(
            f"{purpose} got session={session!r}, expected a SparkSession. A URL is "
            "given as master=; of a SparkContext, pass SparkSession(context)."
        )
    if is_stopped(session):
        raise ValueError(
            f"{purpose} got a Spark session, or frames of one, that was stopped or "
            "lost its cluster: what it held is gone. Call stop() on it, start another, "
            "and make its frames again."
        )
    running = None if master is None else session.sparkContext.master
    if running != master:
        raise ValueError(
            f"Got master={master!r}, but a Spark session runs at {running!r} in this "
            "process, and there can be one only. Leave master out to use it, or stop "
            "it first: spark.stop()."
        )
    return session


@contextlib.contextmanager
def partitions_for(session, n_rows):
    """Choose the number of shuffle partitions by the size of data, for a while.

    Spark's 200 are 200 tasks a stage, which take minutes with rows that one could do in
    seconds. A number that somebody has set is left alone.

    Parameters
    ----------
    session : SparkSession
    n_rows : int
        Rows to be shuffled: a partition for each 2 million, and at least one per core.
    """
    context = session.sparkContext
    set_before = context.getConf().contains(PARTITIONS)
    if set_before or session.conf.get(PARTITIONS) != "200":
        yield
        return
    n_partitions = max(context.defaultParallelism, -(-n_rows // ROWS_PER_PARTITION))
    _LOG.info("Spark: %d rows in %d shuffle partitions", n_rows, n_partitions)
    session.conf.set(PARTITIONS, str(n_partitions))
    try:
        yield
    finally:
        if not is_stopped(session):
            session.conf.unset(PARTITIONS)


def slower_than_here(n_rows):
    """Return a note that one machine would be faster, or None.

    Parameters
    ----------
    n_rows : int
        Plays, or pairs of user and item.
    """
    if n_rows >= FEW_ROWS:
        return None
    return (
        f"{n_rows:,} rows are few for a cluster: below about {FEW_ROWS:,}, one machine "
        "is faster, if its memory holds them (50 bytes per row)."
    )


def java_reason(error):
    """Extract Java's message from an error of py4j or pyspark, in one line."""
    found = _JAVA_MESSAGE.search(str(error))
    text = found.group(1) if found else str(error).strip().partition("\n")[0]
    return text.rstrip(".")


def is_spark_frame(obj):
    """Whether `obj` is a Spark DataFrame; found without importing pyspark."""
    return any(
        kind.__name__ == "DataFrame" and kind.__module__.startswith("pyspark.sql.")
        for kind in type(obj).__mro__
    )


def map_in_arrow(frame, function, schema):
    """Call ``frame.mapInArrow``, without its warning of new pandas, which is not used.

    Parameters
    ----------
    frame : pyspark.sql.DataFrame
    function : callable
        From an iterator over ``pyarrow.RecordBatch`` to one; runs on the executors,
        once for each partition. Names that it uses must be importable there.
    schema : str
        Columns that it yields: ``"user int, factors array<float>"``.

    Returns
    -------
    pyspark.sql.DataFrame
    """
    with _no_warning_of_pandas():
        return frame.mapInArrow(function, schema)


def frame_of(session, table):
    """Make a Spark DataFrame of a ``pyarrow.Table``."""
    with _no_warning_of_pandas():
        return session.createDataFrame(table)


def arrow_table(frame):
    """Bring a Spark DataFrame to this process, as a ``pyarrow.Table``.

    It comes a partition at a time, so that neither Java's memory here nor
    ``spark.driver.maxResultSize`` limits it.
    """
    import pyarrow as pa

    def packed(batches):
        for batch in batches:
            stream = pa.BufferOutputStream()
            with pa.ipc.new_stream(stream, batch.schema) as writer:
                writer.write_batch(batch)
            yield pa.RecordBatch.from_pydict({"rows": [stream.getvalue().to_pybytes()]})

    tables = [
        pa.ipc.open_stream(bytes(row["rows"])).read_all()
        for row in map_in_arrow(frame, packed, "rows binary").toLocalIterator()
    ]
    return pa.concat_tables(tables) if tables else frame.limit(0).toArrow()


def _started(builder, master):
    """Start a session; raise a one-line reason where Java prints fifty lines."""
    running = _running_context()
    try:
        with _no_warning_of_pandas():
            return builder.getOrCreate()
    except Exception as error:
        half = _running_context()
        if half is not running:  # else it would be taken for a session that runs
            with contextlib.suppress(Exception):
                half.stop()
        where = "as it is configured" if master is None else f"at master={master!r}"
        raise ValueError(
            f"Spark could not be started {where} ({java_reason(error)}). Check the URL "
            'and that the cluster runs, or try master="local[2]" on this machine.'
        ) from error


@contextlib.contextmanager
def _no_warning_of_pandas():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas")
        yield


def _require_java(purpose):
    """Raise an ImportError unless the Java that Spark would start is new enough."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home) / "bin") if home else None)
    where = f"in JAVA_HOME={home}" if home else "on the PATH, and JAVA_HOME is not set"
    if java is None:
        raise ImportError(
            f"{purpose} needs Java, on which Spark runs, but there is no `java` "
            f"{where}. {_INSTALL_JAVA}"
        )
    version = _java_version(java)
    if version is not None and version < MIN_JAVA:
        raise ImportError(
            f"{purpose} needs Java {MIN_JAVA} or later, on which Spark runs, but "
            f"{java} is Java {version}. {_INSTALL_JAVA}"
        )


def _java_version(java):
    """Return the feature release of a Java, 8 or 17, or None where it is unknown."""
    try:
        printed = subprocess.run(
            [java, "-version"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=60,
        ).stderr
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', printed)  # "1.8.0_392", "17.0.15"
    return int(found.group(1)) if found else None


# From here on: what only private names of pyspark give. Where a release lacks them,
# there is another way, or callers do without. No other file of ours has such names.


def is_stopped(session):
    """Whether a session has ended, or the Java below it; False where unknown."""
    from py4j.protocol import Py4JError

    if not hasattr(session.sparkContext, "_jsc"):
        return False
    java = session.sparkContext._jsc
    try:
        return java is None or java.sc().isStopped()
    except (Py4JError, AttributeError):  # sc() is None where a signal cut a call short
        return True


def cut_plan(frame):
    """Return the same rows, without the plan that made them.

    Where each round makes a frame from the last one, the plan grows with every round,
    and much faster where a frame is joined with itself. Rows that are lost with an
    executor are still made anew. The rows cross to Java's own and back once.
    """
    from pyspark.sql import DataFrame

    session = frame.sparkSession
    try:  # the public way takes all rows through Python
        java, make = frame._jdf, session._jsparkSession.createDataFrame
    except AttributeError:
        return session.createDataFrame(frame.rdd, frame.schema)
    return DataFrame(make(java.toJavaRDD(), java.schema()), session)


def path_on_cluster(session, name):
    """Return Java's path of a name, and its file system; None where unknown."""
    if not (hasattr(session, "_jvm") and hasattr(session.sparkContext, "_jsc")):
        return None
    path = session._jvm.org.apache.hadoop.fs.Path(name)
    return path, path.getFileSystem(session.sparkContext._jsc.hadoopConfiguration())


def forget_checkpoint_folder(context):
    """Let a SparkContext have no folder for checkpoints, as before one was set."""
    if hasattr(context, "_jsc"):
        context._jsc.sc().setCheckpointDir(None)


def _running_context():
    """The SparkContext of this process, half started or not; None where unknown."""
    from pyspark import SparkContext

    return getattr(SparkContext, "_active_spark_context", None)
