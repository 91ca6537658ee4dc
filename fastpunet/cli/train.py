"""fastpunet train."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fastpunet.cli.running import add_device
from fastpunet.parsing import SUPPRESS, Namespace, Parser
from fastpunet.training.config_file import RecipeFile, add_config_keys, given_keys, recipes, to_config

if TYPE_CHECKING:
    from fastpunet.training.config import TrainingConfig

SUMMARY = "train a Probabilistic U-Net or one of the methods that it is compared with"
SCORES_FILE = "scores.md"


class TrainParser(Parser):
    """Reads, where --resume is given without --config, the config of the run that goes on."""

    def as_declared(self, arguments: Sequence[str]) -> list[str]:
        declared = super().as_declared(arguments)
        asked = ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
        for name in ("--output", "--config"):
            asked.add_argument(name, nargs="?")
        asked.add_argument("--resume", action="store_true")
        options, _ = asked.parse_known_args(declared)
        if not options.resume or options.config or not options.output:
            return declared
        before = Path(options.output) / "config.yaml"
        return ["--config", str(before), *declared] if before.is_file() else declared

    def parse(self, arguments: Sequence[str]) -> Namespace:
        """As of every command; `given` holds the options that are not left at their defaults, whatever their values."""
        options = super().parse(arguments)
        options["given"] = self.parse_args(self.as_declared(arguments), defaults=False).as_dict()
        return options


def parser() -> Parser:
    options = TrainParser(
        "fastpunet train",
        "Train a model. With --data alone, the command checks the data, chooses a config for them, says why, and "
        "keeps it as OUTPUT/config.yaml, which can be edited and given as --config. It writes "
        "OUTPUT/model.safetensors, for fastpunet.load; scores.md, which says how good the model is on the test part "
        "or, without one, on the validation part; README.md, a model card; curve.csv; a TensorBoard log; and a "
        "checkpoint every 250 steps (checkpoint_every) and on Ctrl-C. --resume goes on from the last checkpoint as if "
        "nothing had happened; with more steps it continues a finished run. Any key of the config may be given as "
        "--key value or key=value, and keys of keys as model.latent_dim=6. Under torchrun the processes share each "
        "batch. See docs/training.md.",
        usage="fastpunet train --data DATA --output DIR [--init-from WEIGHTS] [key=value ...]\n"
        "       fastpunet train --config NAME|YAML --output DIR [key=value ...]\n"
        "       fastpunet train --resume --output DIR [key=value ...]",
    )
    options.add_argument(
        "--config", action=RecipeFile, metavar="NAME|YAML", help=f"a recipe ({', '.join(recipes())}) or a YAML file"
    )
    options.add_argument("--output", required=True, metavar="DIR", default=SUPPRESS, help="folder of the training run")
    options.add_argument(
        "--resume",
        action="store_true",
        default=SUPPRESS,
        help="go on with the run in OUTPUT, by its own config unless one is given; if there is no run, start one",
    )
    options.add_argument(
        "--config-only",
        action="store_true",
        default=SUPPRESS,
        help="do not train, but check the data, choose a config for them and write it to OUTPUT/config.yaml",
    )
    add_device(options, default=SUPPRESS)
    add_config_keys(options)
    return options


def run(options: Namespace) -> None:
    from fastpunet.training.run import is_first_process, train

    say = partial(print, file=sys.stderr) if is_first_process() else _say_nothing
    only, device = options.get("config_only", False), options.get("device", "auto")
    if "config" not in options.given and "data" in options.given:
        from fastpunet.training.starting_config import choose

        chosen = choose(given_keys(options), device, options.output, say)
        if only:
            path = chosen.write(Path(options.output) / "config.yaml")
            print(f"{path} is written; look at it, then: fastpunet train --config {path} --output {options.output}")
            return
        config = chosen.config
    elif only:
        raise ValueError("--config-only: expected --data without --config, because it chooses a config for the data")
    else:
        config = to_config(options)
    weights = train(config, options.output, resume=options.get("resume", False), device=device, say=say)
    if is_first_process():
        _score(config, weights, device)
        print(weights)


def _say_nothing(_: str) -> None:
    pass


def _score(config: TrainingConfig, weights: Path, device: str) -> None:
    """Write the scores of a model that has none yet beside it, and print the most important ones.

    Nothing is done if there are no data to score it on.
    """
    from fastpunet.devices import find_device
    from fastpunet.files import write_text
    from fastpunet.models import checkpoint
    from fastpunet.reports.run_scores import score_run
    from fastpunet.training.datasets import held_out, validation_convention

    file = weights.with_name(SCORES_FILE)
    if file.exists() and file.stat().st_mtime >= weights.stat().st_mtime:
        return
    found = held_out(config)
    if found is None:
        return
    model = checkpoint.load(weights).to(find_device(device))
    rule = validation_convention(config, model.num_classes)
    scores = score_run(model, found.records, found.training, rule, found.what)
    model.about = {**(model.about or {}), "scores": scores.text.removeprefix("# ")}
    model.save_pretrained(weights.parent)
    write_text(file, scores.text)
    print(f"\n{scores.summary}\nThese and all other scores are in {file}.", file=sys.stderr)
