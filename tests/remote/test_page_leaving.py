"""A page in a real Chromium that goes or is loaded again, and a prompt that is taken back with Esc."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from infrope_env.remote.lobby import Capacity
from tests.remote.browser import SMALL
from tests.remote.page_player import Player
from tests.remote.players import PATIENCE_S, SlowReader, fast_env
from tests.remote.served import serving

PROMPT = "a green frog waves hello in a dark cave"


def open_page(browser: Browser, url: str) -> Player:
    return Player(browser.new_context(viewport=SMALL), url)


@pytest.mark.parametrize("goes", ["closed", "elsewhere"])
def test_a_page_that_goes_leaves_its_seat_to_the_player_who_waits(
    browser: Browser, tiny_weights: Path, goes: str
) -> None:
    capacity = Capacity(players=1, resume_s=600.0, reload_s=0.5)
    with serving(lambda: fast_env(tiny_weights, 16), capacity=capacity) as server:
        first = open_page(browser, server.url).play()
        second = open_page(browser, server.url)
        second.until("globalThis.infrope?.seat?.seat === 'queued'")
        if goes == "closed":
            first.close()
        else:
            first.page.goto("about:blank")
        second.until_said("It is your turn")
        second.until("infrope.mayPlay && infrope.shown.block.info.motion")
        second.leave()


def test_a_page_that_is_loaded_again_finds_its_rollout_though_another_player_waits(
    browser: Browser, tiny_weights: Path
) -> None:
    capacity = Capacity(players=1, resume_s=600.0, reload_s=600.0)
    with serving(lambda: fast_env(tiny_weights, 16), capacity=capacity) as server:
        first = open_page(browser, server.url).play()
        session, seed = first.page.evaluate("[infrope.welcome.session, infrope.shown.block.info.seed]")
        second = open_page(browser, server.url)
        second.until("globalThis.infrope?.seat?.seat === 'queued'")
        first.page.reload()
        first.play()
        assert first.page.evaluate("[infrope.welcome.session, infrope.welcome.resumed]") == [session, True]
        assert first.info["seed"] == seed
        assert second.page.evaluate("infrope.seat.seat") == "queued"
        for player in (first, second):
            player.leave()


def test_escape_takes_back_a_prompt_that_the_server_is_reading(browser: Browser, tiny_weights: Path) -> None:
    reader = SlowReader(tiny_weights, 16)
    with serving(reader) as server:
        player = open_page(browser, server.url).play()
        page = player.page
        page.keyboard.press("t")
        page.keyboard.type(PROMPT)
        page.keyboard.press("Shift+Enter")
        player.until("document.getElementById('prompt-hint').textContent.includes('Esc takes it back')")
        assert reader.reading.wait(PATIENCE_S)
        page.keyboard.press("Escape")
        player.until("document.activeElement.id === 'screen'")
        assert not page.evaluate("document.getElementById('prompt-hint').textContent.includes('Esc takes it back')")
        player.page.evaluate("infrope.connection.ask({ type: 'pause', paused: false })")  # what came before is executed
        reader.go_on.set()
        before = player.info["block"]
        player.until("before => infrope.shown.block.info.block > before + 2", before)
        assert PROMPT not in page.evaluate("blocksShown.map(each => each.info.prompt)")
        page.keyboard.press("t")
        page.keyboard.press("Enter")  # the text is still there
        player.until_shown(prompt=PROMPT)
        player.leave()
