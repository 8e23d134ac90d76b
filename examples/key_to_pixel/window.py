"""The local window in a process of its own: `python -m examples.key_to_pixel.window WEIGHTS`.

It prints a line of JSON when a press was answered, {"latency_ms": 412.5}, and when a pause begins or ends,
{"paused": true}; the first line comes when the pace knows the machine.
"""

import json
import sys

import gymnasium
import torch

from infrope_env.control.playable import playable
from infrope_env.player.latency import WARM_UP_BLOCKS
from infrope_env.player.session import PlaySession, keyboard_for
from infrope_env.player.window import DisplayWindow


class ReportingSession(PlaySession):
    """A play session that prints what it measures."""

    _paused = True
    _newest_s = 0.0  # time of the newest press that was reported

    def tick(self) -> None:
        """Play on, then print what is new."""
        super().tick()
        readout = self.readout()
        if self.shown is None or (self._paused and self.shown.block.info["block"] < WARM_UP_BLOCKS):
            return
        if readout.paused is not self._paused:
            self._paused = readout.paused
            print(json.dumps({"paused": self._paused}), flush=True)
        for receipt in readout.receipts:
            if receipt.latency_s is not None and receipt.pressed_s > self._newest_s:
                self._newest_s = receipt.pressed_s
                print(json.dumps({"latency_ms": 1000 * receipt.latency_s}), flush=True)


def main(weights: str) -> None:
    """Play until the process is ended."""
    torch.set_num_threads(1)  # as the infrope command does
    env = gymnasium.make("infrope_env:infrope/PocketWorld-v0", weights=weights)
    inner = playable(env)
    _, height, width, _ = inner.block_shape
    window = DisplayWindow((height, width), title="key to pixel")
    session = ReportingSession.of_environment(env, keyboard_for(inner.action_set), window)
    session.run(seed=1)


if __name__ == "__main__":
    main(sys.argv[1])
