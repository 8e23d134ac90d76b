"""Solve for the decoder anew, on what a trained generator makes: then it knows which differences not to trust.

python -m examples.pocket_world.polish --generator runs/student --codec runs/codec --folder runs/polished

The generator plays on its own past, beside the world. Of its blocks the decoder is to make what the world shows, and so
it is of the true latents. The encoder stays as it is: the generator speaks its language.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import tyro
from safetensors.torch import save_file
from torch import Tensor

from examples.pocket_world.forcing import LookbackMaker
from examples.pocket_world.generator import PocketGenerator, load_average
from examples.pocket_world.measures import psnr
from examples.pocket_world.play import FIRST_LATENT_PADDING
from examples.pocket_world.streams import LAST_STEP, SelfRollout, targets
from examples.pocket_world.train_codec import FILE, Codec, load_codec
from examples.pocket_world.training import start_processes
from infrope_env.config import Window


@dataclass(frozen=True)
class Options:
    """Settings of the run.

    Attributes:
        generator: run folder of the student.
        codec: its folder; must be the one that made the clips of the training.
        blocks: played for it.
        shown: more blocks, of another seed, to say what it has brought.
        noise: as in `train_codec`; little, for most mistakes are there already.
    """

    generator: Path = Path("runs/student")
    codec: Path = Path("runs/codec")
    folder: Path = Path("runs/polished")
    blocks: int = 400
    shown: int = 60
    noise: float = 0.1
    seed: int = 2


class Made(NamedTuple):
    """One block: true latents, made ones, 1 f c h w, and the world's video 1 t 3 H W."""

    true: Tensor
    made: Tensor
    video: Tensor


def main(options: Options) -> None:
    """Play, solve, compare on other blocks, write."""
    start_processes()
    codec, model = load_codec(options.codec), PocketGenerator().eval().requires_grad_(False)
    model.load_state_dict(load_average(options.generator))
    shown = list(play_beside(model, codec, options.seed + 999, options.shown))
    print_likeness("before", codec, shown)
    played = play_beside(model, codec, options.seed, options.blocks)
    pairs = ((latents, block.video) for block in played for latents in (block.true, block.made))
    codec.decoder.fit(codec.encoder, pairs, options.noise)
    print_likeness("after", codec, shown)
    options.folder.mkdir(parents=True, exist_ok=True)
    save_file(codec.state_dict(), options.folder / FILE)
    print(f"wrote {options.folder / FILE}")


@torch.inference_mode()
def play_beside(
    model: PocketGenerator, codec: Codec, seed: int, blocks: int, true_share: float = 0.1
) -> Iterator[Made]:
    """Blocks that a generator makes, some of which are then replaced by the world's so that it keeps its place."""
    rng = np.random.default_rng(seed)
    rollout = SelfRollout(model, LookbackMaker.of_pocket(), torch.Generator().manual_seed(seed))
    for index, target in enumerate(islice(targets(codec.encoder, rng), blocks), 1):
        rollout.turn_to(target.block.caption, target.block.transition, Window())
        made = rollout.make_block(LAST_STEP, target.latents.shape)
        rollout.commit(target.latents if rng.random() < true_share else made)
        yield Made(target.latents, made, target.video)
        if index % 50 == 0:
            print(f"played {index} of {blocks} blocks", flush=True)


@torch.inference_mode()
def print_likeness(when: str, codec: Codec, shown: list[Made]) -> None:
    """Say how like the world true and made latents come out, in dB."""

    def likeness(part: str) -> float:
        frames = [codec.decoder.decode(getattr(block, part), None)[0][0].numpy() for block in shown]
        truth = [(block.video[0, FIRST_LATENT_PADDING:].movedim(1, -1) * 255).round().byte().numpy() for block in shown]
        return float(np.mean([psnr(one, other) for one, other in zip(frames, truth, strict=True)]))

    print(
        f"{when}: {likeness('true'):.1f} dB from true latents, {likeness('made'):.1f} dB from the generator's",
        flush=True,
    )


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
