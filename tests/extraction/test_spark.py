"""Extraction on a Spark cluster: the same table, whoever is killed on the way."""

import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import soundfile

from userlogfeat import EncoderEmbedder, UserLogEmbedder, audio
from userlogfeat.datasets.synthesis import SOUND, synthesise
from userlogfeat.extraction import extract
from userlogfeat.extraction import spark as on_spark
from userlogfeat.tables import FeatureTable
from userlogfeat.tables.writer import TableWriter

FAKE = Path(__file__).parents[1] / "fake_embedder.py"
RUNS = Path(__file__).with_name("spark_runs.py")
CLIPS_PER_TASK = 10  # there
ODD = [b"caf\xe9.wav", b"new\nline.wav", "ütf.wav".encode()]
# Not in sys.modules: its classes are then pickled whole, as workers cannot import it.
_spec = importlib.util.spec_from_file_location("fake_embedder", FAKE)
fake = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fake)
make_clips = fake.make_clips


@pytest.fixture
def clips(tmp_path):
    return make_clips(tmp_path / "clips", 30)


@pytest.fixture
def journal(tmp_path):
    path = tmp_path / "journal"
    path.touch()
    return path


def embedded(journal):
    """Clips that each process embedded, and embedders that it loaded."""
    lines = [line.split("\t") for line in journal.read_text().splitlines()]
    lines = [(process, eval(text)) for process, text in lines]
    loads = Counter(process for process, text in lines if text == "loads")
    return [line for line in lines if line[1] != "loads"], loads


def run_on(spark, clips, table, **settings):
    settings = {"embedder": fake.FakeEmbedder(), "session": spark} | settings
    return extract(clips, table, backend="spark", **settings)


def check_complete(folder, clips):
    """Each clip is one row on disk, with its own features, and nothing is left over."""
    frame = pl.read_parquet(folder / "*.parquet")
    assert sorted(frame["clip"]) == sorted(clips)
    table = FeatureTable(folder)
    found = table.lookup(clips)
    for name in table.layer_sizes:
        expected = np.stack([fake.features_of(clip)[name] for clip in clips])
        np.testing.assert_array_equal(found.layers[name], expected)
    assert {p.name[:5] for p in folder.iterdir()} <= {"part-", ".lock"}


def rows_of(folder):
    """All rows, by clip; NaN is equal to itself here."""
    table = FeatureTable(folder)
    order = np.argsort(table.clips())
    return repr(table.read().take(order).to_pylist())


def test_table_and_summary_are_those_of_one_process(spark, tmp_path, clips, journal):
    """Failures, odd names and metadata included; each worker loads one embedder."""
    Path(clips[4]).write_bytes(b"")
    odd = [os.fsdecode(b"%s/%s" % (os.fsencode(tmp_path), name)) for name in ODD]
    for name in odd:
        Path(name).write_bytes(os.fsencode(name))
    given = [*clips, str(tmp_path / "gone.wav"), *odd, clips[0]]
    embedder = fake.FakeEmbedder(journal=str(journal))
    embedder.users_digest = "these users"
    there = run_on(spark, given, tmp_path / "s", embedder=embedder, clips_per_task=4)
    lines, loads = embedded(journal)
    here = extract(given, tmp_path / "l", embedder=embedder)
    for name in ("n_done", "n_skipped", "failed", "audio_seconds"):
        assert getattr(there, name) == getattr(here, name), name
    assert sorted(there.examples) == sorted(here.examples)
    assert (there.n_done, there.n_failed) == (29 + len(odd), 2)
    assert rows_of(tmp_path / "s") == rows_of(tmp_path / "l")
    tables = [FeatureTable(tmp_path / name) for name in "sl"]
    for name in ("fingerprint", "layer_sizes", "layer_scales", "made_by"):
        assert getattr(tables[0], name) == getattr(tables[1], name), name
    assert tables[0].users_digest == "these users"
    assert sorted(clip for _, clip in lines) == sorted(set(given))
    processes = {process for process, _ in lines}
    assert len(processes) <= 2  # cores of the cluster, of which one may come late
    assert str(os.getpid()) not in processes
    assert loads == dict.fromkeys(processes, 1)


