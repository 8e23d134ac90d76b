"""An agent that learns to find the red phone booth of the city, with Stable-Baselines3's PPO in eight worlds at once.

    python -m examples.learn --out learned                      # three seeds; interrupted, it goes on where it was
    python -m examples.learn --out learned --seeds 0 --blocks 2000

There are three motions and a cut to each of three scenes. An episode begins in any of the scenes and has 16 blocks. It
is solved when the booth stands beside the subject: the agent has to find out that only the city has it, that a cut
leads there, and which way and how far to walk. The generator takes one denoising step. The folder gets the agents, a
curve and a film of each; the last line is JSON.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

import infrope_env  # noqa: F401  (registers the environments)
from examples.learn.pictures import draw_curve, film
from examples.learn.worlds import SCENES, Worlds
from infrope_env.output import run_program

OPTIONS = {
    "actions": str(Path(__file__).with_name("actions.toml")),
    "max_blocks": 16,
    "sampler": "1000",
    "reward": "examples.learn.reward:phone_booth",
}
EVERY = 512  # blocks between two savings


class Progress(BaseCallback):
    """Prints and saves what an agent has reached, every few hundred blocks.

    Attributes:
        solved: Whether each episode so far was solved, with the number of blocks made when it ended.
    """

    def __init__(self, path: Path, worlds: Worlds, solved: list[tuple[int, bool]]) -> None:
        super().__init__()
        self.path, self.worlds, self.solved = path, worlds, solved

    def _on_step(self) -> bool:
        self.solved += [(self.num_timesteps, solved) for solved in self.worlds.ended]
        if self.num_timesteps % EVERY == 0:
            self.model.save(self.path.with_suffix(".zip"))
            self.path.write_text(json.dumps(self.solved))
            recent = [float(solved) for _, solved in self.solved[-50:]] or [0.0]
            print(f"{self.path.stem}  {self.num_timesteps:6} blocks  solved {np.mean(recent):.2f}", flush=True)
        return True


def learn(seed: int, blocks: int, rows: int, out: Path, options: dict[str, Any]) -> tuple[PPO, list[tuple[int, bool]]]:
    """Train an agent, from its last saving if there is one; return it and which of its episodes were solved."""
    worlds = Worlds(rows, seed, options)
    path, solved = out / f"seed_{seed}.json", list[tuple[int, bool]]()
    if path.exists():
        agent, solved = PPO.load(path.with_suffix(".zip"), worlds), json.loads(path.read_text())
    else:
        settings: dict[str, Any] = {"n_steps": 32, "batch_size": 128, "gamma": 0.95, "ent_coef": 0.02, "seed": seed}
        agent = PPO("MlpPolicy", worlds, 5e-4, policy_kwargs={"net_arch": [128, 64]}, **settings)
    if agent.num_timesteps < blocks:
        left = blocks - agent.num_timesteps
        agent.learn(left, Progress(path, worlds, solved), reset_num_timesteps=False)
    worlds.close()
    return agent, solved


def share_solved(agent: PPO | None, episodes: int, rows: int, options: dict[str, Any]) -> float:
    """Return the share of episodes, with seeds not trained on, that an agent solves; None acts at random."""
    worlds, ended, chance = Worlds(rows, 10_000, options), list[bool](), np.random.default_rng(0)
    observations, random_below = worlds.reset(), len(worlds.action_names)
    while len(ended) < episodes:
        if agent is None:
            actions = chance.integers(random_below, size=rows)
        else:
            actions, _ = agent.predict(observations)
        worlds.step_async(actions)
        observations, *_ = worlds.step_wait()
        ended += worlds.ended
    worlds.close()
    return float(np.mean(ended[:episodes]))


def main(
    out: Path = Path("learned"),
    seeds: tuple[int, ...] = (0, 1, 2),
    blocks: int = 6_144,
    rows: int = 8,
    episodes: int = 100,
    weights: str = "pocket",
) -> None:
    """Train one agent per seed, compare it with a random one, and draw the curve."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    options = OPTIONS | {"weights": weights}
    agents = {seed: learn(seed, blocks, rows, out, options) for seed in seeds}
    random_share = share_solved(None, episodes, rows, options)
    trained = [share_solved(agent, episodes, rows, options) for agent, _ in agents.values()]
    draw_curve([solved for _, solved in agents.values()], random_share, out / "curve.png")
    for seed, (agent, _) in agents.items():
        film(agent, SCENES[seed % len(SCENES)], out / f"seed_{seed}.webp", options)
    print(json.dumps({"blocks": blocks, "random": random_share, "trained": dict(zip(seeds, trained, strict=True))}))


if __name__ == "__main__":
    run_program(main, description=__doc__)
