"""The inspector of the page in a real Chromium: its panel shows what each block saw, and costs nothing while it is off.

The tests continue from the one before.
"""

from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser

from infrope_env.control.frames import Frames
from infrope_env.recording.wrapper import RecordRollout
from infrope_env.remote.server import PlayServer
from tests.remote.browser import DESKTOP, PHONE, SMALL
from tests.remote.network import proxy_to
from tests.remote.page_player import Player, recorded_blocks
from tests.remote.players import fast_env
from tests.remote.served import serving
from tests.remote.strips import Facts, laid_out
from tests.tiny_world import tiny_world

LOSS = 12.0
"""Largest mean difference of squares of 8 pixels that the JPEG file of thumbnails makes."""
PANEL = """() => infrope.inspector.isOn && [infrope.shown.block.info, [...document.querySelectorAll(".cell")].map(
    cell => ({ ...cell.dataset, coordinate: cell.querySelector("code").textContent,
    percent: cell.querySelector("small").textContent, jump: cell.previousSibling?.textContent === "//",
    label: cell.getAttribute("aria-label"),
}))]"""
KEEP_PANELS = f"""() => {{
    let newest = infrope.shown.block.seq;
    globalThis.panels = [];
    globalThis.onFrame = ({{ block }}) => block.seq === newest || (newest = block.seq, panels.push(({PANEL})()));
}}"""
THUMBNAILS = """() => [infrope.shown.block.info, [...document.querySelectorAll(".cell")].map(cell => {
    const canvas = cell.querySelector("canvas");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let text = "";
    for (let i = 0; i < data.length; i += 8192) text += String.fromCharCode(...data.subarray(i, i + 8192));
    return [Number(cell.dataset.frame), canvas.height, canvas.width, btoa(text)];
})]"""

Panel = tuple[dict[str, Any], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, recordings: Path) -> Iterator[PlayServer]:
    """A server whose pixel frames have the shape of the bundled world's, and half their size."""
    weights = tiny_world(tmp_path_factory.mktemp("worlds"), latent_size=(6, 10))
    with serving(lambda: RecordRollout(fast_env(weights, fps=16), recordings, "lossless")) as server:
        yield server


@pytest.fixture(scope="module")
def url(server: PlayServer) -> str:
    return server.url


@pytest.fixture(scope="module")
def desktop(browser: Browser, url: str) -> Iterator[Player]:
    player = Player(browser.new_context(viewport=SMALL), url).play()
    yield player
    player.leave()


def is_measuring(server: PlayServer) -> bool:
    assert server.lobby is not None and server.lobby.rollouts["1"].env is not None
    env = server.lobby.rollouts["1"].env
    return env.unwrapped._rollout.context_hook is not None  # type: ignore[attr-defined]


def until_measured(player: Player) -> None:
    player.until("Number(document.querySelector('.cell')?.dataset.mass) > 0")


def facts(cells: list[dict[str, Any]]) -> list[Facts]:
    """Return what the panel says of each frame, without its mass."""
    return [
        (
            int(cell["frame"]),
            cell["kind"],
            int(cell["coordinate"]) if cell["coordinate"] else None,
            cell["jump"],
        )
        for cell in cells
    ]


def panels(player: Player) -> list[Panel]:
    """Return the panel of every block that was shown since `KEEP_PANELS`, as soon as the block was."""
    return [(info, cells) for info, cells in filter(None, player.page.evaluate("panels"))]


def test_nothing_is_measured_and_no_strip_is_sent_before_the_key(desktop: Player, server: PlayServer) -> None:
    assert not desktop.page.locator("#inspector").is_visible() and not is_measuring(server)
    assert desktop.page.evaluate("infrope.shown.block.strip") is None
    assert desktop.page.locator("#inspect").get_attribute("title") == "what the model sees (I)"


