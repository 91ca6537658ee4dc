"""What `resolve` finds for one image, and how it shows itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from fastpunet.hypotheses.alternatives.mode_result import Modes
from fastpunet.hypotheses.display import html_block, html_picture, html_table, percent

if TYPE_CHECKING:
    from fastpunet.hypotheses.pictures import Picture

_LISTED = 10


@dataclass(frozen=True, eq=False)
class Question:
    """A question about one image, and what its answer would say about the mode.

    text           what to ask, such as "whether the pixel in row 31, column 40 belongs to it"
    answers        the A answers that hypotheses give, in words
    probabilities  float64 (A,), the share of hypotheses that give each answer
    modes          float64 (A, k), the probabilities of the modes once that answer is known
    remaining      float64 (A,), bits: the entropy of the mode that each answer would leave
    information    bits: by how much the answer lowers the entropy of the mode on average
    pixels         bool (*size), the pixel or the region that is asked about; None for a question of your own
    """

    text: str
    answers: tuple[str, ...]
    probabilities: Tensor
    modes: Tensor
    remaining: Tensor
    information: float
    pixels: Tensor | None

    def sentence(self, names: list[str]) -> str:
        """The question and what each answer leaves; names: those of the modes."""
        leaves = "; ".join(
            f"{answer} ({percent(share)}) leaves {_left(modes, names)}"
            for answer, share, modes in zip(self.answers, self.probabilities.tolist(), self.modes.tolist(), strict=True)
        )
        return f"Ask {self.text}: {leaves}."


@dataclass(frozen=True, eq=False)
class Resolution:
    """What is uncertain about one image, and which question would resolve most of it. All entropies are in bits.

    modes               the modes to tell apart
    entropy             the entropy of the mode before any question
    total               float64 (*size), entropy of the mean probability of each pixel
    expected            float64 (*size), mean entropy of the hypotheses' own probabilities
    mutual_information  float64 (*size), the difference: the hypotheses' disagreement
    pixel_information   float64 (*size), what a pixel's label would say about the mode, on average
    regions             int64 (*size), connected regions in which the modes differ in one way, from 1 on; 0 elsewhere
    questions           the pixel that says most, the 20 regions that say most, and your own, from the most
                        informative on
    """

    modes: Modes
    entropy: float
    total: Tensor
    expected: Tensor
    mutual_information: Tensor
    pixel_information: Tensor
    regions: Tensor
    questions: tuple[Question, ...]

    @property
    def best(self) -> Question:
        """The question that says most."""
        return self.questions[0]

    @property
    def names(self) -> list[str]:
        """What the modes are called in sentences."""
        return [f"mode {k + 1} ({name})" for k, name in enumerate(self.modes.names)]

    def __str__(self) -> str:
        """The best question in a plain sentence, and how much it would resolve."""
        if self.best.information <= 0:
            return f"No question about {self.modes} would resolve anything."
        left = self.entropy - self.best.information
        return (
            f"{self.best.sentence(self.names)} On average {left:.2f} of {self.entropy:.2f} bits of uncertainty about "
            "the mode remain."
        )

    def plot(self, image: object = None) -> Picture:
        """The best question on the image, the map of the pixels' information, and the modes after each answer.

        image: float or uint8 (*size), (1, *size) or (3, *size), of the masks' size; None: no background. Needs
        Matplotlib. Raises ValueError for an image of another size.
        """
        from fastpunet.hypotheses.questions.resolution_picture import resolution_picture

        return resolution_picture(self, image)

    def _repr_html_(self) -> str:
        rows = [
            (question.text, f"{question.information:.2f}", *_columns(question, self.names))
            for question in self.questions[:_LISTED]
        ]
        table = html_table(["ask", "bits", "answers", "what they leave"], rows)
        return html_block(str(self), html_picture(self.plot, "the best question and the modes it leaves"), table)


def _left(modes: list[float], names: list[str]) -> str:
    order = sorted(range(len(modes)), key=lambda k: -modes[k])
    return ", ".join(f"{percent(modes[k])} {names[k]}" for k in order if modes[k] >= 0.005)


def _columns(question: Question, names: list[str]) -> tuple[str, str]:
    shares = zip(question.answers, question.probabilities.tolist(), strict=True)
    left = zip(question.answers, question.modes.tolist(), strict=True)
    return (
        ", ".join(f"{answer} {percent(share)}" for answer, share in shares),
        "; ".join(f"{answer}: {_left(modes, names)}" for answer, modes in left),
    )
