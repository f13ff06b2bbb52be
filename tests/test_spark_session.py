"""Spark sessions: reused, refused, and clear where Spark cannot run."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pyarrow as pa
import pytest

from userlogfeat import _spark
from userlogfeat._spark import (
    PARTITIONS,
    cut_plan,
    forget_checkpoint_folder,
    frame_of,
    is_spark_frame,
    is_stopped,
    map_in_arrow,
    partitions_for,
    path_on_cluster,
    require_spark,
    spark_session,
)


@pytest.fixture
def nothing_runs(monkeypatch):
    """As if no session ran in this process, whatever other tests have started."""
    pyspark = pytest.importorskip("pyspark")
    monkeypatch.setattr(pyspark.SparkContext, "_active_spark_context", None)


def java_saying(version, folder):
    """A `java` in a folder's bin that says it is of some version."""
    path = folder / "bin" / "java"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.mark.usefixtures("nothing_runs")
def test_without_java_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImportError, match=r"The job needs Java.*openjdk-17-jre"):
        require_spark("The job")
    with pytest.raises(ImportError, match="no `java` on the PATH, and JAVA_HOME is no"):
        spark_session()


@pytest.mark.usefixtures("nothing_runs")
def test_java_home_without_java_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(ImportError, match=f"no `java` in JAVA_HOME={tmp_path}"):
        require_spark("The job")


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize(("version", "release"), [("1.8.0_392", 8), ("11.0.2", 11)])
def test_old_java_is_refused(monkeypatch, tmp_path, version, release):
    java_saying(version, tmp_path)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(ImportError, match=f"Java 17 or later.*is Java {release}"):
        require_spark("The job")


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize("version", ["17", "17.0.15", "21-ea", "strange"])
def test_new_java_is_taken(monkeypatch, tmp_path, version):
    java_saying(version, tmp_path)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert require_spark("The job").__name__ == "pyspark.sql"


def test_missing_and_old_pyspark_are_refused(monkeypatch):
    pyspark = pytest.importorskip("pyspark")
    monkeypatch.setattr(pyspark, "__version__", "3.5.1")
    with pytest.raises(ImportError, match=r"pyspark 4\.1 or later, found 3\.5\.1"):
        require_spark("The job")
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(ImportError, match=r"pip install 'userlogfeat\[spark\]'"):
        require_spark("The job")


