"""The loss of first blocks, which only captions determine.

Rollouts and clips begin rarely, so they train few of them. What a first block alone can show, for example the
arrangement of the world, is learnt many times faster with batches of nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from examples.pocket_world.train.codec import as_video
from examples.pocket_world.train.generator import POCKET_MODEL, LossWeights, PocketGenerator
from examples.pocket_world.train.run import autocast
from examples.pocket_world.train.streams import SCHEDULE, RolloutContext
from examples.pocket_world.train.teacher_forcing import AttentionPlanner
from examples.pocket_world.world.play import play_start
from infrope_env.config import Window
from infrope_env.control.actions import Transition
from infrope_env.dynamics.coordinates import lay_out
from infrope_env.dynamics.schedule import add_noise, clean_estimate
from infrope_env.pixels.patch_codec import PatchEncoder

FIRST_BLOCK_LOSS_WEIGHT = 0.5
"""Weight of the loss in a training, beside those of clips and rollouts: as much as all clips of a batch."""


@dataclass(frozen=True)
class FirstBlockLoss:
    """The error of a model's estimates of the first blocks of rendered rollouts.

    Attributes:
        planner: Computes the rotations of the layout.
        weights: Weights of latent channels and pixels.
        encoder: Encoder of the rendered frames.
        arrangements: Whether to draw arrangements and name them in the captions.
    """

    planner: AttentionPlanner
    weights: LossWeights
    encoder: PatchEncoder
    arrangements: bool = False

    def __call__(self, model: PocketGenerator, rng: np.random.Generator, count: int) -> Tensor:
        """Return the mean error of `count` clean estimates: of half of the blocks, rounded up, from pure noise.

        The others are at the noise levels of the sampler's later steps.
        """
        device, starts = self.weights.pixels.device, [play_start(rng, self.arrangements) for _ in range(count)]
        captions, clean = [block.caption for block, _ in starts], self.encode([frames for _, frames in starts])
        pure = rng.permutation(count) < (count + 1) // 2
        sigmas = torch.from_numpy(np.where(pure, 1.0, rng.choice(SCHEDULE.sigmas[1:], count))).float().to(device)
        generator = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
        noise = torch.randn(clean.shape, generator=generator, device=device)
        noisy = add_noise(clean.to(device), noise, sigmas[:, None, None, None, None])
        estimates = self.estimate(model, captions, noisy, sigmas)
        return self.weights.error(estimates, clean.to(device), torch.ones(count, device=device))

    @torch.no_grad()
    def encode(self, blocks: list[np.ndarray]) -> Tensor:
        """Return the latents, N f c h w, of first blocks' padded frames, t H W 3 uint8 each."""
        return torch.cat([self.encoder.encode_whole(as_video(torch.from_numpy(frames))) for frames in blocks])

    def estimate(self, model: PocketGenerator, captions: list[str], noisy: Tensor, sigmas: Tensor) -> Tensor:
        """Return the clean estimates, N f c h w, of noisy first blocks at noise levels N."""
        contexts = [RolloutContext(POCKET_MODEL.tokens_per_frame) for _ in model.transformer.blocks]
        rotations = self.planner.rotations(lay_out((), Transition.START, Window()))
        for context in contexts:
            context.rotations = rotations
        with autocast(noisy.device), sdpa_kernel(SDPBackend.MATH):
            modulation = model.transformer.modulate(sigmas * 1000)
            output = model.transformer(noisy, modulation, model.text_kv(captions), contexts)
        return clean_estimate(POCKET_MODEL.prediction, output.float(), noisy, sigmas[:, None, None, None, None])
