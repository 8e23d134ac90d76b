"""Turn a storyboard, a file of timed prompts, into a recording: a video, its subtitles, and a log to replay.

Try:
    python examples/storyboard.py examples/storyboard.txt --out rollouts
    infrope replay rollouts/episode_000 --verify --headless

From the command line:

    infrope record --storyboard examples/storyboard.txt --out rollouts
"""

from pathlib import Path
from typing import Annotated

import gymnasium
import torch
import tyro

from controllers.scripted import StoryboardController
from infrope_env.control.playable import playable
from infrope_env.output import run_program
from infrope_env.wrappers import RecordRollout

STORYBOARD = Path(__file__).with_name("storyboard.txt")


def main(
    storyboard: Annotated[Path, tyro.conf.Positional] = STORYBOARD,
    out: Path = Path("rollouts"),
    weights: str = "pocket",
    seed: int = 0,
) -> None:
    """Make every block of the storyboard.

    Args:
        storyboard: Text file such as "a red robot waves hello in a dark cave[3s] | a red robot stands still ...[5s#]".
        out: Folder to record in; every run adds an episode.
        weights: "pocket" or the path of a world folder.
        seed: Seed of the noise.
    """
    torch.set_num_threads(1)  # the infrope command's setting: real time here, and pixels depend on it
    env = RecordRollout(gymnasium.make("infrope_env:infrope/PocketWorld-v0", weights=weights), out)
    inner = playable(env)
    controller = StoryboardController.from_file(
        storyboard, inner.set_prompt, inner.action_names, block=inner.window.block
    )
    inner.encode_prompts(controller.prompts)
    env.subtitles = controller.storyboard.timed_subtitles()
    observation, info = env.reset(seed=seed, options={"prompt": controller.first_prompt})
    print(f"{'start':<8} {info['prompt']}")
    for _ in range(controller.total_blocks - 1):
        observation, _, _, _, info = env.step(controller(observation, info))
        if info["transition"] != "continue":
            print(f"{info['transition']:<8} {info['prompt']}")
    env.close()
    print(f"{controller.total_blocks} blocks in {env.episodes[-1]}/video.mp4")


if __name__ == "__main__":
    run_program(main, description=__doc__)
