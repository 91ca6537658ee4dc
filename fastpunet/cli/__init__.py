"""The command line: one module for each command, which parses its options and calls what does the work."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from fastpunet.cli.running import set_threads

COMMANDS = (
    "demo",
    "check",
    "sample",
    "plan",
    "verify",
    "report",
    "serve",
    "assess",
    "train",
    "calibrate",
    "evaluate",
    "latent",
    "prepare",
    "convert",
    "info",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status, which is 0 unless the command says otherwise.

    Errors in the input are one line on standard error and status 2; an interruption is one line and status 130.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    name = "fastpunet"
    try:
        if not given or given[0] in ("-h", "--help"):
            print(_help())
            return 0 if given else 2
        if given[0] not in COMMANDS:
            raise ValueError(f"unknown command {given[0]}, expected one of {', '.join(COMMANDS)}; see fastpunet --help")
        name = f"fastpunet {given[0]}"
        command = _command(given[0])
        options = command.parser().parse(given[1:])
        set_threads(options)
        return command.run(options) or 0
    except SystemExit as finished:  # --help and --print_config
        return int(finished.code or 0)
    except (ValueError, TypeError, OSError, FloatingPointError) as error:
        return _fail(name, error_line(error))
    except ModuleNotFoundError as error:
        return _fail(name, f"{error}; pip install 'fastpunet[{_EXTRAS.get(given[0], 'report')}]'")
    except KeyboardInterrupt as error:
        return _fail(name, str(error) or "interrupted", status=130)


_EXTRAS = {"train": "train", "convert": "onnx", "prepare": "data", "check": "data", "serve": "serve"}


def _command(name: str) -> ModuleType:
    return import_module(f"fastpunet.cli.{name}")


def _help() -> str:
    lines = [f"  {name:<10}{_command(name).SUMMARY}" for name in COMMANDS]
    return "\n".join(
        [
            "usage: fastpunet COMMAND [options]",
            "",
            "Thousands of segmentation hypotheses per image, drawn, scored and shown.",
            "",
            *lines,
            "",
            "fastpunet COMMAND --help explains the options of a command.",
        ]
    )


def error_line(error: Exception) -> str:
    """The error on one line; of the operating system's, the file and what is wrong with it.

    Characters that a terminal would obey are left out, because errors quote files and arguments.
    """
    text = str(error)
    if isinstance(error, OSError) and error.filename and error.strerror:
        text = f"{error.filename}: {error.strerror}"
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _fail(name: str, message: str, status: int = 2) -> int:
    print(f"{name}: {message}", file=sys.stderr)
    return status
