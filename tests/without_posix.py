"""The main job where the names that Windows does not have are gone: a script.

``without_posix.py FOLDER``: logs -> factors -> teacher -> saved and loaded -> features
of a folder -> looked up -> recommended, small. Libraries have their own ways on
Windows, by ``sys.platform``: they are imported before. But not filelock, which asks
what there is.
"""

import os
import shutil
import signal
import sys
import warnings
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import implicit.als  # noqa: F401
import numpy as np
import polars as pl
import pyarrow.parquet  # noqa: F401
import safetensors.torch  # noqa: F401
import sklearn.linear_model  # noqa: F401
import soundfile
import threadpoolctl
import torch.utils.data  # noqa: F401

import userlogfeat  # which imports nothing yet

MODULES = ("fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty")
OF_OS = (
    *("O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "O_SYNC", "O_TMPFILE"),
    *("chown", "chroot", "fchmod", "fchown", "fork", "forkpty", "getegid", "geteuid"),
    *("getgid", "getgroups", "getloadavg", "getpgid", "getpgrp", "getsid", "getuid"),
    *("killpg", "lchown", "mkfifo", "mknod", "nice", "posix_fadvise", "posix_spawn"),
    *("pread", "pwrite", "register_at_fork", "sched_getaffinity", "setsid"),
    *("statvfs", "sync", "sysconf", "uname", "wait", "wait3", "wait4"),
)
OF_SIGNAL = ("SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGSTOP", "SIGUSR1")


def remove_posix():
    """From here on this Python has what that of Windows has."""
    threadpoolctl.threadpool_info()  # looks for the C library, and remembers it
    os.environ.setdefault("USERNAME", "user")  # as Windows has it
    for name in [name for name in sys.modules if name.partition(".")[0] == "filelock"]:
        del sys.modules[name]
    sys.modules.update(dict.fromkeys(MODULES))  # None: importing them raises
    for module, names in ((os, OF_OS), (signal, OF_SIGNAL)):
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    shutil._use_fd_functions = False


def import_all():
    """Every module of ours."""
    for module in walk_packages(userlogfeat.__path__, "userlogfeat."):
        import_module(module.name)


def do_main_job(folder):
    """Raise where something cannot be done, or is wrong."""
    from userlogfeat import (
        CFEmbedding,
        CFRegressor,
        FeatureLookup,
        UserLogEmbedder,
        extract,
        read_catalogue,
        read_logs,
        recommend,
    )
    from userlogfeat.factor_files import Factors, read_factors, write_factors
    from userlogfeat.mirex.lists import read_clips, write_labels

    rng = np.random.default_rng(0)
    (folder / "clips").mkdir()
    for row in range(12):  # two tastes: low tones and high ones
        tone = np.sin(np.arange(8000) * (0.1 + 0.5 * (row % 2)))
        sound = 0.3 * tone + 0.01 * rng.normal(size=8000)
        soundfile.write(folder / "clips" / f"{row}.wav", sound, 8000)
    plays = [(f"user {u}", f"{i}") for u in range(20) for i in range(u % 2, 12, 2)]
    pl.DataFrame(plays, schema=["user", "item"], orient="row").write_csv(
        folder / "plays.csv"
    )

    logs = read_logs(folder / "plays.csv")
    cf = CFEmbedding(n_factors=2, iterations=5, random_state=0).fit(logs.user_items)
    ids = (logs.user_ids, cf.user_factors_, logs.item_ids, cf.item_factors_)
    write_factors(folder / "factors", Factors(*ids))
    factors = read_factors(folder / "factors")

    catalogue = read_catalogue(folder / "clips")
    names = [Path(clip).stem for clip in catalogue.clips]
    place = {str(item): row for row, item in enumerate(factors.item_ids)}
    Y = factors.item_factors[[place[name] for name in names]]
    teacher = CFRegressor(
        network="se_cnn",
        channels=2,
        pools=((4, 4), (4, 4)),
        duration=1.0,
        max_epochs=2,
        random_state=0,
        device="cpu",
        checkpoint=folder / "checkpoints",
    ).fit(catalogue.clips, Y)
    data = {"description": "planted", "licence": "none", "non_commercial": False}
    teacher.save(folder / "model", training_data=data)
    teacher.save(folder / "model", training_data=data)  # over what is there
    embedder = UserLogEmbedder(
        str(folder / "model"), layer="embedding", scale=False, device="cpu"
    )

    for _ in range(2):
        summary = extract(
            folder / "clips", folder / "table", embedder=embedder, progress=False
        )
    assert summary.n_done == 0
    lookup = FeatureLookup(str(folder / "table"), layer="embedding", scale=False)
    found = lookup.fit_transform(list(catalogue.clips))
    np.testing.assert_allclose(
        found, teacher.predict(list(catalogue.clips)), rtol=1e-3, atol=1e-5
    )

    chosen, _ = recommend(factors.user_factors, factors.item_factors, 3)
    assert chosen.shape == (20, 3)
    write_labels(folder / "list.txt", list(catalogue.clips), ["a"] * 12)
    assert read_clips(folder / "list.txt") == list(catalogue.clips)
    left = [path for path in folder.rglob(".*") if path.name != ".lock"]
    assert not left, left


if __name__ == "__main__":
    remove_posix()
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "only soft file lock is available")
    import_all()
    do_main_job(Path(sys.argv[1]))