def test_second_run_does_what_is_missing(spark, tmp_path, clips, journal):
    settings = {"embedder": fake.FakeEmbedder(journal=str(journal))}
    run_on(spark, clips[:20], tmp_path / "t", **settings)
    journal.write_text("")
    Path(clips[2]).write_bytes(b"another clip")
    Path(clips[3]).write_bytes(b"")
    Path(clips[4]).unlink()  # cannot be read again: its features are kept
    summary = run_on(spark, clips, tmp_path / "t", **settings)
    assert sorted(clip for _, clip in embedded(journal)[0]) == [
        *clips[2:4],
        *clips[20:],
    ]
    assert (summary.n_done, summary.n_skipped) == (11, 18)
    assert summary.failed == {"EmptyAudioError": 1}
    journal.write_text("")
    summary = run_on(spark, clips, tmp_path / "t", retry_failed=False, **settings)
    assert embedded(journal) == ([], {})
    assert summary.failed == {"EmptyAudioError": 1}
    Path(clips[3]).write_bytes(b"mended")
    summary = run_on(spark, clips, tmp_path / "t", retry_failed=False, **settings)
    assert (summary.n_done, summary.n_skipped, summary.n_failed) == (1, 29, 0)
    Path(clips[4]).write_bytes(b"clip 4")
    run_on(spark, clips, tmp_path / "t", **settings)
    check_complete(tmp_path / "t", clips)


def test_local_and_spark_go_on_with_each_others_tables(spark, tmp_path, clips):
    extract(clips[:12], tmp_path / "t", embedder=fake.FakeEmbedder())
    assert run_on(spark, clips[:20], tmp_path / "t").n_skipped == 12
    summary = extract(clips, tmp_path / "t", embedder=fake.FakeEmbedder())
    assert (summary.n_done, summary.n_skipped) == (10, 20)
    check_complete(tmp_path / "t", clips)


def test_many_parts_are_merged_as_they_come(spark, tmp_path, clips, monkeypatch):
    monkeypatch.setattr("userlogfeat.tables.writer.PART_BYTES", 20_000)
    merged = []
    genuine = TableWriter._replace

    def replace(self, group):
        merged.append([part.n_rows for part, _ in group])
        genuine(self, group)

    monkeypatch.setattr(TableWriter, "_replace", replace)
    run_on(spark, clips, tmp_path / "t", clips_per_task=1)
    assert len(merged) >= 3
    assert merged[0][:2] == [1, 1]
    check_complete(tmp_path / "t", clips)


