"""fastpunet info."""

from __future__ import annotations

from fastpunet.parsing import Namespace, Parser

SUMMARY = "print versions, devices, backends, and why one is missing; or what a model is"


def parser() -> Parser:
    options = Parser(
        "fastpunet info",
        "Print versions, devices, backends (and the reason why a missing one is missing) and shipped weights. With "
        "MODEL print what its checkpoint holds: architecture, the images of its training, and how far its "
        "probabilities could be trusted on images that it was not trained on.",
    )
    options.add_argument(
        "model", nargs="?", metavar="MODEL", help="shipped weights, a checkpoint or the folder of a training run"
    )
    return options


def run(options: Namespace) -> None:
    from fastpunet.reports.info import info
    from fastpunet.reports.model_info import model_info

    print(model_info(options.model) if options.model else info())
