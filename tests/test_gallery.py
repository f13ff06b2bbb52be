"""The gallery: short examples that draw, and run from top to bottom as notebooks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted(
    path for path in (ROOT / "examples").glob("*.py") if path.stem != "demo"
)
DRAWING = ("Display.from_", "plt.subplots")
# As a kernel runs a notebook: cell by cell, with arguments that are not the user's.
RUN = """
import json, sys
import matplotlib
matplotlib.use("Agg")
cells = json.load(open(sys.argv[1], encoding="utf-8"))["cells"]
sys.argv = ["ipykernel_launcher", "-f", "kernel.json"]
names = {"__name__": "__main__"}
sys.modules["__main__"].__dict__.update(names)
for cell in cells:
    if cell["cell_type"] == "code":
        code = "".join(cell["source"])
        code = "\\n".join(l for l in code.splitlines() if not l.startswith("%"))
        exec(compile(code, "cell", "exec"), sys.modules["__main__"].__dict__)
import matplotlib.pyplot as plt
print("figures:", len(plt.get_fignums()))
"""

pytestmark = pytest.mark.skipif(not EXAMPLES, reason="no checkout")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_short_and_draw(path):
    source = path.read_text("utf-8")
    assert len(source.splitlines()) < 120
    assert any(word in source for word in DRAWING)
    assert "argparse" not in source  # a notebook has no command line


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_notebooks_run(path, tmp_path):
    parser = pytest.importorskip("sphinx_gallery.py_source_parser")
    notebook = pytest.importorskip("sphinx_gallery.notebook")
    gen = pytest.importorskip("sphinx_gallery.gen_gallery")
    _, blocks = parser.split_code_and_text_blocks(str(path))
    made = notebook.jupyter_notebook(blocks, dict(gen.DEFAULT_GALLERY_CONF), ROOT)
    file = tmp_path / f"{path.stem}.ipynb"
    notebook.save_notebook(made, file)
    run = subprocess.run(
        [sys.executable, "-c", RUN, str(file)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    skipped = "Skipped: " in run.stdout  # Spark needs Java
    assert skipped or int(run.stdout.split("figures:")[-1]) >= 1
