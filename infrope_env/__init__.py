"""Endless, controllable video as a Gymnasium environment: `gymnasium.make("infrope_env:infrope/PocketWorld-v0")`.

The package in the order in which an action becomes pixels:

    config.py      shapes, window and sampler: what can be chosen
    control/       what the player asks for: actions, prompts, text embeddings
    dynamics/      how the world advances by one block: coordinates, cache, transformer, rollout
    pixels/        latent frames to pixel frames
    worlds.py      any world by its name: a world folder, or Wan
    wan/           the parts of Wan found, downloaded, checked and joined into a world
    compiled.py    every shape of a world compiled before play
    weights.py     world folders, found, checked, loaded and written; card.py says what is in one
    checkpoints/   released Wan generators by name: downloaded, checked, loaded
    env.py         joins them behind reset, step, render, close; env_state.py is its saved self,
                   reward.py and keys.py turn names into rewards and key codes
    wrappers.py    other views of the same environment: frame by frame, newest frame, stacked frames
    render/        what the player sees and keeps: stream, window, overlay, recorder
    record.py      keeps rollouts in a folder; replay.py makes one again and compares: recording.py reads it back,
                   circumstances.py says whether bytes must agree
    bench.py       how long a block takes, and where the time goes
    cli.py         the `infrope` command; play.py with a window, headless.py without

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
    kwargs={"actions": "wan", "weights": "wan"},
)
