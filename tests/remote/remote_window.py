"""`infrope play --connect` in a process of its own, under an X server with real keys.

Run as a program, `python -m tests.remote.remote_window STATE URL`, it writes a line of JSON to the file STATE whenever
something has changed in the window.
"""

import json
import sys
from pathlib import Path

from tests.player.real_window import RealWindow


class RemoteWindow(RealWindow):
    """The window of a server's world."""

    def __init__(self, display: str, folder: Path, url: str) -> None:
        self._url, self._shown = url, 0
        super().__init__(display, folder)

    def program(self, state_file: str, *_: str) -> tuple[str, ...]:
        return "tests.remote.remote_window", state_file, self._url

    def is_playing(self) -> bool:
        return "transition" in self.state

    def until_shown(self, **facts: object) -> None:
        """Wait for a block with these facts, at or after the one found last."""

        def find() -> bool:
            for index, state in enumerate(self.states[self._shown :], self._shown):
                if facts.items() <= state["info"].items():
                    self._shown = index
                    return True
            return False

        self.until(find, str(facts))


def main(state_file: str, url: str) -> int:
    """Play until the window is closed; return the exit code of the command."""
    from infrope_env import cli
    from infrope_env.player.session import PlaySession

    written, tick = "", PlaySession.tick

    def tick_and_log(session: PlaySession) -> None:
        nonlocal written
        tick(session)
        readout, shown = session.readout(), session.shown
        if shown is None:
            return
        names = ("typed", "waiting", "paused", "notice", "trouble", "block", "prompt", "transition")
        receipts = [[receipt.name, receipt.block, receipt.latency_s] for receipt in readout.receipts]
        facts = {name: getattr(readout, name) for name in names} | {
            "receipts": receipts,
            "info": dict(shown.block.info),
        }
        if (seen := session.stream.inspection_of(shown.block)) is not None:
            facts["cells"] = [vars(cell) for cell in seen.cells]
        if (line := json.dumps(facts)) != written:
            written = line
            with open(state_file, "a") as file:
                file.write(line + "\n")

    PlaySession.tick = tick_and_log  # type: ignore[method-assign]
    return cli.main(["play", "--connect", url])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
