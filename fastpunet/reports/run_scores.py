"""The table with which a training run ends: how good its model is on images that it was not trained on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastpunet.data import Records
from fastpunet.metrics import Convention
from fastpunet.models import Method
from fastpunet.reports.differences import basis, seen_sentence, yardstick_sentences
from fastpunet.reports.tables import energy_table, score_table
from fastpunet.scoring.evaluate import evaluate
from fastpunet.scoring.evaluation import Evaluated, MethodEvaluation
from fastpunet.scoring.perfect import PERFECT, perfect_model
from fastpunet.scoring.registry import WINNER
from fastpunet.scoring.seen_images import seen_images
from fastpunet.scoring.winners import against_yardsticks
from fastpunet.scoring.yardsticks import yardsticks

_NS = (1, 4, 16)
_MODEL = "the model"


class RunScores(NamedTuple):
    """The scores of a run's model as Markdown.

    summary  the energy distance beside that of yardsticks, which says whether the model has learned anything
    text     the summary, and all scores
    """

    summary: str
    text: str


def score_run(model: Method, records: Records, training: Records, convention: Convention, what: str) -> RunScores:
    """The scores of a model on records, beside yardsticks that need no model.

    model: on the device to be used; one that has fewer hypotheses is scored at fewer n. training: what it was trained
    on, whose masks are a yardstick. what: the records in words, for the title.
    """
    evaluation = evaluate(model, records, ns=_NS, convention=convention)
    scored = MethodEvaluation((evaluation,))
    measured: dict[str, Evaluated] = {
        **yardsticks(records, model.num_classes, _NS, training=training, convention=convention, device=model.device)
    }
    perfect = perfect_model(evaluation, _NS)
    if not np.isnan(perfect.estimate(1, WINNER).value):  # which a single grader an image does not determine
        measured[PERFECT] = perfect
    images, most = len(evaluation.images), max(evaluation.ns)
    seen = seen_images(model.training_images, records)
    sentences = [seen_sentence(_MODEL, seen)] if seen else []
    sentences += yardstick_sentences(against_yardsticks({_MODEL: scored}, measured, most))
    columns: dict[str, tuple[Evaluated, int]] = {f"n = {n}": (scored, n) for n in scored.ns}
    parts = [
        f"# Scores on {what}",
        energy_table({_MODEL: scored, **measured}, _NS, images),
        "\n".join(f"- {sentence}" for sentence in sentences),
        basis(images, len(set(evaluation.patients)), {_MODEL: 1}),
    ]
    summary = "\n\n".join(filter(None, parts)) + "\n"
    table = score_table(columns, "mean [95 % interval]", images=images)
    return RunScores(summary, f"{summary}\nAll scores of the model:\n\n{table}\n")
