"""fastpunet train."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from fastpunet.cli.running import add_device
from fastpunet.parsing import SUPPRESS, Namespace, Parser
from fastpunet.training.config_file import RecipeFile, add_config_keys, changed_keys, recipes, to_config

SUMMARY = "train a Probabilistic U-Net or one of the methods that it is compared with"


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


def parser() -> Parser:
    options = TrainParser(
        "fastpunet train",
        "Train a model. Writes OUTPUT/model.safetensors, for fastpunet.load, curve.csv, a TensorBoard log, and a "
        "checkpoint every 250 steps (checkpoint_every), from which --resume goes on as if nothing had happened. "
        "Any key of the config may be given as --key value or key=value, and keys of keys as model.latent_dim=6. "
        "Under torchrun the processes share each batch.",
        usage="fastpunet train --init DATA --output DIR [key=value ...]\n"
        "       fastpunet train --config NAME|YAML --output DIR [key=value ...]\n"
        "       fastpunet train --resume --output DIR [key=value ...]",
    )
    options.add_argument(
        "--config", action=RecipeFile, metavar="NAME|YAML", help=f"recipe ({', '.join(recipes())}) or YAML file"
    )
    options.add_argument("--output", required=True, metavar="DIR", default=SUPPRESS, help="folder of the run")
    options.add_argument(
        "--resume",
        action="store_true",
        default=SUPPRESS,
        help="go on with the run in OUTPUT, by its own config unless one is given, or start it if there is none",
    )
    options.add_argument(
        "--init",
        metavar="DATA",
        default=SUPPRESS,
        help="do not train, but write OUTPUT/config.yaml for this data set, to be looked at and trained with",
    )
    add_device(options, default=SUPPRESS)
    add_config_keys(options)
    return options


def run(options: Namespace) -> None:
    if options.get("init") is not None:
        _write_config(options)
        return
    from fastpunet.training.run import train

    config, device = to_config(options), options.get("device", "auto")
    say = partial(print, file=sys.stderr)
    print(train(config, options.output, resume=options.get("resume", False), device=device, say=say))


def _write_config(options: Namespace) -> None:
    from fastpunet.training.starting_config import write_starting_config

    if options.get("resume"):
        raise ValueError("--init: got --resume as well, expected one of them")
    path = write_starting_config(options.init, Path(options.output) / "config.yaml", changed_keys(options))
    print(f"{path} is written; look at it, then: fastpunet train --config {path} --output {options.output}")
