"""The page in a real Chromium on other devices, over a connection that breaks, and where the server refuses it.

With INFROPE_SCREENSHOTS, screenshots are kept in that folder.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.remote.browser import FOLDER, PHONE, SMALL
from tests.remote.network import proxy_to
from tests.remote.page_player import LOSS, Player, differences

SOON_MS = 5500
"""Sooner than a silent server is noticed."""


@pytest.fixture
def open_on(url: str) -> Iterator[Callable[..., Player]]:
    """Opens the page with a browser's settings, waits until it plays, and leaves after the test."""
    players: list[Player] = []

    def open_page(context: BrowserContext, address: str = url) -> Player:
        players.append(Player(context, address))
        return players[-1].play()

    yield open_page
    for player in players:
        player.leave()


def test_a_phone_plays_with_fingers(browser: Browser, open_on: Callable[..., Player]) -> None:
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True, device_scale_factor=2)
    phone = open_on(context)
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert phone.page.evaluate("document.querySelector('.tools').getBoundingClientRect().bottom") <= PHONE["height"]
    phone.page.locator("[data-action=cut_beach]").tap()
    phone.until_shown(scene="beach")
    phone.page.locator("[data-action=walk_right]").tap()
    assert phone.until_answered("walk right")["latencyMs"] > 0
    small = phone.page.evaluate(
        """[...document.querySelectorAll("button")]
            .filter(each => each.offsetParent && !each.closest("dialog, .presets"))
            .map(each => [each.id || each.dataset.action, Math.min(each.offsetWidth, each.offsetHeight)])
            .filter(([, size]) => size < 44)"""
    )
    assert small == []
    phone.keep("browser_phone.png")


def test_a_browser_without_webcodecs_gets_jpeg(
    browser: Browser, open_on: Callable[..., Player], recordings: Path
) -> None:
    context = browser.new_context(viewport=SMALL)
    context.add_init_script("delete globalThis.VideoDecoder")  # as on a page without https
    player = open_on(context)
    assert player.page.evaluate("infrope.welcome.encoding") == "jpeg"
    player.keep_frames()
    assert max(differences(player.frames(6), recordings)) < LOSS


def test_a_cut_connection_shows_at_once_and_comes_back_without_a_stuck_key(
    browser: Browser, open_on: Callable[..., Player], url: str
) -> None:
    port = int(re.findall(r":(\d+)/", url)[0])
    with proxy_to(port) as network:
        player = open_on(browser.new_context(viewport=SMALL), url.replace(f":{port}/", f":{network.port}/"))
        session = player.page.evaluate("infrope.welcome.session")
        player.page.keyboard.down("ArrowLeft")
        player.until_shown(motion="walk_left")
        for _ in range(2):
            network.is_open = False
            network.cut()
            player.page.wait_for_selector("[data-phase=lost] #curtain", timeout=SOON_MS)
            assert player.page.locator("#curtain-title").inner_text() == "Connection lost"
            network.is_open = True
            player.until("infrope.mayPlay")
            before = player.info["block"]
            player.until("before => infrope.shown.block.info.block > before + 1", before)
            player.until("infrope.shown.block.info.motion === 'walk_left'")  # the key is still down
        assert player.page.evaluate("[infrope.welcome.session, infrope.welcome.resumed]") == [session, True]
        player.page.keyboard.up("ArrowLeft")
        player.until_shown(motion="stand")
        player.page.reload()
        player.play()
        assert player.page.evaluate("[infrope.welcome.session, infrope.welcome.resumed]") == [session, True]


def test_a_page_of_another_version_says_so(browser: Browser, url: str) -> None:
    context = browser.new_context()
    old = (FOLDER / "wire.js").read_text("utf-8").replace("VERSION = 1;", "VERSION = 0;")
    context.route("**/page/wire.js", lambda route: route.fulfill(body=old, content_type="text/javascript"))
    player = Player(context, url)
    player.page.wait_for_selector("[data-phase=refused]")
    assert "version 0" in player.page.locator("#curtain-text").inner_text()
    assert player.page.locator("#retry").is_visible()


def test_a_wrong_token_is_explained_on_the_page(browser: Browser, url: str) -> None:
    context = browser.new_context()
    page = (FOLDER / "index.html").read_text("utf-8")
    context.route("**/?token=*", lambda route: route.fulfill(body=page, content_type="text/html"))
    player = Player(context, re.sub("token=.*", "token=wrong", url))
    player.page.wait_for_selector("[data-phase=refused]")
    assert "token" in player.page.locator("#curtain-text").inner_text().lower()
