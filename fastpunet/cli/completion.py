"""fastpunet completion."""

from __future__ import annotations

from argparse import ArgumentParser

from fastpunet.optional import require
from fastpunet.parsing import Namespace, Parser

SUMMARY = "print a script that lets the Tab key complete commands and options in a shell"


def parser() -> Parser:
    options = Parser(
        "fastpunet completion",
        "Print a script that makes a shell complete the commands and options of fastpunet with the Tab key. In bash: "
        'eval "$(fastpunet completion bash)", in zsh: eval "$(fastpunet completion zsh)"; put that line into '
        "~/.bashrc or ~/.zshrc to have it in every shell.",
    )
    options.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="the shell that you use")
    return options


def run(options: Namespace) -> None:
    from fastpunet.cli import COMMANDS, command

    everything = ArgumentParser("fastpunet")
    commands = everything.add_subparsers()
    for name in COMMANDS:
        module = command(name)
        commands.add_parser(name, help=module.SUMMARY)
        commands.choices[name] = module.parser()
    print(require("shtab", "completion").complete(everything, options.shell))
