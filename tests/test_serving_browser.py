"""The page at / in a browser: an image goes in, its report page appears in a frame, and asks for other hypotheses."""

import re

import fastapi  # noqa: F401  # the extra `serve`
import pytest
from helpers.browsing import AXE, serious_findings
from helpers.serving import in_thread
from test_serving import png

from fastpunet.prediction.request import Request
from fastpunet.serving.served import open_served

TOKEN = "a-token-of-many-characters"
TOLD = "const hook = await window.fastpunet; return hook.session.study.facts.hypotheses"


@pytest.fixture(scope="module")
def service():
    with in_thread(open_served(["lesions"], Request(), "cpu"), token=TOKEN) as client:
        yield client


@pytest.fixture
def tab(chromium, service):
    """The page, on which nothing was done yet. In the end it complained of refusals alone, and asked nobody else."""
    context = chromium.new_context()
    context.set_default_timeout(120_000)
    one = context.new_page()
    complaints, requests = [], []
    one.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    one.on("pageerror", lambda error: complaints.append(str(error)))
    one.on("request", lambda request: requests.append(request.url))
    home = f"http://127.0.0.1:{service.port}/"
    one.goto(home)
    yield one
    context.close()
    assert [text for text in complaints if not re.search("status of 401|status of 422|/health/live", text)] == []
    assert [url for url in requests if not url.startswith((home, "blob:", "data:", "about:"))] == []


def drop(tab, name, content, n):
    tab.set_input_files("#file", {"name": name, "mimeType": "image/png", "buffer": content})
    tab.fill("#n", str(n))
    tab.click("#draw")


def said(tab, pattern):
    """Waits until the page says something."""
    expect = pytest.importorskip("playwright.sync_api").expect
    expect(tab.locator("#status")).to_have_text(re.compile(pattern), timeout=120_000)


def shown(tab, n, seed):
    """Waits for the frame with the page of so many hypotheses."""
    said(tab, f", seed {seed}$")
    frame = tab.frame_locator("#report")
    frame.locator(".page-header", has_text=f"{n} outlines by lesions").wait_for()
    return frame


def test_an_image_becomes_a_page_that_asks_for_another(tab, service):
    tab.fill("#token", TOKEN)
    drop(tab, "case.png", png(0), 40)
    frame = shown(tab, 40, 0)
    assert frame.locator("h1").text_content() == "case"
    frame.get_by_label("Outlines", exact=True).fill("30")
    frame.get_by_label("Seed", exact=True).fill("5")
    frame.get_by_role("button", name="Draw again").click()
    again = shown(tab, 30, 5)
    assert (tab.input_value("#n"), tab.input_value("#seed")) == ("30", "5")
    inside = tab.frames[1]
    facts = inside.evaluate(f"async () => {{ {TOLD}; }}")
    assert (facts["n"], facts["seed"]) == (30, 5)
    assert again.locator("section.card").count() > 5
    # the page in the frame can reach neither the service nor the page around it
    address = f"http://127.0.0.1:{service.port}/health/live"
    assert inside.evaluate("url => fetch(url, {mode: 'no-cors'}).then(() => 'sent', () => 'kept')", address) == "kept"
    assert inside.evaluate("() => { try { return parent.document.title } catch { return 'kept' } }") == "kept"


def test_errors_are_shown(tab):
    tab.fill("#token", "wrong")
    drop(tab, "case.png", png(0), 40)
    said(tab, "^token: missing or wrong")
    tab.fill("#token", TOKEN)
    drop(tab, "<b>case</b>.png", b"no image", 40)
    said(tab, "^file: .* is truncated or not")
    assert tab.locator("#status b").count() == 0
    assert tab.is_hidden("#report")


@pytest.mark.skipif(not AXE.exists(), reason="npm ci in page/ brings the accessibility checker")
def test_nobody_is_shut_out(tab):
    assert serious_findings(tab) == []
