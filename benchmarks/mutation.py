"""Mutation testing: measure which small faults the tests detect.

    python benchmarks/mutation.py losses evaluation/folds     # some modules
    python benchmarks/mutation.py --most 60                   # all, 60 mutants of each

A mutant is the module with one small fault: ``<`` for ``<=``, ``+`` for ``-``, ``sum``
for ``mean``, a constant plus one, a condition negated, a statement or a keyword
argument left out. It is killed where a test fails, and survives where none does; a
survivor is a missing test, or an equivalent mutant, which no test can distinguish from
the module. Those that were judged equivalent are in ``EQUIVALENT``, with the reason.

The tools for it (mutmut, cosmic-ray) start Python and pytest for each mutant, here five
seconds and more. This script starts once: it runs the tests of a module, noting which
lines of it each test executes, and forks a child for each mutant, which swaps the code
objects of the functions concerned and runs only the tests that execute the line, the
fastest first, until one fails. Only code in functions is mutated; messages of errors
and annotations are not.
"""

import argparse
import ast
import copy
import gc
import importlib
import json
import os
import pickle
import random
import resource
import signal
import sys
import threading
import time
import types
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from reporting import RESULTS, record

ROOT = Path(__file__).resolve().parents[1]
SEED = 0
SLOWEST = 8.0  # s: tests that take longer are left out, and so kill nothing
# Their tests leave threads of polars, beside which no child could run.
COLD = (
    "datasets/gtzan",
    "evaluation/leaks",
    "evaluation/recommendation_splits",
    "feedback/rules",
    "feedback/sampling",
)
NOT_MADE = 77  # exit status: the function cannot be given the mutant's code
MOST_SECONDS = 15.0  # of tests for one mutant, the fastest first
# Module -> what is tested of it: pytest's arguments.
MODULES = {
    "losses": "tests/test_losses.py tests/estimators/test_metric.py::"
    "test_hinge_is_the_loop tests/estimators/test_metric.py::test_hinge_known_values "
    "tests/estimators/test_metric.py::test_cross_entropies_are_the_loops",
    "evaluation/folds": "tests/evaluation/test_folds.py",
    "evaluation/similarity": "tests/evaluation/test_similarity.py",
    "evaluation/recommendation_metrics": "tests/evaluation/test_recommendation.py "
    "tests/evaluation/test_ranking.py",
    "evaluation/ranking": "tests/evaluation/test_ranking.py "
    "tests/evaluation/test_similarity.py",
    "evaluation/friedman": "tests/evaluation/test_friedman.py",
    "evaluation/learning_curves": "tests/evaluation/test_learning_curves.py",
    "evaluation/leaks": "tests/evaluation/test_leaks.py",
    "evaluation/thinning": "tests/evaluation/test_thinning.py",
    "datasets/gtzan": "tests/datasets/test_gtzan.py "
    "tests/datasets/test_gtzan_splits.py",
    "evaluation/recommendation": "tests/evaluation/test_recommendation.py",
    "evaluation/recommendation_splits": "tests/evaluation/"
    "test_recommendation_splits.py",
    "evaluation/significance": "tests/evaluation/test_significance.py",
    "feedback/rules": "tests/feedback/test_rules.py",
    "feedback/sampling": "tests/feedback/test_rules.py tests/feedback/test_triplets.py",
    "feedback/triplets": "tests/feedback/test_triplets.py",
    "training/shared_maps": "tests/training/test_shared_maps.py",
    "estimators/kd_student": "tests/estimators/test_kd_student.py",
    "estimators/_student": "tests/estimators/test_kd_student.py",
    "estimators/_distillation": "tests/estimators/test_kd_student.py",
    "factorization/als": "tests/factorization/test_als.py",
}
# Why no test can distinguish them from the module -> "module: function: what becomes
# what".
REASONS = {
    "the default is the same": [
        "losses: mse_cosine: F.cosine_similarity(predicted, target, dim=1) -> "
        "F.cosine_similarity(predicted, target)",
        "feedback/triplets: draw_places: np.sort(taken, axis=1) -> np.sort(taken)",
        "evaluation/recommendation_metrics: auc: "
        "np.searchsorted(ordered, relevant, side='left') -> "
        "np.searchsorted(ordered, relevant)",
        "evaluation/recommendation_metrics: average_precision: "
        "np.searchsorted(own, own, side='left') -> np.searchsorted(own, own)",
        "evaluation/recommendation_metrics: average_precision: "
        "np.searchsorted(ordered, own, side='left') -> np.searchsorted(ordered, own)",
        "factorization/als: _with_prior: sparse.hstack([by_item, own], format='csr', "
        "dtype=np.float32) -> sparse.hstack([by_item, own], dtype=np.float32)",
        "factorization/als: fit_als: np.array(start, np.float32, order='C') -> "
        "np.array(start, np.float32)",
        "evaluation/ranking: top_items: np.full((n_users, k), -1, dtype=np.int64) -> "
        "np.full((n_users, k), -1)",
    ],
    "both sides of a bound, or both widths of a number, give the same": [
        "losses: softmax_of_many: len(weight) <= n_classes -> len(weight) < n_classes",
        "losses: draw_violators: torch.rand(2, len(scores), device=scores.device, "
        "dtype=torch.float64, generator=generator) -> torch.rand(2, len(scores), "
        "device=scores.device, generator=generator)",
        "losses: draw_violators: violates.cumsum(dim=1, dtype=torch.int32) -> "
        "violates.cumsum(dim=1)",
        "training/shared_maps: SharedMaps.validate: len(rows) > MOST_VALIDATION -> "
        "len(rows) >= MOST_VALIDATION",
        "evaluation/folds: _round_robin: np.empty(len(rows), dtype=np.int64) -> "
        "np.empty(len(rows))",
        "estimators/_student: Student._teacher_targets: check_array(targets, "
        "dtype=np.float32, input_name='teacher_targets') -> check_array(targets, "
        "input_name='teacher_targets')",
    ],
    "only speed or memory change": [
        "losses: softmax_of_many: 1 -> 2",
        "training/shared_maps: LabelledFrames.__post_init__: "
        "np.prod(self.labels.shape) <= DENSE_ENTRIES -> "
        "np.prod(self.labels.shape) < DENSE_ENTRIES",
        "training/shared_maps: SharedMaps._shorten: if len(labels) <= FEW_LABELS: "
        "labels.renorm_(2, 0, self.max_ ... enorm(2, 0, self.max_norm) -> if not "
        "len(labels) <= FEW_LABELS: labels.renorm_(2, 0, self. ... "
        "enorm(2, 0, self.max_norm)",
        "training/shared_maps: SharedMaps._shorten: len(labels) <= FEW_LABELS -> "
        "len(labels) < FEW_LABELS",
        "evaluation/ranking: iter_rows: 1 -> 2",
        "estimators/_student: Student._goodness: 1 -> 2",
        "factorization/als: _solver: (AlternatingLeastSquares if gram is None else "
        "OfSome)(factor ... pe, num_threads=n_threads) -> (AlternatingLeastSquares if "
        "gram is None else OfSome)(factor ... n, alpha=1.0, dtype=dtype)",
        "evaluation/ranking: top_items: "
        "np.where(candidates, scores, -np.inf).astype(scores.dtype, copy=False) -> "
        "np.where(candidates, scores, -np.inf).astype(scores.dtype)",
    ],
    "a random number that nobody uses, or another fixed seed": [
        "losses: draw_violators: 2 -> 3",
        "training/shared_maps: SharedMaps.validate: 0 -> 1",
    ],
    "no input distinguishes them": [
        "losses: draw_violators: n_violators > 0 -> n_violators >= 0",  # u == 0
        "training/shared_maps: fit_shared_maps: 0 -> 1",  # replaced before it is read
        "feedback/triplets: say_nothing_to_draw: np.bincount(verdicts.indices[mask], "
        "minlength=n_users) -> np.bincount(verdicts.indices[mask])",  # only summed
        "feedback/triplets: say_nothing_to_draw: verdicts.data > 0 -> "
        "verdicts.data >= 0",  # zeros are dropped before
        "feedback/triplets: say_nothing_to_draw: verdicts.data < 0 -> "
        "verdicts.data <= 0",
        "evaluation/folds: _fill_empty_folds: 0 -> 1",  # such folds have two or more
        # Either every clip has a candidate, or none has.
        "evaluation/similarity: precision_at_k: n_found.any -> n_found.all",
        "evaluation/similarity: precision_at_k: n_found > 0 -> n_found >= 0",
        "evaluation/similarity: _distances: 1 -> 2",  # the order is the same
        "evaluation/recommendation_metrics: ndcg: 1 -> 2",  # in both sums
        "estimators/_distillation: StudentLoss.train: 0 -> 1",  # one epoch runs
        "estimators/_distillation: choose_weight: 1 -> 2",  # the length alone is read
        "estimators/_student: Student.fit: 1 -> 2",  # the length alone is read
        "estimators/_student: Student._fit_network: 0.0 -> 1.0",  # without targets
        "estimators/kd_student: KDStudentRegressor._check_task: 1 -> 2",  # also unknown
    ],
}
EQUIVALENT = {name: reason for reason, names in REASONS.items() for name in names}

