"""Makes markup for Sphinx of our docstrings, which are plain text: columns of names and meanings, |a and b|, *size."""

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from sphinx.application import Sphinx
from sphinx.util.logging import getLogger

LOGGER = getLogger(__name__)

ROW = re.compile(r'(?P<name>[\w"][\w",. -]*?) {2,}(?P<meaning>\S.*)')
SECTION = re.compile(r"(Args|Returns|Raises|Yields):")
MARKUP = re.compile(r"(`[^`]*`)|([*|\\])")


def escape(text: str) -> str:
    """Show what stands in backticks as code, and the other characters that reStructuredText knows as they are."""
    return MARKUP.sub(lambda found: f"`{found[1]}`" if found[1] else f"\\{found[2]}", text)


def escaped(paragraph: list[str]) -> list[str]:
    return escape("\n".join(paragraph)).split("\n")


def rows(paragraph: list[str]) -> list[str] | None:
    """A paragraph of two columns as a list; None if it is not one."""
    indent = len(paragraph[0]) - len(paragraph[0].lstrip())
    items: list[str] = []
    for line in paragraph:
        row = ROW.fullmatch(line[indent:])
        if row:
            items.append(f"- ``{row['name']}``: {escape(row['meaning'])}")
        elif items and line[indent:].startswith("  "):
            items[-1] += " " + escape(line.strip())
        else:
            return None
    return [" " * indent + item for item in items]


def rewrite(lines: list[str]) -> Iterator[str]:
    """The lines of a docstring as reStructuredText with sections in Google's style."""
    for blank, group in groupby(lines, lambda line: not line.strip()):
        paragraph = list(group)
        if blank or paragraph[0].lstrip().startswith(">>>"):
            yield from paragraph
        elif SECTION.match(paragraph[0]):
            yield from escaped(paragraph)
        else:
            for part in split(paragraph):
                yield from rows(part) or escaped(part)
                yield ""


def split(paragraph: list[str]) -> Iterator[list[str]]:
    """Divide a paragraph where sentences follow columns without a line between."""
    part: list[str] = []
    for line in paragraph:
        in_rows = bool(part) and ROW.fullmatch(part[0].lstrip()) is not None
        starts_row = ROW.fullmatch(line.lstrip()) is not None and not line.startswith("  ")
        if part and not line.startswith("  ") and in_rows != starts_row:
            yield part
            part = []
        part.append(line)
    yield part


def process(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:  # noqa: ARG001
    if what == "property" and re.search(":(?= |$)", lines[0]):
        LOGGER.warning(
            "%s: napoleon takes what is before the colon in its first line for a type; leave out the colon", name
        )
    lines[:] = rewrite(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", process, priority=100)  # before napoleon, which has 500
    return {"parallel_read_safe": True}
