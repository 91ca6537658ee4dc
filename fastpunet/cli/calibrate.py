"""fastpunet calibrate."""

from __future__ import annotations

from pathlib import Path

from fastpunet.cli.running import add_device, add_intensity
from fastpunet.parsing import Namespace, Parser

SUMMARY = "measure how far a model's probabilities can be trusted, and scale its prior and logits"


def parser() -> Parser:
    options = Parser(
        "fastpunet calibrate",
        "Calibrate a model on images that it was not trained on, such as the validation data. Half of the patients "
        "serve to fit what scales sigma of the prior, shifts the logits and divides them by a temperature, by proper "
        "scores; the other half serve to measure what that changes. What does not help there is left out. Writes a "
        "model with the scaling inside its architecture and weights, so that everything draws with it, and with the "
        "measured calibration, and prints the scores before and after.",
    )
    options.add_argument(
        "model",
        metavar="MODEL",
        help="shipped weights, a checkpoint or the folder of a training run; it stays as it is",
    )
    options.add_argument("--data", required=True, metavar="PATH", help="bundle (.npz) or folder of the data set")
    options.add_argument("--kind", help="lidc, camvid, cityscapes (ROOT/val) or folder; without it, recognised")
    options.add_argument("--output", required=True, metavar="FILE", help="checkpoint to write, such as m.safetensors")
    options.add_argument(
        "--measure-only", action="store_true", help="scale nothing, but measure the calibration on all images"
    )
    options.add_argument(
        "-n", type=int, default=32, help="hypotheses of an image in the fit of the prior and the shift"
    )
    options.add_argument("--seed", type=int, default=0, help="seed of the halves and of the hypotheses")
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
