"""Turn the teacher into the 4-step student by self-rollout: it learns on what it has itself made so far.

It plays without end: some of the four denoising steps, the block committed, the next one laid out by its transition.
The last of those steps learns to hit the world's block, which is a function of the captions and of what was before.
Teacher forcing goes on beside it, since it alone trains what the commit pass remembers.

python -m examples.pocket_world.train.student --teacher runs/teacher --folder runs/student    (resumes)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from torch.nn.attention import SDPBackend, sdpa_kernel

from examples.pocket_world.train.codec import load_codec
from examples.pocket_world.train.encode import load_clips
from examples.pocket_world.train.generator import (
    ErrorWeights,
    PocketGenerator,
    load_average,
    make_optimizers,
    update,
    update_average,
)
from examples.pocket_world.train.run import Run, half, place, rank, start_processes
from examples.pocket_world.train.streams import LAST_STEP, SelfRollout, targets
from examples.pocket_world.train.teacher import Forcing, sample_window
from infrope_env.pixels.patch_codec import PatchEncoder


@dataclass(frozen=True)
class Options:
    """Settings of the run.

    Attributes:
        teacher: run folder whose averaged weights to begin with.
        batch: rollouts that a process plays beside each other.
        blocks: that each of them goes on by in an iteration.
        forced_batch: clips of the teacher-forcing loss that goes along.
        true_share: of the blocks that are committed as the world has them instead of as they were made: a rollout that
            has lost its place is of no use until it is told.
        device: where to train; None takes the GPU where there is one.
    """

    clips: Path = Path("runs/clips")
    codec: Path = Path("runs/codec")
    teacher: Path = Path("runs/teacher")
    folder: Path = Path("runs/student")
    iterations: int = 600
    minutes: float = 1e9
    batch: int = 2
    blocks: int = 7
    forced_batch: int = 1
    true_share: float = 0.2
    lr: float = 1.2e-3
    seed: int = 1
    device: str | None = None


def main(options: Options) -> None:
    """Train until the iterations are done or the minutes are over."""
    start_processes()
    torch.manual_seed(options.seed)
    device = place(options.device)
    model = PocketGenerator.of(load_average(options.teacher)).to(device)
    average = PocketGenerator.of(load_average(options.teacher)).to(device).requires_grad_(False)
    optimizers = make_optimizers(model, options.lr)
    run = Run(options.folder, {"model": model, "average": average}, optimizers, options.iterations, options.minutes)
    clips = load_clips(options.clips)
    encoder = load_codec(options.codec).encoder
    forcing = Forcing.on(device, ErrorWeights.of(encoder.variances, device))
    players = [
        Player(model, forcing, encoder, [options.seed, run.iteration, rank(), number])
        for number in range(options.batch)
    ]
    for iteration in run:
        rng = np.random.default_rng([options.seed, iteration, rank()])
        model.zero_grad(set_to_none=True)
        forced = forcing.losses(model, clips, rng, options.forced_batch, at_steps=1.0)
        (0.5 * torch.stack([*forced.values()]).mean()).backward()
        share = 1 / (options.batch * options.blocks)
        errors = [p.add_gradient(share, options.true_share) for p in players for _ in range(options.blocks)]
        update(model, optimizers)
        update_average(average, model, iteration)
        run.log(every=10, **{name: loss.item() for name, loss in forced.items()}, rolled=float(np.mean(errors)))


class Player:
    """A rollout beside its targets; plays on where it stopped."""

    def __init__(self, model: PocketGenerator, forcing: Forcing, encoder: PatchEncoder, seed: list[int]) -> None:
        self._rng, self._forcing = np.random.default_rng(seed), forcing
        generator = torch.Generator(forcing.device).manual_seed(int(self._rng.integers(2**62)))
        self._rollout = SelfRollout(model, forcing.look_back, generator)
        self._targets = targets(encoder, self._rng)

    def add_gradient(self, share: float, true_share: float) -> float:
        """Make the next block and commit it, or what is true; its gradient counts `share`. Returns its error."""
        target = next(self._targets)
        latents, block = target.latents.to(self._forcing.device), target.block
        with half(self._forcing.device), sdpa_kernel(SDPBackend.MATH):
            self._rollout.turn_to(block.caption, block.transition, sample_window(self._rng))
            estimate = self._rollout.make_block(int(self._rng.integers(LAST_STEP + 1)), latents.shape)
        error = self._forcing.weights.error(estimate, latents, torch.ones(1, device=latents.device))
        (error * target.weight * share).backward()
        true = self._rng.random() < true_share
        with half(self._forcing.device), sdpa_kernel(SDPBackend.MATH):
            self._rollout.commit(latents if true else estimate.detach())
        return error.item()


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
