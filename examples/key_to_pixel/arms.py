"""The two places to play: the local window under Xvfb, and the page of a server in headless Chromium.

Both get real key events. A press is timed by the client itself, as it tells its player: from the key event to the
first pixel frame of the block that answers it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from infrope_env.player.latency import WARM_UP_BLOCKS

PATIENCE_S = 120.0
"""Seconds for a start or a pause."""
UNANSWERED_S = 10.0
"""Seconds after which a press has no answer."""
HELD_S = 0.06
SCREEN = (1280, 800)
KEYS = {"Right": "ArrowRight", "Left": "ArrowLeft", "space": " ", "Down": "ArrowDown", "e": "e"}
"""Keys of the pocket world's motions as X names them, and as browsers do."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--mute-audio"]


class Arm(Protocol):
    """A place to play."""

    def pause(self, paused: bool) -> None:
        """Pause or continue; returns when that is in force."""

    def press(self, key: str) -> float | None:
        """Press a key, by its X name; return the milliseconds to its pixel, or None without an answer."""


def require_tools() -> None:
    """Raise RuntimeError, with what to install, where something is missing."""
    missing = [tool for tool in ("Xvfb", "xdotool") if shutil.which(tool) is None]
    if missing or not any(map(shutil.which, BROWSERS)):
        raise RuntimeError("this measurement needs Xvfb, xdotool and Chromium: apt install xvfb xdotool chromium")
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError as error:
        raise RuntimeError("this measurement needs Playwright: pip install playwright") from error


def wait_until(reached: Callable[[], Any], what: str, seconds: float = PATIENCE_S, poll_s: float = 0.02) -> Any:
    """Return the first true value of a function; RuntimeError when there is none in time."""
    end_s = time.monotonic() + seconds
    while not (value := reached()):
        if time.monotonic() > end_s:
            raise RuntimeError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(poll_s)
    return value


@contextmanager
def running(*command: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a process until the block ends."""
    process = subprocess.Popen(command, text=True, **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def x_display() -> Iterator[str]:
    """Run an X server; yield the name of its display."""
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{SCREEN[0]}x{SCREEN[1]}x24", "-nolisten", "tcp"]
    with running(*command, pass_fds=[write], stderr=subprocess.DEVNULL), os.fdopen(read) as pipe:
        os.close(write)
        if not (number := pipe.readline().strip()):
            raise RuntimeError("Xvfb did not start")
        yield f":{number}"


class LocalWindow:
    """The local window, with keys of the X server."""

    def __init__(self, process: subprocess.Popen[str], display: str) -> None:
        self._process, self._environment = process, {**os.environ, "DISPLAY": display}
        self._paused: bool | None = None
        self._latencies_ms: list[float] = []
        threading.Thread(target=self._read, daemon=True).start()
        self._until(lambda: self._paused is False, "the first blocks of the window")
        windows = wait_until(lambda: self._xdotool("search", "--onlyvisible", "--class", "."), "the window")
        self._xdotool("windowfocus", "--sync", windows.split()[0])

    def pause(self, paused: bool) -> None:
        """Pause or continue with the key P."""
        if self._paused is not paused:
            self._xdotool("key", "p")
            self._until(lambda: self._paused is paused, "a pause of the window, or its end")

    def press(self, key: str) -> float | None:
        """Press a key."""
        answered = len(self._latencies_ms)
        self._xdotool("keydown", key, "sleep", str(HELD_S), "keyup", key)
        end_s = time.monotonic() + UNANSWERED_S
        self._until(lambda: len(self._latencies_ms) > answered or time.monotonic() > end_s, "a block")
        return self._latencies_ms[-1] if len(self._latencies_ms) > answered else None

    def _until(self, reached: Callable[[], Any], what: str) -> None:
        def is_reached() -> bool:
            if self._process.poll() is not None:
                raise RuntimeError("the local window has ended; its messages are above")
            return bool(reached())

        wait_until(is_reached, what)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                said = json.loads(line)
                self._paused = said.get("paused", self._paused)
                self._latencies_ms += [said["latency_ms"]] if "latency_ms" in said else []

    def _xdotool(self, *arguments: str) -> str:
        """Run xdotool; return what it prints, nothing if it fails."""
        done = subprocess.run(["xdotool", *arguments], env=self._environment, capture_output=True, text=True)
        return done.stdout


@contextmanager
def local_window(weights: str) -> Iterator[LocalWindow]:
    """Play in a window of this machine."""
    with x_display() as display:
        environment = {**os.environ, "DISPLAY": display, "SDL_VIDEODRIVER": "x11"}
        command = (sys.executable, "-m", "examples.key_to_pixel.window", weights)
        with running(*command, env=environment, stdout=subprocess.PIPE) as process:
            yield LocalWindow(process, display)


class BrowserPage:
    """The page of a server in a browser."""

    def __init__(self, page: Any) -> None:
        self._page = page
        first = "globalThis.infrope?.mayPlay && infrope.shown && infrope.shown.block.info.block"
        wait_until(lambda: (page.evaluate(first) or 0) >= WARM_UP_BLOCKS, "the first blocks of the page")

    def pause(self, paused: bool) -> None:
        """Pause or continue with the key P."""
        if self._page.evaluate("infrope.state.paused") is not paused:
            self._page.keyboard.press("p")
            wait_until(lambda: self._page.evaluate("infrope.state.paused") is paused, "a pause of the page, or its end")

    def press(self, key: str) -> float | None:
        """Press a key."""
        before = self._newest()
        self._page.keyboard.press(KEYS[key], delay=1000 * HELD_S)
        end_s = time.monotonic() + UNANSWERED_S
        wait_until(lambda: self._newest()["seq"] != before["seq"] or time.monotonic() > end_s, "a block", poll_s=0.05)
        newest = self._newest()
        return float(newest["latencyMs"]) if newest["seq"] != before["seq"] else None

    def _newest(self) -> dict[str, Any]:
        """Return the newest receipt of the page with a time to the pixel; time 0 is before any has faded."""
        script = "infrope.receipts.visible(0).findLast(each => each.latencyMs !== null) ?? { seq: 0 }"
        return dict(self._page.evaluate(script))


@contextmanager
def browser_page(weights: str) -> Iterator[BrowserPage]:
    """Play on the page of a server of this machine."""
    from playwright.sync_api import ViewportSize, sync_playwright

    command = (sys.executable, "-m", "infrope_env.cli", "serve", "--port", "0", "--weights", weights)
    with running(*command, stdout=subprocess.PIPE) as server, sync_playwright() as playwright:
        program = next(filter(None, map(shutil.which, BROWSERS)))
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        page = browser.new_page(viewport=ViewportSize(width=SCREEN[0], height=SCREEN[1]))
        page.goto(_url_of(server))
        yield BrowserPage(page)
        browser.close()


def _url_of(server: subprocess.Popen[str]) -> str:
    """Return the URL that a server prints."""
    assert server.stdout is not None
    for line in server.stdout:
        if line.startswith("Play at "):
            return line.split()[-1]
    raise RuntimeError("the server has ended; its messages are above")
