"""The folder to hand in: what is in it, and that it runs without this checkout."""

import importlib.util
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

import userlogfeat
from userlogfeat import (
    FeatureLookup,
    MelStatistics,
    MusicnnEmbedder,
    UserLogEmbedder,
)
from userlogfeat.mirex import measure, package_texts
from userlogfeat.mirex.black_box import Run
from userlogfeat.mirex.lists import read_labels
from userlogfeat.mirex.measure import Measured, measure_package
from userlogfeat.mirex.package import write_package
from userlogfeat.mirex.package_texts import (
    direct_requirements,
    pinned_requirements,
    required_modules,
    write_readme,
)
from userlogfeat.mirex.pipeline import load_pipeline, write_description

TOY = Path(__file__).with_name("toy.py")
_spec = importlib.util.spec_from_file_location("toy", TOY)
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)

SCRIPTS = ["Classify.sh", "Train.sh", "TrainAndClassify.sh", "extractFeatures.sh"]
NAMES = ["hip hop", "rock"]


def call(command, cwd, **environment):
    environment = {**os.environ, "USERLOGFEAT_PYTHON": sys.executable, **environment}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def submission(tmp_path_factory):
    """Of a pipeline of one's own, whose file is copied."""
    folder = tmp_path_factory.mktemp("handed in") / "my submission"
    return write_package(folder, pipeline=f"{TOY}:pipeline", measure=None, name="Toys")


def test_what_is_in_it(submission):
    names = {path.name for path in submission.iterdir()}
    other = {"README.md", "lib", "pipeline", "requirements.txt", "setup.sh"}
    assert names == {*SCRIPTS, *other}
    for name in [*SCRIPTS, "setup.sh"]:
        assert os.access(submission / name, os.X_OK)
        done = subprocess.run(["sh", "-n", str(submission / name)])
        assert done.returncode == 0
    assert not list(submission.rglob("*.py[co]"))
    assert not list(submission.rglob("*.pkl"))


def test_requirements_are_pinned_to_what_is_installed(submission):
    lines = (submission / "requirements.txt").read_text().splitlines()[2:]
    assert lines == pinned_requirements()
    pinned = dict(line.partition(";")[0].split("==") for line in lines)
    assert pinned["numpy"] == metadata.version("numpy")
    assert pinned["torch"] == metadata.version("torch").partition("+")[0]
    assert "userlogfeat" not in pinned
    assert "musicnn" not in pinned
    # What is needed in turn floated: click of typer, jinja2 and markupsafe of torch.
    for name in ("jinja2", "markupsafe", "filelock", "sympy", "mpmath"):
        assert pinned[name] == metadata.version(name)
    assert "pytest" not in pinned  # of an extra


def test_requirements_in_turn_keep_their_conditions(monkeypatch):
    """Shared is needed by all systems through b, so it has no condition."""
    needs = {
        "userlogfeat": ["A_1>=2", "b", "gone; os_name == 'nt'", "x; extra == 'dev'"],
        "a-1": ["only-linux==1; platform_system == 'Linux'"],
        "only-linux": ["shared", "deep", "old; python_version < '9'"],
        "b": ["shared>=1"],
    }
    monkeypatch.setattr(metadata, "requires", lambda name: needs.get(name))
    monkeypatch.setattr(metadata, "version", lambda name: "1.5+local")

    def distribution(name):
        if name == "gone":
            raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", distribution)
    linux = "platform_system == 'Linux'"
    assert pinned_requirements() == [
        "a-1==1.5",
        "b==1.5",
        f"deep==1.5; {linux}",
        f"old==1.5; ({linux}) and (python_version < '9')",
        f"only-linux==1.5; {linux}",
        "shared==1.5",
    ]
    assert direct_requirements() == ["a-1==1.5", "b==1.5"]


def test_modules_that_scripts_ask_for_can_be_imported():
    names = required_modules()
    assert {"sklearn", "typer", "huggingface_hub", "torch"} <= set(names)
    assert all(importlib.util.find_spec(name) for name in names)


