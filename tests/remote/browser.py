"""A headless Chromium, driven by Playwright.

Playwright speaks to the installed browser itself: no driver program has to fit the browser's version, and nothing is
downloaded. Tests fail without a Chromium (apt install chromium).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, ViewportSize, sync_playwright

from tests.recording.chromium import PROGRAM

FOLDER = Path(__file__).parents[2] / "infrope_env" / "remote" / "page"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--mute-audio"]
DESKTOP, PHONE = ViewportSize(width=1440, height=900), ViewportSize(width=390, height=844)
SMALL = ViewportSize(width=420, height=480)  # costs little to draw
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield a browser; fail where none is installed."""
    if PROGRAM is None:
        pytest.fail("no Chromium installed: apt install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def open_modules(browser: Browser) -> Page:
    """Return an empty page that can import the page's modules, `await import("/page/keys.js")`, without a server."""
    page = browser.new_page()

    def answer(route: Route) -> None:
        path = FOLDER / route.request.url.rsplit("/", 1)[1]
        body = path.read_text("utf-8") if path.is_file() else "<!doctype html><title>empty</title>"
        route.fulfill(body=body, content_type=KINDS.get(path.suffix, "text/html"))

    page.route("http://localhost/**", answer)
    page.goto("http://localhost/")
    return page


def call(page: Page, module: str, function: str, argument: Any = None) -> Any:
    """Run a function `(module, argument) => ...` of JavaScript on a module of the page; return its result."""
    source = f"async argument => ({function})(await import('/page/{module}'), argument)"
    return page.evaluate(source, argument)
