"""A play session in a window of its own process, under an X server with real keys.

Run as a program, it plays a fake environment: `python -m tests.player.real_window STATE BLOCK_S ENCODE_S`. It writes a
line of JSON to the file STATE whenever something has changed.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120


@contextmanager
def x_server(*more_tools: str) -> Iterator[str]:
    """Yield the name of a new display; skip the test where a tool is missing, or fail where CI=true."""
    if missing := [tool for tool in ("Xvfb", "xdotool", *more_tools) if shutil.which(tool) is None]:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"{' and '.join(missing)} not installed")
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x800x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as pipe:
        number = pipe.readline().strip()
    assert number, "Xvfb did not start"
    try:
        yield f":{number}"
    finally:
        server.terminate()
        server.wait()


class RealWindow:
    """A session in a process of its own, and a keyboard that types into its window."""

    def __init__(self, display: str, folder: Path, block_s: float = 0.05, encode_s: float = 0.0) -> None:
        self.display, self._log = display, folder / "state.jsonl"
        self._log.touch()
        self.process = subprocess.Popen(
            [sys.executable, "-m", *self.program(str(self._log), str(block_s), str(encode_s))],
            env={**os.environ, "DISPLAY": display, "SDL_VIDEODRIVER": "x11", "PYTHONPATH": str(ROOT)},
        )
        self.until(self.is_playing, "the first blocks")
        self.until(self.windows, "the window")
        self.window = self.windows()[0]
        self.xdotool("windowfocus", "--sync", self.window)

    def program(self, *arguments: str) -> tuple[str, ...]:
        """The module to run, and its arguments."""
        return "tests.player.real_window", *arguments

    def is_playing(self) -> bool:
        """Whether the first blocks were made."""
        return bool(self.actions)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()

    def tool(self, *command: str) -> str:
        environment = {**os.environ, "DISPLAY": self.display}
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    def xdotool(self, *command: str) -> str:
        return self.tool("xdotool", *command)

    def keys(self, *names: str) -> None:
        """Press and release keys, or chords such as "shift+Return"; a number is an X key code."""
        self.xdotool("key", *names)

    def windows(self) -> list[str]:
        """Return the visible windows of the display, by X id."""
        command = ["xdotool", "search", "--onlyvisible", "--class", "."]
        environment = {**os.environ, "DISPLAY": self.display}
        return subprocess.run(command, env=environment, capture_output=True, text=True).stdout.split()

    @property
    def state(self) -> dict[str, Any]:
        """The newest state; empty before the first."""
        lines = self._lines()
        return json.loads(lines[-1]) if lines else {}

    @property
    def states(self) -> list[dict[str, Any]]:
        """All states so far."""
        return [json.loads(line) for line in self._lines()]

    def _lines(self) -> list[str]:
        """Return the lines of the log that are complete."""
        return [line for line in self._log.read_text().splitlines(keepends=True) if line.endswith("\n")]

    @property
    def actions(self) -> list[str]:
        """Names of the actions stepped so far."""
        return [entry[1] for entry in self.state.get("log", []) if entry[0] == "step"]

    def until(self, condition: Callable[[], object], what: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, f"waited {PATIENCE_S} s for {what}: {self.state}"
            assert self.process.poll() is None, "the session ended"
            time.sleep(0.01)

    def until_steady(self, action: str, count: int = 3) -> None:
        """Wait until so many blocks in a row, from now on, are made under an action."""
        made = len(self.actions)
        self.until(lambda: len(self.actions) > made + count and set(self.actions[-count:]) == {action}, action)

    def tap(self, *names: str, count: int = 4) -> list[str]:
        """Tap keys in turn; return the actions of all blocks from before the first until `count` after the last."""
        made = len(self.actions)
        self.keys(*names)
        self.wait_blocks(count)
        return self.actions[made:]

    def wait_blocks(self, count: int = 3) -> list[str]:
        """Wait for blocks that begin from now on; return their actions, without that of the block under way."""
        made = len(self.actions)
        self.until(lambda: len(self.actions) > made + count, "blocks")
        return self.actions[made + 1 :]


def main(state_file: str, block_s: float, encode_s: float) -> None:
    """Play until the window is closed."""
    import pygame

    from infrope_env.player.session import PlaySession, keyboard_for
    from infrope_env.player.window import DisplayWindow
    from tests.player.fakes import FakeEnv

    class SlowEnv(FakeEnv):
        def encode_prompts(self, texts: Iterable[str]) -> None:
            time.sleep(encode_s)
            if any("unknown" in text for text in texts):
                raise ValueError("The prompt has words the text encoder does not know.")

    env = SlowEnv(lambda: time.sleep(block_s))
    window = DisplayWindow((96, 160), scale=3)
    pygame.scrap.put_text("a robot\njumps")
    session = PlaySession.of_environment(env, keyboard_for(env.action_set), window)
    session._blank_frame = session._blank_frame.repeat(16, axis=0).repeat(16, axis=1)
    session.stream.pace.fps = 100
    written, tick = "", session.tick

    def tick_and_log() -> None:
        nonlocal written
        tick()
        readout = session.readout()
        names = ("typed", "caret", "waiting", "paused", "notice", "block", "prompt")
        facts = {name: getattr(readout, name, None) for name in names} | {"size": window.size, "log": env.log}
        line = json.dumps(facts)
        if line != written:
            written = line
            with open(state_file, "a") as file:
                file.write(line + "\n")

    session.tick = tick_and_log  # type: ignore[method-assign]
    session.run(seed=1)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))
