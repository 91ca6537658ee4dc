"""A command line whose options may also come from YAML files."""

from __future__ import annotations

import re
from argparse import ArgumentError
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ActionConfigFile as _ActionConfigFile  # type: ignore[attr-defined]  # public, but not typed so
from jsonargparse import ArgumentParser, Namespace, set_parsing_settings

from fastpunet.parsing.help import HelpFormatter
from fastpunet.parsing.messages import unknown_key, unknown_option, wrong_value
from fastpunet.parsing.yaml_file import read_yaml

_KEY = re.compile(r"[a-z][\w-]*(\.[\w-]+)*")
_CHOICE = re.compile(r"(argument )?(?P<key>[^:]+): invalid choice: (?P<value>.+) \(choose from (?P<choices>.+)\)")


class Parser(ArgumentParser):
    """jsonargparse's parser with errors of one line.

    Of two values for an option the later one counts. Beside `--key value` it takes `key=value`, and `-` for `_` in an
    option's name and the other way round; options of one letter also behind two dashes.
    """

    def __init__(self, prog: str, description: str, usage: str | None = None) -> None:
        set_parsing_settings(docstring_parse_attribute_docstrings=True)  # of a config's fields, as their help
        super().__init__(
            prog=prog, description=description, usage=usage, exit_on_error=False, formatter_class=HelpFormatter
        )

    def parse(self, arguments: Sequence[str]) -> Namespace:
        """The options of a command line. Raises ValueError, of one line, that names the option and what it expects."""
        try:
            return self.parse_args(self.as_declared(arguments))
        except (ArgumentError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(self._explained(error)) from None

    def parse_keys(self, values: Mapping[str, object]) -> Namespace:
        """The options out of keys and values. Raises ValueError as `parse` does."""
        try:
            return self.parse_object(dict(values))
        except (ArgumentError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(self._explained(error)) from None

    def as_declared(self, arguments: Sequence[str]) -> list[str]:
        """Each option by the name under which it was declared, and `key=value` as `--key=value`."""
        declared: list[str] = []
        for argument in arguments:
            name, equals, value = argument.partition("=")
            free = not declared or not self._takes_value(declared[-1])
            if equals and free and _KEY.fullmatch(name) and self._declaration(f"--{name}"):
                name = f"--{name}"
            declared.append((self._declaration(name) or name) + equals + value)
        return declared

    def _declaration(self, option: str) -> str | None:
        """The declared name of an option, or of an item of one, such as --model.channels; None if there is none."""
        option, dot, item = option.removeprefix("--").partition(".") if option.startswith("--") else ("", "", "")
        for name in (option.replace("-", "_"), option.replace("_", "-")):
            if f"--{name}" in self._option_string_actions:
                return f"--{name}{dot}{item}"
        letter = f"-{option}"  # so that --n is no abbreviation of a longer name
        return letter if len(option) == 1 and not dot and letter in self._option_string_actions else None

    def _takes_value(self, option: str) -> bool:
        action = self._option_string_actions.get(option)
        return action is not None and action.nargs != 0

    def _explained(self, error: Exception) -> str:
        """The error in our words, on one line."""
        text = " ".join(str(error).split())
        if match := re.search(r"(?:^|\W)(?P<group>\w+)\W+Unable to load config (?P<value>\S+)", text):
            return f"{match['group']}: got {match['value']}, expected keys and values, or a YAML file of them"
        if match := re.fullmatch(r'Parser key "(?P<key>[^"]+)"(?: element \d+)?: (?P<explanation>.*)', text):
            return f"{match['key']}: {wrong_value(match['explanation'])}"
        if match := re.fullmatch(r"Option '(?P<key>.+)' is not accepted", text):
            return unknown_key("config", match["key"], self._keys())
        if match := re.fullmatch(r"Group '(?P<group>.+)' does not accept option '(?P<key>.+)'", text):
            return unknown_key(match["group"], match["key"], self._keys(match["group"]))
        if match := re.match(r"unrecognized arguments: (?P<option>\S+)", text):
            dashes = "--" if match["option"].startswith("-") else ""
            known = [dashes + name.lstrip("-") for name in self._option_string_actions]
            return unknown_option(match["option"], known, str(self.prog))
        if match := re.match(r"ambiguous option: (?P<option>\S+) could match (?P<names>.*)", text):
            several = match["names"].split(", ")
            return f"ambiguous option {match['option']}; it may mean {' or '.join(several[:3])}; write it out"
        if match := re.fullmatch(r"the following arguments are required: (?P<keys>.+)", text):
            missing = ", ".join(self.option_of(key) for key in match["keys"].split(", "))
            return f"missing {missing}; see {self.prog} --help"
        if match := _CHOICE.fullmatch(text):
            return f"{match['key']}: got {match['value']}, expected one of {match['choices']}".replace("'", "")
        return re.sub(r"^argument ([^:]+): ", r"\1: ", text)

    def _keys(self, group: str = "") -> list[str]:
        defaults = self.get_defaults(skip_validation=True)
        return [key for key in (defaults[group] if group else defaults).as_dict() if key != "config"]

    def option_of(self, key: str) -> str:
        """How an option is written on the command line; the key itself if there is no such option."""
        action = next((action for action in self._actions if action.dest == key), None)
        return key if action is None else str(max(action.option_strings, key=len, default=action.metavar or key))


class ConfigFile(_ActionConfigFile):
    """The action of `--config FILE`: a YAML file of keys that the parser knows."""

    def __call__(self, parser: Any, options: Any, value: Any, option: Any = None) -> None:
        path = self.find(value)
        read_yaml(path)  # for its errors
        super().__call__(parser, options, str(path), option)

    def find(self, name: str) -> Path:
        """The file. Raises FileNotFoundError."""
        if not Path(name).is_file():
            raise FileNotFoundError(f"config: no file {name!r}")
        return Path(name)
