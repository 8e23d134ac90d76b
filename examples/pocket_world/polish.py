"""Solve for the decoder anew, on what a trained generator makes: then it knows which differences not to trust.

python -m examples.pocket_world.polish --generator runs/student --codec runs/codec --folder runs/polished

Clips of play are made again by the generator, block by block on its own past. Of these blocks the decoder is to make
what the world showed, and so it is of the true latents. The encoder stays as it is: the generator speaks its language.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from safetensors.torch import save_file
from torch import Tensor

from examples.pocket_world.forcing import LookbackMaker
from examples.pocket_world.generator import POCKET_MODEL, PocketGenerator, load_average
from examples.pocket_world.measures import psnr
from examples.pocket_world.play import FIRST_LATENT_PADDING, Clip, play_clip
from examples.pocket_world.train_codec import FILE, Codec, load_codec
from examples.pocket_world.train_student import SCHEDULE, SelfRollout
from examples.pocket_world.training import start_processes
from infrope_env.config import Window
from infrope_env.dynamics.rope import RotaryTable


@dataclass(frozen=True)
class Options:
    """Settings of the run.

    Attributes:
        generator: run folder of the student.
        codec: its folder; must be the one that made the clips of the training.
        clips: made again for it.
        shown: other clips, made again to say what it has brought.
        noise: as in `train_codec`; little, for most mistakes are there already.
    """

    generator: Path = Path("runs/student")
    codec: Path = Path("runs/codec")
    folder: Path = Path("runs/polished")
    clips: int = 64
    shown: int = 8
    noise: float = 0.1
    seed: int = 2


@dataclass(frozen=True)
class Remaker:
    """Makes clips again."""

    model: PocketGenerator
    codec: Codec
    look_back: LookbackMaker

    @classmethod
    def of(cls, generator: Path, codec: Codec) -> Remaker:
        """With the averaged weights of a run."""
        model = PocketGenerator().eval().requires_grad_(False)
        model.load_state_dict(load_average(generator))
        table = RotaryTable(POCKET_MODEL.head_dim, POCKET_MODEL.rows, POCKET_MODEL.cols)
        return cls(model, codec, LookbackMaker(table, POCKET_MODEL.tokens_per_frame))

    def pairs(self, seed: int, clips: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """True latents, made ones, 1 f c h w, and the video 1 t 3 H W of random clips."""
        for index in range(clips):
            clip = play_clip(np.random.default_rng([seed, index]))
            latents, video = self.codec.pair(torch.from_numpy(clip.frames))
            yield latents, self.make_again(clip, latents, index), video
            if index % 8 == 7:
                print(f"made {index + 1} of {clips} clips again", flush=True)

    @torch.inference_mode()
    def make_again(self, clip: Clip, latents: Tensor, seed: int) -> Tensor:
        """What the generator makes of a clip whose latents are 1 f c h w; what nothing could foretell stays true."""
        targets = latents.split(Window().block, dim=1)
        lookback = self.look_back([[block.transition for block in clip.blocks]], [Window()])
        rollout, made = SelfRollout.of(self.model, lookback, len(targets), seed), list[Tensor]()
        for index, (target, block) in enumerate(zip(targets, clip.blocks, strict=True)):
            rollout.text = self.model.read([block.caption])
            estimate = rollout.make_block(index, len(SCHEDULE.sigmas) - 1, target.shape)
            made.append(target if clip.far and index == 1 else estimate)
            rollout.commit(made[-1])
        return torch.cat(made, dim=1)


def main(options: Options) -> None:
    """Make clips again, solve, compare on other clips, write."""
    start_processes()
    codec = load_codec(options.codec)
    remaker = Remaker.of(options.generator, codec)
    shown = list(remaker.pairs(options.seed + 999, options.shown))
    print_likeness("before", codec, shown)
    pairs = (
        (latents, video) for true, made, video in remaker.pairs(options.seed, options.clips) for latents in (true, made)
    )
    codec.decoder.fit(codec.encoder, pairs, options.noise)
    print_likeness("after", codec, shown)
    options.folder.mkdir(parents=True, exist_ok=True)
    save_file(codec.state_dict(), options.folder / FILE)
    print(f"wrote {options.folder / FILE}")


@torch.inference_mode()
def print_likeness(when: str, codec: Codec, shown: list[tuple[Tensor, Tensor, Tensor]]) -> None:
    """Say how like the world true and made latents come out, in dB."""

    def likeness(latents: Tensor, video: Tensor) -> float:
        frames, _ = codec.decoder.decode(latents, None)
        truth = (video[0].permute(0, 2, 3, 1) * 255).round().byte().numpy()
        return psnr(frames[0].numpy(), truth[FIRST_LATENT_PADDING:])

    true, made = (float(np.mean([likeness(row[part], row[2]) for row in shown])) for part in (0, 1))
    print(f"{when}: {true:.1f} dB from true latents, {made:.1f} dB from the generator's", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
