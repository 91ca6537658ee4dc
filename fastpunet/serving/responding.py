"""Errors as responses: JSON with one line that says what was wrong."""

from __future__ import annotations

from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.responses import JSONResponse

from fastpunet.serving.refusals import Refusal

_WORDS = {  # Pydantic's, and those of all other errors
    "Input should be": "expected",
    "String should have": "expected",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "less than": "below",
}


_PARAMETERS = {"--convert": "convert=true", "--spacing": "spacing", "-n ": "n="}  # options of commands, as clients say


def as_parameters(message: str) -> str:
    """A message on one line, with the parameters of requests in place of options of commands.

    >>> as_parameters("pass at most -n 67")
    'pass at most n=67'
    """
    for option, parameter in _PARAMETERS.items():
        message = message.replace(f" {option}", f" {parameter}")
    return " ".join(message.split())


def refused(refusal: Refusal) -> JSONResponse:
    return JSONResponse({"error": str(refusal)}, refusal.status, refusal.headers)


def misread(error: RequestValidationError, known: tuple[str, ...]) -> Refusal:
    """What is wrong with the first parameter that cannot be read. known: the parameters of the endpoint."""
    first: dict[str, Any] = error.errors()[0]
    name = str(first["loc"][-1])
    if first["type"] == "extra_forbidden":
        return Refusal(422, f"{name[:100]}: unknown, expected one of {', '.join(known)}", "parameter")
    said = first["msg"]
    for theirs, ours in _WORDS.items():
        said = said.replace(theirs, ours)
    return Refusal(422, f"{name}: got {str(first.get('input'))[:100]!r}, {said}", "parameter")
