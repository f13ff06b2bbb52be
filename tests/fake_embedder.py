"""An embedder without audio: a clip's features are drawn from the bytes of its file.

Run as a script it extracts: ``fake_embedder.py FOLDER TABLE DELAY FLUSH_SECONDS``.
"""

import os
import sys
import time
from pathlib import Path

import numpy as np

from userlogfeat._stamps import sha256

WARM = 9  # clips that are embedded before `at_work` is called


def make_clips(folder, n):
    """Make files for it to embed; return their paths."""
    folder.mkdir(exist_ok=True)
    for i in range(n):
        (folder / f"{i:04d}.wav").write_bytes(b"clip %d" % i)
    return [str(folder / f"{i:04d}.wav") for i in range(n)]


class FakeEmbedder:
    """`delay`: seconds per clip; `log`: gets the path of every file that is embedded.

    `at_work` is called when a run is well under way. `journal`: a file that gets a line
    for every copy that is loaded and every clip embedded: process, "loads" or path.
    """

    fingerprint = "fake"
    layer_sizes = {"mean": 8, "max": 3}
    layer_scales = {"mean": 2.0, "max": 0.5}

    def __init__(self, *, delay=0.0, batch_size=4, at_work=lambda: None, journal=None):
        self.delay = delay
        self.journal = journal
        self.at_work = at_work
        self.batch_size = batch_size
        self.log = []

    def __repr__(self):
        return "FakeEmbedder()"

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._note("loads")

    def _note(self, text):
        if self.journal is not None:
            with open(self.journal, "a") as file:  # short appends are whole
                file.write(f"{os.getpid()}\t{text!r}\n")

    def iter_features(self, X, *, on_error="raise"):
        batch = []
        for index, clip in enumerate(X):
            time.sleep(self.delay)
            if index == WARM:
                self.at_work()
            batch.append(self._embed(index, clip))
            if len(batch) == self.batch_size:
                yield from batch
                batch = []
        yield from batch

    def _embed(self, index, clip):
        from types import SimpleNamespace

        self.log.append(clip)
        self._note(clip)
        error, layers = self._error(Path(clip)), None
        if error is None:
            layers = features_of(clip)
        seconds = float("nan") if error else 1.0
        return SimpleNamespace(
            index=index, clip=clip, seconds=seconds, layers=layers, error=error
        )

    def _error(self, clip):
        if clip.exists() and clip.stat().st_size:
            return None
        from userlogfeat import audio  # not cheap: only where it is needed

        if clip.exists():
            return audio.EmptyAudioError(str(clip), "0 bytes", "Fill it.")
        return audio.MissingAudioError(str(clip), "no such file", "Bring it.")


def features_of(clip):
    rng = np.random.default_rng(int(sha256(clip)[:16], 16))
    return {
        name: rng.standard_normal(size, dtype=np.float32)
        for name, size in FakeEmbedder.layer_sizes.items()
    }


def extract_in_process(clips, table, pipe):
    """To be killed: sends one message when it is well under way."""
    from userlogfeat.extraction import extract

    embedder = FakeEmbedder(delay=0.001, at_work=lambda: pipe.send("at work"))
    extract(clips, table, embedder=embedder, flush_seconds=0.005)


if __name__ == "__main__":
    from userlogfeat.extraction import extract

    folder, table, delay, flush_seconds = sys.argv[1:]
    summary = extract(
        folder,
        table,
        embedder=FakeEmbedder(delay=float(delay)),
        flush_seconds=float(flush_seconds),
    )
    print(summary)
