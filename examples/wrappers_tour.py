"""Use the environment with standard tools: Gymnasium's player, its video recorder, a Stable-Baselines3 agent.

Try:
    python examples/wrappers_tour.py play
    python examples/wrappers_tour.py video --out videos     (needs: pip install moviepy)
    python examples/wrappers_tour.py learn --steps 64       (needs: pip install stable-baselines3)
"""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
import tyro
from numpy.typing import NDArray

from infrope_env.control.playable import playable
from infrope_env.wrappers import FrameByFrame, LastFrame

ENV_ID = "infrope_env:infrope/PocketWorld-v0"


def play(weights: str = "pocket", zoom: float = 5) -> None:
    """Play with `gymnasium.utils.play`, which shows all 12 pixel frames of a block through `FrameByFrame`."""
    from gymnasium.utils.play import play

    env = gymnasium.make(ENV_ID, weights=weights, render_mode="rgb_array")
    play(FrameByFrame(env), zoom=zoom)


def video(weights: str = "pocket", out: Path = Path("videos"), blocks: int = 8) -> None:
    """Record a walk with `gymnasium.wrappers.RecordVideo`."""
    env = gymnasium.make(ENV_ID, weights=weights, render_mode="rgb_array", max_blocks=blocks)
    recorder = gymnasium.wrappers.RecordVideo(FrameByFrame(env), str(out))
    walk_right = playable(env).action_names.index("walk_right")
    recorder.reset(seed=0)
    truncated = False
    while not truncated:
        *_, truncated, _ = recorder.step(walk_right)
    recorder.close()


def motion(frames: NDArray[np.uint8], info: dict[str, Any]) -> float:
    """Return a reward from 0 to 1: the mean change from each pixel frame, t H W 3, to the next."""
    return float(np.abs(np.diff(frames.astype(np.int16), axis=0)).mean() / 255)


def learn(weights: str = "pocket", steps: int = 64) -> None:
    """Train PPO on the newest pixel frame of each block, rewarded for motion."""
    from stable_baselines3 import PPO

    env = LastFrame(gymnasium.make(ENV_ID, weights=weights, max_blocks=16, reward=f"{__name__}:motion"))
    agent = PPO("CnnPolicy", env, n_steps=16, batch_size=16, n_epochs=2, device="cpu").learn(steps)
    action, _ = agent.predict(env.reset(seed=0)[0], deterministic=True)
    print(f"after {steps} blocks it would choose {playable(env).action_names[int(action)]}")
    env.close()


if __name__ == "__main__":
    torch.set_num_threads(1)  # the infrope command's setting: real time here, and pixels depend on it
    tyro.extras.subcommand_cli_from_dict({"play": play, "video": video, "learn": learn}, description=__doc__)
