"""The page in a real Chromium, played with keys, mouse and fingers against a real server of the bundled world.

The tests continue from the one before. With INFROPE_SCREENSHOTS, they keep their screenshots in that folder.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from playwright.sync_api import Browser

from tests.remote.browser import DESKTOP, SMALL
from tests.remote.page_player import LOSS, Player, differences


@pytest.fixture(scope="module")
def desktop(browser: Browser, url: str) -> Iterator[Player]:
    player = Player(browser.new_context(viewport=DESKTOP, accept_downloads=True), url).play()
    yield player
    player.leave()


def test_keys_walk_jump_and_cut_and_every_press_has_a_receipt(desktop: Player) -> None:
    page = desktop.page
    desktop.keep_frames()
    page.keyboard.down("ArrowRight")
    assert desktop.until_shown(motion="walk_right")["prompt"] == "an orange fox walks to the right in a snowy field"
    assert page.locator("[data-action=walk_right]").get_attribute("class") == "key down"
    page.keyboard.up("ArrowRight")
    page.keyboard.press("Space")
    jump = desktop.until_answered("jump")
    assert jump["latencyMs"] > 0 and jump["label"] == "Space"
    page.keyboard.press("4")
    assert desktop.until_shown(scene="city")["transition"] == "cut"
    receipt = r"/cut to city\s*block \d+\s+\d+ ms/"
    desktop.until(f"[...document.querySelectorAll('#receipts li')].some(each => {receipt}.test(each.innerText))")
    desktop.keep("browser.png")
    assert page.evaluate("document.getElementById('transition').textContent === infrope.shown.block.info.transition")
    assert page.locator(".scene[aria-current]").inner_text().lower().startswith("city")


def test_the_canvas_shows_the_recorded_blocks(desktop: Player, recordings: Path) -> None:
    assert desktop.page.evaluate("infrope.welcome.encoding") == "h264"
    assert max(differences(desktop.frames(10), recordings)) < LOSS


def test_a_prompt_is_refused_with_its_letters_and_then_taken_with_others(desktop: Player) -> None:
    page = desktop.page
    page.keyboard.press("t")
    page.keyboard.type("a blue pengüin in a Höhle")
    page.keyboard.press("Enter")
    refusal = desktop.until("document.querySelector('.hint.refused')?.textContent")
    assert "pengüin" in refusal and "höhle" in refusal.lower()
    desktop.until("document.activeElement.id === 'prompt-text'")
    page.fill("#prompt-text", "a blue ｐｅｎｇｕｉｎ waves hello — in a dark cave…")
    page.keyboard.press("Shift+Enter")
    info = desktop.until_shown(prompt="a blue ｐｅｎｇｕｉｎ waves hello — in a dark cave…")
    assert (info["scene"], info["free_prompt"]) == ("cave", True)
    desktop.until("document.activeElement.id === 'screen'")
    page.keyboard.press("t")
    page.keyboard.press("ArrowUp")
    assert page.input_value("#prompt-text") == "a blue ｐｅｎｇｕｉｎ waves hello — in a dark cave…"
    page.fill("#prompt-text", "")
    page.keyboard.press("Escape")


def test_save_and_restore(desktop: Player) -> None:
    desktop.page.keyboard.press("F5")
    saved = int(re.findall(r"\d+", desktop.until_said(r"Saved at block \d+\."))[0])
    desktop.page.keyboard.press("1")
    desktop.until_shown(scene="meadow")
    desktop.page.keyboard.press("F9")
    desktop.until_said(rf"Back at block {saved}\.")
    assert desktop.until_shown(scene="cave")["block"] >= saved


def test_pause_and_step(desktop: Player) -> None:
    page = desktop.page
    page.keyboard.press("p")
    desktop.until("infrope.state.paused")
    assert page.locator("#link-text").inner_text() == "paused"
    for step in (lambda: page.click("#step"), lambda: page.keyboard.press("n")):
        first = desktop.info["block"]
        step()
        desktop.until("first => infrope.shown.block.info.block > first", first)
    page.click("#pause")
    desktop.until("!infrope.state.paused")


def test_backspace_steps_back(desktop: Player) -> None:
    before = desktop.info["block"]
    desktop.page.keyboard.press("Backspace")
    stepped = int(re.findall(r"\d+", desktop.until_said(r"Stepped back to block \d+\."))[0])
    assert before - 1 <= stepped <= before + 1
    desktop.until_shown(block=stepped)


def test_the_last_seconds_are_a_video(desktop: Player, tmp_path: Path) -> None:
    for button, least in (("#clip", 60), ("#recording", 12)):  # the recording began with the restored state
        with desktop.page.expect_download() as download:
            desktop.page.click(button)
        download.value.save_as(tmp_path / "clip.mp4")
        with av.open(tmp_path / "clip.mp4") as video:
            assert sum(1 for _ in video.decode(video=0)) >= least, button


def test_a_dropped_picture_begins_a_world(desktop: Player) -> None:
    desktop.page.keyboard.press("5")
    desktop.until_shown(scene="beach")
    picture = desktop.page.evaluate_handle(
        """async () => {
            const canvas = document.getElementById("picture");
            const blob = await new Promise(done => canvas.toBlob(done, "image/png"));
            globalThis.dropped = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            const transfer = new DataTransfer();
            transfer.items.add(new File([blob], "beach.png", { type: "image/png" }));
            return transfer;
        }"""
    )
    desktop.page.evaluate(
        """() => {
            globalThis.onFrame = ({ block }) => {
                if (block.info.transition !== "start" || globalThis.difference !== undefined) return;
                const canvas = document.getElementById("picture");
                const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
                const sum = data.reduce((sum, value, i) => sum + Math.abs(value - dropped[i]), 0);
                globalThis.difference = sum / data.length;
            };
        }"""
    )
    desktop.page.dispatch_event("body", "drop", {"dataTransfer": picture})
    desktop.until_said("from your picture")
    assert 0 < desktop.until("globalThis.difference") < 25


def test_tab_reaches_every_button_and_the_focus_is_visible(desktop: Player) -> None:
    page = desktop.page
    page.evaluate("document.getElementById('screen').focus()")
    reached = set()
    for _ in range(45):
        page.keyboard.press("Tab")
        focus = page.evaluate(
            """() => {
                const element = document.activeElement, style = getComputedStyle(element);
                return [element.id || element.dataset.action || "", style.outlineStyle, parseFloat(style.outlineWidth)];
            }"""
        )
        if focus[0]:
            reached.add(focus[0])
            assert focus[1] == "solid" and focus[2] >= 2, focus
    assert {
        "prompt-text",
        "switch",
        "cut",
        "pause",
        "save",
        "world",
        "clip",
        "share",
        "walk_left",
        "cut_cave",
    } <= reached
    page.focus("[data-action=wave]")
    page.keyboard.press("Enter")
    desktop.until_answered("wave")
    page.evaluate("document.getElementById('screen').focus()")


def test_a_viewer_watches_and_cannot_play(browser: Browser, desktop: Player) -> None:
    desktop.page.click("#share")
    link = desktop.page.input_value("#viewer-link")
    desktop.page.keyboard.press("Escape")
    desktop.until("document.activeElement.id === 'screen'")
    viewer = Player(browser.new_context(viewport=SMALL), link)
    viewer.until("globalThis.infrope?.shown")
    assert viewer.page.locator("#link-text").inner_text() == "watching"
    assert not viewer.page.locator("#pause").is_visible() and not viewer.page.locator("#prompt-text").is_visible()
    desktop.until("infrope.state.viewers === 1")
    viewer.page.keyboard.press("ArrowLeft")
    desktop.page.keyboard.press("2")
    viewer.until_shown(scene="desert")
    assert desktop.info["motion"] != "walk_left"
    viewer.leave()


def test_the_page_loads_nothing_from_elsewhere(desktop: Player, url: str) -> None:
    own = url.split("/?")[0]
    assert len(desktop.requests) > 10
    assert [each for each in desktop.requests if not each.startswith((own, "blob:", own.replace("http", "ws")))] == []
