"""Play in a window of your own: the parts that `infrope play` joins, so that you can change them.

Try:
    python examples/play.py --subject wizard --scene cave
    python examples/play.py --scale 2 --record rollouts
"""

import contextlib
from pathlib import Path

import gymnasium
import torch
import tyro

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
        weights: a bundled world, or the path of a world folder.
        actions: a bundled action set, or the path of a TOML file: your own words and keys.
        subject: who plays.
        scene: where it starts.
        scale: screen pixels a side of one pixel of the world, at first.
        record: keep every rollout in this folder.
        blocks: end after so many.
    """
    torch.set_num_threads(1)  # as the infrope command does: it plays in real time, and bytes depend on it
    env = gymnasium.make("infrope_env:infrope/PocketWorld-v0", weights=weights, actions=actions)
    if record is not None:
        env = RecordRollout(env, record)
    window = DisplayWindow(env.get_wrapper_attr("block_shape")[1:3], title="my world", scale=scale)
    keyboard = keyboard_for(env.get_wrapper_attr("action_set"))
    with contextlib.closing(env):
        session = PlaySession(env, keyboard, window, blocks=blocks, problem=lambda: getattr(env, "problem", None))
        session.run(options={"subject": subject, "scene": scene})


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
