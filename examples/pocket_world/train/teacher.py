"""Train the pocket world's generator and text encoder by denoising with teacher forcing on encoded clips.

python -m examples.pocket_world.train.teacher --folder runs/teacher       (resumes from its checkpoint)
torchrun --nproc-per-node 2 -m examples.pocket_world.train.teacher ...    (two processes of one thread each)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from einops import rearrange
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from examples.pocket_world.train.codec import load_codec
from examples.pocket_world.train.encode import Clips, load_clips
from examples.pocket_world.train.generator import (
    POCKET_MODEL,
    ErrorWeights,
    PocketGenerator,
    load_average,
    make_optimizers,
    update,
    update_average,
)
from examples.pocket_world.train.run import Run, half, place, rank, start_processes
from examples.pocket_world.train.teacher_forcing import ForcedWindow, LookbackMaker
from examples.pocket_world.train.widen import widen
from infrope_env.config import Sampler, Window
from infrope_env.dynamics.schedule import Schedule, add_noise, clean_estimate, shift_timesteps
from infrope_env.pixels.patch_codec import channel_noise_scale

SOILED = 0.8
"""Most noise, in deviations of the faintest latent channel, that the context gets in training."""


@dataclass(frozen=True)
class Options:
    """Settings of the run.

    Attributes:
        initial: run folder whose averaged weights to begin with, in a new run; they may be of a narrower model.
        width: channels of the generator, a multiple of 64: a narrower one takes less time, to begin with or to try.
        at_steps: share of the lower noise levels taken from the sampler's own; the rest is spread over all levels.
        device: where to train; None takes the GPU where there is one.
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
    at_steps: float = 0.85
    seed: int = 0
    device: str | None = None


def main(options: Options) -> None:
    """Train until the iterations are done or the minutes are over."""
    start_processes()
    torch.manual_seed(options.seed)
    device = place(options.device)
    model = PocketGenerator(options.width).to(device)
    average = PocketGenerator(options.width).to(device).requires_grad_(False)
    if options.initial is not None:
        model.load_state_dict(widen(load_average(options.initial), model.state_dict(), POCKET_MODEL.head_dim))
    average.load_state_dict(model.state_dict())
    optimizers = make_optimizers(model, options.lr)
    run = Run(options.folder, {"model": model, "average": average}, optimizers, options.iterations, options.minutes)
    clips = load_clips(options.clips)
    forcing = Forcing.on(device, ErrorWeights.of(load_codec(options.codec).encoder.variances, device))
    for iteration in run:
        rng = np.random.default_rng([options.seed, iteration, rank()])
        losses = forcing.losses(model, clips, rng, options.batch, options.at_steps)
        model.zero_grad(set_to_none=True)
        torch.stack([*losses.values()]).mean().backward()
        update(model, optimizers)
        update_average(average, model, iteration)
        run.log(**{name: loss.item() for name, loss in losses.items()})


