"""Turn the teacher into the 4-step student by self-rollout: it learns on what it has itself made so far.

Every clip is rolled out exactly as in play: four denoising steps a block, the block committed, the next one laid out
by its transition. One random step of each block learns to hit the clip's true block, which in this world is a function
of the captions. Teacher forcing goes on beside it, since it alone trains what the commit pass remembers.

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
from examples.pocket_world.forcing import Lookback, LookbackMaker, RolloutWindow
from examples.pocket_world.train_teacher import (
    POCKET_MODEL,
    PocketGenerator,
    block_weights,
    first_block_loss,
    forced_loss,
    make_optimizers,
    sample_window,
    update,
    update_average,
    weighted_error,
)
from examples.pocket_world.training import Run, rank, start_processes
from infrope_env.config import Sampler
from infrope_env.dynamics.rope import RotaryTable
from infrope_env.dynamics.schedule import Schedule, add_noise
from infrope_env.dynamics.transformer import TextMemory

SCHEDULE = Schedule.of(Sampler())


@dataclass(frozen=True)
class Options:
    """Settings of the run.

    Attributes:
        forced_batch: clips of the teacher-forcing loss that goes along with every rollout.
        first_blocks: extra first blocks in it.
    """

    clips: Path = Path("runs/clips")
    teacher: Path = Path("runs/teacher")
    folder: Path = Path("runs/student")
    iterations: int = 600
    minutes: float = 1e9
    batch: int = 3
    forced_batch: int = 1
    first_blocks: int = 4
    lr: float = 6e-4
    seed: int = 1


@dataclass
class SelfRollout:
    """A batch of clips being rolled out by the model under training."""

    model: PocketGenerator
    windows: list[RolloutWindow]
    lookbacks: list[Lookback]
    text: list[TextMemory]
    generator: torch.Generator

    def make_block(self, index: int, learning_step: int, target: Tensor) -> tuple[Tensor, Tensor]:
        """Four denoising steps; returns the block's clean latents and the learning step's estimate of them."""
        for window in self.windows:
            window.lookback = self.lookbacks[index]
        noisy = torch.randn(target.shape, generator=self.generator)
        for step, sigma in enumerate(SCHEDULE.sigmas):
            with torch.set_grad_enabled(step == learning_step):
                clean = noisy - sigma * self._velocity(index, noisy, SCHEDULE.timesteps[step])
            if step == learning_step:
                estimate, clean = clean, clean.detach()
            if step + 1 < len(SCHEDULE.sigmas):
                noise = torch.randn(target.shape, generator=self.generator)
                noisy = add_noise(clean, noise, SCHEDULE.sigmas[step + 1])
        return clean, estimate

    @torch.no_grad()
    def commit(self, index: int, latents: Tensor) -> None:
        """The commit pass."""
        transformer = self.model.transformer
        time = transformer.modulate(torch.zeros(len(latents)))
        transformer.remember(latents, time, self.text[index], self.windows)
        for window in self.windows:
            window.commit(POCKET_MODEL.tokens_per_frame)

    def _velocity(self, index: int, noisy: Tensor, timestep: float) -> Tensor:
        time = self.model.transformer.modulate(torch.full((len(noisy),), timestep))
        return self.model.transformer(noisy, time, self.text[index], self.windows).float()


def main(options: Options) -> None:
    """Train until the iterations are done or the minutes are over."""
    start_processes()
    torch.manual_seed(options.seed)
    model, average = PocketGenerator(), PocketGenerator().requires_grad_(False)
    start = torch.load(options.teacher / "checkpoint.pt", weights_only=True)["average"]
    for module in (model, average):
        module.load_state_dict(start)
    optimizers = make_optimizers(model, options.lr)
    run = Run(options.folder, {"model": model, "average": average}, optimizers, options.iterations, options.minutes)
    clips = load_clips(options.clips)
    table = RotaryTable(POCKET_MODEL.head_dim, POCKET_MODEL.rows, POCKET_MODEL.cols)
    look_back = LookbackMaker(table, POCKET_MODEL.tokens_per_frame)
    for iteration in run:
        rng = np.random.default_rng([options.seed, iteration, rank()])
        model.zero_grad(set_to_none=True)
        forced = forced_loss(model, clips, look_back, rng, options.forced_batch, at_steps=0.6)
        (forced + 0.5 * first_block_loss(model, clips, look_back, rng, options.first_blocks)).backward()
        rolled = rollout_gradients(model, clips, look_back, rng, options.batch)
        update(model, optimizers)
        update_average(average, model, iteration)
        run.log(every=10, forced=forced.item(), **rolled)


def rollout_gradients(
    model: PocketGenerator, clips: Clips, look_back: LookbackMaker, rng: np.random.Generator, batch: int
) -> dict[str, float]:
    """Roll a batch of clips out, add each block's gradient, and return the error of the first and last blocks."""
    chosen = rng.choice(len(clips.latents), batch, replace=False)
    targets = clips.latents[torch.from_numpy(chosen)].float().split(3, dim=1)
    transitions = [clips.transitions[i] for i in chosen]
    weights = block_weights(transitions, [clips.far[i] for i in chosen]).unflatten(0, (batch, -1))
    lookback = look_back(transitions, [sample_window(rng) for _ in transitions])
    captions = [[clips.captions[i][block] for i in chosen] for block in range(len(targets))]
    errors = []
    for index, target in enumerate(targets):
        with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
            if index == 0:
                rollout = _start(model, lookback, len(targets), rng)
            rollout.text.append(_text(model, captions[index]))
            clean, estimate = rollout.make_block(index, int(rng.integers(4)), target)
        loss = weighted_error(estimate, target, weights[:, index] + 1e-9) * weights[:, index].mean() / len(targets)
        loss.backward()
        errors.append(loss.item() * len(targets))
        unseen = weights[:, index, None, None, None, None] == 0
        with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
            rollout.commit(index, torch.where(unseen, target, clean))
    return {"rolled": float(np.mean(errors)), "first": errors[0], "last": errors[-1]}


def _start(model: PocketGenerator, lookback: Lookback, blocks: int, rng: np.random.Generator) -> SelfRollout:
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    windows = [RolloutWindow() for _ in model.transformer.blocks]
    return SelfRollout(model, windows, [lookback.of_block(index, blocks) for index in range(blocks)], [], generator)


def _text(model: PocketGenerator, captions: list[str]) -> TextMemory:
    return model.transformer.project_text(model.text.encode_ids(*model.text.tokenize(captions)))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
