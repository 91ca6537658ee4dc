"""Questions from the answers that hypotheses give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fastpunet.arguments import LABEL_DTYPES
from fastpunet.hypotheses.questions.information import entropy, information
from fastpunet.hypotheses.questions.resolution import Question
from fastpunet.metrics.mask_sets import MaskSet


@dataclass(frozen=True, eq=False)
class Answers:
    """Answers int64 (n,) of one image's hypotheses, the different ones (A,) in order, and what they are called."""

    given: Tensor
    values: Tensor
    words: list[str]


def read_answers(text: str, answers: object, masks: MaskSet) -> list[Answers]:
    """The answers to one question of the user's for each image; TypeError or ValueError, naming the question."""
    tensor = answers if isinstance(answers, Tensor) else torch.from_numpy(np.asarray(answers))
    if tensor.dtype not in LABEL_DTYPES:
        raise TypeError(
            f"questions[{text!r}]: got dtype {tensor.dtype}, expected bool or whole numbers; compare measures with a "
            "threshold, as in diameters >= 8"
        )
    shape = (masks.images, masks.longest)
    if tuple(tensor.shape) != shape and (masks.images != 1 or tuple(tensor.shape) != shape[1:]):
        raise ValueError(
            f"questions[{text!r}]: got shape {tuple(tensor.shape)}, expected (B, n) = {shape}, one answer for each "
            "hypothesis"
        )
    yes_no = tensor.dtype == torch.bool
    numbers = tensor.reshape(shape).to(masks.device, torch.int64)
    read = []
    for given in numbers:
        values = torch.unique(given)
        words = [("no", "yes")[value] if yes_no else str(value) for value in values.tolist()]
        read.append(Answers(given, values, words))
    return read


def make_question(text: str, words: Sequence[str], counts: Tensor, pixels: Tensor | None) -> Question:
    """A question from joint counts (A, k) of answers and modes. Answers that no hypothesis gives are left out."""
    given = counts.sum(1) > 0
    counts = counts[given]
    return Question(
        text=text,
        answers=tuple(word for word, kept in zip(words, given.tolist(), strict=True) if kept),
        probabilities=counts.sum(1) / counts.sum().double(),
        modes=counts / counts.sum(1, keepdim=True).double(),
        remaining=entropy(counts, 1),
        information=float(information(counts)),
        pixels=pixels,
    )
