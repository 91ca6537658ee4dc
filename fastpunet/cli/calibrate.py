"""fastpunet calibrate."""

from __future__ import annotations

from pathlib import Path

from fastpunet.cli.running import add_data, add_device, add_intensity, add_model
from fastpunet.parsing import Namespace, Parser

SUMMARY = "measure how far a model's probabilities can be trusted, and improve them"


def parser() -> Parser:
    options = Parser(
        "fastpunet calibrate",
        "Measure how far a model's probabilities can be trusted, on images that it was not trained on, such as the "
        "validation data, and improve them. Three numbers are fitted on half of the patients, by proper scores: a "
        "factor for the prior's sigma, and a shift and a temperature for the logits. Their effect is measured on the "
        "other half, and a number that does not help there is dropped. Writes a checkpoint that draws with these "
        "numbers and keeps the measured calibration, and prints the scores before and after.",
    )
    add_model(options, "; it is not changed")
    add_data(options, " that the model was not trained on", required=True)
    options.add_argument("--output", required=True, metavar="FILE", help="checkpoint to write, such as m.safetensors")
    options.add_argument(
        "--measure-only", action="store_true", help="fit nothing, and measure the calibration on all images"
    )
    options.add_argument(
        "-n",
        type=int,
        default=32,
        help="number of hypotheses for each image with which the factor and the shift are fitted",
    )
    options.add_argument("--seed", type=int, default=0, help="random seed of the halves and of the hypotheses")
    add_intensity(options)
    add_device(options)
    return options


def run(options: Namespace) -> None:
    from fastpunet.arguments import check_count
    from fastpunet.devices import find_device
    from fastpunet.models import checkpoint
    from fastpunet.reports.calibrating import calibrate
    from fastpunet.reports.outputs import check_writable
    from fastpunet.reports.records import DataSet

    check_writable("--output", Path(options.output))
    n = check_count("n", options.n, least=2)
    model = checkpoint.load(options.model).to(find_device(options.device))
    records = DataSet(options.data, options.kind, intensity=options.intensity).records_for(model)
    found = calibrate(model, records, fit=not options.measure_only, n=n, seed=options.seed)
    Path(options.output).parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(found.model, options.output)
    print(found.report)
    print(options.output)
