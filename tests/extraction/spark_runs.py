"""An extraction on a Spark cluster of its own, in a process that a test can kill.

``spark_runs.py CLIPS TABLE JOURNAL SCRATCH``: folders, and the file that gets a line
for every clip embedded.
"""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from userlogfeat import extract

SECONDS_PER_CLIP = 0.2
CLIPS_PER_TASK = 10


def load(name):
    """A module of tests, which workers cannot import: its classes are sent whole."""
    path = Path(__file__).parents[1] / f"{name}.py"
    spec = spec_from_file_location(name, path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(clips, table, journal, scratch):
    embedder = load("fake_embedder").FakeEmbedder(
        delay=SECONDS_PER_CLIP, journal=journal
    )
    with load("spark_cluster").cluster(Path(scratch)) as session:
        summary = extract(
            clips,
            table,
            embedder=embedder,
            backend="spark",
            session=session,
            clips_per_task=CLIPS_PER_TASK,
        )
    print(summary)


if __name__ == "__main__":
    main(*sys.argv[1:])
