"""An agent that steers by what it sees: it does what has shown it the most that it had not seen before.

Try:
    python examples/agent_loop.py --blocks 40
"""

import math
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
import tyro
from numpy.typing import NDArray

CURIOSITY = 0.5  # how much an action that has rarely been tried is worth trying again


class CuriousAgent:
    """A controller, (observation, info) -> action: a bandit whose reward is how new the newest picture is."""

    def __init__(self, num_actions: int) -> None:
        self.tried = np.zeros(num_actions)
        self.gained = np.zeros(num_actions)
        self.novelty = 0.0  # of the newest block: 0 seen before, 1 as different as can be
        self._seen: list[NDArray[np.float32]] = []

    def __call__(self, observation: NDArray[np.uint8], info: Mapping[str, Any]) -> int:
        """Learn from the newest block, then choose the next block's action."""
        self.novelty = self._look(observation[-1])
        if info["action"] is not None:
            self.tried[info["action"]] += 1
            self.gained[info["action"]] += self.novelty
        return int(np.argmax(self._promise()))

    def _look(self, frame: NDArray[np.uint8]) -> float:
        """How far the pixel frame H W 3 is from the most similar one seen so far; remembers it."""
        picture = frame[::4, ::4].astype(np.float32) / 255
        novelty = min((float(np.abs(picture - seen).mean()) for seen in self._seen), default=0.0)
        self._seen.append(picture)
        return novelty

    def _promise(self) -> NDArray[np.float64]:
        """Mean novelty of each action, raised for the rarely tried; infinite for the untried."""
        with np.errstate(divide="ignore", invalid="ignore"):
            bonus = np.sqrt(math.log(1 + self.tried.sum()) / self.tried)
            promise = self.gained / self.tried + CURIOSITY * self.gained.sum() / self.tried.sum() * bonus
        return np.where(self.tried == 0, np.inf, promise)


def main(weights: str = "pocket", blocks: int = 40, seed: int = 0) -> None:
    """Let the agent explore and say what it found.

    Args:
        weights: a bundled world, or the path of a world folder.
        blocks: to make after the first one.
        seed: of the noise.
    """
    torch.set_num_threads(1)  # as the infrope command does: it plays in real time, and bytes depend on it
    env = gymnasium.make("infrope_env:infrope/PocketWorld-v0", weights=weights)
    names = env.unwrapped.action_names
    agent = CuriousAgent(len(names))
    observation, info = env.reset(seed=seed)
    for _ in range(blocks):
        action = agent(observation, info)
        observation, _, _, _, info = env.step(action)
        print(f"block {info['block']:>3}  {names[action]:<12} {info['prompt']}")
    agent(observation, info)
    for action in np.argsort(-agent.tried):
        mean = agent.gained[action] / max(agent.tried[action], 1)
        print(f"{names[action]:<12} {agent.tried[action]:3.0f} times, novelty {mean:.3f}")
    env.close()


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
