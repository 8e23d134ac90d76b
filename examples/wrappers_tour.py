"""The stock tools around the environment: Gymnasium's player, its video recorder, a Stable-Baselines3 agent.

Try:
    python examples/wrappers_tour.py play
    python examples/wrappers_tour.py video --out videos
    python examples/wrappers_tour.py learn --steps 64       (pip install stable-baselines3)
"""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
import tyro
from numpy.typing import NDArray

from infrope_env.wrappers import FrameByFrame, LastFrame

WORLD = "infrope_env:infrope/PocketWorld-v0"


def play(weights: str = "pocket", zoom: float = 5) -> None:
    """Gymnasium's own player. Of a block it would show only the last frame; FrameByFrame gives it one at a time."""
    from gymnasium.utils.play import play

    env = gymnasium.make(WORLD, weights=weights, render_mode="rgb_array")
    play(FrameByFrame(env), zoom=zoom)


def video(weights: str = "pocket", out: Path = Path("videos"), blocks: int = 8) -> None:
    """Gymnasium's own recorder; needs moviepy."""
    env = gymnasium.make(WORLD, weights=weights, render_mode="rgb_array", max_blocks=blocks)
    film = gymnasium.wrappers.RecordVideo(FrameByFrame(env), str(out))
    walk_right = env.unwrapped.action_names.index("walk_right")
    film.reset(seed=0)
    truncated = False
    while not truncated:
        *_, truncated, _ = film.step(walk_right)
    film.close()


def moving(frames: NDArray[np.uint8], info: dict[str, Any]) -> float:
    """A reward: how much changes from one pixel frame t H W 3 to the next, 0 to 1."""
    return float(np.abs(np.diff(frames.astype(np.int16), axis=0)).mean() / 255)


def learn(weights: str = "pocket", steps: int = 64) -> None:
    """Proximal policy optimisation on the newest frame of each block, rewarded for motion."""
    from stable_baselines3 import PPO

    env = LastFrame(gymnasium.make(WORLD, weights=weights, max_blocks=16, reward=f"{__name__}:moving"))
    agent = PPO("CnnPolicy", env, n_steps=16, batch_size=16, n_epochs=2, device="cpu").learn(steps)
    action, _ = agent.predict(env.reset(seed=0)[0], deterministic=True)
    print(f"after {steps} blocks it would {env.unwrapped.action_names[int(action)]}")
    env.close()


if __name__ == "__main__":
    torch.set_num_threads(1)
    tyro.extras.subcommand_cli_from_dict({"play": play, "video": video, "learn": learn}, description=__doc__)
