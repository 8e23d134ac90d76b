"""The learning curve, and a film of an agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from stable_baselines3 import PPO

from examples.learn.worlds import shrink


def film(agent: PPO, scene: str, path: Path, options: dict[str, Any], seed: int = 77) -> None:
    """Write what an agent does from a start in a scene as an animation."""
    from PIL import Image

    env = gymnasium.make("infrope/PocketWorld-v0", **options)
    observation, _ = env.reset(seed=seed, options={"scene": scene})
    frames, ended = list(observation), False
    while not ended:
        action, _ = agent.predict(shrink(observation[None])[0], deterministic=True)
        observation, _, terminated, truncated, _ = env.step(int(action))
        frames, ended = frames + list(observation), terminated or truncated
    first, *rest = (Image.fromarray(frame) for frame in frames)
    first.save(path, save_all=True, append_images=rest, duration=62, loop=0)


def draw_curve(runs: list[list[tuple[int, bool]]], random_share: float, path: Path, window: int = 50) -> None:
    """Draw the share of solved episodes over blocks: each run, their mean, and what random actions solve."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    grid = np.linspace(0, max((run[-1][0] for run in runs if run), default=1), 200)
    curves = []
    for run in runs:
        if len(run) >= window:
            solved = np.convolve([float(ok) for _, ok in run], np.ones(window) / window, "valid")
            curves.append(np.interp(grid, [blocks for blocks, _ in run[window - 1 :]], solved))
            axes.plot(grid, curves[-1], color="tab:blue", alpha=0.35, linewidth=1)
    if curves:
        axes.plot(grid, np.mean(curves, axis=0), color="tab:blue", label=f"agents, mean of {len(curves)} seeds")
    axes.axhline(random_share, color="tab:gray", linestyle="--", label="random actions")
    axes.set(xlabel="blocks made in training", ylabel=f"episodes solved, of the last {window}", ylim=(0, 1.02))
    axes.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
