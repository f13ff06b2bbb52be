"""What a comparison says, in sentences.

A difference is called one where its 95 % interval leaves out zero and its p value, if
there is one, survives Holm's correction. Whether a gain is
knowledge from the logs is said only against a teacher of *permuted* logs, which
regularises as well and knows nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from userlogfeat.report.words import PERMUTED

if TYPE_CHECKING:
    from userlogfeat.report.frames import Contrast
    from userlogfeat.report.words import Metric


def verdict(contrast: Contrast, metric: Metric, *, where: str = "") -> str:
    """One difference in a sentence.

    Parameters
    ----------
    contrast : Contrast
    metric : Metric
    where : str
        The setting, as :func:`place` words it.

    Returns
    -------
    str

    Examples
    --------
    >>> from userlogfeat.report.frames import Contrast
    >>> from userlogfeat.report.words import Metric, place
    >>> kd = Contrast("kd", "base", 20, None, 0.048, 0.039, 0.057, 0.01, 0.02, 0.9)
    >>> verdict(kd, Metric("accuracy"), where=place(20))
    'kd is above base by 4.8 points (3.9 to 5.7) at 20 labels a class.'
    """
    c, unit = contrast, " points" if metric.is_share else ""
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


def origin(to_base: Contrast | None, to_permuted: Contrast | None) -> str | None:
    """Whether a gain of kd over base is knowledge from the logs.

    Parameters
    ----------
    to_base, to_permuted : Contrast or None
        kd against base, and against kd from permuted logs, in one setting.

    Returns
    -------
    str or None
        None where kd is not above base for certain: there is no gain to explain.
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


def tally(found: list[Contrast]) -> list[str]:
    """How often an arm is above another; nothing where there is a single setting.

    Parameters
    ----------
    found : list of Contrast

    Returns
    -------
    list of str
    """
    pairs = {}
    for contrast in found:
        pairs.setdefault((contrast.arm, contrast.against), []).append(
            contrast.sign if contrast.holds else 0
        )
    if max(map(len, pairs.values())) < 2:
        return []
    lines = []
    for (arm, against), signs in pairs.items():
        if against != "base" and (arm, against) != ("kd", PERMUTED):
            continue
        lines.append(
            f"{arm} against {against}: above in {signs.count(1)} of {len(signs)} "
            f"settings, below in {signs.count(-1)}, not distinguishable in "
            f"{signs.count(0)}."
        )
    return lines


def sentences(
    group: list[Contrast], metric: Metric, where: str, *, brief: bool
) -> list[str]:
    """What can be said of one setting: kd, where its gain comes from, other arms.

    Parameters
    ----------
    group : list of Contrast
        Of one setting.
    metric : Metric
    where : str
        The setting, as :func:`place` words it.
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
    lines = [verdict(c, metric, where=where) for c in found]
    whence = origin(to_base, to_permuted)
    lines += [] if whence is None else [whence]
    against = "base" if any(c.against == "base" for c in group) else group[0].against
    others = [p for p in pairs if p[1] == against and p not in first and not brief]
    return lines + [verdict(pairs[pair], metric, where=where) for pair in others]