def test_relative_paths_start_where_the_driver_does(
    spark, tmp_path, clips, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    names = [os.path.relpath(clip) for clip in clips]
    summary = run_on(spark, [*names, "gone.wav"], "t")
    assert summary.examples == [
        ("gone.wav", "MissingAudioError", "'gone.wav': no such file. Bring it.")
    ]
    assert FeatureTable("t").lookup(names).found.all()


def test_on_error_raise_keeps_what_was_done(spark, tmp_path, clips):
    Path(clips[25]).write_bytes(b"")
    with pytest.raises(audio.EmptyAudioError, match=r"0025\.wav': 0 bytes\. Fill"):
        run_on(spark, clips, tmp_path / "t", on_error="raise", clips_per_task=10)
    table = FeatureTable(tmp_path / "t")
    assert set(clips[20:25]) <= set(table.clips()) < set(clips)
    assert table.status_counts() == {"ok": len(table)}
    assert not list((tmp_path / "t").glob(".s*"))


@pytest.mark.long
def test_errors_of_workers_come_back_as_themselves(spark, tmp_path, clips):
    class Broken(fake.FakeEmbedder):
        def _embed(self, index, clip):
            if clip.endswith("0015.wav"):
                raise MemoryError("out of memory")
            return super()._embed(index, clip)

    with pytest.raises(
        MemoryError, match=r"^out of memory \(Every try of a task.*same"
    ):
        run_on(spark, clips, tmp_path / "t", embedder=Broken(), clips_per_task=5)
    assert set(clips[:10]) <= set(FeatureTable(tmp_path / "t").clips())
    run_on(spark, clips, tmp_path / "t")
    check_complete(tmp_path / "t", clips)


def test_workers_that_do_not_see_the_table_say_so(spark, tmp_path, clips, monkeypatch):
    """As where its disk is mounted on the driver only."""
    genuine = on_spark.Assignment
    monkeypatch.setattr(
        on_spark, "Assignment", lambda folder, *rest: genuine("/nowhere/t", *rest)
    )
    with pytest.raises(FileNotFoundError, match=r"^Worker .* does not see /nowhere/t"):
        run_on(spark, clips[:1], tmp_path / "t")
    assert FeatureTable(tmp_path / "t").parts() == []


@pytest.mark.long
def test_ctrl_c_keeps_what_was_done(spark, tmp_path, clips, monkeypatch):
    genuine = on_spark._Job.runs

    def runs(self, seconds):
        if n_rows(tmp_path / "t"):
            raise KeyboardInterrupt
        return genuine(self, seconds)

    monkeypatch.setattr(on_spark._Job, "runs", runs)
    settings = {"embedder": fake.FakeEmbedder(delay=0.5), "clips_per_task": 3}
    with pytest.raises(KeyboardInterrupt):
        run_on(spark, clips, tmp_path / "t", **settings)
    rows = n_rows(tmp_path / "t")
    assert 0 < rows < len(clips)
    assert not list((tmp_path / "t").glob(".s*"))
    monkeypatch.undo()
    assert run_on(spark, clips, tmp_path / "t").n_skipped == rows
    check_complete(tmp_path / "t", clips)


PYTHON = """Job aborted due to stage failure: Task 0 failed 4 times:
Traceback (most recent call last):
  File "a.py", line 1, in f
KeyError: 'cause'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "a.py", line 2, in f
    g(x)
    ^^^^
{}

\tat org.apache.spark.api.python.Reader.handle(Reader.scala:1)
Caused by: java.io.IOException: none of that
org.apache.spark.SparkException: nor that
"""
JAVA = """An error occurred while calling o42.collectAsArrowToPython.
: org.apache.spark.SparkException: Job aborted: executor 3 was lost.
\tat org.apache.spark.scheduler.DAGScheduler.abortStage(DAGScheduler.scala:1)
"""


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (PYTHON.format("ValueError: no layer\nmore"), ValueError, r"^no layer \(Every"),
        (PYTHON.format("torch.cuda.OOMError: full"), RuntimeError, "^OOMError: full"),
        (PYTHON.format("MemoryError"), MemoryError, r"^ ?\(Every try"),
        (PYTHON.format("OSError: [Errno 28] No space left"), OSError, "No space left"),
        (PYTHON.format("UnicodeError: bad"), UnicodeError, "^bad"),
        (PYTHON.format("UnicodeDecodeError: bad"), RuntimeError, "^UnicodeDecodeErr"),
        (
            JAVA,
            RuntimeError,
            r"ended the run \(Job aborted: executor 3 was lost\)",
        ),
    ],
)
def test_what_ended_a_job_is_reported_in_one_line(text, kind, message):
    error = on_spark.explain_failure(Exception(text))
    assert type(error) is kind
    with pytest.raises(kind, match=message):
        raise error
    assert "What was done before is kept" in str(error)
    assert "org.apache" not in str(error)
    assert getattr(error, "errno", None) == (28 if kind is OSError else None)


def test_ctrl_c_waits_for_the_end_of_the_job(monkeypatch):
    """A wait that was interrupted took the job for ended; Python then aborted."""
    pytest.importorskip("pyspark")
    cancelled, ended = threading.Event(), []

    class Frame:
        def toArrow(self):
            assert cancelled.wait(30)
            time.sleep(0.5)
            ended.append(True)

    monkeypatch.setattr(on_spark._spark, "map_in_arrow", lambda *job: Frame())
    context = SimpleNamespace(
        addJobTag=str, cancelJobsWithTag=lambda tag: cancelled.set()
    )
    session = SimpleNamespace(sparkContext=context, range=lambda *numbers: None)
    monkeypatch.setattr("pyspark.InheritableThread", plain_thread)
    # Shells start background jobs with SIGINT ignored; tests may run in one.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt), on_spark._Job(session, None, 1) as job:
            job.runs(30)
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended == [True]