def test_scripts_before_setup_say_what_to_do(submission, tmp_path):
    """They ended in "No module named 'typer'"."""
    (tmp_path / "bin").mkdir()
    bare = tmp_path / "bin" / "python3"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    bare.chmod(0o755)
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    arguments = [submission / "Train.sh", "scratch", "train.txt"]
    done = call(arguments, tmp_path, USERLOGFEAT_PYTHON="", PATH=path)
    assert done.returncode == 2
    assert done.stderr == (
        f"python3 lacks what requirements.txt lists: run {submission}/setup.sh once, "
        "or set USERLOGFEAT_PYTHON to a Python that has it.\n"
    )
    done = call(arguments, tmp_path, USERLOGFEAT_PYTHON="/no/python")
    assert done.returncode == 2
    assert "/no/python lacks what requirements.txt lists: run" in done.stderr


def test_readme_has_what_organisers_ask_for(submission):
    text = (submission / "README.md").read_text()
    for line in (
        "# Toys: a MIREX train/test submission",
        "    extractFeatures.sh [-numThreads N] SCRATCH FEATURELIST",
        "    TrainAndClassify.sh [-numThreads N] SCRATCH TRAINLIST TESTLIST OUTPUT",
        "    Train.sh [-numThreads N] SCRATCH TRAINLIST",
        "    Classify.sh [-numThreads N] SCRATCH TESTLIST OUTPUT",
        "## Environment",
        "## Run time, memory and scratch space",
        "Not measured.",
        f"numpy=={metadata.version('numpy')}",
    ):
        assert line in text, line


def test_readme_has_what_was_measured(tmp_path, monkeypatch):
    run = Run([], "ok", 0, 61.25, 48.0, 512.4, "")
    runs = dict.fromkeys(["extractFeatures.sh", "TrainAndClassify.sh", "Train.sh"], run)
    found = Measured("planted clips of 30 s", 24, 720.0, 2, runs, 24 * 4096)
    monkeypatch.setattr(measure, "measure_package", lambda *_, **__: found)
    write_package(tmp_path / "s", pipeline=f"{TOY}:pipeline")
    text = (tmp_path / "s" / "README.md").read_text()
    assert "24 planted clips of 30 s (12.0 min of audio),\nwith -numThreads 2" in text
    assert "| extractFeatures.sh | 24 | 61.2 s | 48.0 s | 512 MiB |" in text
    assert "2.00 s of processor time per clip" in text
    assert "0.1 MiB, 4 KiB per clip" in text


@pytest.mark.long
def test_it_runs_from_another_folder_with_its_own_library(submission, tmp_path):
    """Paths with spaces, relative lists, threads first."""
    clips = toy.write_clips(tmp_path / "audio clips", [0, 1] * 6)
    labels = [NAMES[i % 2] for i in range(12)]
    rows = [f"{c}\t{n}\n" for c, n in zip(clips, labels, strict=True)]
    (tmp_path / "train.txt").write_text("".join(rows[:6]))
    (tmp_path / "test.txt").write_text("".join(f"{clip}\n" for clip in clips[6:]))
    (tmp_path / "all.txt").write_text("".join(f"{clip}\n" for clip in clips))
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    (elsewhere / "userlogfeat.py").write_text("raise SystemExit('not this one')")
    lists = ["../scr atch", "../train.txt", "../test.txt"]
    for command in (
        ["extractFeatures.sh", "-numThreads", 2, lists[0], "../all.txt"],
        ["TrainAndClassify.sh", "-numThreads", 2, *lists, "one.txt"],
    ):
        done = call([submission / command[0], *command[1:]], elsewhere)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
    expected = dict(zip(clips[6:], labels[6:], strict=True))
    assert read_labels(elsewhere / "one.txt") == expected
    assert not list(submission.rglob("__pycache__"))


def test_its_own_library_comes_first(submission, tmp_path):
    where = "import userlogfeat; print(userlogfeat.__file__)"
    code = f'HERE="{submission}"; . "$HERE/lib/environment.sh"; echo $HF_HUB_OFFLINE; '
    done = call(["sh", "-c", code + f'"$PYTHON" -P -c "{where}"'], tmp_path)
    assert done.stdout.split("\n")[0] == "1"
    assert done.stdout.split("\n")[1] == str(submission / "lib/userlogfeat/__init__.py")


