"""Says which methods differ, as a table, and where a method is no better than a yardstick, in sentences."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fastpunet.reports.tables import DASH, counted, markdown
from fastpunet.scoring.comparing import Difference
from fastpunet.scoring.perfect import PERFECT
from fastpunet.scoring.registry import SCORES
from fastpunet.scoring.winners import Pair


def difference_table(found: Mapping[Pair, Difference]) -> str:
    """A Markdown table with a row for each comparison: the difference with its interval, p before and after Holm's
    correction for all rows, the images and patients, and whether the difference holds."""
    rows = [["score", "method", "against", "difference", "p", "p after Holm", "images and patients", "the method is"]]
    for (score, method, against), difference in found.items():
        numbers = [f"{difference.images}, {difference.patients}", _verdict(difference)]
        ps = [p_text(difference.p), p_text(difference.holm)]
        rows.append([SCORES[score].title, method, against, signed(difference), *ps, *numbers])
    return markdown(rows)


def seen_sentence(model: str, some: str) -> str:
    """A sentence for a model that was trained on some of the images, in the words of `scoring.seen_images`."""
    return f"{model} was trained on {some}, so its scores are too good."


def yardstick_sentences(found: Mapping[Pair, Difference]) -> list[str]:
    """A sentence for each method that is worse than a yardstick, or not shown to be better. For a perfect model, which
    none should beat, the sentence names the methods that are not shown to be worse."""
    sentences = []
    for (_, method, against), difference in found.items():
        facts = (
            f"energy distance, its own minus that of the yardstick: {signed(difference)}; n = {difference.n}, "
            f"p after Holm {p_text(difference.holm)}"
        )
        if against == PERFECT:
            if not difference.holds:
                sentences.append(f"{method} is not shown to be worse than a perfect model ({facts}).")
        elif difference.holds and not difference.a_is_better:
            sentences.append(f"{method} is worse than the yardstick '{against}' ({facts}).")
        elif not difference.holds:
            sentences.append(f"{method} is not shown to be better than the yardstick '{against}' ({facts}).")
    return sentences


def basis(images: int, patients: int, seeds: Mapping[str, int]) -> str:
    """What figures rest on, and what that is too little for. seeds: the number of checkpoints of each method."""
    text = (
        f"The scores rest on {counted(images, 'image')} of {counted(patients, 'patient')}, unless a cell says that "
        "they rest on fewer images."
    )
    if 1 < patients < 20:
        text += (
            " With fewer than 20 patients intervals are wide and tests find large differences only; between two "
            f"checkpoints no p can be below {2.0 ** (1 - patients):.2g}."
        )
    if patients == 1:
        text += " A single patient says nothing about others: there are no intervals and no tests."
    if 2 in seeds.values():
        text += (
            " Two training seeds say little about others: where seeds differ much, intervals from two cover the truth "
            "in about 90 % of cases, not in 95 %."
        )
    return text


def signed(difference: Difference) -> str:
    """The difference with its sign and its interval, if it has one."""
    digits = SCORES[difference.score].digits
    if np.isnan(difference.value):
        return DASH
    value, low, high = (f"{number:+.{digits}f}" for number in (difference.value, difference.low, difference.high))
    return value if np.isnan(difference.low) else f"{value} [{low}, {high}]"


def p_text(p: float) -> str:
    """A p value for people; DASH if there is none.

    >>> p_text(0.0311), p_text(0.00004), p_text(0.4)
    ('0.031', '< 0.001', '0.400')
    """
    if np.isnan(p):
        return DASH
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _verdict(difference: Difference) -> str:
    if not difference.holds:
        return "not shown to differ"
    return "better" if difference.a_is_better else "worse"