def test_the_cells_of_a_walk_a_switch_and_a_cut_are_the_layout_of_each(desktop: Player, server: PlayServer) -> None:
    page = desktop.page
    page.keyboard.press("i")
    until_measured(desktop)
    assert is_measuring(server) and page.locator("#inspect").get_attribute("aria-pressed") == "true"
    page.evaluate(KEEP_PANELS)
    page.keyboard.down("ArrowRight")
    desktop.until_shown(motion="walk_right", transition="continue")
    page.keyboard.up("ArrowRight")
    page.keyboard.press("Space")
    desktop.until_shown(motion="jump", transition="switch")
    page.keyboard.press("4")
    desktop.until_shown(scene="city", transition="cut")
    shown = panels(desktop)
    assert {info["transition"] for info, _ in shown} == {"continue", "switch", "cut"}
    for info, cells in shown:
        assert facts(cells) == laid_out(info)
    (cut,) = (cells for info, cells in shown if info["transition"] == "cut")
    assert [cell["coordinate"] for cell in cut] == ["0", "", "1", "45", "46", "47"]
    assert cut[1]["kind"] == "dropped" and cut[3]["jump"]


def test_bars_and_numbers_are_the_attention_mass(desktop: Player) -> None:
    for _, cells in panels(desktop)[-2:]:
        visible = [cell for cell in cells if cell["kind"] != "dropped"]
        masses = [float(cell["mass"]) for cell in visible]
        assert sum(masses) == pytest.approx(1, abs=1e-3)
        percents = [int(cell["percent"].removesuffix(" %")) for cell in visible]
        assert percents == pytest.approx([100 * mass for mass in masses], abs=0.51)
        assert all(cell["label"].endswith(f"attention mass {cell['percent']}") for cell in visible)
        assert [cell["percent"] for cell in cells if cell["kind"] == "dropped"] in ([], [""])
    ratio = """[...document.querySelectorAll(".cell:not([data-kind=dropped])")].map(cell => {
        const bar = cell.querySelector("i"), part = parseFloat(getComputedStyle(bar, "::before").height);
        return [Number(cell.dataset.mass), part / bar.clientHeight];
    })"""
    desktop.until(f"{ratio}.every(([mass, part]) => Math.abs(part - Math.min(1, 2 * mass)) < 0.05)")


def test_every_picture_is_that_of_its_frame(desktop: Player, recordings: Path) -> None:
    info, pictures = desktop.page.evaluate(THUMBNAILS)
    assert pictures[0][0] == 0  # the sink
    for frame, height, width, data in pictures:
        shown = np.frombuffer(b64decode(data), np.uint8).reshape(height, width, 4)[..., :3]
        expected = last_pixel_frame(recordings, info["seed"], frame)
        squares = [each.astype(float).reshape(6, 8, 10, 8, 3).mean((1, 3)) for each in (shown, expected)]
        assert np.abs(squares[0] - squares[1]).mean() < LOSS, frame


