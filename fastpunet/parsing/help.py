"""The text of `--help`."""

from __future__ import annotations

from argparse import SUPPRESS, Action

from jsonargparse import DefaultHelpFormatter

_NOT_SAID = (None, "", SUPPRESS)  # defaults that say nothing, as do False, [] and {}


class HelpFormatter(DefaultHelpFormatter):
    """Each option with its explanation, and its default where that says something; no Python types."""

    def _get_help_string(self, action: Action) -> str:
        text = action.help or ""
        if text == "Path to a configuration file.":  # jsonargparse's, of a group of keys such as --objective
            return "All of these keys at once, such as '{key: value}'."
        if action.required:
            return f"{text} (required)"
        default = action.default
        if not action.option_strings or default is False or default in (*_NOT_SAID, {}, []):
            return text
        return f"{text} (default: %(default)s)"
