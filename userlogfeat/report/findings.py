"""Findings of a comparison, in sentences.

A difference counts where its 95 % interval excludes zero and its p value, if there is
one, survives Holm's correction. A gain is called knowledge from the logs only where it
is larger than that of a teacher of *permuted* logs, which regularises as well and has
no knowledge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from userlogfeat.comparison.arms import PERMUTED

if TYPE_CHECKING:
    from userlogfeat.report.frames import Contrast
    from userlogfeat.report.metric import Metric


def describe(contrast: Contrast, metric: Metric, *, where: str = "") -> str:
    """Describe one difference in a sentence.

    Parameters
    ----------
    contrast : Contrast
    metric : Metric
    where : str
        The setting, in the words of :func:`setting_text`.

    Returns
    -------
    str

    Examples
    --------
    >>> from userlogfeat.report.frames import Contrast
    >>> from userlogfeat.report.metric import Metric, setting_text
    >>> kd = Contrast("kd", "base", 20, None, 0.048, 0.039, 0.057, 0.01, 0.02, 0.9)
    >>> describe(kd, Metric("accuracy"), where=setting_text(20))
    'kd is above base by 4.8 points (3.9 to 5.7) at 20 labels a class.'
    """
    c, unit = contrast, metric.unit
    end = f" {where}" if where else ""
    if not c.holds:
        change, low, high = metric.amounts(c.difference, c.low, c.high)
        text = (
            f"{c.arm} is not distinguishable from {c.against}{end}: a difference of "
            f"{change}{unit} ({low} to {high})"
        )
        if c.sign:
            text += f", which does not survive Holm's correction (p = {c.p:.2g})"
        return f"{text}."
    least, most = sorted((abs(c.low), abs(c.high)))
    change, least, most = metric.amounts(abs(c.difference), least, most)
    side = "above" if c.sign > 0 else "below"
    return f"{c.arm} is {side} {c.against} by {change}{unit} ({least} to {most}){end}."


def explain_gain(to_base: Contrast | None, to_permuted: Contrast | None) -> str | None:
    """Explain whether a gain of kd over base is knowledge from the logs.

    Parameters
    ----------
    to_base, to_permuted : Contrast or None
        kd against base, and against kd from permuted logs, in one setting.

    Returns
    -------
    str or None
        None where kd is not certainly above base: there is no gain to explain.
    """
    if to_base is None or to_base.sign <= 0 or not to_base.holds:
        return None
    if to_permuted is None:
        return "Without kd from permuted logs, the gain may be regularisation alone."
    if to_permuted.holds and to_permuted.sign > 0:
        return "Permuted logs do not give this gain: it is knowledge from the logs."
    if to_permuted.holds:
        return "Permuted logs give more: the gain is regularisation, not knowledge."
    return (
        "Permuted logs may give the same: the gain is not shown to be knowledge from "
        "the logs; it may be regularisation."
    )


def count_settings(found: list[Contrast]) -> list[str]:
    """Count in how many settings an arm is above another.

    Parameters
    ----------
    found : list of Contrast

    Returns
    -------
    list of str
        Empty where there is a single setting.
    """
    pairs = {}
    for contrast in found:
        pairs.setdefault((contrast.arm, contrast.against), []).append(
            contrast.sign if contrast.holds else 0
        )
    if max(map(len, pairs.values())) < 2:
        return []
    return [
        f"{arm} against {against}: above in {signs.count(1)} of {len(signs)} "
        f"settings, below in {signs.count(-1)}, not distinguishable in "
        f"{signs.count(0)}."
        for (arm, against), signs in pairs.items()
        if against == "base" or (arm, against) == ("kd", PERMUTED)
    ]


def sentences(
    group: list[Contrast], metric: Metric, where: str, *, brief: bool
) -> list[str]:
    """Describe one setting: kd, the origin of its gain, other arms.

    Parameters
    ----------
    group : list of Contrast
        All contrasts of the setting.
    metric : Metric
    where : str
        The setting, in the words of :func:`setting_text`.
    brief : bool
        Whether to leave the other arms out.

    Returns
    -------
    list of str
    """
    pairs = {(c.arm, c.against): c for c in group}
    first = [("kd", "base"), ("kd", PERMUTED)]
    to_base, to_permuted = (pairs.get(pair) for pair in first)
    found = [c for c in (to_base, to_permuted) if c is not None]
    lines = [describe(c, metric, where=where) for c in found]
    origin = explain_gain(to_base, to_permuted)
    lines += [] if origin is None else [origin]
    against = "base" if any(c.against == "base" for c in group) else group[0].against
    others = [p for p in pairs if p[1] == against and p not in first and not brief]
    return lines + [describe(pairs[pair], metric, where=where) for pair in others]
