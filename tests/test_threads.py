"""How many threads compute: by size of the work, the caller's setting, the cores."""

import re
import threading
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
import torch
from joblib.externals.loky import get_reusable_executor
from threadpoolctl import threadpool_info, threadpool_limits

from userlogfeat import _threads
from userlogfeat._threads import (
    LEAST_SECONDS,
    limit_torch,
    n_cores,
    n_decoders,
    n_threads_for,
    one_blas_thread,
)
from userlogfeat.estimators.cf_regressor import CFRegressor
from userlogfeat.estimators.kd_student import KDStudentClassifier
from userlogfeat.factorization import als, fit_als
from userlogfeat.networks.se_cnn import SECNN
from userlogfeat.training import fit_network, loop
from userlogfeat.training.batches import ArrayInputs


@pytest.fixture
def four_cores(monkeypatch):
    """A machine with four cores, of which the caller lets torch use three."""
    monkeypatch.setattr(joblib, "cpu_count", lambda: 4)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def settings():
    """All that a caller can set, and that our work could have changed."""
    pools = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
    of_mkl = re.search(
        r"mkl_get_max_threads\(\) : \d+", torch.__config__.parallel_info()
    )
    seen = []
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return pools, of_mkl and of_mkl[0], torch.get_num_threads(), seen


@pytest.mark.parametrize(
    ("n_machine", "n_torch", "expected"), [(4, 3, 3), (2, 3, 2), (4, 1, 1)]
)
def test_no_more_than_cores_and_than_set(
    four_cores, monkeypatch, n_machine, n_torch, expected
):
    monkeypatch.setattr(joblib, "cpu_count", lambda: n_machine)
    torch.set_num_threads(n_torch)
    assert n_cores() == expected
    assert n_threads_for(LEAST_SECONDS) == expected
    assert n_threads_for(0.9 * LEAST_SECONDS) == 1


def test_threadpoolctl_limits_hold(four_cores):
    with threadpool_limits(2):
        assert n_cores() == 2
        with limit_torch(4):  # no more than there are
            assert torch.get_num_threads() == 2


def test_limits_hold_inside_and_are_gone_outside(four_cores):
    before = settings()
    with limit_torch(1):
        assert torch.get_num_threads() == 1
        assert n_cores() == 3  # for threads of their own
        with limit_torch(n_cores()):
            assert torch.get_num_threads() == 3
        assert torch.get_num_threads() == 1
    assert settings() == before
    with pytest.raises(KeyError), limit_torch(1), one_blas_thread():
        raise KeyError
    assert settings() == before


def test_other_threads_keep_theirs(four_cores):
    with limit_torch(1):
        assert settings()[-1] == [3]


def test_without_a_way_to_limit_mkl(four_cores, monkeypatch):
    """torch on other processors has no MKL: OpenMP's limit holds alone."""
    monkeypatch.setattr(torch._C, "__file__", "/nowhere")
    _threads._limit_mkl.cache_clear()
    try:
        assert _threads._limit_mkl() is None
        before = settings()
        with limit_torch(1):
            assert torch.get_num_threads() == 1
        assert settings() == before
    finally:
        _threads._limit_mkl.cache_clear()


def test_blas_is_given_back_by_the_last_of_several_threads():
    """Each would else give back the 1 that it found."""

    def work(number):
        with one_blas_thread():
            barrier.wait(timeout=30)
            if number:  # leaves last
                left.wait(timeout=30)
        left.set()

    with threadpool_limits(2, "blas"):
        before = settings()
        for _ in range(2):  # whoever came first
            barrier, left = threading.Barrier(2), threading.Event()
            threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert settings() == before


def test_joblib_threads_have_one_each(four_cores):
    """Its pool of threads has n_jobs of them at work: not n_jobs times all cores."""
    with joblib.parallel_config("threading"):
        found = joblib.Parallel(2)(
            joblib.delayed(lambda: (n_cores(), n_decoders(8)))() for _ in range(2)
        )
    assert found == [(1, 1), (1, 1)]
    assert n_decoders(8) == 8  # alone, as asked