def test_which_python(submission, tmp_path):
    """What is exported; else env/ of setup.sh; else python3."""
    moved = tmp_path / "moved"
    shutil.copytree(submission, moved, ignore=shutil.ignore_patterns("userlogfeat"))
    code = f'HERE="{moved}"; . "$HERE/lib/environment.sh"; echo $PYTHON'
    assert call(["sh", "-c", code], tmp_path).stdout == f"{sys.executable}\n"
    none = {"USERLOGFEAT_PYTHON": ""}
    assert call(["sh", "-c", code], tmp_path, **none).stdout == "python3\n"
    (moved / "env" / "bin").mkdir(parents=True)
    (moved / "env" / "bin" / "python").symlink_to(sys.executable)
    found = call(["sh", "-c", code], tmp_path, **none).stdout
    assert found == f"{moved}/env/bin/python\n"


def test_the_default_is_a_description_with_its_weights(tmp_path, musicnn):
    folder = write_package(tmp_path / "s", measure=None, tags=True)
    pipeline = load_pipeline(folder / "pipeline" / "pipeline.json")
    embedder = pipeline.steps[0][1]
    assert embedder.weights == str(folder / "pipeline" / "weights")
    assert embedder.fingerprint == UserLogEmbedder().fingerprint
    assert "OneVsRestClassifier" in repr(pipeline)
    assert "mirex train --tags --quiet" in (folder / "Train.sh").read_text()
    assert "AFFINITIES BINARY" in (folder / "Classify.sh").read_text()
    readme = (folder / "README.md").read_text()
    assert "**For non-commercial use only.**" in readme
    assert "weights of musicnn 0.1.0, ISC" in readme
    assert os.listdir(folder / "lib" / "musicnn") == ["MSD_musicnn", "LICENSE.md"] or (
        set(os.listdir(folder / "lib" / "musicnn")) == {"MSD_musicnn", "LICENSE.md"}
    )
    for name in ("userlogfeat", "musicnn"):
        found = f"{name}-{metadata.version(name)}.dist-info"
        assert (folder / "lib" / found / "METADATA").is_file()


def test_a_plain_tagger_brings_its_own_network_only(tmp_path, musicnn):
    pipeline = make_pipeline(MusicnnEmbedder("MTT_vgg"), SVC())
    folder = write_package(tmp_path / "s", pipeline=pipeline, measure=None)
    assert {p.name for p in (folder / "lib" / "musicnn").iterdir() if p.is_dir()} == {
        "MTT_vgg"
    }


def test_statistics_bring_no_network(tmp_path):
    pipeline = make_pipeline(MelStatistics(), SVC())
    folder = write_package(tmp_path / "s", pipeline=pipeline, measure=None)
    assert not (folder / "lib" / "musicnn").exists()
    assert "musicnn" not in (folder / "README.md").read_text()


