"""The command line: one module for each command, which parses its options and calls what does the work."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

import fastpunet

if TYPE_CHECKING:
    from fastpunet.parsing import Parser

GROUPS = {
    "Get started": ("demo", "info"),
    "Prepare data": ("check", "prepare"),
    "Make a model": ("train", "calibrate", "convert"),
    "Draw hypotheses": ("sample", "report", "serve", "latent"),
    "Draw an archive of many images": ("plan", "verify"),
    "Score a model and its data": ("evaluate", "assess"),
    "Set up": ("completion",),
}
_OF_COMMANDS = "fastpunet COMMAND --help explains the options of a command; fastpunet --version prints the version."
COMMANDS = tuple(name for names in GROUPS.values() for name in names)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status, which is 0 unless the command says otherwise.

    Errors in the input are one line on standard error and status 2; an interruption is one line and status 130.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    name = "fastpunet"
    parser = None
    try:
        if not given or given[0] in ("-h", "--help"):
            print(_help())
            return 0 if given else 2
        if given[0] == "--version":
            print(f"fastpunet {fastpunet.__version__}")
            return 0
        if given[0] not in COMMANDS:
            raise ValueError(_unknown(given[0]))
        name = f"fastpunet {given[0]}"
        from fastpunet.cli.running import set_threads  # here, since parsing takes an extra

        module = command(given[0])
        parser = module.parser()
        options = parser.parse(given[1:])
        set_threads(options)
        return module.run(options) or 0
    except SystemExit as finished:  # --help and --print_config
        return int(finished.code or 0)
    except BrokenPipeError:  # whoever read the output, such as `head`, has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # for what Python flushes at its end
        return 1
    except (ValueError, TypeError, OSError, FloatingPointError, ModuleNotFoundError) as error:
        return _fail(name, _as_typed(error_line(error), parser))
    except KeyboardInterrupt as error:
        return _fail(name, str(error) or "interrupted", status=130)


def command(name: str) -> ModuleType:
    """The module of a command: its SUMMARY, `parser()` and `run(options)`."""
    return import_module(f"fastpunet.cli.{name}")


def _unknown(name: str) -> str:
    """The message for a name that is no command, with the command that was probably meant.

    >>> _unknown("sampel")
    'unknown command sampel; did you mean sample? See fastpunet --help'
    """
    close = get_close_matches(name, COMMANDS, n=1)
    if close:
        return f"unknown command {name}; did you mean {close[0]}? See fastpunet --help"
    return f"unknown command {name}, expected one of {', '.join(COMMANDS)}; see fastpunet --help"


def _help() -> str:
    lines = [
        "usage: fastpunet COMMAND [options]",
        "",
        "Draw thousands of segmentations (hypotheses) of an image from a Probabilistic U-Net, score them, show them.",
    ]
    for title, names in GROUPS.items():
        lines += ["", title, *(f"  {name:<12}{command(name).SUMMARY}" for name in names)]
    return "\n".join([*lines, "", _OF_COMMANDS])


def error_line(error: Exception) -> str:
    """The error on one line; of the operating system's, the file and what is wrong with it.

    Characters that a terminal would obey are left out, because errors quote files and arguments.
    """
    text = str(error)
    if isinstance(error, OSError) and error.filename and error.strerror:
        text = f"{error.filename}: {error.strerror}"
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _as_typed(line: str, parser: Parser | None) -> str:
    if parser is None:
        return line
    from fastpunet.cli.wording import as_typed  # here, since it imports torch

    return as_typed(line, parser)


def _fail(name: str, message: str, status: int = 2) -> int:
    print(f"{name}: {message}", file=sys.stderr)
    return status
