"""fastpunet train."""

from __future__ import annotations

from fastpunet.parsing import SUPPRESS, Namespace, Parser
from fastpunet.training.config_file import RecipeFile, add_config_keys, recipes, to_config

SUMMARY = "train a Probabilistic U-Net or one of the methods that it is compared with"


def parser() -> Parser:
    options = Parser(
        "fastpunet train",
        "Train a model. Writes OUTPUT/model.safetensors, for fastpunet.load, curve.csv, a TensorBoard log, and a "
        "checkpoint every 250 steps (checkpoint_every), from which --resume goes on as if nothing had happened. "
        "Any key of the config may be given as --key value or key=value, and keys of keys as model.latent_dim=6. "
        "Under torchrun the processes share each batch.",
        usage="fastpunet train --config NAME|YAML --output DIR [--resume] [key=value ...]",
    )
    options.add_argument(
        "--config", action=RecipeFile, metavar="NAME|YAML", help=f"recipe ({', '.join(recipes())}) or YAML file"
    )
    options.add_argument("--output", required=True, metavar="DIR", default=SUPPRESS, help="folder of the run")
    options.add_argument(
        "--resume",
        action="store_true",
        default=SUPPRESS,
        help="go on with the run in OUTPUT, or start it if there is none",
    )
    add_config_keys(options)
    return options


def run(options: Namespace) -> None:
    from fastpunet.training.run import train

    print(train(to_config(options), options.output, resume=options.get("resume", False)))
