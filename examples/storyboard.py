"""Play a storyboard, timed prompts written down beforehand, into a recording: a video, a log, and how to make it again.

Try:
    python examples/storyboard.py examples/storyboard.txt --out rollouts
    infrope replay rollouts/episode_000 --verify --headless

The same from the command line:

    infrope record --storyboard examples/storyboard.txt --out rollouts
"""

from pathlib import Path
from typing import Annotated

import gymnasium
import torch
import tyro

from controllers.scripted import StoryboardController
from infrope_env.wrappers import RecordRollout

BOARD = Path(__file__).with_name("storyboard.txt")


def main(
    board: Annotated[Path, tyro.conf.Positional] = BOARD,
    out: Path = Path("rollouts"),
    weights: str = "pocket",
    seed: int = 0,
) -> None:
    """Make every block of the storyboard.

    Args:
        board: a text file, such as "a red robot waves hello in a dark cave[3s] | a red robot stands still ...[5s#]".
        out: the folder to write to; every run adds an episode.
        weights: a bundled world, or the path of a world folder.
        seed: of the noise.
    """
    torch.set_num_threads(1)  # as the infrope command does: it plays in real time, and bytes depend on it
    env = RecordRollout(gymnasium.make("infrope_env:infrope/PocketWorld-v0", weights=weights), out)
    world = env.unwrapped
    director = StoryboardController.from_file(board, world.set_prompt, world.action_names, block=world.window.block)
    world.encode_prompts(director.prompts)
    env.subtitles = director.storyboard.timed_subtitles()
    observation, info = env.reset(seed=seed, options={"prompt": director.first_prompt})
    print(f"{'start':<8} {info['prompt']}")
    for _ in range(director.total_blocks - 1):
        observation, _, _, _, info = env.step(director(observation, info))
        if info["transition"] != "continue":
            print(f"{info['transition']:<8} {info['prompt']}")
    env.close()
    print(f"{director.total_blocks} blocks in {max(out.glob('episode_*'))}/video.mp4")


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
