"""Modules of the page by themselves, in a real Chromium."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page

from infrope_env.player.playback import BlockFrames
from infrope_env.remote.client_messages import Reset
from infrope_env.remote.jitter import JitterBuffer
from infrope_env.remote.protocol import decode_from_client
from tests.remote.browser import FOLDER, call, chromium, open_modules

FRAME_MS = 62.5


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with chromium() as browser:
        yield open_modules(browser)


def arrivals(seed: int, blocks: int = 60) -> list[dict[str, Any]]:
    """Blocks with the times of their arrival, in milliseconds: jitter, a stall, a reset, and a pause."""
    rng = np.random.default_rng(seed)
    times = 750 * np.arange(blocks) + rng.exponential(30, blocks)
    times[20:23] = times[23]  # a stall
    times[40:] += 3000  # a pause
    facts = zip(range(blocks), np.maximum.accumulate(times).tolist(), strict=True)
    return [
        {"number": i, "at": at, "immediate": i == 30, "gap": i == 40, "frames": 9 if i == 30 else 12} for i, at in facts
    ]


def frames_shown_here(blocks: list[dict[str, Any]], looks_ms: list[float]) -> list[list[int]]:
    buffer, waiting, shown = JitterBuffer(), list(blocks), []
    for now in looks_ms:
        while waiting and waiting[0]["at"] <= now:
            block = waiting.pop(0)
            if block["gap"]:
                buffer.gap()
            frames = np.zeros((block["frames"], 1, 1, 3), np.uint8)
            arrived = BlockFrames(frames, {"block": block["number"]}, block["immediate"])
            buffer.add(arrived, FRAME_MS / 1000, block["at"] / 1000)
        frame = buffer.frame_at(now / 1000)
        if frame is not None:
            shown.append([frame.block.info["block"], frame.index])
    return shown


FRAMES_SHOWN_THERE = """({ Playback }, { blocks, looks, frameMs }) => {
    const playback = new Playback();
    const shown = [];
    for (const now of looks) {
        while (blocks.length && blocks[0].at <= now) {
            const { at, frames, gap, ...block } = blocks.shift();
            if (gap) playback.gap();
            playback.add({ ...block, frames: Array(frames).fill(0), frameMs }, at);
        }
        const frame = playback.frameAt(now);
        if (frame) shown.push([frame.block.number, frame.index]);
    }
    return shown;
}"""


@pytest.mark.parametrize("seed", range(3))
def test_page_and_window_show_the_same_frames_at_the_same_times(page: Page, seed: int) -> None:
    blocks, looks = arrivals(seed), (np.arange(0.3, 50_000, 16)).tolist()
    here = frames_shown_here(blocks, looks)
    there = call(page, "playback.js", FRAMES_SHOWN_THERE, {"blocks": blocks, "looks": looks, "frameMs": FRAME_MS})
    assert here[-1] == [59, 11] and there == here


NAMES = """({ KeyReader }, [bound, keys]) => keys.map(([key, code]) => new KeyReader(bound).name({ key, code }))"""


@pytest.mark.parametrize(
    ("key", "code", "name"),
    [
        ("d", "KeyD", "d"),
        ("D", "KeyD", "d"),  # with Shift or caps lock
        ("ArrowRight", "ArrowRight", "right"),
        (" ", "Space", "space"),
        ("Enter", "NumpadEnter", "return"),
        ("F5", "F5", "f5"),
        ("в", "KeyD", "d"),  # a Russian layout
        ("&", "Digit1", "1"),  # a French layout, without Shift
        (":", "Period", "."),  # the same
        ("q", "KeyA", "q"),  # the same: its "a" is elsewhere
        ("a", "KeyQ", "a"),
        ("4", "Numpad4", "4"),
        ("ArrowLeft", "Numpad4", "left"),  # without NumLock
    ],
)
def test_keys_have_the_names_of_action_sets_in_every_layout(page: Page, key: str, code: str, name: str) -> None:
    bound = ["a", "d", "left", "right", "space", "return", "f5", "1", "4", "."]
    assert call(page, "keys.js", NAMES, [bound, [[key, code]]]) == [name]


def test_a_key_goes_up_with_the_name_with_which_it_went_down(page: Page) -> None:
    names = call(
        page,
        "keys.js",
        """({ KeyReader }) => {
            const reader = new KeyReader(["d", "right"]);
            reader.press({ key: "d", code: "KeyD" });
            const other = reader.release({ key: "x", code: "KeyX" });
            return [other, reader.release({ key: "в", code: "KeyD" }), reader.release({ key: "d", code: "KeyD" })];
        }""",
    )
    assert names == [None, "d", None]


def test_messages_have_the_bytes_of_the_protocol(page: Page) -> None:
    sent = call(
        page,
        "wire.js",
        """({ encode }) => {
            const header = { type: "reset", id: 7, options: { prompt: "é" } };
            return [...encode(header, new Uint8Array([1, 2]).buffer)];
        }""",
    )
    assert decode_from_client(bytes(sent)) == (Reset(id=7, options={"prompt": "é"}), b"\x01\x02")


def test_the_page_asks_no_other_server_for_anything() -> None:
    for path in FOLDER.iterdir():
        text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text and "https:" not in text.replace('"https:"', "") and "//cdn" not in text, path


def test_receipts_measure_from_the_key_to_the_pixel(page: Page) -> None:
    visible = call(
        page,
        "receipts.js",
        """({ Receipts }) => {
            const receipts = new Receipts();
            receipts.press(3, "→", "walk right", 100);
            receipts.press(4, "E", "wave", 150);
            const block = { seq: 8, info: { block: 5 }, answers: [{ seq: 3, action: 2, name: "walk_right" }] };
            receipts.answer(block);
            const latencies = receipts.shown(block, 400);
            return [latencies, receipts.visible(500).map(each => [each.name, each.block, each.latencyMs]),
                    receipts.visible(20000).length, receipts.medianMs];
        }""",
    )
    assert visible == [[300], [["walk right", 5, 300], ["wave", None, None]], 0, 300]


CLOSED_PICTURE = """async ({ Inspector, readStrip }, cells) => {
    const ids = ["inspector", "inspect", "inspected", "inspected-transition", "inspected-ideas", "inspector-note"];
    document.body.innerHTML = [...ids, "cells"].map(id => `<div id="${id}"></div>`).join("");
    const jpeg = await new OffscreenCanvas(48, 8).getContext("2d").canvas.convertToBlob({ type: "image/jpeg" });
    const strip = await readStrip({ cells, thumbnails: cells.map(({ frame }) => frame) }, jpeg);
    const inspector = new Inspector(async () => {});
    inspector.toggle();
    inspector.show({ seq: 7, info: { block: 4, transition: "cut" }, strip });
    const sizes = () => [...document.querySelectorAll("canvas")].map(({ width }) => width);
    const open = sizes();
    strip.sheet.close(); // as when the next block is about to be shown
    inspector.toggle();
    inspector.toggle();
    return [open, sizes(), [...document.querySelectorAll(".cell")].map(cell => cell.getAttribute("aria-label"))];
}"""


def test_the_inspector_draws_a_block_whose_pictures_are_closed_without_them(page: Page) -> None:
    cells = [
        {"frame": 0, "kind": "sink", "coordinate": 0, "mass": 0.25, "jump": False},
        {"frame": 11, "kind": "dropped", "coordinate": None, "mass": None, "jump": False},
        {"frame": 12, "kind": "block", "coordinate": 45, "mass": 0.75, "jump": True},
    ]
    open_widths, closed_widths, labels = call(page, "inspector.js", CLOSED_PICTURE, cells)
    assert (open_widths, closed_widths) == ([16, 16, 16], [160, 160, 160])
    assert labels == [
        "frame 0, sink, coordinate 0, attention mass 25 %",
        "frame 11, dropped",
        "frame 12, block, coordinate 45, attention mass 75 %",
    ]
