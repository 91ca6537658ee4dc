"""Opens report pages in a browser that has no network, and remembers what they complain about."""

from contextlib import contextmanager


@contextmanager
def opened(chromium, page, folder, *, script=None, **options):
    """A report page that is open and ready, at a file in `folder`. Fails for errors on its console and for requests.

    script: JavaScript that runs before the page's own. options: those of a browser context, such as color_scheme.
    """
    path = folder / "page.html"
    page.save(path)
    context = chromium.new_context(offline=True, **options)
    tab = context.new_page()
    complaints, requests = [], []
    tab.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("request", lambda request: requests.append(request.url))
    if script:
        tab.add_init_script(script)
    tab.goto(path.as_uri())
    tab.evaluate("async () => { await window.fastpunet }")
    yield tab
    context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith("blob:")] == [path.as_uri()]


def hook(tab, expression, argument=None):
    """The value of JavaScript in which `hook` is what the page offers to scripts, and `given` is the argument."""
    return tab.evaluate(f"async (given) => {{ const hook = await window.fastpunet; return {expression}; }}", argument)
