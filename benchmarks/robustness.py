"""Ten thousand damaged files, a thousand kills: what becomes of readers and writers.

Cases are drawn from a seed; each kind of file has a process of its own, which is
started again, behind the case at fault, where it dies or takes longer than 10 s. With
``--fuzz`` the cases are chosen by atheris (libFuzzer) for the lines of this package
that they reach, where it is installed. With ``--kills`` extraction, fits, saved
weights and MIREX features are killed: see ``robustness_kills``.

    python benchmarks/robustness.py [--cases 10000] [--kind logs] [--fuzz] [--kills]
"""

import argparse
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from reporting import record
from robustness_kinds import CRASH, ERROR, HANG, MAX_SECONDS, OUTCOMES, RIGHT

SEED = 0
BAD = tuple(outcome for outcome in OUTCOMES if outcome not in (RIGHT, ERROR))
# Share of the cases that each kind gets, by how much there is to damage.
SHARES = {
    "audio": 0.35,
    "logs": 0.15,
    "catalogues": 0.1,
    "lists": 0.1,
    "saved models": 0.08,
    "sealed models": 0.1,
    "pipelines": 0.04,
    "feature tables": 0.04,
    "factors": 0.04,
}
WALL_SECONDS = 6 * MAX_SECONDS  # on busy machines a case takes longer


def make_kind(name):
    """The kind of a name; only its own libraries are imported."""
    if name == "audio":
        from robustness_audio import audio_kind

        return audio_kind()
    if name in ("logs", "catalogues"):
        import robustness_logs as module

        return {"logs": module.log_kind, "catalogues": module.catalogue_kind}[name]()
    if name == "lists":
        from robustness_lists import list_kind

        return list_kind()
    if name in ("feature tables", "factors"):
        import robustness_tables as module

        return {"factors": module.factor_kind}.get(name, module.table_kind)()
    import robustness_models as module

    makers = {"saved models": module.model_kind, "sealed models": module.sealed_kind}
    return makers.get(name, module.description_kind)()


def case(kind, name, number):
    """The seed and the damaged bytes of one case: the same on every machine."""
    from robustness_edits import damage, draw_edits

    rng = np.random.default_rng([SEED, sum(name.encode()), number])
    seed = sorted(kind.seeds)[number % len(kind.seeds)]
    edits = draw_edits(rng, tokens=kind.tokens)
    return seed, damage(kind.seeds[seed], edits, sorted(kind.seeds.values()))


def work(name, first, last):
    """In a process of its own: a line of JSON before and after each case."""
    from robustness_kinds import judge

    kind = make_kind(name)
    for number in range(first, last):
        print(json.dumps({"begun": number}), flush=True)
        seed, data = case(kind, name, number)
        with tempfile.TemporaryDirectory(prefix="robustness-") as folder:
            outcome, said = judge(kind, seed, data, Path(folder))
        line = {"number": number, "seed": seed, "outcome": outcome, "said": said[:300]}
        print(json.dumps(line), flush=True)


def fuzz(name, n_cases):
    """In a process of its own: cases that libFuzzer makes of what it has reached."""
    import atheris

    with atheris.instrument_imports(include=["userlogfeat"]):
        kind = make_kind(name)
    from robustness_edits import damage, edits_of
    from robustness_kinds import judge

    names, others = sorted(kind.seeds), sorted(kind.seeds.values())
    counted = iter(range(n_cases))

    def one(data):
        number = next(counted, None)
        if number is None or len(data) < 2:
            return
        print(json.dumps({"begun": number}), flush=True)
        seed = names[data[0] % len(names)]
        damaged = damage(
            kind.seeds[seed], edits_of(data[1:], tokens=kind.tokens), others
        )
        with tempfile.TemporaryDirectory(prefix="robustness-") as folder:
            outcome, said = judge(kind, seed, damaged, Path(folder))
        line = {"number": number, "seed": seed, "outcome": outcome, "said": said[:300]}
        print(json.dumps(line), flush=True)

    settings = [
        f"-runs={n_cases}",
        f"-seed={SEED + 1}",
        "-max_len=64",
        "-len_control=0",
    ]
    atheris.Setup([sys.argv[0], *settings, "-rss_limit_mb=8000"], one)
    atheris.Fuzz()


