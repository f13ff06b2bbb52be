"""What an index shows and ships: links, licences, entry points, the locks."""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]
LINK = re.compile(r"\]\(([^)]+)\)")


def locked(name):
    """{package: versions} that a lock file pins."""
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    pins = {}
    for package, version in re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE):
        pins.setdefault(canonicalize_name(package), set()).add(version)
    return pins


def test_links_of_readme_work_where_an_index_shows_it():
    links = LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    pages = PROJECT["urls"]["Documentation"] + "/en/latest/"
    files = PROJECT["urls"]["Source"] + "/blob/main/"
    assert len(links) > 5
    for link in links:
        assert link.startswith(("https://", "#")), link
        if link.startswith(pages):
            page = link.removeprefix(pages).partition("#")[0].removesuffix(".html")
            assert (ROOT / "docs" / f"{page}.md").is_file(), link
        if link.startswith(files):
            assert (ROOT / link.removeprefix(files)).is_file(), link


def test_licences_name_the_weights():
    assert "LicenseRef-userlogfeat-weights-non-commercial" in PROJECT["license"]
    licence = ROOT / "userlogfeat" / "pretrained" / "LICENSE.txt"
    assert PROJECT["license-files"] == ["LICENSE", licence.relative_to(ROOT).as_posix()]
    text = licence.read_text(encoding="utf-8")
    models = {path.parent.name for path in licence.parent.glob("*/config.json")}
    assert models
    assert all(re.search(f"^{model}$", text, re.MULTILINE) for model in models)


@pytest.mark.parametrize(
    ("lock", "extras"), [("dev.txt", {"dev", "docs"}), ("demo.txt", {"plots"})]
)
def test_locks_have_all_that_the_project_asks_for(lock, extras):
    """Each requirement is pinned to a version that it allows, every pin has a hash."""
    pins = locked(lock)
    wanted, seen = list(PROJECT["dependencies"]), set()
    extras = set(extras)
    while extras:
        extra = extras.pop()
        seen.add(extra)
        for line in PROJECT["optional-dependencies"][extra]:
            requirement = Requirement(line)
            if requirement.name == PROJECT["name"]:
                extras |= requirement.extras - seen
            else:
                wanted.append(line)
    for line in wanted:
        requirement = Requirement(line)
        versions = pins[canonicalize_name(requirement.name)]
        assert all(requirement.specifier.contains(v) for v in versions), line
    text = (ROOT / "requirements" / lock).read_text(encoding="utf-8")
    blocks = re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in block for block in blocks)


def test_extras_that_errors_name_exist():
    package = (ROOT / "userlogfeat").rglob("*.py")
    sources = "\n".join(path.read_text("utf-8") for path in package)
    named = set(re.findall(r'\bextra="(\w+)", purpose=', sources))
    named |= set(re.findall(r"userlogfeat\[(\w+)\]", sources))
    assert (
        {"plots", "spark", "torchaudio"}
        <= named
        <= set(PROJECT["optional-dependencies"])
    )


def test_demo_needs_no_heavy_extras_and_has_the_versions_of_the_tests():
    demo, dev = locked("demo.txt"), locked("dev.txt")
    assert not {"pyspark", "faiss-cpu", "librosa", "av"} & demo.keys()
    assert {name: dev[name] for name in demo} == demo


@pytest.mark.long
def test_sdist_has_all_tests_and_the_wheel_none(tmp_path):
    command = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--outdir",
        str(tmp_path),
    ]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True)
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    for folder in ("tests", "examples", "benchmarks", "userlogfeat"):
        files = {p.relative_to(ROOT).as_posix() for p in (ROOT / folder).rglob("*.py")}
        assert files <= inside
    assert {"Makefile", "requirements/dev.txt", "docs/index.md"} <= inside
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = archive.namelist()
    weights = "userlogfeat/pretrained/lastfm-mpd-musicnn"
    assert f"{weights}/model.safetensors" in inside
    assert f"{weights}/items/item_factors.parquet" in inside
    assert {"userlogfeat/py.typed", "userlogfeat/__init__.pyi"} <= {*inside}
    assert any(
        name.endswith("licenses/userlogfeat/pretrained/LICENSE.txt") for name in inside
    )
    assert not [name for name in inside if name.startswith(("tests", "benchmarks"))]
