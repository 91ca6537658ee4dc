"""Opens report pages in a browser that has no network, and remembers what they complain about."""

from contextlib import contextmanager
from pathlib import Path

AXE = Path(__file__).parents[2] / "page" / "node_modules" / "axe-core" / "axe.min.js"


@contextmanager
def at(chromium, path, *, script=None, **options):
    """A tab in which a file is open. Fails for errors on its console, and for requests beyond the file's folder.

    script: JavaScript that runs before the document's own. options: those of a browser context, such as color_scheme.
    """
    context = chromium.new_context(offline=True, **options)
    tab = context.new_page()
    complaints, requests = [], []
    tab.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("request", lambda request: requests.append(request.url))
    if script:
        tab.add_init_script(script)
    tab.goto(path.as_uri())
    yield tab
    context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("blob:", "data:", path.parent.as_uri()))] == []


@contextmanager
def opened(chromium, page, folder, **options):
    """A report page that is open and ready, at a file in `folder`. It makes no request; else as `at`."""
    path = folder / "page.html"
    page.save(path)
    with at(chromium, path, **options) as tab:
        tab.evaluate("async () => { await window.fastpunet }")
        yield tab


def hook(tab, expression, argument=None):
    """The value of JavaScript in which `hook` is what the page offers to scripts, and `given` is the argument."""
    return tab.evaluate(f"async (given) => {{ const hook = await window.fastpunet; return {expression}; }}", argument)


def serious_findings(tab):
    """What the accessibility checker axe finds serious in a tab: rule and element."""
    tab.evaluate(AXE.read_text(encoding="utf-8"))
    found = tab.evaluate("async () => (await axe.run()).violations")
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    return [(one["id"], one["nodes"][0]["html"][:200]) for one in serious]
