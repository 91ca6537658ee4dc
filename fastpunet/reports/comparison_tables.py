"""The tables of a comparison, as Markdown."""

from __future__ import annotations

from fastpunet.reports.comparison import Comparison
from fastpunet.reports.differences import basis, difference_table, seen_sentence, yardstick_sentences
from fastpunet.reports.tables import DASH, cell, energy_table, markdown, score_table
from fastpunet.scoring.evaluation import Evaluated
from fastpunet.scoring.registry import SCORES, WINNER
from fastpunet.scoring.winners import against_one, against_yardsticks, winner


def tables(comparison: Comparison) -> str:
    """The tables as Markdown: the scores of one method at every n, or of several at the largest n that all have.

    After these come the energy distance at every n with the yardsticks, the comparisons that were asked for, sentences
    about checkpoints that were trained on some of the images and methods that are not better than a yardstick, the
    single checkpoints if a method has several, and what all figures rest on. A value is bold if it is better than that
    of every other method after Holm's correction.
    """
    pooled, n = comparison.pooled, comparison.shared_n
    images = len(comparison.any_evaluation.images)
    if len(pooled) == 1:
        evaluation = next(iter(pooled.values()))
        at_each = {f"n = {n}": (evaluation, n) for n in evaluation.ns}
        parts = [score_table(at_each, "mean [95 % interval]", images=images), _energy_table(comparison)]
    else:
        results: dict[str, Evaluated] = {**pooled, **comparison.floors}
        columns = {name: (evaluation, n) for name, evaluation in results.items()}
        winners = {score: winner(pooled, score, n) for score in SCORES}
        parts = [_energy_table(comparison), score_table(columns, f"n = {n}", images=images, winners=winners)]
    if comparison.tested:
        parts.append(difference_table(against_one(pooled, comparison.tested, n, comparison.against)))
    sentences = [seen_sentence(checkpoint, some) for checkpoint, some in comparison.seen.items()]
    sentences += yardstick_sentences(against_yardsticks(pooled, {**comparison.yardsticks, **comparison.floors}, n))
    if sentences:
        parts.append("\n".join(f"- {sentence}" for sentence in sentences))
    if any(len(checkpoints) > 1 for checkpoints in comparison.evaluations.values()):
        parts.append(_checkpoint_table(comparison))
    seeds = {name: len(checkpoints) for name, checkpoints in comparison.evaluations.items()}
    parts.append(basis(images, len(set(comparison.any_evaluation.patients)), seeds))
    if comparison.unannotated:
        parts.append(f"Nobody annotated {comparison.unannotated} of {images} images, which have no scores.")
    return "\n\n".join(parts)


def _energy_table(comparison: Comparison) -> str:
    ns = sorted({*comparison.ns, *(n for result in comparison.yardsticks.values() for n in result.ns)})
    results = {**comparison.pooled, **comparison.yardsticks, **comparison.floors}
    return energy_table(results, ns, len(comparison.any_evaluation.images))


def _checkpoint_table(comparison: Comparison) -> str:
    names = (WINNER, "unbiased", "present_distance", "presence_correlation")
    n = comparison.shared_n
    rows = [[f"n = {n}", *(SCORES[name].title for name in names)]]
    for checkpoints in comparison.evaluations.values():
        for name, evaluation in checkpoints.items():
            estimates = [evaluation.estimate(n, score) if evaluation.has(n, score) else None for score in names]
            rows.append([name, *(DASH if estimate is None else cell(estimate) for estimate in estimates)])
    return markdown(rows)
