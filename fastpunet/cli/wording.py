"""Names, in errors of Python functions, what was typed on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastpunet.arguments import named_argument

if TYPE_CHECKING:
    from fastpunet.parsing import Parser

_MODEL = ("source", "init_from", "models", "model_or_archive", "model")
_GIVEN_BY = {  # the options that give arguments of other names; of several the first that a command has
    "root": ("data",),
    "path": ("data", "output"),
    "records": ("data",),
    "source": _MODEL,
    "checkpoint": _MODEL,
    "input": ("inputs", "files", "data"),
    "ns": ("n",),
    "size": ("size", "window"),
    "thresholds": ("threshold",),
}


def as_typed(message: str, parser: Parser) -> str:
    """An error that begins with the name of an argument, with the name of the option that gives it instead.

    Options are named without their dashes, as those are that have the argument's own name; MODEL and the like as in
    the help.
    """
    argument, rest = named_argument(message)
    names = _GIVEN_BY.get(argument, (argument,))
    option = next((option for name in names if (option := parser.option_of(name)) != name), argument).lstrip("-")
    return message if option.lower() == argument else f"{option}: {rest}"
