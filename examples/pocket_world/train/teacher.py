"""Train the teacher: the pocket generator and its text encoder, by denoising with teacher forcing on encoded clips.

    python -m examples.pocket_world.train.teacher --folder runs/teacher
    torchrun --nproc-per-node 2 -m examples.pocket_world.train.teacher --folder runs/teacher

The second command uses two processes of one thread each. Both resume from the checkpoint in the folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from examples.pocket_world.train.codec import load_encoder
from examples.pocket_world.train.encode import EncodedClips, load_clips
from examples.pocket_world.train.first_blocks import FIRST_BLOCK_LOSS_WEIGHT, FirstBlockLoss
from examples.pocket_world.train.generator import (
    POCKET_MODEL,
    LossWeights,
    PocketGenerator,
    load_average,
    make_optimizers,
    update,
    update_average,
)
from examples.pocket_world.train.run import Run, autocast, rank, start_processes, training_device
from examples.pocket_world.train.teacher_forcing import AttentionPlanner, TeacherForcingContext
from examples.pocket_world.train.widen import widen
from infrope_env.config import Sampler, Window
from infrope_env.dynamics.schedule import Schedule, add_noise, clean_estimate, shift_timesteps
from infrope_env.output import run_program
from infrope_env.pixels.patch_codec import channel_noise_scale

MAX_CONTEXT_NOISE = 0.8
"""Largest standard deviation of the context noise, in deviations of the faintest latent channel."""


@dataclass(frozen=True)
class Options:
    """Settings of the teacher.

    Attributes:
        clips: Folder of the encoded clips.
        codec: Run folder or world folder that holds the encoder.
        folder: Folder of the run.
        initial: Run folder whose averaged weights initialise a new run; they may belong to a narrower model.
        iterations: Length of the run.
        minutes: Time limit of this process; the next one resumes the run.
        batch: Clips per iteration and process.
        lr: Peak learning rate.
        width: Channels of the generator, a multiple of 64.
        arrangements: Whether clips and first blocks have captions that name arrangements.
        first_block_batch: First blocks per iteration and process, in addition to the clips; see `FirstBlockLoss`.
        at_steps: Share of the noise levels below 1 that equal the sampler's own; the rest covers all levels.
        seed: Seed of initial weights, clips and noise.
        device: Device to train on; None means the GPU if there is one.
    """

    clips: Path = Path("runs/clips")
    codec: Path = Path("runs/codec")
    folder: Path = Path("runs/teacher")
    initial: Path | None = None
    iterations: int = 1000
    minutes: float = 1e9
    batch: int = 2
    lr: float = 2e-3
    width: int = POCKET_MODEL.dim
    arrangements: bool = False
    first_block_batch: int = 0
    at_steps: float = 0.85
    seed: int = 0
    device: str | None = None


def main(options: Options) -> None:
    """Train until the iterations or the minutes are over."""
    start_processes()
    torch.manual_seed(options.seed)
    device = training_device(options.device)
    model = PocketGenerator(options.width, options.arrangements).to(device)
    average = PocketGenerator(options.width, options.arrangements).to(device).requires_grad_(False)
    if options.initial is not None:
        model.load_state_dict(
            widen(load_average(options.initial, options.arrangements), model.state_dict(), POCKET_MODEL.head_dim)
        )
    average.load_state_dict(model.state_dict())
    optimizers = make_optimizers(model, options.lr)
    run = Run(options.folder, {"model": model, "average": average}, optimizers, options.iterations, options.minutes)
    clips, encoder = load_clips(options.clips), load_encoder(options.codec)
    forcing = TeacherForcing.on(device, LossWeights.of(encoder.variances, device))
    first_block_loss = FirstBlockLoss(forcing.planner, forcing.weights, encoder, options.arrangements)
    for iteration in run:
        rng = np.random.default_rng([options.seed, iteration, rank()])
        model.zero_grad(set_to_none=True)
        losses = forcing.losses(model, clips, rng, options.batch, options.at_steps)
        torch.stack([*losses.values()]).mean().backward()
        if options.first_block_batch:
            losses["first"] = first_block_loss(model, rng, options.first_block_batch)
            (FIRST_BLOCK_LOSS_WEIGHT * losses["first"]).backward()
        update(model, optimizers)
        update_average(average, model, iteration)
        run.log({name: loss.item() for name, loss in losses.items()})


@dataclass(frozen=True)
class TeacherForcing:
    """The teacher-forcing loss.

    Attributes:
        planner: Lays out the blocks of the clips.
        weights: Weights of latent channels and pixels.
        device: Device to train on.
    """

    planner: AttentionPlanner
    weights: LossWeights
    device: torch.device

    @classmethod
    def on(cls, device: torch.device, weights: LossWeights) -> TeacherForcing:
        """Make the loss of the pocket model on a device."""
        return cls(AttentionPlanner.of_pocket(device), weights, device)

    def losses(
        self, model: PocketGenerator, clips: EncodedClips, rng: np.random.Generator, count: int, at_steps: float
    ) -> dict[str, Tensor]:
        """Return the errors of one batch's clean estimates: of the half at noise level 1, and of the half below.

        Half of the blocks start from pure noise, because that step is the hardest: only context and caption determine
        its result.
        """
        batch = self.make_batch(clips, rng, count)
        sigmas = sample_sigmas(rng, len(batch.clean), at_steps).to(self.device)
        pure = torch.from_numpy(rng.permutation(len(sigmas)) < len(sigmas) // 2).to(self.device)
        estimates = self.estimates(model, batch, torch.where(pure, 1.0, sigmas))
        first, later = (
            self.weights.error(estimates[part], batch.clean[part], batch.block_weights[part]) for part in (pure, ~pure)
        )
        return {"from_noise": first, "later": later}

    def make_batch(self, clips: EncodedClips, rng: np.random.Generator, count: int) -> Batch:
        """Draw clips and lay out their blocks."""
        chosen = clips.sample(rng, count)
        transitions = [clips.transitions[i] for i in chosen]
        latents = clips.latents[torch.from_numpy(chosen)].to(self.device).float()
        return Batch(
            clean=rearrange(latents, "b (k f) c h w -> (b k) f c h w", f=Window().block),
            captions=[caption for i in chosen for caption in clips.captions[i]],
            block_weights=clips.block_weights[chosen].flatten().to(self.device),
            context=TeacherForcingContext(self.planner(transitions, [sample_window(rng) for _ in chosen]), count),
            rng=rng,
        )

    def estimates(self, model: PocketGenerator, batch: Batch, sigmas: Tensor) -> Tensor:
        """Return the clean estimates of all blocks, N f c h w, from noise levels N."""
        generator = torch.Generator(self.device).manual_seed(int(batch.rng.integers(2**62)))
        noise = torch.randn(batch.clean.shape, generator=generator, device=self.device)
        augmented = augment_context(batch.clean, self.weights, generator)
        return clean_estimates(model, batch, sigmas, noise, augmented)


@dataclass(frozen=True)
class Batch:
    """N blocks of some clips.

    Attributes:
        clean: Clean latents, N f c h w.
        captions: Caption of every block.
        block_weights: Weight of every block in the loss, N.
        context: Attention context of the clean and the noisy blocks.
        rng: Random generator of noise and noise levels.
    """

    clean: Tensor
    captions: list[str]
    block_weights: Tensor
    context: TeacherForcingContext
    rng: np.random.Generator


def clean_estimates(model: PocketGenerator, batch: Batch, sigmas: Tensor, noise: Tensor, augmented: Tensor) -> Tensor:
    """Return the model's clean estimates of noisy blocks that attend to augmented clean ones.

    Args:
        model: Generator to train.
        batch: N blocks.
        sigmas: Noise levels, N.
        noise: Noise of the blocks, N f c h w.
        augmented: Clean blocks after context noise augmentation, N f c h w.

    Returns:
        N f c h w.
    """
    levels = sigmas[:, None, None, None, None]
    noisy = add_noise(batch.clean, noise, levels)
    with autocast(noise.device), sdpa_kernel(SDPBackend.MATH):  # the fastest kernel for few text keys
        text = [(torch.cat((k, k)), torch.cat((v, v))) for k, v in model.text_kv(batch.captions)]
        time = model.transformer.modulate(torch.cat((torch.zeros_like(sigmas), sigmas * 1000)))
        output = model.transformer(torch.cat((augmented, noisy)), time, text, [batch.context] * len(text))
    return clean_estimate(POCKET_MODEL.prediction, output[len(noisy) :].float(), noisy, levels)


def augment_context(clean: Tensor, weights: LossWeights, generator: torch.Generator) -> Tensor:
    """Add noise to context blocks, N f c h w: a random strength per block, strongest in faint channels.

    A generator trained on clean context copies its own small errors and amplifies them block by block. Trained on noisy
    context with clean targets, it learns to correct them.
    """
    strength = MAX_CONTEXT_NOISE * torch.rand(len(clean), 1, 1, 1, 1, generator=generator, device=clean.device) ** 2
    noise = torch.randn(clean.shape, generator=generator, device=clean.device)
    return clean + strength * channel_noise_scale(weights.channels)[:, None, None] * noise


def sample_sigmas(rng: np.random.Generator, count: int, at_steps: float) -> Tensor:
    """Draw noise levels below 1: a share `at_steps` from the sampler's own, the rest by its shifted distribution."""
    own = rng.choice(Schedule.of(Sampler()).sigmas[1:], count)
    shifted = shift_timesteps(torch.from_numpy(rng.random(count)), Sampler().shift).numpy() / 1000
    return torch.from_numpy(np.where(rng.random(count) < at_steps, own, shifted)).float()


def sample_window(rng: np.random.Generator) -> Window:
    """Draw an attention window: mostly the default, sometimes another `flush_context` or `cut_coordinate`."""
    flush_context = 2 if rng.random() < 0.2 else 1
    cut_coordinate = int(rng.integers(20, 80)) if rng.random() < 0.3 else 45
    return Window(flush_context=flush_context, cut_coordinate=cut_coordinate)


if __name__ == "__main__":
    main(run_program(Options, description=__doc__))
