"""Training configs from recipes, YAML files and command lines."""

from __future__ import annotations

import os
from dataclasses import fields
from importlib import resources
from pathlib import Path
from typing import Any

from fastpunet.data.sources import recognise
from fastpunet.parsing import ConfigFile, Namespace, Parser, read_yaml
from fastpunet.training.config import TrainingConfig
from fastpunet.training.datasets import training_data


def recipes() -> dict[str, Path]:
    """Names and files of the recipes that come with the package."""
    folder = Path(str(resources.files("fastpunet.training") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"), key=lambda path: path.stem)}


def find_config(name_or_path: str | os.PathLike[str]) -> Path:
    """The file of a recipe or a path. Raises FileNotFoundError."""
    path = recipes().get(str(name_or_path), Path(name_or_path))
    if not path.is_file():
        raise FileNotFoundError(
            f"config: no file {str(name_or_path)!r}, and no recipe of that name; the recipes are {', '.join(recipes())}"
        )
    return path


def read_config(name_or_path: str | os.PathLike[str], **overrides: Any) -> TrainingConfig:
    """A recipe by name, or a YAML file, with some keys replaced. Raises FileNotFoundError or ValueError."""
    parser = Parser("fastpunet train", "")
    add_config_keys(parser)
    return to_config(parser.parse_keys({**read_yaml(find_config(name_or_path)), **overrides}))


def add_config_keys(parser: Parser) -> None:
    """Every key of a training config as an option."""
    parser.add_class_arguments(TrainingConfig, help="keys of a config")


def to_config(options: Namespace) -> TrainingConfig:
    """The config of a parser's options; without a kind, that of the data.

    Raises ValueError or TypeError for values out of range, and as `recognise` for data that are of no kind.
    """
    values = options.as_dict()
    if not values["kind"] and values["data"]:
        values["kind"] = recognise(training_data(values["data"], values["file"]))
    return TrainingConfig(**{entry.name: values[entry.name] for entry in fields(TrainingConfig)})


def given_keys(options: Namespace) -> dict[str, Any]:
    """The keys of a config, with their values, among the options that are given, also where they equal a default."""
    return {entry.name: options.given[entry.name] for entry in fields(TrainingConfig) if entry.name in options.given}


class RecipeFile(ConfigFile):
    """`--config NAME` of a recipe, or `--config FILE`."""

    def find(self, name: str) -> Path:
        return find_config(name)
