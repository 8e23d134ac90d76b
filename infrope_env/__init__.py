"""Endless, controllable video as a Gymnasium environment: `gymnasium.make("infrope_env:infrope/PocketWorld-v0")`.

The modules in the order in which an action becomes pixels; each imports only from modules above it:

    errors.py, cache_dir.py, atomic_file.py, tensor_files.py, forked.py
                      the bottom: errors, the cache folder, safe writing and reading of files, forked processes
    config.py         shape of the model; attention window (window.py) and sampler (sampler.py)
    control/          the player's requests: actions, prompts, storyboards, and the controllers
    text/             text to embedding: text encoders and the prompt cache
    dynamics/         the next block: coordinates, cache, transformer, rollout
    pixels/           latent frames to pixel frames and back
    models/           a model by its name: world folders; models/wan/ has the released Wan generators
    player/           a live session: stream, window, overlay, headless play
    env.py            InfinityRopeEnv joins these parts behind reset, step, render and close;
                      env_state.py has infos and saved states, env_render.py shows blocks; for "human",
                      env_live.py shows one in real time while a thread of env_worker.py makes the next;
                      reward.py finds and calls a reward function
    recording/        rollouts on disk: the RecordRollout wrapper, writer, reader, replay
    export/           recordings as datasets and benchmark entries
    wrappers.py       other views of an environment: frame by frame, newest frame, stacked frames, numeric info
    vector_env.py     InfinityRopeVectorEnv makes many rows in one forward pass; vector_rows.py has the rows
    remote/           one server, one protocol: a page for browsers, the window and the environment over the network
    bench.py          the time of a block, by part
    doctor.py         whether play works on this machine; machine.py asks the system, findings.py has the lines
    fleet/            many rollouts by many processes, on Ray
    cli.py            the `infrope` command; cli_options.py has the options that its subcommands share

The package `controllers` beside this one gives the controllers of `control/` shorter names; nothing here imports it.
The `info` of every block has block, num_frames, action (-1 at a reset), subject, scene, motion, prompt, free_prompt
(whether the prompt was typed), transition and seed. It depends on weights, seed and actions only.
Importing this package imports none of its modules and registers five ids: infrope/PocketWorld-v0 and infrope/Wan-v0,
whose observations are blocks; infrope/PocketWorldImage-v0 and infrope/WanImage-v0, which observe the newest frame only;
and infrope/Remote-v0, an environment on a server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium
from gymnasium.envs.registration import WrapperSpec

if TYPE_CHECKING:
    from infrope_env.env import InfinityRopeEnv

__version__ = "0.2.0"

for _id, _name in (("PocketWorld", "pocket"), ("Wan", "wan")):
    for _suffix, _wrappers in (("", ()), ("Image", (WrapperSpec("LastFrame", "infrope_env.wrappers:LastFrame", {}),))):
        gymnasium.register(
            id=f"infrope/{_id}{_suffix}-v0",
            entry_point="infrope_env.env:InfinityRopeEnv",
            vector_entry_point=None if _wrappers else "infrope_env.vector_env:InfinityRopeVectorEnv",
            additional_wrappers=_wrappers,
            kwargs={"actions": _name, "weights": _name},
        )

gymnasium.register(id="infrope/Remote-v0", entry_point="infrope_env.remote.env:RemoteEnv")


def make(id: str = "infrope/PocketWorld-v0", **kwargs: Any) -> InfinityRopeEnv:
    """Return the environment that `gymnasium.make` returns, without its wrappers and with its type.

    Type checkers know `action_names`, `set_prompt` or `save_state` of it. Wrappers of Gymnasium and of this package can
    be put around it.

    Args:
        id: A registered id.
        kwargs: Arguments of the environment, see `InfinityRopeEnv`.

    Raises:
        ValueError: The id or the arguments ask for a wrapper, which would be lost, or for another environment.
    """
    from infrope_env.env import InfinityRopeEnv

    env = gymnasium.make(id, disable_env_checker=True, **kwargs)
    inner = env.unwrapped
    if not isinstance(inner, InfinityRopeEnv):
        raise ValueError(f"expected the id of an infrope environment, got {id!r}")
    while isinstance(env, gymnasium.Wrapper):
        if not isinstance(env, gymnasium.wrappers.OrderEnforcing):
            name = type(env).__name__
            raise ValueError(f"infrope_env.make returns no wrappers, and {id!r} has {name}: use gymnasium.make for it")
        env = env.env
    return inner
