"""What may be in every picture of a folder: a row of answers for each, and its alternatives as PNG files.

    python examples/sample_a_folder.py PICTURES ANSWERS 0.7     # mm from pixel to pixel, which PNG files do not say

Writes ANSWERS/answers.csv and, for picture NAME, ANSWERS/NAME_modes-0000.png, NAME_modes-0001.png, ... in the order of
their probability. `fastpunet sample` does the same and more on the command line.
"""

import csv
import sys
from pathlib import Path

import torch

import fastpunet
from fastpunet.data.inputs import Input, find_inputs
from fastpunet.data.writing import write_hypotheses
from fastpunet.hypotheses import measure, modes

LENGTH = "longest_diameter"


def answer(
    method: fastpunet.models.Method, image: Input, number: int, spacing: float, answers: Path
) -> dict[str, object]:
    """The modes of one picture as files, and its row of the table."""
    scale = method.intensity or image.default_intensity  # stored grey values -> [0, 1], as in training
    values = torch.from_numpy(scale.apply(image.read()))[None]  # float32 (1, C, H, W)
    masks = fastpunet.sample(method, values, n=1000, seed=0, ids=torch.tensor([number]))  # uint8 (1, n, H, W)
    found = modes(masks)[0]
    write_hypotheses(answers, image, found.masks.numpy(), num_classes=1, stem=f"{image.name}_modes")
    lengths = measure(masks, LENGTH, spacing=(spacing, spacing))
    areas = measure(found.masks[None], "area", spacing=(spacing, spacing)).values["area"][0].tolist()
    return {
        "picture": image.name,
        "anything": float(masks.flatten(2).any(2).double().mean()),
        "15 mm or more": float(lengths.probability(LENGTH, ">=", 15).probability),
        "median length in mm": f"{float(lengths.quantiles(LENGTH, 0.5).values):.1f}",
        "modes": "; ".join(f"{p:.0%} {a:.0f} mm2" for p, a in zip(found.probabilities.tolist(), areas, strict=True)),
    }


def main(pictures: Path, answers: Path, spacing: float, model: str = "lesions") -> Path:
    """Returns the table. Probabilities are shares of 1000 hypotheses."""
    method = fastpunet.load(model)
    answers.mkdir(parents=True, exist_ok=True)
    found = [answer(method, image, number, spacing, answers) for number, image in enumerate(find_inputs([pictures]))]
    with (answers / "answers.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, found[0])
        rows.writeheader()
        rows.writerows(found)
    return answers / "answers.csv"


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])).read_text(encoding="utf-8"))
