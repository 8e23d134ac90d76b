"""Steer the world with an agent that looks for novelty: it repeats the actions that showed it new pictures.

Try:
    python examples/agent_loop.py --blocks 40
"""

import math
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray

from infrope_env.control.playable import playable
from infrope_env.output import run_program

EXPLORATION = 0.5  # weight of the bonus for actions that were rarely tried


class CuriousAgent:
    """A controller, (observation, info) -> action: a UCB bandit rewarded with the novelty of the newest picture.

    Attributes:
        tried: Times that each action was tried.
        gained: Summed novelty that followed each action.
    """

    def __init__(self, num_actions: int) -> None:
        """Start with every action untried."""
        self.tried = np.zeros(num_actions)
        self.gained = np.zeros(num_actions)
        self._pictures: list[NDArray[np.floating]] = []

    def __call__(self, observation: NDArray[np.uint8], info: Mapping[str, Any]) -> int:
        """Learn from the newest block and choose the action of the next one."""
        novelty = self._novelty(observation[-1])
        if info["action"] >= 0:  # not after a reset
            self.tried[info["action"]] += 1
            self.gained[info["action"]] += novelty
        return int(np.argmax(self._upper_bounds()))

    def _novelty(self, frame: NDArray[np.uint8]) -> float:
        """Return the distance of a pixel frame, H W 3, from the most similar earlier one (0 to 1), and store it."""
        picture = frame[::4, ::4].astype(np.float32) / 255
        novelty = min((float(np.abs(picture - earlier).mean()) for earlier in self._pictures), default=0.0)
        self._pictures.append(picture)
        return novelty

    def _upper_bounds(self) -> NDArray[np.float64]:
        """Return mean novelty plus exploration bonus of each action; infinity for an untried one."""
        with np.errstate(divide="ignore", invalid="ignore"):
            bonus = np.sqrt(math.log(1 + self.tried.sum()) / self.tried)
            bounds = self.gained / self.tried + EXPLORATION * self.gained.sum() / self.tried.sum() * bonus
        return np.where(self.tried == 0, np.inf, bounds)


def main(weights: str = "pocket", blocks: int = 40, seed: int = 0) -> None:
    """Let the agent explore; print its actions and the mean novelty after each of them.

    Args:
        weights: "pocket" or the path of a world folder.
        blocks: Number of blocks after the first one.
        seed: Seed of the noise.
    """
    torch.set_num_threads(1)  # the infrope command's setting: real time here, and pixels depend on it
    env = gymnasium.make("infrope_env:infrope/PocketWorld-v0", weights=weights)
    names = playable(env).action_names
    agent = CuriousAgent(len(names))
    observation, info = env.reset(seed=seed)
    for _ in range(blocks):
        action = agent(observation, info)
        observation, _, _, _, info = env.step(action)
        print(f"block {info['block']:>3}  {names[action]:<12} {info['prompt']}")
    agent(observation, info)  # learn from the last block, too
    for action in np.argsort(-agent.tried):
        mean = agent.gained[action] / max(agent.tried[action], 1)
        print(f"{names[action]:<12} {agent.tried[action]:3.0f} times, novelty {mean:.3f}")
    env.close()


if __name__ == "__main__":
    run_program(main, description=__doc__)