def test_what_cannot_be_handed_in(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(ValueError, match="full is not empty, expected a new folder"):
        write_package(tmp_path / "full")
    lookup = make_pipeline(FeatureLookup("table"), SVC())
    with pytest.raises(ValueError, match="an embedder that takes new ones"):
        write_package(tmp_path / "a", pipeline=lookup)
    with pytest.raises(ValueError, match=r"pass it as file.py:function"):
        write_package(tmp_path / "b", pipeline=toy.pipeline())
    assert not (tmp_path / "a").exists()


@pytest.mark.long
def test_weights_of_code_of_ones_own(tmp_path):
    """Beside the file they come along; elsewhere they are refused, not forgotten."""
    source = Path(userlogfeat.__file__).parent / "pretrained" / "lastfm2k-musicnn"
    for where in ("home/deep/model", "away/model"):
        shutil.copytree(source, tmp_path / where)
    code = """
from pathlib import Path
from sklearn.preprocessing import FunctionTransformer
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from userlogfeat import UserLogEmbedder
HERE = Path(__file__).parent
def near(weights="deep/model"):
    embedder = UserLogEmbedder(HERE / weights)
    return make_pipeline(embedder, FunctionTransformer(abs), SVC())
def far():
    return near("../away/model")
"""
    (tmp_path / "home" / "own.py").write_text(code)
    near = write_package(
        tmp_path / "s", pipeline=f"{tmp_path}/home/own.py:near", measure=None
    )
    assert (near / "pipeline/deep/model/config.json").is_file()
    assert '"$HERE/pipeline/own.py:near"' in (near / "Train.sh").read_text()
    with pytest.raises(ValueError, match=r"Put it beside that file"):
        write_package(
            tmp_path / "t", pipeline=f"{tmp_path}/home/own.py:far", measure=None
        )


def test_a_cache_of_ones_own_is_not_handed_in(tmp_path, caplog):
    """Its path was written into the description, which was then refused."""
    pipeline = make_pipeline(UserLogEmbedder(cache=str(tmp_path / "c")), SVC())
    write_description(tmp_path / "p.json", pipeline)
    assert "cache" not in (tmp_path / "p.json").read_text()
    assert load_pipeline(tmp_path / "p.json")[0].cache is None
    assert "is left out: the scratch folder keeps features" in caplog.text


@pytest.mark.long
def test_modules_beside_the_file_are_missed(tmp_path):
    """The folder was written, and no script of it could run."""
    (tmp_path / "helper_beside.py").write_text("from sklearn.svm import SVC\n")
    code = "import os, sys\nsys.path.insert(0, os.path.dirname(__file__))\n"
    own = tmp_path / "own.py"
    own.write_text(code + "import helper_beside\n" + TOY.read_text())
    with pytest.raises(ValueError, match=r"No module named 'helper_beside'. That one"):
        write_package(tmp_path / "s", pipeline=f"{own}:pipeline", measure=None)


def test_readme_says_what_learned(tmp_path):
    """A model without a head of its own was called "The head"."""
    path = tmp_path / "README.md"
    pipeline = make_pipeline(UserLogEmbedder(), SVC())
    write_readme(
        path, name="x", contact="y", pipeline=pipeline, tags=False, measured=None
    )
    assert "\n- The model learned from: " in path.read_text()


def submit(folder, code):
    folder.mkdir()
    for name in SCRIPTS:
        (folder / name).write_text(f"#!/bin/sh\n{code}\n")
        (folder / name).chmod(0o755)
    return folder


def test_measuring_runs_all_scripts_on_halves(tmp_path):
    """Clips of one class are dealt in turn; arguments as organisers pass them."""
    lines = [f"/x/{label}{i}.wav\t{label}\n" for i in range(4) for label in "ab"]
    (tmp_path / "list.txt").write_text("".join(lines))
    log = tmp_path / "log.txt"
    code = f"""echo "${{0##*/}} $1 $2 ${{4##*/}} ${{5##*/}}" >> {log}
        mkdir -p "$3"; head -c 5000 /dev/zero > "$3/features"
        case $0 in */Train.sh) cat "$4" >> {log};; esac"""
    folder = submit(tmp_path / "s", code)
    found = measure_package(folder, tmp_path / "list.txt", n_threads=2)
    assert log.read_text().splitlines() == [
        "extractFeatures.sh -numThreads 2 all.txt ",
        "TrainAndClassify.sh -numThreads 2 train.txt test.txt",
        "Train.sh -numThreads 2 train.txt ",
        *(f"/x/{label}{i}.wav\t{label}" for i in (0, 2) for label in "ab"),
        "Classify.sh -numThreads 2 test.txt out.txt",
    ]
    assert (found.n_clips, found.scratch_bytes) == (8, 5000)
    assert list(found.runs) == [
        "extractFeatures.sh",
        "TrainAndClassify.sh",
        "Train.sh",
        "Classify.sh",
    ]


def test_measuring_a_submission_that_fails(tmp_path):
    (tmp_path / "list.txt").write_text("a\tx\n")
    folder = submit(tmp_path / "s", "echo no such module; exit 1")
    with pytest.raises(RuntimeError, match=r"code 1, .* Its output:\nno such module"):
        measure_package(folder, tmp_path / "list.txt")


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_who_may_read_a_script_may_run_it(tmp_path, umask):
    before = os.umask(umask)
    try:
        package_texts._write_script(tmp_path / "a.sh", "#!/bin/sh\necho done\n")
    finally:
        os.umask(before)
    assert (tmp_path / "a.sh").stat().st_mode & 0o777 == 0o777 & ~(umask | 0o022)
    assert (tmp_path / "a.sh").read_bytes() == b"#!/bin/sh\necho done\n"