@dataclass(frozen=True)
class Forcing:
    """What teacher forcing needs besides model and clips."""

    look_back: LookbackMaker
    weights: ErrorWeights
    device: torch.device

    @classmethod
    def on(cls, device: torch.device, weights: ErrorWeights) -> Forcing:
        """Ready for the pocket model."""
        return cls(LookbackMaker.of_pocket(device), weights, device)

    def losses(
        self, model: PocketGenerator, clips: Clips, rng: np.random.Generator, count: int, at_steps: float
    ) -> dict[str, Tensor]:
        """Errors of the clean estimates of one batch: of the half from pure noise, and of the half from less.

        Pure noise is half of all: what it leaves open only the context can tell, and nothing is harder to learn.
        """
        batch = self.prepare(clips, rng, count)
        sigmas = sample_sigmas(rng, len(batch.clean), at_steps).to(self.device)
        pure = torch.from_numpy(rng.permutation(len(sigmas)) < len(sigmas) // 2).to(self.device)
        estimates = self.estimates(model, batch, torch.where(pure, 1.0, sigmas))
        first, later = (
            self.weights.error(estimates[part], batch.clean[part], batch.importance[part]) for part in (pure, ~pure)
        )
        return {"from_noise": first, "later": later}

    def prepare(self, clips: Clips, rng: np.random.Generator, count: int) -> Batch:
        """Draw clips, and lay their blocks out."""
        chosen = clips.choose(rng, count)
        transitions = [clips.transitions[i] for i in chosen]
        latents = clips.latents[torch.from_numpy(chosen)].to(self.device).float()
        return Batch(
            clean=rearrange(latents, "b (k f) c h w -> (b k) f c h w", f=Window().block),
            captions=[caption for i in chosen for caption in clips.captions[i]],
            importance=clips.importance[chosen].flatten().to(self.device),
            window=ForcedWindow(self.look_back(transitions, [sample_window(rng) for _ in chosen]), count),
            rng=rng,
        )

    def estimates(self, model: PocketGenerator, batch: Batch, sigmas: Tensor) -> Tensor:
        """Clean estimates of all blocks, N f c h w, each from its own noise level."""
        generator = torch.Generator(self.device).manual_seed(int(batch.rng.integers(2**62)))
        noise = torch.randn(batch.clean.shape, generator=generator, device=self.device)
        context = soil(batch.clean, self.weights, generator)
        return clean_estimates(model, batch, sigmas, noise, context)


@dataclass(frozen=True)
class Batch:
    """Blocks of some clips, N in all.

    Attributes:
        clean: N f c h w.
        captions: one for each block.
        importance: how much each block counts, N.
        window: for one noisy copy of every block.
        rng: draws noise and noise levels.
    """

    clean: Tensor
    captions: list[str]
    importance: Tensor
    window: ForcedWindow
    rng: np.random.Generator


def clean_estimates(model: PocketGenerator, batch: Batch, sigmas: Tensor, noise: Tensor, context: Tensor) -> Tensor:
    """What the model makes of noisy blocks that look back at soiled ones.

    Args:
        model: takes clean and noisy blocks in one batch.
        batch: N blocks.
        sigmas: their noise levels, N.
        noise: N f c h w.
        context: the blocks as they are looked back at, N f c h w.

    Returns:
        N f c h w.
    """
    levels = sigmas[:, None, None, None, None]
    noisy = add_noise(batch.clean, noise, levels)
    with half(noise.device), sdpa_kernel(SDPBackend.MATH):  # for few text keys the fastest here
        text = [(torch.cat((k, k)), torch.cat((v, v))) for k, v in model.read(batch.captions)]
        time = model.transformer.modulate(torch.cat((torch.zeros_like(sigmas), sigmas * 1000)))
        output = model.transformer(torch.cat((context, noisy)), time, text, [batch.window] * len(text))[len(noisy) :]
    return clean_estimate(POCKET_MODEL.prediction, output.float(), noisy, levels)


def soil(clean: Tensor, weights: ErrorWeights, generator: torch.Generator) -> Tensor:
    """Context as play leaves it: each block N f c h w with mistakes of its own strength, worst in faint channels.

    Looking back at flawless frames only, the generator copies small mistakes and adds to them, block after block;
    shown soiled ones beside clean targets, it learns to mend them.
    """
    strength = SOILED * torch.rand(len(clean), 1, 1, 1, 1, generator=generator, device=clean.device) ** 2
    mistakes = torch.randn(clean.shape, generator=generator, device=clean.device)
    return clean + strength * channel_noise_scale(weights.channels)[:, None, None] * mistakes


def sample_sigmas(rng: np.random.Generator, count: int, at_steps: float) -> Tensor:
    """Noise levels below 1: a share at the sampler's own, the rest spread as its shift spreads them."""
    own = rng.choice(Schedule.of(Sampler()).sigmas[1:], count)
    spread = shift_timesteps(torch.from_numpy(rng.random(count)), Sampler().shift).numpy() / 1000
    return torch.from_numpy(np.where(rng.random(count) < at_steps, own, spread)).float()


def sample_window(rng: np.random.Generator) -> Window:
    """Mostly the window of play; sometimes a flush keeps two frames or the cut lands elsewhere, so that both hold."""
    flush_context = 2 if rng.random() < 0.2 else 1
    cut_coordinate = int(rng.integers(20, 80)) if rng.random() < 0.3 else 45
    return Window(flush_context=flush_context, cut_coordinate=cut_coordinate)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
