"""A page of the server in a browser, and the frames that it shows."""

import os
import time
from base64 import b64decode
from pathlib import Path
from typing import Any

import av
import gymnasium
import numpy as np
from playwright.sync_api import BrowserContext

from infrope_env.control.frames import Frames
from infrope_env.recording.reader import Recording
from infrope_env.recording.wrapper import RecordRollout

PATIENCE_MS = 120_000
LOSS = 8.0
"""Largest mean difference of a pixel value that the codec of the network makes."""
LOG = """
    // Keeps what is on show for moments only: infos of blocks, and messages; then calls onFrame, where there is one.
    let session;
    Object.assign(globalThis, { blocksShown: [], said: [] });
    Object.defineProperty(globalThis, "infrope", {
        get: () => session,
        set(value) {
            session = value;
            session.onFrame = frame => {
                if (blocksShown.at(-1)?.seq !== frame.block.seq) {
                    blocksShown.push({ seq: frame.block.seq, info: frame.block.info });
                }
                globalThis.onFrame?.(frame);
            };
        },
    });
    const keepMessages = records => records.flatMap(record => [...record.addedNodes])
        .forEach(node => node.className?.startsWith?.("toast") && said.push(node.textContent));
    new MutationObserver(keepMessages).observe(document, { childList: true, subtree: true });
"""
KEEP_FRAMES = """() => {
    globalThis.seen = [];
    globalThis.onFrame = ({ block, index }) => {
        if (index % 4 || seen.length > 40) return;
        const canvas = document.getElementById("picture");
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        seen.push([block.info, index, [canvas.height, canvas.width], data.slice()]);
    };
}"""
TAKE_FRAMES = """() => globalThis.seen.splice(0).map(([info, index, shape, data]) => {
    let text = "";
    for (let i = 0; i < data.length; i += 8192) text += String.fromCharCode(...data.subarray(i, i + 8192));
    return [info, index, shape, btoa(text)];
})"""


class Player:
    """A page on the server, and what it shows."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.errors: list[str] = []
        self._shown = 0  # index of the block that `until_shown` found last
        self.page = context.new_page()
        self.page.add_init_script(LOG)
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.requests: list[str] = []
        self.page.goto(url)

    def until(self, condition: str, argument: Any = None) -> Any:
        """Wait until an expression or function of JavaScript is true; return its value.

        Playwright's own way evaluates a text in the page, which the page's security policy forbids.
        """
        end = time.monotonic() + PATIENCE_MS / 1000
        while not (value := self.page.evaluate(condition, argument)):
            assert time.monotonic() < end, f"waited for {condition}: {self.errors} {self.page.inner_text('body')}"
            self.page.wait_for_timeout(100)
        return value

    def play(self) -> "Player":
        """Wait until the first block of a page that has just been loaded is on show."""
        self._shown = 0
        self.until("globalThis.infrope?.shown && infrope.mayPlay")
        return self

    @property
    def info(self) -> dict[str, Any]:
        return self.page.evaluate("infrope.shown.block.info")

    def until_shown(self, **facts: Any) -> dict[str, Any]:
        """Wait for a block with these facts, at or after the one found last; return its info."""
        script = """([facts, first]) => {
            const fits = ({ info }) => Object.entries(facts).every(([name, value]) => info[name] === value);
            const index = blocksShown.findIndex((block, index) => index >= first && fits(block));
            return index >= 0 && [index, blocksShown[index].info];
        }"""
        self._shown, info = self.until(script, [facts, self._shown])
        return info

    def until_answered(self, name: str) -> dict[str, Any]:
        """Wait for the newest receipt of an action with its time to the pixel."""
        never_fades = 0
        script = """([name, now]) => infrope.receipts.visible(now)
            .findLast(each => each.name === name && each.latencyMs !== null)"""
        return self.until(script, [name, never_fades])

    def until_said(self, sentence: str) -> str:
        """Wait for a message that matches a regular expression."""
        return self.until("sentence => said.findLast(text => new RegExp(sentence).test(text))", sentence)

    def frames(self, least: int) -> list[tuple[dict[str, Any], int, Frames]]:
        """Wait for frames on the canvas since `keep_frames`; return info, index and pixels of each."""
        self.until(f"seen.length >= {least}")
        seen = self.page.evaluate(TAKE_FRAMES)
        decoded = [np.frombuffer(b64decode(pixels), np.uint8).reshape(*shape, 4) for *_, shape, pixels in seen]
        return [(info, index, pixels[..., :3]) for (info, index, *_), pixels in zip(seen, decoded, strict=True)]

    def keep_frames(self) -> None:
        """Begin to copy what the canvas shows, every fourth frame."""
        self.page.evaluate(KEEP_FRAMES)

    def close(self) -> None:
        """Close the page as a user closes a tab."""
        self.page.close(run_before_unload=True)

    def leave(self) -> None:
        """Free the seat at once and close the page; nothing in it may have failed."""
        self.page.evaluate("infrope.connection.send({ type: 'leave' })")
        self.page.close()
        assert self.errors == [], self.errors

    def keep(self, name: str) -> None:
        """Keep a screenshot where the user asked for them."""
        if folder := os.environ.get("INFROPE_SCREENSHOTS"):
            self.page.screenshot(path=Path(folder) / name)


def recorded_world(folder: Path) -> gymnasium.Env[Any, Any]:
    """Return an environment of the bundled world that records every rollout without loss."""
    env = gymnasium.make("infrope/PocketWorld-v0", device="cpu", disable_env_checker=True)
    return RecordRollout(env, folder, "lossless")


def differences(frames: list[tuple[dict[str, Any], int, Frames]], recordings: Path) -> list[float]:
    """Return the mean difference of each frame's pixel values from the recorded frame; the episodes are unbroken."""
    seeds = {info["seed"] for info, _, _ in frames}
    recorded = {seed: recorded_blocks(recordings, seed) for seed in seeds}
    pairs = [(pixels, recorded[info["seed"]][info["block"]][index]) for info, index, pixels in frames]
    return [float(np.abs(shown.astype(int) - true).mean()) for shown, true in pairs]


def recorded_blocks(recordings: Path, seed: int) -> dict[int, Frames]:
    """Return the recorded frames of every block of the rollout with a seed, by the index of the block."""
    episodes = [Recording.read(folder) for folder in sorted(recordings.glob("episode_*"))]
    (recording,) = (each for each in episodes if each.meta.seed == seed and each.meta.first_block == 0)
    with av.open(recording.folder / "video.mp4") as video:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)])
    places = zip(recording.blocks, recording.lines, strict=True)
    return {record.block: frames[line.first_frame : line.end_frame] for record, line in places}