def test_joblib_processes_have_their_part(monkeypatch):
    """joblib makes its processes, of which there are n_jobs, share the cores."""

    def look():
        import numpy  # noqa: F401  (whose threads are looked at)

        from userlogfeat._threads import n_cores, n_decoders

        return n_cores(), n_decoders(1000)

    for name in ("OMP", "MKL", "OPENBLAS"):
        monkeypatch.delenv(f"{name}_NUM_THREADS", raising=False)
    part = max(1, joblib.cpu_count() // 2)
    with joblib.parallel_config("loky"):
        found = joblib.Parallel(2)(joblib.delayed(look)() for _ in range(2))
    get_reusable_executor().shutdown()
    assert found == [(part, part)] * 2


def test_processes_of_a_pool_have_one_each(four_cores, monkeypatch):
    one = SimpleNamespace(daemon=True)
    monkeypatch.setattr(_threads.multiprocessing, "current_process", lambda: one)
    assert n_cores() == 1


def found_in_steps(network, shape, batch_size):
    """Threads of the operations of three steps of a fit."""
    found = []

    def objective(net, x, batch, epoch):
        if net.training:
            found.append(torch.get_num_threads())
        return {"loss": net(x).sum()}

    # Clips of zeros that share their memory: only their number counts.
    clips = torch.zeros(1, *shape).expand(3 * batch_size, *shape)
    inputs = ArrayInputs(np.zeros((1, *shape), np.float32))
    inputs.array = clips
    fit_network(
        network,
        inputs,
        {},
        objective=objective,
        split=(np.arange(3 * batch_size), np.arange(0)),
        max_epochs=1,
        batch_size=batch_size,
        lr=1e-3,
        patience=1,
        device=torch.device("cpu"),
        seed=0,
    )
    return found


@pytest.mark.parametrize(
    ("width", "batch_size", "expected"),
    [
        (64, 32, 1),  # 2 * 32 * 64 * 64 operations: a microsecond
        (1000, 499, 1),
        (1000, 500, 3),  # 2 * 500 * 1000 * 1000 operations: 10 ms
    ],
)
def test_known_sizes_of_linear_layers(four_cores, width, batch_size, expected):
    layers = torch.nn.Sequential(torch.nn.Linear(width, width), torch.nn.ReLU())
    before = settings()
    found = found_in_steps(layers, (width,), batch_size)
    assert found == [1, expected, expected]  # the first is counted
    assert settings() == before


def test_what_has_threads_of_its_own_does_not_count(four_cores):
    """The first block of SECNN is most of its work, and goes clip by clip."""
    network = SECNN(pools=((4, 4),), channels=8)
    x = torch.zeros(2, 16, 16)
    with loop._counting(network) as counts:
        network(x)
    of_first = [2 * 9 * 8 * 16**2, 2 * 9 * 8 * 8 * 16**2]  # of a clip's convolutions
    of_second = [2 * 9 * 8 * 8 * 4**2] * 2
    excitations = [2 * 8, 2 * 8] * 2
    embedding = [2 * 8 * 40]
    assert sorted(counts) == sorted(2 * n for n in of_second + excitations + embedding)
    assert max(counts) < 2 * min(of_first[1:])


def test_a_fit_that_goes_on_has_the_same_threads(four_cores):
    """Else it would add up in another order."""
    run = SimpleNamespace(n_threads=3, device=torch.device("cpu"))
    with limit_torch(1):
        with loop.TrainingRun._threads(run):
            assert torch.get_num_threads() == 3
        assert torch.get_num_threads() == 1


def data(n=24):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, 6)).astype(np.float32), rng.standard_normal((n, 3))


@pytest.mark.parametrize(
    ("estimator", "target"),
    [
        (
            KDStudentClassifier(
                network="mlp", hidden=(8,), max_epochs=2, device="cpu", random_state=0
            ),
            np.arange(24) % 2,
        ),
        (
            CFRegressor(
                head="mlp", network="mlp", max_epochs=9, device="cpu", random_state=0
            ),
            data()[1],
        ),
    ],
    ids=["student", "teacher"],
)
def test_fits_run_in_one_thread_and_leave_the_settings(
    four_cores, monkeypatch, estimator, target
):
    found = []
    step = loop.TrainingRun.train_step

    def watch(*args, **kwargs):
        found.append(torch.get_num_threads())
        if len(found) == 3:
            raise KeyboardInterrupt
        return step(*args, **kwargs)

    monkeypatch.setattr(loop.TrainingRun, "train_step", watch)
    before = settings()
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(data()[0], target)
    assert found == [1, 1, 1]
    assert settings() == before


def test_equal_results_whatever_the_caller_set(four_cores):
    X, _ = data()
    student = KDStudentClassifier(
        network="mlp", hidden=(8,), max_epochs=2, device="cpu", random_state=0
    )
    three = student.fit(X, np.arange(24) % 2).predict_proba(X)
    torch.set_num_threads(1)
    one = student.fit(X, np.arange(24) % 2).predict_proba(X)
    np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize(
    ("n_users", "n_pairs", "expected"),
    [(1892, 92834, 3), (100, 5000, 1)],
    ids=["HetRec", "small"],
)
def test_known_sizes_of_als(four_cores, n_users, n_pairs, expected):
    from scipy import sparse

    n_items = round(17632 * n_users / 1892)
    rng = np.random.default_rng(0)
    plays = sparse.csr_matrix(
        (
            np.ones(n_pairs, np.float32),
            (rng.integers(n_users, size=n_pairs), rng.integers(n_items, size=n_pairs)),
        ),
        shape=(n_users, n_items),
    )
    assert n_threads_for(als._seconds_of_round(plays, 40) / 2) == expected


def test_als_leaves_the_settings_after_an_error(four_cores, monkeypatch):
    from scipy import sparse

    before = settings()
    plays = sparse.csr_matrix(np.full((4, 4), 1e30, np.float32))
    with pytest.raises(ValueError, match="did not stay finite"):
        fit_als(
            plays,
            n_factors=2,
            regularization=0.0,
            alpha=1e8,
            iterations=5,
            random_state=0,
        )
    assert settings()[1:] == before[1:]
    pools = settings()[0]
    assert {path: pools[path] for path in before[0]} == before[0]