def plain_thread(target, session, daemon):
    return threading.Thread(target=target, daemon=daemon)


def test_embedder_that_cannot_be_sent_is_refused(spark, tmp_path, clips):
    embedder = fake.FakeEmbedder()
    embedder.lock = threading.Lock()
    with pytest.raises(TypeError, match="cannot be sent to workers: pickling it"):
        run_on(spark, clips, tmp_path / "t", embedder=embedder)


@pytest.mark.long
def test_features_of_the_bundled_model(spark, tmp_path, musicnn):
    """Of audible clips, by workers that load its weights: those of this process."""
    rng = np.random.default_rng(0)
    middle = {name: (low + high) / 2 for name, (low, high) in SOUND.items()}
    files = [tmp_path / f"{i}.wav" for i in range(5)]
    for file in files:
        settings = {"n_samples": 64000, "sample_rate": 16000, "noise": 1.0}
        clip = synthesise(middle, np.zeros(8), random_state=rng, **settings)
        soundfile.write(file, clip, 16000)
    embedder = UserLogEmbedder()
    settings = {"embedder": embedder, "clips_per_task": 3}
    there = run_on(spark, files, tmp_path / "s", **settings)
    here = extract(files, tmp_path / "l", embedder=embedder)
    assert there.n_done == here.n_done == 5
    assert there.audio_seconds == here.audio_seconds == pytest.approx(20.0)
    tables = [FeatureTable(tmp_path / name) for name in "sl"]
    for name, expected in tables[1].lookup(files).layers.items():
        found = tables[0].lookup(files).layers[name]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
        assert found.std(axis=0).max() > 0.01, "the clips sound alike"
    assert tables[0].users_digest == tables[1].users_digest == embedder.users_digest
    assert tables[0].layer_scales == tables[1].layer_scales


@pytest.mark.long
def test_a_pretrained_encoder_on_the_cluster(spark, tmp_path, tiny_models):
    """Workers load it from its folder, and note the same fingerprint."""
    files = [tmp_path / f"{i}.wav" for i in range(4)]
    for seed, file in enumerate(files):
        noise = np.random.default_rng(seed).normal(size=9000) / 9
        soundfile.write(file, noise, 16000, subtype="FLOAT")
    embedder = EncoderEmbedder(tiny_models.names["wav2vec2"], layer="all")
    settings = {"embedder": embedder, "clips_per_task": 2}
    assert run_on(spark, files, tmp_path / "s", **settings).n_done == 4
    extract(files, tmp_path / "l", embedder=embedder)
    there, here = (FeatureTable(tmp_path / name) for name in "sl")
    assert there.fingerprint == here.fingerprint == embedder.fingerprint
    for name, expected in here.lookup(files).layers.items():
        found = there.lookup(files).layers[name]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.long
def test_each_task_computes_in_the_threads_it_was_given(spark, tmp_path, clips):
    class Counting(fake.FakeEmbedder):
        def iter_features(self, X, *, on_error="raise"):
            import torch
            from threadpoolctl import threadpool_info

            most = max(pool["num_threads"] for pool in threadpool_info())
            counts = [torch.get_num_threads(), most, *6 * [0]]
            for clip in super().iter_features(X, on_error=on_error):
                clip.layers["mean"] = np.array(counts)
                yield clip

    run_on(spark, clips, tmp_path / "t", embedder=Counting())
    counts = FeatureTable(tmp_path / "t").lookup(clips).layers["mean"]
    np.testing.assert_array_equal(counts[:, :2], 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backend": "dask"}, r"Got backend='dask', expected one of 'local', 'spark'"),
        ({"master": "local[2]"}, r"Got master='local\[2\]' with backend=\"local\""),
        ({"clips_per_task": 3}, r"Got clips_per_task=3 with backend=\"local\""),
        ({"backend": "spark", "clips_per_task": 0}, "Got clips_per_task=0, expected"),
    ],
)
def test_bad_settings_are_explained(tmp_path, clips, settings, message):
    if settings.get("backend") == "spark":
        pytest.importorskip("pyspark")
    with pytest.raises(ValueError, match=message):
        extract(clips, tmp_path / "t", embedder=fake.FakeEmbedder(), **settings)
    assert not (tmp_path / "t").exists()


