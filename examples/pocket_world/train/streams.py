"""Endless self-rollout: the generator continues its own output, and the rendered world gives every block's target.

These rollouts are as long as play, so the generator also learns from errors that appear only after a minute.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from examples.pocket_world.train.codec import as_video
from examples.pocket_world.train.encode import block_weight
from examples.pocket_world.train.generator import POCKET_MODEL, PocketGenerator
from examples.pocket_world.train.teacher_forcing import AttentionPlanner, masked_attention
from examples.pocket_world.world.play import PlayedBlock, play_endlessly
from infrope_env.config import Sampler, Window
from infrope_env.control.actions import Transition
from infrope_env.dynamics.coordinates import lay_out
from infrope_env.dynamics.rope import Rotation, rotate
from infrope_env.dynamics.schedule import Schedule, add_noise, clean_estimate
from infrope_env.dynamics.transformer import TextKV
from infrope_env.pixels.patch_codec import PatchEncoder

SCHEDULE = Schedule.of(Sampler())
LAST_STEP = len(SCHEDULE.sigmas) - 1
CHANGE_RATES = (0.05, 0.3, 1.0)
"""Rates of changes in a rollout relative to the clips of `play_clip`: at the lowest, walks last for half a minute."""
MEAN_ROLLOUT_BLOCKS = 60


class RolloutContext:
    """One layer's attention context during a rollout: un-rotated keys and values of visible frames.

    Each cached frame is a pair of b heads n d. Gradients flow through the current block only.
    """

    def __init__(self, tokens_per_frame: int) -> None:
        self._tokens_per_frame = tokens_per_frame
        self._past: list[tuple[Tensor, Tensor]] = []
        self._latest: tuple[Tensor, Tensor] | None = None
        self.rotations: tuple[Rotation, Rotation] | None = None

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend from the block to the visible frames and itself; arguments un-rotated, b heads (block n) d."""
        self.write_kv(key, value)
        assert self.rotations is not None
        context, block = self.rotations
        keys, values = [rotate(key, block)], [value]
        if self._past:
            keys.insert(0, rotate(torch.cat([k for k, _ in self._past], 2), context).to(keys[0].dtype))
            values[:0] = [v.to(value.dtype) for _, v in self._past]
        return masked_attention(rotate(query, block), torch.cat(keys, 2), torch.cat(values, 2))

    def write_kv(self, key: Tensor, value: Tensor) -> None:
        """Store the keys and values of the latest pass for `commit`."""
        self._latest = key, value

    def commit(self) -> None:
        """Append the frames of the latest pass to the visible frames."""
        assert self._latest is not None
        parts = (part.detach().split(self._tokens_per_frame, dim=2) for part in self._latest)
        self._past += zip(*parts, strict=True)

    def keep(self, slots: tuple[int, ...]) -> None:
        """Drop every frame but those in the given slots."""
        self._past = [self._past[slot] for slot in slots]


@dataclass
class SelfRollout:
    """A rollout of the model in training, laid out block by block as in play.

    Attributes:
        model: Model in training.
        planner: Computes the rotations of a layout.
        generator: Random generator of the noise, on the device of the model.
        contexts: Attention context of every layer.
        cached: Frame ids of the cached frames.
        text: Cross-attention keys and values of the current caption.
    """

    model: PocketGenerator
    planner: AttentionPlanner
    generator: torch.Generator
    contexts: list[RolloutContext] = field(default_factory=list)
    cached: tuple[int, ...] = ()
    text: TextKV = field(default_factory=list)

    def lay_out_next(self, caption: str, transition: Transition, window: Window) -> None:
        """Lay out the next block; the transition START begins a new rollout."""
        if transition is Transition.START:
            self.contexts = [RolloutContext(POCKET_MODEL.tokens_per_frame) for _ in self.model.transformer.blocks]
            self.cached = ()
        self.text = self.model.text_kv([caption])
        layout = lay_out(self.cached, transition, window)
        rotations = self.planner.rotations(layout)
        for layer in self.contexts:
            layer.keep(layout.slots)
            layer.rotations = rotations
        self.cached = tuple(self.cached[slot] for slot in layout.slots)

    def make_block(self, exit_step: int, shape: torch.Size) -> Tensor:
        """Denoise a block, 1 f c h w, up to a step, and return that step's clean estimate; only it has a gradient."""
        noisy = self._noise(shape)
        for step in range(exit_step):
            with torch.no_grad():
                clean = self._estimate(noisy, step)
            noisy = add_noise(clean, self._noise(shape), SCHEDULE.sigmas[step + 1])
        return self._estimate(noisy, exit_step)

    @torch.no_grad()
    def commit(self, latents: Tensor) -> None:
        """Run the commit pass on clean latents, 1 f c h w."""
        transformer = self.model.transformer
        transformer.update_cache(latents, transformer.modulate(latents.new_zeros(1)), self.text, self.contexts)
        for layer in self.contexts:
            layer.commit()
        newest = self.cached[-1] if self.cached else -1
        self.cached += tuple(range(newest + 1, newest + 1 + latents.shape[1]))

    def _noise(self, shape: torch.Size) -> Tensor:
        return torch.randn(shape, generator=self.generator, device=self.generator.device)

    def _estimate(self, noisy: Tensor, step: int) -> Tensor:
        timestep = torch.full((1,), SCHEDULE.timesteps[step], device=noisy.device)
        output = self.model.transformer(noisy, self.model.transformer.modulate(timestep), self.text, self.contexts)
        return clean_estimate(POCKET_MODEL.prediction, output.float(), noisy, SCHEDULE.sigmas[step])


@dataclass(frozen=True)
class Target:
    """The target of one block.

    Attributes:
        block: State, caption and transition of the block.
        latents: Encoded rendered frames, 1 f c h w.
        weight: Weight of the block in the loss.
    """

    block: PlayedBlock
    latents: Tensor
    weight: float


def targets(encoder: PatchEncoder, rng: np.random.Generator, arrangements: bool = False) -> Iterator[Target]:
    """Yield the blocks of one rollout after another, without end; each rollout begins with START."""
    while True:
        change_rate, blocks = float(rng.choice(CHANGE_RATES)), int(rng.geometric(1 / MEAN_ROLLOUT_BLOCKS))
        for block, frames in islice(play_endlessly(rng, change_rate, arrangements), blocks):
            video = as_video(torch.from_numpy(frames))
            with torch.no_grad():
                latents = encoder.encode_whole(video)
            yield Target(block, latents, block_weight(block.caption))
