"""A stream without threads on a simulated clock."""

from collections.abc import Iterator

import numpy as np

from infrope_env.player.stream import Stream
from tests.player.fakes import FakeClock, FakeEnv

STAND, LEFT, RIGHT, JUMP = range(4)
FRAME_S = 1 / 16


class Simulation:
    """A stream without threads; the window polls at every tick, also while a block is being generated."""

    def __init__(self, block_s: float | Iterator[float] = 0.5, *, commit_s: float = 0.0, **settings: int) -> None:
        self.clock = FakeClock()
        self.clock.watch = self.look
        times = block_s if isinstance(block_s, Iterator) else iter(lambda: block_s, None)
        self.env = FakeEnv(lambda: self.clock.pass_time(next(times)))
        self.env.commit_pass = lambda: self.clock.pass_time(commit_s)
        self.begun: list[float] = []
        self.stream = Stream(self.env, self.choose, clock=self.clock, **settings)
        self.shown: list[tuple[float, int, int]] = []  # time, block, index of each change of the picture
        self.action = STAND
        self.stream.reset(seed=1)

    def choose(self, observation: np.ndarray, info: dict) -> int:
        self.begun.append(self.clock.now)
        return self.action

    def look(self, now: float) -> None:
        frame = self.stream.frame_to_show(now)
        if frame and (not self.shown or self.shown[-1][1:] != (frame.block.info["block"], frame.index)):
            self.shown.append((now, frame.block.info["block"], frame.index))

    def run(self, seconds: float) -> "Simulation":
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.look(self.clock.now)
            if not self.stream.run_due():
                self.clock.pass_time(self.clock.tick_s)
        return self

    def steps(self) -> np.ndarray:
        """Return the seconds between changes of the picture, from block 3 on."""
        times = [now for now, block, _ in self.shown if block >= 3]
        return np.diff(times)
