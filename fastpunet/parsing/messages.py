"""What the parser says of wrong input, on one line: jsonargparse's errors in plain words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "dict": "keys and values",
    "tuple": "a list",
    "NoneType": "null",
}
_ONE_TYPE = re.compile(r"Expected an? (?P<kind>.+?)\. Got value: (?P<value>.*)")
_SEVERAL_TYPES = re.compile(r".*? Subtypes: \[(?P<kinds>.*?)\] Errors: .* Given value: (?P<value>.*)")


def unknown_key(where: str, key: str, known: Sequence[str]) -> str:
    """The message for a key that is none of those known.

    >>> unknown_key("model", "latent_dims", ["channels", "latent_dim"])
    'model: unknown key latent_dims; did you mean latent_dim? The keys are channels, latent_dim'
    """
    return f"{where}: unknown key {key}{_closest(key, known)} The keys are {', '.join(known)}"


def unknown_option(option: str, known: Sequence[str], program: str) -> str:
    """The message for an option that is none of those known.

    >>> unknown_option("--stesp", ["--seed", "--steps"], "fastpunet train")
    'unknown option --stesp; did you mean --steps? See fastpunet train --help'
    """
    return f"unknown option {option}{_closest(option, known)} See {program} --help"


def wrong_value(explanation: str) -> str:
    """What jsonargparse says of a value of the wrong type, as got and expected.

    >>> wrong_value("Expected a <class 'int'>. Got value: many")
    'got many, expected a whole number'
    """
    if match := _ONE_TYPE.fullmatch(explanation):
        return f"got {match['value'] or 'nothing'}, expected {_kind(match['kind'])}"
    if match := _SEVERAL_TYPES.fullmatch(explanation):
        kinds = [_kind(kind) for kind in re.split(r", (?![^\[]*\])", match["kinds"])]
        distinct = sorted(dict.fromkeys(kinds), key=lambda kind: kind == "null")  # null last
        return f"got {match['value']}, expected {', or '.join(distinct)}"
    return explanation


def _closest(word: str, known: Sequence[str]) -> str:
    """Of the known words the closest, as a question."""
    close = get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else "."


def _kind(text: str) -> str:
    """A type's name in words."""
    text = text.removeprefix("typing.")
    if match := re.fullmatch(r"Literal\[(.*)\]", text):
        return "one of " + match[1].replace("'", "")
    if "..." not in text and (match := re.fullmatch(r"tuple\[(.*)\]", text)):
        numbers = ", ".join("12"[: match[1].count(",") + 1])
        return f"{match[1].count(',') + 1} numbers, such as [{numbers}]"
    if re.fullmatch(r"(list|tuple|Sequence)\[.*\]|list", text):
        return "a list of numbers, such as [1, 2]"
    name = re.sub(r"<class '(?:.*\.)?(.*)'>", r"\1", text)
    return _WORDS.get(name, name)