def last_pixel_frame(recordings: Path, seed: int, frame: int) -> Frames:
    """Return the last recorded pixel frame of a latent frame: block 0 has 1, 4 and 4 of them, others 4 each."""
    return recorded_blocks(recordings, seed)[frame // 3][4 * (frame % 3) - 9]


def test_a_pause_can_be_inspected(desktop: Player) -> None:
    page = desktop.page
    page.keyboard.press("i")
    desktop.until("infrope.shown.block.strip === null")
    first = desktop.info["block"]
    desktop.until("first => infrope.shown.block.info.block > first + 1", first)  # begun after it was off
    assert not page.locator("#inspector").is_visible()
    page.keyboard.press("p")
    desktop.until("infrope.state.paused")
    desktop.until("infrope.shown.index === infrope.shown.block.frames.length - 1")
    page.keyboard.press("i")
    desktop.until("document.querySelector('.cell')")
    info, cells = page.evaluate(PANEL)
    assert facts(cells) == laid_out(info) and {cell["mass"] for cell in cells} == {""}
    assert "not measured" in page.locator("#inspector-note").inner_text()
    page.keyboard.press("p")
    until_measured(desktop)
    assert page.locator("#inspector-note").inner_text() == ""


def test_restore_and_rewind_show_what_the_block_saw(desktop: Player) -> None:
    page = desktop.page
    page.keyboard.press("2")
    desktop.until_shown(scene="desert", transition="cut")
    page.keyboard.press("F5")
    desktop.until_said(r"Saved at block \d+\.")
    saved = desktop.page.evaluate("infrope.state.saved ?? -1")
    page.keyboard.press("1")
    desktop.until_shown(scene="meadow")
    page.evaluate(KEEP_PANELS)
    page.keyboard.press("F9")
    desktop.until_said(rf"Back at block {saved}\.")
    desktop.until("saved => panels.filter(Boolean).filter(([info]) => info.scene === 'desert').length >= 2", saved)
    page.keyboard.press("Backspace")
    desktop.until_said(r"Stepped back to block \d+\.")
    desktop.until("document.querySelector('.cell')")
    desktop.until("count => panels.length >= count", len(panels(desktop)) + 2)
    for info, cells in panels(desktop):
        assert facts(cells) == laid_out(info) and float(cells[0]["mass"]) > 0


def test_the_button_works_by_keyboard(desktop: Player) -> None:
    page = desktop.page
    page.focus("#inspect")
    page.keyboard.press("Enter")
    desktop.until("!document.querySelector('#inspector').offsetParent")
    page.keyboard.press("Enter")
    until_measured(desktop)
    assert page.evaluate("document.activeElement.id") == "inspect"
    page.evaluate("document.getElementById('screen').focus()")
    page.keyboard.press("?")
    assert "what the model sees" in page.locator("#bindings").inner_text()
    page.keyboard.press("Escape")


def test_the_panel_is_below_the_picture_and_the_prompt_line_in_sight(desktop: Player) -> None:
    desktop.page.set_viewport_size(DESKTOP)
    box = desktop.page.locator("#inspector").bounding_box()
    picture = desktop.page.locator("#picture").bounding_box()
    assert box is not None and picture is not None
    assert box["y"] >= picture["y"] + picture["height"] and box["x"] == pytest.approx(picture["x"], abs=1)
    assert desktop.page.locator("#prompt-text").bounding_box()["y"] < DESKTOP["height"] - 60  # type: ignore[index]
    overflowing = (
        "[...document.querySelectorAll('#cells, .inspector')].some(each => each.scrollWidth > each.clientWidth)"
    )
    assert not desktop.page.evaluate(overflowing)
    desktop.page.set_viewport_size(SMALL)


def test_a_viewer_opens_it_and_the_player_gets_nothing_for_that(
    browser: Browser, desktop: Player, server: PlayServer
) -> None:
    desktop.page.keyboard.press("i")
    desktop.until("infrope.shown.block.strip === null")
    link = server.url.partition("/?")[0] + desktop.page.evaluate("infrope.welcome.viewer_path")
    viewer = Player(browser.new_context(viewport=SMALL), link)
    viewer.until("globalThis.infrope?.shown")
    viewer.page.keyboard.press("i")
    until_measured(viewer)
    info, cells = viewer.page.evaluate(PANEL)
    assert facts(cells) == laid_out(info) and is_measuring(server)
    assert viewer.page.evaluate(THUMBNAILS)[1][0][0] == 0
    assert desktop.page.evaluate("infrope.shown.block.strip") is None
    viewer.leave()
    first = desktop.info["block"]
    desktop.until("first => infrope.shown.block.info.block > first + 2", first)
    assert not is_measuring(server)


def test_the_page_loads_nothing_from_elsewhere(desktop: Player, url: str) -> None:
    own = url.split("/?")[0]
    assert [each for each in desktop.requests if not each.startswith((own, "blob:", own.replace("http", "ws")))] == []


def test_a_phone_shows_it_between_picture_and_buttons_also_after_a_lost_connection(
    browser: Browser, server: PlayServer
) -> None:
    port = int(server.url.partition("/?")[0].rsplit(":", 1)[1])
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True, device_scale_factor=2)
    with proxy_to(port) as network:
        phone = Player(context, server.url.replace(f":{port}/", f":{network.port}/")).play()
        phone.page.locator("#inspect").tap()
        until_measured(phone)
        phone.page.locator("[data-action=cut_beach]").tap()
        phone.until_shown(scene="beach", transition="cut")
        assert phone.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert phone.page.evaluate("document.querySelector('.tools').getBoundingClientRect().bottom") <= PHONE["height"]
        assert phone.page.evaluate("document.querySelector('#cells').scrollWidth") <= PHONE["width"]
        assert phone.page.locator("#inspect").bounding_box()["width"] >= 44  # type: ignore[index]
        network.cut()
        phone.until("infrope.welcome.resumed && infrope.mayPlay")
        before = phone.info["block"]
        phone.until("before => infrope.shown.block.info.block > before + 2", before)
        until_measured(phone)
        phone.leave()
