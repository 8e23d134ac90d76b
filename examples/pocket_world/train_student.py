"""Turn the teacher into the 4-step student by self-rollout: it learns on what it has itself made so far.

Every clip is rolled out as in play: some of the four denoising steps, the block committed, the next one laid out by its
transition. The last of those steps learns to hit the clip's true block, which in this world is a function of the
captions and of what was before. Teacher forcing goes on beside it, since it alone trains
what the commit pass remembers.

python -m examples.pocket_world.train_student --teacher runs/teacher --folder runs/student    (resumes)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from examples.pocket_world.encode import Clips, load_clips
from examples.pocket_world.forcing import Lookback, RolloutWindow
from examples.pocket_world.generator import (
    POCKET_MODEL,
    ErrorWeights,
    PocketGenerator,
    load_average,
    make_optimizers,
    update,
    update_average,
)
from examples.pocket_world.train_codec import load_codec
from examples.pocket_world.train_teacher import Forcing, sample_window
from examples.pocket_world.training import Run, half, place, rank, start_processes
from infrope_env.config import Sampler, Window
from infrope_env.dynamics.schedule import Schedule, add_noise, read_clean
from infrope_env.dynamics.transformer import TextMemory

SCHEDULE = Schedule.of(Sampler())


@dataclass(frozen=True)
class Options:
    """Settings of the run.

    Attributes:
        teacher: run folder whose averaged weights to begin with.
        forced_batch: clips of the teacher-forcing loss that goes along with every rollout.
        true_share: of the blocks that are committed as the clip has them instead of as they were made.
        device: where to train; None takes the GPU where there is one.
    """

    clips: Path = Path("runs/clips")
    codec: Path = Path("runs/codec")
    teacher: Path = Path("runs/teacher")
    folder: Path = Path("runs/student")
    iterations: int = 600
    minutes: float = 1e9
    batch: int = 2
    forced_batch: int = 1
    true_share: float = 0.25
    lr: float = 6e-4
    seed: int = 1
    device: str | None = None


@dataclass
class SelfRollout:
    """A batch of clips being rolled out by the model under training."""

    model: PocketGenerator
    windows: list[RolloutWindow]
    lookbacks: list[Lookback]
    generator: torch.Generator
    text: TextMemory

    @classmethod
    def of(cls, model: PocketGenerator, lookback: Lookback, blocks: int, seed: int) -> SelfRollout:
        """At the beginning of clips of so many blocks."""
        windows = [RolloutWindow() for _ in model.transformer.blocks]
        lookbacks = [lookback.of_block(index, blocks) for index in range(blocks)]
        device = lookback.frames.device
        return cls(model, windows, lookbacks, torch.Generator(device).manual_seed(seed), [])

    def make_block(self, index: int, exit_step: int, shape: torch.Size) -> Tensor:
        """Denoise b f c h w up to a step, which alone has a gradient; returns its estimate of the clean latents."""
        for window in self.windows:
            window.lookback = self.lookbacks[index]
        noisy = self._noise(shape)
        for step in range(exit_step):
            with torch.no_grad():
                clean = self._estimate(noisy, step)
            noisy = add_noise(clean, self._noise(shape), SCHEDULE.sigmas[step + 1])
        return self._estimate(noisy, exit_step)

    @torch.no_grad()
    def commit(self, latents: Tensor) -> None:
        """The commit pass."""
        transformer = self.model.transformer
        time = transformer.modulate(torch.zeros(len(latents), device=latents.device))
        transformer.remember(latents, time, self.text, self.windows)
        for window in self.windows:
            window.commit(POCKET_MODEL.tokens_per_frame)

    def _noise(self, shape: torch.Size) -> Tensor:
        return torch.randn(shape, generator=self.generator, device=self.generator.device)

    def _estimate(self, noisy: Tensor, step: int) -> Tensor:
        timestep = torch.full((len(noisy),), SCHEDULE.timesteps[step], device=noisy.device)
        output = self.model.transformer(noisy, self.model.transformer.modulate(timestep), self.text, self.windows)
        return read_clean(POCKET_MODEL.prediction, output.float(), noisy, SCHEDULE.sigmas[step])


def main(options: Options) -> None:
    """Train until the iterations are done or the minutes are over."""
    start_processes()
    torch.manual_seed(options.seed)
    device = place(options.device)
    model, average = PocketGenerator().to(device), PocketGenerator().to(device).requires_grad_(False)
    for module in (model, average):
        module.load_state_dict(load_average(options.teacher))
    optimizers = make_optimizers(model, options.lr)
    run = Run(options.folder, {"model": model, "average": average}, optimizers, options.iterations, options.minutes)
    clips = load_clips(options.clips)
    forcing = Forcing.on(device, ErrorWeights.of(load_codec(options.codec).encoder.variances, device))
    for iteration in run:
        rng = np.random.default_rng([options.seed, iteration, rank()])
        model.zero_grad(set_to_none=True)
        forced = forcing.losses(model, clips, rng, options.forced_batch, at_steps=1.0)
        (0.5 * torch.stack([*forced.values()]).mean()).backward()
        rolled = rollout_gradients(model, clips, forcing, rng, options)
        update(model, optimizers)
        update_average(average, model, iteration)
        run.log(every=10, **{name: loss.item() for name, loss in forced.items()}, **rolled)


def rollout_gradients(
    model: PocketGenerator, clips: Clips, forcing: Forcing, rng: np.random.Generator, options: Options
) -> dict[str, float]:
    """Roll a batch of clips out, add each block's gradient, and return the error of the first and last blocks."""
    batch, coin = options.batch, torch.Generator().manual_seed(int(rng.integers(2**62)))
    chosen = clips.choose(rng, batch)
    targets = clips.latents[torch.from_numpy(chosen)].to(forcing.device).float().split(Window().block, dim=1)
    transitions = [clips.transitions[i] for i in chosen]
    weights = clips.importance[chosen].to(forcing.device)
    lookback = forcing.look_back(transitions, [sample_window(rng) for _ in transitions])
    rollout = SelfRollout.of(model, lookback, len(targets), int(rng.integers(2**62)))
    errors = []
    for index, target in enumerate(targets):
        with half(forcing.device), sdpa_kernel(SDPBackend.MATH):
            rollout.text = model.read([clips.captions[i][index] for i in chosen])
            estimate = rollout.make_block(index, int(rng.integers(len(SCHEDULE.sigmas))), target.shape)
        loss = forcing.weights.error(estimate, target, weights[:, index]) * weights[:, index].mean()
        (loss / len(targets)).backward()
        errors.append(loss.item())
        true = (weights[:, index] == 0) | (torch.rand(batch, generator=coin) < options.true_share).to(forcing.device)
        with half(forcing.device), sdpa_kernel(SDPBackend.MATH):
            rollout.commit(torch.where(true[:, None, None, None, None], target, estimate.detach()))
    return {"rolled": float(np.mean(errors)), "first": errors[0], "last": errors[-1]}


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
