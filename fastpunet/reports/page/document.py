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

from fastpunet.files import write_text
from fastpunet.optional import require
from fastpunet.reports.page.entry import Entry
from fastpunet.reports.page.existing import ENTRY_META, META

_HERE = "fastpunet.reports.page"
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


def page_of(case: Mapping[str, Any], request: Mapping[str, Any], entry: Entry, doubts: Mapping[str, str]) -> Page:
    """The page of a `Case`, whose notes say the doubts too.

    request: what was asked for, which another run compares with its own (see `existing`). entry: what galleries tell.
    """
    script = page_script()
    html = template("page.html.jinja").render(
        case=case,
        request=request,
        meta=META,
        entry=entry.to_dict(),
        entry_meta=ENTRY_META,
        style=page_style(),
        script=script,
        script_hash=script_hash(script),
    )
    return Page(entry.title, html, entry.summary, doubts)


def script_hash(script: str) -> str:
    """What the content security policy calls a script by."""
    return b64encode(sha256(script.encode()).digest()).decode("ascii")


def page_style() -> str:
    return _asset("page.css")


def page_script() -> str:
    return _asset("page.js")


@cache
def template(name: str, package: str = _HERE) -> Any:
    """A template that escapes whatever it is filled with. package: where its file lies."""
    jinja2 = require("jinja2", "report pages", "report")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment.from_string(text_of(name, package))


@cache
def _asset(name: str) -> str:
    """A file of the built front end, which `npm run build` in the folder `page/` of the sources makes."""
    try:
        return text_of(f"assets/{name}").strip()
    except FileNotFoundError:
        raise ValueError(f"the page's {name} is not built; run npm ci && npm run build in the folder page/") from None


def text_of(name: str, package: str = _HERE) -> str:
    """A file that lies beside this module, or in another package."""
    return (resources.files(package) / name).read_text(encoding="utf-8")
