"""`infrope play` in a process of its own, under an X server with real keys.

Run as a program, `python -m tests.player.played_window STATE FPS ARGUMENT...`, it gives the command its arguments and
the window its pixel frames per second, and writes a line of JSON to the file STATE whenever something has changed.
"""

import json
import sys
from pathlib import Path
from typing import Any

from tests.player.real_window import RealWindow


class PlayedWindow(RealWindow):
    """The window of `infrope play`."""

    def __init__(self, display: str, folder: Path, *arguments: str, fps: float = 16) -> None:
        self._arguments, self._fps = arguments, fps
        super().__init__(display, folder)

    def program(self, state_file: str, *_: str) -> tuple[str, ...]:
        return "tests.player.played_window", state_file, str(self._fps), *self._arguments

    def is_playing(self) -> bool:
        return "info" in self.state

    @property
    def block(self) -> int:
        """Index of the block on show."""
        return self.state["info"]["block"]

    def until_shown(self, **facts: Any) -> None:
        """Wait until a block with these facts is on show."""
        self.until(lambda: facts.items() <= self.state["info"].items(), str(facts))

    def until_said(self, notice: str) -> None:
        """Wait for a notice that begins so."""
        self.until(lambda: self.state["notice"].startswith(notice), notice)


def main(state_file: str, fps: float, arguments: list[str]) -> int:
    """Play until the window is closed; return the exit code of the command."""
    from infrope_env import cli
    from infrope_env.player.session import PlaySession

    written, tick = "", PlaySession.tick

    def tick_and_log(session: PlaySession) -> None:
        nonlocal written
        session.stream.pace.fps = fps  # type: ignore[union-attr]
        tick(session)
        readout, shown = session.readout(), session.shown
        if shown is None:
            return
        names = ("typed", "paused", "notice", "prompt")
        facts = {name: getattr(readout, name) for name in names} | {"info": dict(shown.block.info)}
        if (seen := shown.block.inspection) is not None:
            facts |= {name: [getattr(cell, name) for cell in seen.visible] for name in ("coordinate", "mass")}
        if (line := json.dumps(facts)) != written:
            written = line
            with open(state_file, "a") as file:
                file.write(line + "\n")

    PlaySession.tick = tick_and_log  # type: ignore[method-assign]
    return cli.main(["play", *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2]), sys.argv[3:]))
