"""Any damage to a file gives the right result or a clear error, and nothing else.

Files and judges are those of ``benchmarks/robustness.py``, which runs ten thousand
cases; here hypothesis looks for the smallest damage that breaks a reader.
"""

import itertools
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

BENCHMARKS = str(Path(__file__).resolve().parents[2] / "benchmarks")
CASES = {
    "audio": 120,
    "logs": 90,
    "catalogues": 60,
    "lists": 100,
    "saved models": 40,
    "sealed models": 60,
    "pipelines": 40,
    "feature tables": 50,
    "factors": 40,
}


@pytest.fixture(scope="module")
def robustness():
    """The benchmark as a module, and what it imports from its folder."""
    sys.path.insert(0, BENCHMARKS)
    import robustness

    yield robustness
    sys.path.remove(BENCHMARKS)


def edit(tokens):
    """One edit, as `robustness_edits` makes them."""
    from robustness_edits import FIELDS, LENGTHS, NAMES, TOKENS, WITH_BYTES, WITH_LENGTH

    fields = st.sampled_from(FIELDS + TOKENS if tokens else FIELDS)
    written = fields | st.binary(min_size=1, max_size=9)

    def values(name):
        if name in WITH_LENGTH:
            return st.sampled_from(LENGTHS)
        return written if name in WITH_BYTES else st.integers(0, 65535)

    place = st.floats(0, 1, exclude_max=True)
    return st.sampled_from(NAMES).flatmap(
        lambda name: st.tuples(st.just(name), place, values(name))
    )


@pytest.mark.parametrize("name", CASES)
def test_whole_files_are_read(robustness, name, tmp_path):
    """The seeds themselves; of sealed models, damage to a config is another one."""
    from robustness_kinds import judge

    kind = robustness.make_kind(name)
    for number, (seed, data) in enumerate(kind.seeds.items()):
        if name == "sealed models" and seed.endswith(("json", "skops")):
            continue
        folder = tmp_path / f"{number}"
        folder.mkdir()
        assert judge(kind, seed, data, folder) == ("right", "")


@pytest.mark.parametrize("name", CASES)
def test_damaged_files(robustness, name, tmp_path):
    from robustness_edits import damage
    from robustness_kinds import ERROR, RIGHT, judge

    kind = robustness.make_kind(name)
    others, numbers, seen = sorted(kind.seeds.values()), itertools.count(), Counter()

    @settings(
        max_examples=CASES[name],
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        st.sampled_from(sorted(kind.seeds)),
        st.lists(edit(kind.tokens), min_size=1, max_size=4),
    )
    def damaged(seed, edits):
        folder = tmp_path / f"{next(numbers)}"
        folder.mkdir()
        data = damage(kind.seeds[seed], edits, others)
        outcome, said = judge(kind, seed, data, folder)
        seen[outcome] += 1
        assert outcome in (RIGHT, ERROR), f"{seed}: {said}"

    damaged()
    assert seen[ERROR] > CASES[name] / 10
    assert seen.total() >= CASES[name]


def test_a_judge_knows_wrong_from_right(tmp_path):
    """Readers that are wrong, foreign, or clear: the judge itself."""
    sys.path.insert(0, BENCHMARKS)
    try:
        from robustness_kinds import FOREIGN, WRONG, Kind, judge, require
    finally:
        sys.path.remove(BENCHMARKS)

    def check(seed, data, folder):
        (folder / "a.txt").write_bytes(data)
        if seed == "wrong":
            require(False, "not that")
        if seed == "foreign":
            raise KeyError("a.txt")
        if seed == "unnamed":
            raise ValueError("cannot reshape array")
        if seed == "clear":
            raise ValueError("a.txt is damaged.")

    kind = Kind("any", {}, check)
    found = {s: judge(kind, s, b"", tmp_path)[0] for s in ("wrong", "foreign", "right")}
    assert found == {"wrong": WRONG, "foreign": FOREIGN, "right": "right"}
    assert judge(kind, "unnamed", b"", tmp_path)[0] == FOREIGN
    assert judge(kind, "clear", b"", tmp_path)[0] == "clear error"
