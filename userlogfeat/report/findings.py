"""Findings of a comparison, in sentences.

A difference counts where its 95 % interval excludes zero and its p value, if there is
one, survives Holm's correction. A gain is called knowledge from the logs only where it
is larger than that of each of three controls: a teacher of *permuted* logs and a
*random projection*, which regularise as well and have no knowledge, and a teacher of
random factors for the *same artist*, which knows which clips are by one artist.
"""

from collections.abc import Mapping

from userlogfeat.comparison.arms import BASELINES, ESTIMATE
from userlogfeat.report.frames import Contrast, Metric


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
    >>> from userlogfeat.report.frames import Metric, setting_text
    >>> kd = Contrast("kd", "base", 20, None, 0.048, 0.039, 0.057, 0.01, 0.02, 0.9)
    >>> describe(kd, Metric("accuracy"), where=setting_text(20))
    'kd is above base by 4.8 points (3.9 to 5.7) at 20 labels per class.'
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


# The arm that has the logs, of each baseline.
_WITH_LOGS = {"base": "kd", "plain": ESTIMATE}


def explain_gain(
    to_base: Contrast | None, to_controls: Mapping[str, Contrast | None]
) -> str | None:
    """Explain whether a gain over the baseline is knowledge from the logs.

    Parameters
    ----------
    to_base : Contrast or None
        The arm that has the logs against its baseline, in one setting.
    to_controls : mapping of str to (Contrast or None)
        The same arm against each of the three controls; None where it was not run.

    Returns
    -------
    str or None
        None where the arm is not certainly above its baseline: there is no gain to
        explain.
    """
    if to_base is None or to_base.sign <= 0 or not to_base.holds:
        return None
    missing = [arm for arm, found in to_controls.items() if found is None]
    if len(missing) == len(to_controls):
        return "Without controls, the gain may be regularisation alone."
    found = {arm: c for arm, c in to_controls.items() if c is not None}
    more = [arm for arm, c in found.items() if c.holds and c.sign < 0]
    same = [arm for arm, c in found.items() if not c.holds]
    if more:
        return f"More is given by {_list(more)}: the gain is not knowledge."
    if same:
        return (
            f"The same may be given by {_list(same)}: the gain is not shown to be "
            "knowledge from the logs; it may be regularisation, or which clips are by "
            "one artist."
        )
    if missing:
        return (
            f"The gain is beyond {_list(list(found))}. Without {_list(missing)}, it is "
            "not shown to be knowledge from the logs."
        )
    return "None of the three controls gives this gain: it is knowledge from the logs."


def _list(names):
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


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
        if against in BASELINES or arm in _WITH_LOGS.values()
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
    lines, described = [], set()
    for baseline, arm in _WITH_LOGS.items():
        first = [(arm, baseline), *((arm, c) for c in BASELINES[baseline])]
        lines += [describe(pairs[p], metric, where=where) for p in first if p in pairs]
        controls = {control: pairs.get((arm, control)) for _, control in first[1:]}
        origin = explain_gain(pairs.get(first[0]), controls)
        lines += [] if origin is None else [origin]
        described.update(first)
    against = [b for b in BASELINES if any(c.against == b for c in group)]
    against = against or [group[0].against]
    others = [p for p in pairs if p[1] in against and p not in described and not brief]
    return lines + [describe(pairs[pair], metric, where=where) for pair in others]
