"""The page at /: an image is dropped there, and its report page appears."""

from __future__ import annotations

from collections.abc import Sequence

from fastpunet.reports.page.document import page_script, page_style, script_hash, template, text_of
from fastpunet.serving.limits import Limits

_HERE = "fastpunet.serving.page"


def start_page(models: Sequence[str], limits: Limits, needs_token: bool) -> tuple[str, str]:
    """The page, and its content security policy, which also holds for the report page in its frame."""
    script = text_of("start.js", _HERE)
    html = template("start.html.jinja", _HERE).render(
        models=models,
        limits=limits,
        needs_token=needs_token,
        style=page_style() + text_of("start.css", _HERE),
        script=script,
    )
    scripts = " ".join(f"'sha256-{script_hash(text)}'" for text in (script, page_script()))
    policy = (
        f"default-src 'none'; script-src {scripts} 'wasm-unsafe-eval'; style-src 'unsafe-inline'; connect-src 'self'; "
        "img-src data: blob:; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return html, policy
