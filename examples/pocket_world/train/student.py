"""Train the 4-step student by self-rollout: initialised from the teacher, it learns on a context it generated itself.

The rollouts are endless. Each block runs a random number of the four denoising steps, and the last of these steps is
trained towards the rendered block, which captions and past determine. The result is committed, and the next block is
laid out by its transition. The teacher-forcing loss is added, because only it trains the commit pass.

    python -m examples.pocket_world.train.student --teacher runs/teacher --folder runs/student    (resumes)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from examples.pocket_world.train.codec import load_encoder
from examples.pocket_world.train.encode import load_clips
from examples.pocket_world.train.first_blocks import FIRST_BLOCK_LOSS_WEIGHT, FirstBlockLoss
from examples.pocket_world.train.generator import (
    LossWeights,
    PocketGenerator,
    load_average,
    make_optimizers,
    update,
    update_average,
)
from examples.pocket_world.train.run import Run, autocast, rank, start_processes, training_device
from examples.pocket_world.train.streams import LAST_STEP, SelfRollout, targets
from examples.pocket_world.train.teacher import TeacherForcing, sample_window
from infrope_env.output import run_program
from infrope_env.pixels.patch_codec import PatchEncoder


@dataclass(frozen=True)
class Options:
    """Settings of the student.

    Attributes:
        clips: Folder of the encoded clips, for the teacher-forcing loss.
        codec: Run folder or world folder that holds the encoder.
        teacher: Run folder whose averaged weights initialise the student.
        folder: Folder of the run.
        iterations: Length of the run.
        minutes: Time limit of this process; the next one resumes the run.
        batch: Rollouts per process.
        blocks: Blocks per rollout and iteration.
        teacher_forcing_batch: Clips per iteration and process in the teacher-forcing loss.
        scheduled_sampling_probability: Probability of committing the rendered block instead of the generated one. It
            corrects rollouts whose position in the scenery is wrong.
        arrangements: Whether clips, rollouts and first blocks have captions that name arrangements.
        first_block_batch: First blocks per iteration and process, in addition; see `FirstBlockLoss`.
        lr: Peak learning rate.
        seed: Seed of rollouts, clips and noise.
        device: Device to train on; None means the GPU if there is one.
    """

    clips: Path = Path("runs/clips")
    codec: Path = Path("runs/codec")
    teacher: Path = Path("runs/teacher")
    folder: Path = Path("runs/student")
    iterations: int = 600
    minutes: float = 1e9
    batch: int = 2
    blocks: int = 7
    teacher_forcing_batch: int = 1
    scheduled_sampling_probability: float = 0.2
    arrangements: bool = False
    first_block_batch: int = 0
    lr: float = 1.2e-3
    seed: int = 1
    device: str | None = None


def main(options: Options) -> None:
    """Train until the iterations or the minutes are over."""
    start_processes()
    torch.manual_seed(options.seed)
    device = training_device(options.device)
    weights = load_average(options.teacher, options.arrangements)
    model = PocketGenerator.from_weights(weights).to(device)
    average = PocketGenerator.from_weights(weights).to(device).requires_grad_(False)
    optimizers = make_optimizers(model, options.lr)
    run = Run(options.folder, {"model": model, "average": average}, optimizers, options.iterations, options.minutes)
    run.resume()  # before its iteration becomes a part of the seed of the rollouts
    clips = load_clips(options.clips)
    encoder = load_encoder(options.codec)
    forcing = TeacherForcing.on(device, LossWeights.of(encoder.variances, device))
    first_block_loss = FirstBlockLoss(forcing.planner, forcing.weights, encoder, options.arrangements)
    rollouts = [
        StudentRollout(model, forcing, encoder, [options.seed, run.iteration, rank(), number], options.arrangements)
        for number in range(options.batch)
    ]
    for iteration in run:
        rng = np.random.default_rng([options.seed, iteration, rank()])
        model.zero_grad(set_to_none=True)
        forcing_losses = forcing.losses(model, clips, rng, options.teacher_forcing_batch, at_steps=1.0)
        (0.5 * torch.stack([*forcing_losses.values()]).mean()).backward()
        if options.first_block_batch:
            forcing_losses["first"] = first_block_loss(model, rng, options.first_block_batch)
            (FIRST_BLOCK_LOSS_WEIGHT * forcing_losses["first"]).backward()
        scale = 1 / (options.batch * options.blocks)
        errors = [
            rollout.backward_block(scale, options.scheduled_sampling_probability)
            for rollout in rollouts
            for _ in range(options.blocks)
        ]
        update(model, optimizers)
        update_average(average, model, iteration)
        logged = {name: loss.item() for name, loss in forcing_losses.items()}
        run.log(logged | {"rolled": float(np.mean(errors))}, every=10)


class StudentRollout:
    """A self-rollout with its targets; it continues from one iteration to the next."""

    def __init__(
        self,
        model: PocketGenerator,
        forcing: TeacherForcing,
        encoder: PatchEncoder,
        seed: list[int],
        arrangements: bool = False,
    ) -> None:
        self._rng, self._forcing = np.random.default_rng(seed), forcing
        generator = torch.Generator(forcing.device).manual_seed(int(self._rng.integers(2**62)))
        self._rollout = SelfRollout(model, forcing.planner, generator)
        self._targets = targets(encoder, self._rng, arrangements)

    def backward_block(self, scale: float, scheduled_sampling_probability: float) -> float:
        """Generate the next block, back-propagate its loss, and commit the generated or the rendered block.

        Args:
            scale: Factor on the loss.
            scheduled_sampling_probability: Probability of committing the rendered block.

        Returns:
            Error of the block, without its weight and the factor.
        """
        target = next(self._targets)
        latents, block = target.latents.to(self._forcing.device), target.block
        with autocast(self._forcing.device), sdpa_kernel(SDPBackend.MATH):
            self._rollout.lay_out_next(block.caption, block.transition, sample_window(self._rng))
            estimate = self._rollout.make_block(int(self._rng.integers(LAST_STEP + 1)), latents.shape)
        error = self._forcing.weights.error(estimate, latents, torch.ones(1, device=latents.device))
        (error * target.weight * scale).backward()
        commit_rendered = self._rng.random() < scheduled_sampling_probability
        with autocast(self._forcing.device), sdpa_kernel(SDPBackend.MATH):
            self._rollout.commit(latents if commit_rendered else estimate.detach())
        return error.item()


if __name__ == "__main__":
    main(run_program(Options, description=__doc__))
