"""Typed command lines and configuration files, with errors of one line. The parsing is jsonargparse's."""

from argparse import SUPPRESS

from fastpunet.optional import needed_for

with needed_for("the command line", "report,data"):
    from jsonargparse import Namespace

from fastpunet.parsing.messages import unknown_key
from fastpunet.parsing.parser import ConfigFile, Parser
from fastpunet.parsing.yaml_file import read_yaml

__all__ = ["SUPPRESS", "ConfigFile", "Namespace", "Parser", "read_yaml", "unknown_key"]
