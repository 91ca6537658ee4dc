"""The page as one HTML document, which needs nothing else."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from html import escape
from importlib import resources
from typing import Any

from fastpunet.data.optional import require
from fastpunet.files import write_text
from fastpunet.hypotheses.display import percent
from fastpunet.reports.page.existing import META

_HEIGHT = 900  # pixels that a page has in a notebook


@dataclass(frozen=True, eq=False, repr=False)
class Page:
    """A report page, which shows itself in a notebook.

    title    the name of its image
    html     the whole document
    summary  the alternatives that it shows, in a sentence
    doubts   what may make it worthless, and what was left out to keep it small: a sentence for each kind of doubt
    """

    title: str
    html: str
    summary: str
    doubts: Mapping[str, str]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page to a file, whole or not at all. Raises OSError."""
        write_text(path, self.html)

    def __repr__(self) -> str:
        return f"Page({self.title!r}, {len(self.html) / 1e6:.1f} MB)"

    def _repr_html_(self) -> str:
        """The page in a frame of its own, which cannot reach the notebook."""
        return (
            f'<iframe sandbox="allow-scripts allow-downloads" style="width: 100%; height: {_HEIGHT}px; border: 0" '
            f'title="{escape(self.title)}" srcdoc="{escape(self.html)}"></iframe>'
        )


def page_of(case: Mapping[str, Any], request: Mapping[str, Any], doubts: Mapping[str, str]) -> Page:
    """The page of a `Case`, whose notes say the doubts too.

    request: what was asked for, which another run compares with its own (see `existing`).
    """
    script = _asset("page.js")
    html = _template().render(
        case=case,
        request=request,
        meta=META,
        style=_asset("page.css"),
        script=script,
        script_hash=b64encode(sha256(script.encode()).digest()).decode("ascii"),
    )
    return Page(case["title"], html, _summary(case), doubts)


def _summary(case: Mapping[str, Any]) -> str:
    """The alternatives of the first class that has any, in a sentence."""
    shown = next((found for found in case["alternatives"] if len(found["modes"]) > 1), case["alternatives"][0])
    count, name = (
        len(shown["modes"]),
        "" if len(case["alternatives"]) == 1 else f" of {case['classes'][shown['label']]}",
    )
    modes = ", ".join(f"{percent(mode['probability'])} {mode['name']}" for mode in shown["modes"])
    return f"{count} alternative{'' if count == 1 else 's'}{name}: {modes}"


@cache
def _template() -> Any:
    jinja2 = require("jinja2", "report pages", "report")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment.from_string(_text("page.html.jinja"))


@cache
def _asset(name: str) -> str:
    """A file of the built front end, which `npm run build` in the folder `page/` of the sources makes."""
    try:
        return _text(f"assets/{name}").strip()
    except FileNotFoundError:
        raise ValueError(f"the page's {name} is not built; run npm ci && npm run build in the folder page/") from None


def _text(name: str) -> str:
    return (resources.files("fastpunet.reports.page") / name).read_text(encoding="utf-8")