def test_without_pyspark_it_says_what_to_install(tmp_path, clips, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(ImportError, match=r'backend="spark" needs pyspark.*\[spark\]'):
        run_on(None, clips, tmp_path / "t")
    assert not (tmp_path / "t").exists()


def start(tmp_path, table):
    arguments = [tmp_path / "clips", table, tmp_path / "journal", tmp_path / "scratch"]
    return subprocess.Popen(
        [sys.executable, RUNS, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(condition, process, seconds=300):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "nothing happens"
        time.sleep(0.05)
    return found


def in_the_middle(journal, table):
    """A worker in the middle of a chunk that is not its first, or None."""
    if not journal.exists() or n_rows(table) < CLIPS_PER_TASK:
        return None
    times = Counter(process for process, _ in embedded(journal)[0])
    return next((p for p, n in times.items() if n % CLIPS_PER_TASK in (2, 3, 4)), None)


def executor_of(worker):
    """Process id of the executor that a Python worker belongs to."""
    folder = Path("/proc") / str(worker)
    while b"CoarseGrainedExecutorBackend" not in (folder / "cmdline").read_bytes():
        parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
        folder = folder.with_name(parent)
    return int(folder.name)


def n_rows(folder):
    try:
        return len(FeatureTable(folder))
    except FileNotFoundError:
        return 0


def test_chunks_that_are_tried_twice_are_taken_once(
    spark, tmp_path, clips, journal, monkeypatch
):
    """As with speculation: two attempts at each chunk, in two workers, at once."""
    genuine = on_spark._spark.map_in_arrow

    def twice(frame, work, schema):
        return genuine(frame.union(frame).repartition(8, "id"), work, schema)

    monkeypatch.setattr(on_spark._spark, "map_in_arrow", twice)
    embedder = fake.FakeEmbedder(delay=0.01, journal=str(journal))
    summary = run_on(spark, clips, tmp_path / "t", embedder=embedder, clips_per_task=2)
    assert (summary.n_done, summary.n_failed) == (30, 0)
    assert len(embedded(journal)[0]) == 60
    check_complete(tmp_path / "t", clips)


@pytest.mark.long
def test_killed_executor(spark_cluster, tmp_path):
    """kill -9 in the middle: the job ends by itself, with every file exactly once."""
    clips, journal = make_clips(tmp_path / "clips", 60), tmp_path / "journal"
    with start(tmp_path, tmp_path / "t") as process:
        worker = wait_until(lambda: in_the_middle(journal, tmp_path / "t"), process)
        os.kill(executor_of(worker), signal.SIGKILL)
        assert n_rows(tmp_path / "t") < len(clips), "it was not in the middle"
        output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "60 done, 0 were there, 0 failed" in output
    check_complete(tmp_path / "t", clips)
    lines, loads = embedded(journal)
    assert {clip for _, clip in lines} == set(clips)
    assert len(lines) > len(clips), "the kill cost no work: it hit an idle executor"
    assert max(loads.values()) == 1


@pytest.mark.long
def test_killed_driver(spark, tmp_path):
    """kill -9; the same call does what is missing, beside workers that live on."""
    clips = make_clips(tmp_path / "clips", 60)
    with start(tmp_path, tmp_path / "t") as process:
        wait_until(lambda: in_the_middle(tmp_path / "journal", tmp_path / "t"), process)
        process.kill()
    rows = n_rows(tmp_path / "t")
    assert CLIPS_PER_TASK <= rows < len(clips), "it was not in the middle"
    assert len(list((tmp_path / "t").glob(".staging-*"))) == 1
    summary = run_on(spark, clips, tmp_path / "t")
    assert (summary.n_done, summary.n_skipped) == (60 - rows, rows)
    check_complete(tmp_path / "t", clips)
