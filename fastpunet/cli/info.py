"""fastpunet info."""

from __future__ import annotations

import json

from fastpunet.cli.running import MODEL_HELP
from fastpunet.parsing import Namespace, Parser

SUMMARY = "print versions, devices and backends, or what is known of a model"


def parser() -> Parser:
    options = Parser(
        "fastpunet info",
        "Print versions, devices, backends and shipped weights, and for a backend that is missing, why. With MODEL, "
        "print what its checkpoint holds: architecture, the images of its training, and how far its probabilities "
        "could be trusted on images that it was not trained on.",
    )
    options.add_argument("model", nargs="?", metavar="MODEL", help=MODEL_HELP)
    options.add_argument(
        "--json", action="store_true", help="print the same facts as JSON, for programs and bug reports"
    )
    return options


def run(options: Namespace) -> None:
    from fastpunet.reports.info import facts, info
    from fastpunet.reports.json_values import json_values
    from fastpunet.reports.model_info import model_facts, model_info

    if options.json:
        print(json.dumps(json_values(model_facts(options.model) if options.model else facts()), indent=2))
    else:
        print(model_info(options.model) if options.model else info())
