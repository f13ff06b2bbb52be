"""Tables that reports of classes and of tags share: differences, cost, leaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from userlogfeat.evaluation.friedman import friedman_test
from userlogfeat.mirex.black_box import mib_text

if TYPE_CHECKING:
    from userlogfeat.mirex.results import FoldRun, Runs


def artists_of(results: list[FoldRun]) -> list[str] | None:
    """Artist of each tested clip, or None where a fold has no groups.

    Parameters
    ----------
    results : list of FoldRun

    Returns
    -------
    list of str or None
    """
    if any(result.fold.groups is None for result in results):
        return None
    return [r.fold.groups.get(clip, "") for r in results for clip in r.fold.truth]


def differences_table(
    names: list[str], scores: np.ndarray, *, measure: str, cases: str
) -> tuple[str, list[str], list[list[str]], list[str]]:
    """Friedman's test, and all pairs of submissions.

    Parameters
    ----------
    names : list of str
        Of submissions.
    scores : ndarray (n_cases, n_submissions)
    measure, cases : str
        What scores are, and of what, in words.

    Returns
    -------
    As `report_sections`: one of them.
    """
    test = friedman_test(scores)
    rows = [
        [
            f"{names[i]} - {names[j]}",
            f"{np.mean(scores[:, i] - scores[:, j]):+.3f}",
            f"{test.mean_ranks[i] - test.mean_ranks[j]:+.2f}",
            f"{test.p_values[i, j]:.3g}",
        ]
        for i in range(len(names))
        for j in range(i + 1, len(names))
    ]
    columns = ["submissions", measure, "mean rank", "p"]
    note = (
        f"Friedman's test on the {measure} of {len(scores)} {cases}: chi-squared "
        f"{test.statistic:.2f}, p = {test.p_value:.3g}; pairs by the studentised range "
        "of mean ranks (Tukey, Nemenyi), which is corrected for the number of pairs."
    )
    return "Differences", columns, rows, [note]


def cost_table(evaluation: Runs) -> tuple[str, list[str], list[list[str]], list[str]]:
    """What every script took, and every scratch folder holds.

    Parameters
    ----------
    evaluation : Runs

    Returns
    -------
    As `report_sections`: one of them.
    """
    rows = [
        [
            row["submission"],
            row["fold"],
            row["script"],
            row["status"],
            f"{row['seconds']:.1f}",
            f"{row['cpu_seconds']:.1f}",
            mib_text(row["peak_mib"]),
        ]
        for row in evaluation.runs_frame().to_dicts()
    ]
    notes = [
        f"Scratch folder of {name}: {size / 2**20:.2f} MiB."
        for name, size in evaluation.scratch_bytes.items()
    ]
    notes += [
        f"That of {name} held {size / 2**20:.2f} MiB of an earlier evaluation: what it "
        "took here is less than all."
        for name, size in evaluation.found_bytes.items()
        if size
    ]
    columns = ["submission", "fold", "script", "status", "s", "processor s", "memory"]
    return "Time and memory", columns, rows, notes


def leaks_table(evaluation: Runs) -> tuple[str, list[str], list[list[str]], list[str]]:
    """What training and test clips share.

    Parameters
    ----------
    evaluation : Runs

    Returns
    -------
    As `report_sections`: one of them.
    """
    rows = []
    for fold in evaluation.folds:
        report = fold.leaks()
        for leak in report.leaks:
            if leak.kind == "artist" and fold.groups is None:
                continue
            rows.append([fold.name, leak.kind, str(leak.n_shared), str(leak)])
    known = all(fold.groups is not None for fold in evaluation.folds)
    notes = [] if known else ["Artists were not compared: there are no groups files."]
    return "What train and test share", ["fold", "kind", "shared", ""], rows, notes
