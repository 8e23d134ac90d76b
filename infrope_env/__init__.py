"""Endless, controllable video as a Gymnasium environment: `gymnasium.make("infrope_env:infrope/PocketWorld-v0")`.

The package in the order in which an action becomes pixels:

    config.py     shapes, window and sampler: what can be chosen
    control/      what the player asks for: actions, prompts, text embeddings
    dynamics/     how the world advances by one block: coordinates, cache, transformer, rollout
    pixels/       latent frames to pixel frames
    env.py        joins them behind reset, step, render, close
    wrappers.py   other views of the same environment: frame by frame, newest frame, stacked frames
    render/       what the player sees and keeps: stream, window, overlay, recorder
    replay.py     makes a recorded rollout again and compares
    weights.py    finds, checks, loads and writes world folders
    bench.py      how long a block takes, and where the time goes
    cli.py        the `infrope` command

Importing the package registers the environments and loads nothing else.
"""

import gymnasium

__version__ = "0.1.0"

gymnasium.register(
    id="infrope/PocketWorld-v0",
    entry_point="infrope_env.env:InfinityRopeEnv",
    kwargs={"actions": "pocket", "weights": "pocket"},
)
gymnasium.register(
    id="infrope/Wan-v0",
    entry_point="infrope_env.env:InfinityRopeEnv",
    kwargs={"actions": "pocket", "weights": "wan"},
)
