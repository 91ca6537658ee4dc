"""fastpunet demo."""

from __future__ import annotations

from fastpunet.cli.running import add_device, add_hypotheses, add_speed
from fastpunet.parsing import Namespace, Parser

SUMMARY = "draw 1000 hypotheses for each of a few images, score them, make a picture"


def parser() -> Parser:
    options = Parser(
        "fastpunet demo",
        "Draw hypotheses with the weights that come with the package, score them, and make a picture. Without --data: "
        "synthetic lesions whose distribution over masks is known exactly.",
    )
    options.add_argument(
        "--data",
        metavar="DIR",
        help="folder with lidc_tiny_test_64.npz, real CT with masks of four radiologists; without it, synthetic "
        "lesions",
    )
    options.add_argument("--output", metavar="FILE", default="demo.png", help="picture to write: .png, .pdf or .svg")
    add_hypotheses(options)
    add_device(options)
    add_speed(options)
    return options


def run(options: Namespace) -> None:
    from fastpunet.reports.demo import demo

    demo(
        options.output,
        data=options.data,
        n=options.n,
        seed=options.seed,
        device=options.device,
        batch_size=options.batch_size,
        precision=options.precision,
    )
