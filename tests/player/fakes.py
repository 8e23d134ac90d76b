"""An environment whose pixel values are the block index and whose blocks take as long as a test decides."""

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from infrope_env.control.actions import ActionSet

SIZE = (6, 10)
BLOCK_SHAPE = (12, *SIZE, 3)


class FakeEnv(gymnasium.Env):
    """Pixel value = block index; `work` is called once per block and takes its time."""

    metadata = {"render_modes": [], "render_fps": 16}  # noqa: RUF012
    observation_space = Box(0, 255, BLOCK_SHAPE, np.uint8)

    def __init__(self, work: Callable[[], None] = lambda: None, max_blocks: int | None = None) -> None:
        self.work, self.max_blocks = work, max_blocks
        self.action_set = ActionSet.load("pocket")
        self.action_names = self.action_set.names
        self.action_space = Discrete(len(self.action_names))
        self.block_shape = BLOCK_SHAPE
        self.window = SimpleNamespace(block=3)
        self.steering = self.action_set.start()
        self.newest: tuple[Any, dict[str, Any]] | None = None
        self.restores = 0
        self.encode: Callable[[], None] = lambda: None  # called once per encoding and takes its time
        self.commit_pass: Callable[[], None] = lambda: None  # called once per commit pass and takes its time
        self.committed: list[int] = []  # blocks whose commit pass was asked for
        self.log: list[tuple[Any, ...]] = []  # calls, in order

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.log.append(("reset", seed, options))
        self.steering = self.action_set.start(**(options or {}))
        self.block = 0
        self.work()
        return self._present("start", -1, 9)

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.log.append(("step", self.action_names[action]))
        self.steering, transition = self.action_set.steer(self.steering, action)
        self.block += 1
        self.work()
        truncated = self.max_blocks is not None and self.block + 1 >= self.max_blocks
        observation, info = self._present(transition.value, action, 12)
        return observation, 0.0, False, truncated, info

    def set_prompt(self, text: str, cut: bool = False) -> None:
        if "unknown" in text:
            raise ValueError(f"The prompt {text!r} has words the text encoder does not know.")
        self.log.append(("set_prompt", text, cut))
        self.steering = self.action_set.set_prompt(self.steering, text)

    def encode_prompts(self, texts: Iterable[str]) -> None:
        self.encode()

    def commit(self) -> None:
        self.committed.append(self.block)
        self.commit_pass()

    def save_state(self) -> tuple[int, Any]:
        return self.block, self.steering

    def restore_state(self, state: tuple[int, Any]) -> tuple[Any, dict[str, Any]]:
        self.log.append(("restore", state[0]))
        self.restores += 1
        self.block, self.steering = state
        return self._present("continue", 0, 12)

    def _present(self, transition: str, action: int, num_frames: int) -> tuple[Any, dict[str, Any]]:
        names = {"subject": self.steering.subject, "scene": self.steering.scene, "motion": self.steering.motion}
        info = {"block": self.block, "num_frames": num_frames, "action": action, "transition": transition}
        info |= names | {"prompt": self.steering.prompt, "free_prompt": self.steering.free_text}
        self.newest = np.full(BLOCK_SHAPE, self.block % 256, np.uint8), info
        return self.newest

    @property
    def actions(self) -> list[str]:
        return [entry[1] for entry in self.log if entry[0] == "step"]


class FakeClock:
    """A clock that only `pass_time` advances; it calls `watch` at every tick, as a window would poll."""

    def __init__(self, tick_s: float = 0.001) -> None:
        self.now, self.tick_s = 100.0, tick_s
        self.watch: Callable[[float], None] = lambda now: None

    def __call__(self) -> float:
        return self.now

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.now = min(end, self.now + self.tick_s)
            self.watch(self.now)