def test_frames_of_other_libraries_are_none_of_spark():
    assert not is_spark_frame(pl.DataFrame({"a": [1]}))
    assert not is_spark_frame("plays.parquet")
    code = (
        "import sys, polars; from userlogfeat._spark import is_spark_frame; "
        "is_spark_frame(polars.DataFrame()); print('pyspark' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n"


def test_spark_connect_is_refused():
    remote = type("SparkSession", (), {"__module__": "pyspark.sql.connect.session"})
    with pytest.raises(TypeError, match="The job got a session of Spark Connect"):
        spark_session(session=remote(), purpose="The job")


def test_what_is_no_session_is_refused():
    with pytest.raises(TypeError, match=r"got session='spark://x', .*as master="):
        spark_session(session="spark://x")


@pytest.mark.usefixtures("nothing_runs")
def test_masters_that_cannot_be_are_explained(monkeypatch):
    """Of fifty lines of Java one is shown."""

    class Builder:
        def appName(self, name):
            return self

        master = appName

        def getOrCreate(self):
            java = "org.apache.spark.SparkException: Bad URL.\n\tat x"
            raise Exception(f"An error occurred.\n: {java}")

    session = SimpleNamespace(builder=Builder())
    sql = SimpleNamespace(SparkSession=session)
    monkeypatch.setattr(_spark, "require_spark", lambda purpose: sql)
    with pytest.raises(ValueError, match=r"at master='x' \(Bad URL\)\. Check the URL"):
        spark_session("x")


def test_stopped_sessions_are_refused():
    pytest.importorskip("py4j")
    for context in (None, SimpleNamespace(sc=Stopped)):
        session = SimpleNamespace(sparkContext=SimpleNamespace(_jsc=context))
        assert is_stopped(session)
        with pytest.raises(ValueError, match=r"The job got a .* that was stopped"):
            spark_session(session=session, purpose="The job")


class Settings(dict):
    """Settings of a session: those of Spark itself until somebody sets them."""

    def set(self, name, value):
        self[name] = value

    def unset(self, name):
        self[name] = "200"


def test_small_logs_are_no_work_for_a_cluster():
    """Below 100 million plays, as measured: 63 s of one machine against 649 s."""
    assert _spark.slower_than_here(100_000_000) is None
    note = _spark.slower_than_here(240_000)
    assert note.startswith(
        "240,000 rows are few for a cluster: below about 100,000,000"
    )


def test_shuffle_partitions_go_with_the_data():
    """Small logs took minutes: 200 tasks a stage."""
    java = SimpleNamespace(sc=lambda: SimpleNamespace(isStopped=lambda: False))
    in_file = set()
    context = SimpleNamespace(
        _jsc=java,
        defaultParallelism=4,
        getConf=lambda: SimpleNamespace(contains=in_file.__contains__),
    )
    session = SimpleNamespace(sparkContext=context, conf=Settings({PARTITIONS: "200"}))

    def chosen(n_rows):
        with partitions_for(session, n_rows):
            return session.conf[PARTITIONS]

    assert chosen(240_000) == "4"
    assert chosen(1_000_000_001) == "501"
    assert session.conf[PARTITIONS] == "200"
    session.conf.set(PARTITIONS, "16")  # by the caller, on the session
    assert chosen(240_000) == "16"
    session.conf.unset(PARTITIONS)
    in_file.add(PARTITIONS)  # or in spark-defaults.conf
    assert chosen(240_000) == "200"


class Stopped:
    """What Java holds of a session whose cluster is gone."""

    def isStopped(self):
        return True


def test_the_running_session_is_used(spark):
    assert spark_session() is spark
    assert spark_session(session=spark) is spark
    master = spark.sparkContext.master
    assert master.startswith("local-cluster")
    assert spark_session(master) is spark
    with pytest.raises(ValueError, match=r"master='local\[1\]', but .*at 'local-clus"):
        spark_session("local[1]")


def test_work_is_done_in_processes_of_their_own(spark):
    def work(batches):
        for batch in batches:
            total = sum(batch["id"].to_pylist())
            columns = {"process": [os.getpid()], "total": [total]}
            yield pa.RecordBatch.from_pydict(columns)

    frame = frame_of(spark, pa.table({"id": range(100)})).repartition(4)
    assert is_spark_frame(frame)
    rows = map_in_arrow(frame, work, "process long, total long").collect()
    assert sum(row.total for row in rows) == 4950
    assert os.getpid() not in {row.process for row in rows}


def test_a_plan_is_cut_without_private_names(spark):
    """pyspark may rename them: the same rows, by its public way."""
    frame = spark.createDataFrame([(1, "a"), (2, None)], "user int, item string")
    public = SimpleNamespace(
        rdd=frame.rdd, schema=frame.schema, sparkSession=frame.sparkSession
    )
    for cut in (cut_plan(frame), cut_plan(public)):
        assert cut.schema == frame.schema
        assert sorted(cut.collect()) == [(1, "a"), (2, None)]


def test_without_private_names_callers_do_without(monkeypatch):
    pyspark = pytest.importorskip("pyspark")
    session = SimpleNamespace(sparkContext=SimpleNamespace())
    assert not is_stopped(session)
    assert path_on_cluster(session, "hdfs://logs") is None
    assert path_on_cluster(SimpleNamespace(sparkContext=None, _jvm=None), "x") is None
    forget_checkpoint_folder(session.sparkContext)
    monkeypatch.delattr(pyspark.SparkContext, "_active_spark_context")
    assert _spark._running_context() is None


PRIVATE = re.compile(r"\._j(sc|vm|df|sparkSession)\b|_active_spark_context")


def test_private_names_of_pyspark_are_in_one_file():
    library = Path(_spark.__file__).parent
    files = [f for f in library.rglob("*.py") if PRIVATE.search(f.read_text("utf-8"))]
    assert [file.name for file in files] == ["_spark.py"]