def run_kind(name, n_cases, *, fuzzed=False):
    """Count what became of the cases of a kind.

    Returns
    -------
    Counter of str
        Of outcomes.
    list of dict
        The cases that are none of right or clear error.
    """
    counts, bad, number = Counter(), [], 0
    while number < n_cases:
        mode = "--fuzz-worker" if fuzzed else "--worker"
        command = [sys.executable, __file__, mode, name, str(number), str(n_cases)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        begun = None
        for line in lines_of(process):
            if "begun" in line:
                begun = line["begun"]
                continue
            counts[line["outcome"]] += 1
            number, begun = line["number"] + 1, None
            if line["outcome"] in BAD:
                bad.append(line)
                print(name, line, flush=True)
        process.kill()
        code = process.wait()
        if begun is None:
            if code not in (0, -9) and number < n_cases:
                raise SystemExit(
                    f"The worker for {name} ended with {code} between cases."
                )
            if fuzzed:
                break
            continue
        outcome = HANG if code == -9 else CRASH
        counts[outcome] += 1
        bad.append({"number": begun, "outcome": outcome, "said": f"exit code {code}"})
        print(name, bad[-1], flush=True)
        number = begun + 1
    return counts, bad


def lines_of(process):
    """Lines of a worker, until it ends or says nothing for too long."""
    rest, patience = b"", 10 * WALL_SECONDS  # imports take their time
    while True:
        ready, _, _ = select.select([process.stdout], [], [], patience)
        patience = WALL_SECONDS
        if not ready:
            return
        data = os.read(process.stdout.fileno(), 1 << 16)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        yield from (json.loads(line) for line in lines if line.startswith(b"{"))


def row_of(name, counts):
    """One row of the table."""
    return [name, sum(counts.values()), *(counts[outcome] for outcome in OUTCOMES)]


def measure(names, n_cases, n_fuzzed):
    """All kinds; their table is recorded."""
    rows, total, start = [], Counter(), time.monotonic()
    for name in names:
        counts, _ = run_kind(name, max(1, round(SHARES[name] * n_cases)))
        rows.append(row_of(name, counts))
        total += counts
        print(rows[-1], f"{time.monotonic() - start:.0f} s", flush=True)
    if n_fuzzed and find_spec("atheris"):
        for name in names:
            counts, _ = run_kind(name, round(SHARES[name] * n_fuzzed), fuzzed=True)
            rows.append(row_of(f"{name}, guided by atheris", counts))
            total += counts
            print(rows[-1], f"{time.monotonic() - start:.0f} s", flush=True)
    rows.append(row_of("all", total))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--fuzz", type=int, default=0, help="cases guided by atheris")
    parser.add_argument("--kind", action="append", choices=SHARES)
    parser.add_argument("--kills", type=int, default=0, help="kill -9, of each writer")
    parser.add_argument("--no-record", action="store_true")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--fuzz-worker", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        name, first, last = arguments.worker
        return work(name, int(first), int(last))
    if arguments.fuzz_worker:
        return fuzz(arguments.fuzz_worker[0], int(arguments.fuzz_worker[2]))
    if arguments.kills:
        from robustness_kills import measure_kills

        return measure_kills(arguments.kills, recorded=not arguments.no_record)
    rows = measure(arguments.kind or SHARES, arguments.cases, arguments.fuzz)
    if arguments.no_record:
        return None
    record(
        "robustness",
        "Damaged files: what a reader does",
        ["files", "cases", *OUTCOMES],
        rows,
        [
            "A case is a whole small file with one to six flips, cuts, inserts, "
            "changed header fields, or another file or itself behind it. Audio is wav "
            "(16 bits, float, GSM, mp3 inside), flac, ogg, opus, mp3, au, aiff, w64 "
            "and m4a, also as streams that do not say how long they are; saved models "
            "are networks, towers of "
            "users and MIREX models; in sealed models the damage is vouched for by a "
            "new SHA-256.",
            "Right: what was read is what a plain loop reads of the same bytes; what "
            "was written, where there are checksums; of mp3, what is before the "
            "damage. A clear error is one of ours that names the file. A hang is more "
            "than 10 s of processor time.",
        ],
        seed=SEED,
    )
    return None


if __name__ == "__main__":
    main()