COMPARISONS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
OPERATORS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
}
NAMES = {
    "mean": "sum",
    "sum": "mean",
    "min": "max",
    "max": "min",
    "minimum": "maximum",
    "maximum": "minimum",
    "argmin": "argmax",
    "argmax": "argmin",
    "any": "all",
    "all": "any",
    "floor": "ceil",
    "zeros": "ones",
    "ones": "zeros",
}
# Keyword arguments that are not dropped: without them nothing changes on a processor,
# for arrays of equal lengths, or beside a bar of progress.
UNSEEN = ("device", "strict", "desc", "stacklevel", "preserve_rng_state")
OPAQUE = (ast.Raise, ast.JoinedStr, ast.arguments, ast.Import, ast.ImportFrom)


def variants(node):
    """Yield faulty copies of a node of the syntax tree."""

    def changed(**fields):
        other = copy.copy(node)
        for name, value in fields.items():
            setattr(other, name, value)
        return other

    if isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            ops = [*node.ops[:i], COMPARISONS[type(op)](), *node.ops[i + 1 :]]
            yield changed(ops=ops)
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in OPERATORS:
        yield changed(op=OPERATORS[type(node.op)]())
    if isinstance(node, ast.UnaryOp):
        yield node.operand
    if isinstance(node, ast.BoolOp):
        yield changed(op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield changed(value=not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield changed(value=node.value + 1)
    if isinstance(node, ast.If | ast.IfExp):
        yield changed(test=ast.UnaryOp(ast.Not(), node.test))
    if isinstance(node, ast.Attribute) and node.attr in NAMES:
        yield changed(attr=NAMES[node.attr])
    if isinstance(node, ast.Name) and node.id in ("min", "max", "any", "all"):
        yield changed(id=NAMES[node.id])
    if isinstance(node, ast.Call):
        for i, keyword in enumerate(node.keywords):
            if keyword.arg not in (None, *UNSEEN):
                yield changed(keywords=node.keywords[:i] + node.keywords[i + 1 :])
    is_call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    if is_call or isinstance(node, ast.AugAssign):
        yield ast.Pass()


class Mutants(ast.NodeTransformer):
    """All mutants of a module, or the module with the one of a given number."""

    def __init__(self, wanted=None):
        self.wanted, self.found, self.scope = wanted, [], []

    def visit(self, node):
        """Go through a node, noting its mutants or making one of them."""
        if isinstance(node, OPAQUE) or getattr(node, "arg", None) in UNSEEN:
            return node
        if isinstance(node, ast.FunctionDef):
            self.scope.append(node.name)
            node.body = [self.visit(child) for child in node.body]
            self.scope.pop()
            return node
        if isinstance(node, ast.ClassDef):
            self.scope.append(node.name)
            node.body = [
                self.visit(child)
                if isinstance(child, ast.FunctionDef | ast.ClassDef)
                else child
                for child in node.body
            ]
            self.scope.pop()
            return node
        if not self.scope and not isinstance(node, ast.Module):
            return node
        for other in variants(node):
            number = len(self.found)
            where = ".".join(self.scope)
            before, after = _line(node), _line(other)
            self.found.append((node.lineno, where, f"{before} -> {after}"))
            if number == self.wanted:
                return ast.fix_missing_locations(ast.copy_location(other, node))
        return self.generic_visit(node)


def _line(node):
    """A node in one line of source, shortened."""
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 90 else f"{text[:60]} ... {text[-26:]}"


def code_objects(code):
    """Yield code objects of functions that are in a module or a class, by name."""
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant.co_qualname, constant
            yield from code_objects(constant)


def functions_of(path):
    """List the functions that exist of a module, wherever they were imported to."""
    gc.unfreeze()
    return [
        thing
        for thing in gc.get_objects()
        if type(thing) is types.FunctionType and thing.__code__.co_filename == str(path)
    ]


def swap(functions, path, tree):
    """Give functions of a module the code of another syntax tree of it."""
    new = {}
    for name, code in code_objects(compile(tree, str(path), "exec")):
        new[name, code.co_firstlineno] = code
    for function in functions:
        code = function.__code__
        other = new.get((code.co_qualname, code.co_firstlineno))
        if other is None or other.co_freevars != code.co_freevars:
            os._exit(NOT_MADE)
        function.__code__ = other


def wait(child, seconds):
    """Wait for a child, and end it where it takes longer; its status."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


class Driver:
    """A pytest plugin: runs the tests once, noting lines, then every mutant."""

    def __init__(self, module, most, verbose):
        self.path = ROOT / "userlogfeat" / f"{module}.py"
        self.module, self.most, self.verbose = module, most, verbose
        self.failed, self.tests_of, self.seconds = False, defaultdict(set), {}
        self.n_mutants, self.outcomes = 0, None

    def pytest_runtest_logreport(self, report):
        """Note whether a test failed."""
        if report.failed and self.outcomes is None:
            print(f"{report.nodeid} fails without a mutant:\n{report.longreprtext}")
        self.failed |= report.failed

    def pytest_runtestloop(self, session):
        """Run every test, then those of every mutant."""
        items = session.items
        importlib.import_module(f"userlogfeat.{self.module.replace('/', '.')}")
        if self.module in COLD:
            self.in_a_child(self.note_lines, items)
        else:
            self.note_lines(items)
        if self.failed:
            return True
        items = [i for i in items if self.seconds[i.nodeid] < SLOWEST]
        self.items = sorted(items, key=lambda item: self.seconds[item.nodeid])
        source = self.path.read_text()
        mutants = Mutants()
        mutants.visit(ast.parse(source))
        chosen = range(len(mutants.found))
        if self.most and len(chosen) > self.most:
            chosen = sorted(random.Random(SEED).sample(chosen, self.most))
        self.functions = functions_of(self.path)
        gc.freeze()
        self.n_mutants, self.outcomes = len(mutants.found), []
        for number in chosen:
            line, where, words = mutants.found[number]
            outcome = self.judge(source, number, line)
            name = f"{self.module}: {where}: {words}"
            if outcome == "survived" and name in EQUIVALENT:
                outcome = "equivalent"
            self.outcomes.append((outcome, name, line))
            if outcome == "survived" or self.verbose:
                print(f"{outcome:10} {self.module}.py:{line} {where}: {words}")
                sys.stdout.flush()
        return True

    def note_lines(self, items):
        """Run every test once; which of the module's lines does it execute?"""
        path = str(self.path)
        for item, following in zip(items, [*items[1:], None], strict=True):
            lines = set()

            def trace(frame, event, argument, lines=lines):
                if frame.f_code.co_filename != path:
                    return None

                def local(frame, event, argument):
                    lines.add(frame.f_lineno)
                    return local

                return local

            start = time.process_time()
            threading.settrace(trace)
            sys.settrace(trace)
            try:
                item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
            finally:
                sys.settrace(None)
                threading.settrace(None)
            self.seconds[item.nodeid] = time.process_time() - start
            for line in lines:
                self.tests_of[line].add(item.nodeid)

    def in_a_child(self, note, items):
        """Run the tests in a child, so that no threads are left here."""
        read, write = os.pipe()
        child = os.fork()
        if not child:
            note(items)
            with open(write, "wb") as file:
                pickle.dump((self.failed, dict(self.tests_of), self.seconds), file)
            os._exit(0)
        os.close(write)
        with open(read, "rb") as file:
            self.failed, lines, self.seconds = pickle.load(file)
        self.tests_of.update(lines)
        os.waitpid(child, 0)

    def judge(self, source, number, line):
        """Run the tests that execute a line, in a child with a mutant."""
        chosen, total = [], 0.0
        for item in self.items:
            if item.nodeid in self.tests_of[line]:
                total += self.seconds[item.nodeid]
                if total > MOST_SECONDS and chosen:
                    break
                chosen.append(item)
        if not chosen:
            return "survived"
        child = os.fork()
        if child:
            status = wait(child, 60 + 20 * total)
            code = os.waitstatus_to_exitcode(status)
            return {0: "survived", NOT_MADE: "not made"}.get(code, "killed")
        limit = int(resource.getrusage(resource.RUSAGE_SELF).ru_utime + 5 * total + 10)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1), os.dup2(nothing, 2)
        try:
            swap(self.functions, self.path, Mutants(number).visit(ast.parse(source)))
            for item, following in zip(chosen, [*chosen[1:], None], strict=True):
                item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
                if self.failed:
                    os._exit(1)
        except BaseException:
            os._exit(1)
        os._exit(0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("modules", nargs="*", default=list(MODULES), help="which")
    parser.add_argument("--most", type=int, help="mutants of each module, drawn")
    parser.add_argument("--dry", action="store_true", help="keep no figures")
    parser.add_argument("-v", "--verbose", action="store_true", help="list killed too")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    rows = {}
    for module in arguments.modules:
        driver = Driver(module, arguments.most, arguments.verbose)
        options = ["-p", "no:terminal", "-p", "no:cacheprovider", "-o", "addopts="]
        options += ["--import-mode=importlib"]
        tests = MODULES[module].split()
        print(f"--- {module}", flush=True)
        pytest.main([*options, "-m", "not slow and not real", *tests], plugins=[driver])
        outcomes = [outcome for outcome, *_ in driver.outcomes or []]
        counts = Counter(outcomes)
        print(module, driver.n_mutants, dict(counts), flush=True)
        n_tried = len(outcomes) - counts["not made"]
        rows[module] = [
            module,
            driver.n_mutants,
            n_tried,
            *(counts[name] for name in ("killed", "equivalent", "survived")),
        ]
    if not arguments.dry:
        report(rows)


def report(rows):
    """Put rows of modules into the table, beside those of other modules."""
    known = json.loads(RESULTS.read_text()).get("mutation", {"rows": []})
    rows = {row[0]: row for row in known["rows"]} | rows
    rows = [rows[module] for module in MODULES if module in rows]
    reasons = Counter(EQUIVALENT.values())
    record(
        "mutation",
        "Mutation testing: small faults that the tests detect",
        ["module", "mutants", "tried", "killed", "equivalent", "survived"],
        rows,
        [
            "Mutants of code in functions; of modules with many, some are drawn. Tried "
            "with the tests of the module alone, without those that are slow, need the "
            "real data or Spark.",
            "Survivors are inspected after a run, and real faults get a test: they "
            "count as killed from the next run on.",
            "Equivalent: no test can distinguish them from the module, because "
            + "; ".join(f"{reason} ({n})" for reason, n in reasons.items())
            + ".",
        ],
        seed=SEED,
    )


if __name__ == "__main__":
    main()
