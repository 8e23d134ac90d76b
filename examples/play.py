"""Play in a window of your own, assembled from the parts that `infrope play` uses.

Try:
    python examples/play.py --subject wizard --scene cave
    python examples/play.py --scale 2 --record rollouts
"""

import contextlib
from pathlib import Path
from typing import Any

import gymnasium
import torch

from infrope_env.control.playable import playable
from infrope_env.output import run_program
from infrope_env.player.session import PlaySession, keyboard_for
from infrope_env.player.window import DisplayWindow
from infrope_env.wrappers import RecordRollout


def main(
    weights: str = "pocket",
    actions: str = "pocket",
    subject: str = "fox",
    scene: str = "snow",
    scale: int = 5,
    record: Path | None = None,
    blocks: int | None = None,
) -> None:
    """Play until Esc is pressed.

    Args:
        weights: "pocket" or the path of a world folder.
        actions: "pocket" or the path of a TOML file with words and keys of your own.
        subject: Subject of the first rollout, by its name in the action set.
        scene: Scene of the first rollout, by its name in the action set.
        scale: Initial size of the window, in window pixels per frame pixel.
        record: Folder to record every rollout in.
        blocks: Number of blocks to play; without it, play has no end.
    """
    torch.set_num_threads(1)  # the infrope command's setting: real time here, and pixels depend on it
    env: gymnasium.Env[Any, Any] = gymnasium.make(
        "infrope_env:infrope/PocketWorld-v0", weights=weights, actions=actions
    )
    if record is not None:
        env = RecordRollout(env, record)
    inner = playable(env)
    _, height, width, _ = inner.block_shape
    window = DisplayWindow((height, width), title="my world", scale=scale)
    with contextlib.closing(env):
        session = PlaySession.of_environment(
            env, keyboard_for(inner.action_set), window, blocks=blocks, problem=lambda: getattr(env, "problem", None)
        )
        session.run(options={"subject": subject, "scene": scene})


if __name__ == "__main__":
    run_program(main, description=__doc__)
