"""How results show themselves in a notebook: sentences, tables and pictures in HTML. Pictures need Matplotlib."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from html import escape
from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def percent(share: float) -> str:
    """A share in whole percent; halves are rounded up, as on the page of a report.

    >>> percent(0.123), percent(0.465)
    ('12 %', '47 %')
    """
    return f"{math.floor(100 * share + 0.5)} %"


def html_block(sentence: str, *parts: str) -> str:
    """A sentence above pictures and tables, which are HTML already; empty parts are left out.

    >>> html_block("2 modes, p < 1", "", html_table(["mode"], [["nothing"]]))[:43]
    '<div><p>2 modes, p &lt; 1</p><table><thead>'
    """
    return f"<div><p>{escape(sentence)}</p>{''.join(parts)}</div>"


def html_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of plain texts and numbers. Every cell is escaped.

    >>> html_table(["mode", "p"], [["nothing", 0.5]])
    '<table><thead><tr><th>mode</th><th>p</th></tr></thead><tbody><tr><td>nothing</td><td>0.5</td></tr></tbody></table>'
    """
    head = "".join(f"<th>{escape(header)}</th>" for header in headers)
    lines = ("".join(f"<td>{escape(str(cell))}</td>" for cell in row) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def html_picture(make: Callable[[], Figure], description: str) -> str:
    """The figure that `make` draws, as an inline picture; nothing where Matplotlib is missing.

    description: what a reader who cannot see the picture is told.
    """
    if find_spec("matplotlib") is None:
        return ""
    return f'<img alt="{escape(description)}" style="max-width: 100%" src="{png_data_uri(make())}">'


def png_data_uri(figure: Figure) -> str:
    """The figure as PNG in a data URI, which needs no file and no server."""
    return "data:image/png;base64," + b64encode(png_bytes(figure)).decode("ascii")


def png_bytes(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file."""
    file = BytesIO()
    figure.savefig(file, format="png", facecolor=figure.get_facecolor())
    return file.getvalue()
