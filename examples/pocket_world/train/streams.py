"""Self-rollout without end: a generator plays on its own past, beside the world that says what each block should show.

The rollouts are as long as play, so a generator learns from the mistakes that it makes after a minute, not only from
those of the first seconds.
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
from examples.pocket_world.train.teacher_forcing import LookbackMaker, masked_attention
from examples.pocket_world.world.play import PlayedBlock, play_on
from infrope_env.config import Sampler, Window
from infrope_env.control.actions import Transition
from infrope_env.dynamics.coordinates import lay_out
from infrope_env.dynamics.rope import Rotation, rotate
from infrope_env.dynamics.schedule import Schedule, add_noise, clean_estimate
from infrope_env.dynamics.transformer import TextKV
from infrope_env.pixels.patch_codec import PatchEncoder

SCHEDULE = Schedule.of(Sampler())
LAST_STEP = len(SCHEDULE.sigmas) - 1
HASTES = (0.05, 0.3, 1.0)
"""How often something changes in a rollout, against the clips of `play_clip`: some go on walking for half a minute."""
BLOCKS = 60
"""How long a rollout lasts on average."""


class RolloutWindow:
    """One layer's window during a rollout: un-rotated keys and values of what is in view, (1 heads (frames n) d)."""

    def __init__(self, tokens_per_frame: int) -> None:
        self._tokens_per_frame = tokens_per_frame
        self._past: list[tuple[Tensor, Tensor]] = []
        self._latest: tuple[Tensor, Tensor] | None = None
        self.rotations: tuple[Rotation, Rotation] | None = None

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attention of the block to what it sees; arguments un-rotated, 1 heads (block n) d."""
        self.write_kv(key, value)
        assert self.rotations is not None
        context, block = self.rotations
        keys, values = [rotate(key, block)], [value]
        if self._past:
            keys.insert(0, rotate(torch.cat([k for k, _ in self._past], 2), context).to(keys[0].dtype))
            values[:0] = [v.to(value.dtype) for _, v in self._past]
        return masked_attention(rotate(query, block), torch.cat(keys, 2), torch.cat(values, 2))

    def write_kv(self, key: Tensor, value: Tensor) -> None:
        """Hold on to the latest pass's keys and values."""
        self._latest = key, value

    def commit(self) -> None:
        """Remember the latest pass's frames, each by itself."""
        assert self._latest is not None
        parts = (part.detach().split(self._tokens_per_frame, dim=2) for part in self._latest)
        self._past += zip(*parts, strict=True)

    def keep(self, slots: tuple[int, ...]) -> None:
        """Forget every frame but those at these places."""
        self._past = [self._past[slot] for slot in slots]


@dataclass
class SelfRollout:
    """A rollout by the model under training, one block after the other, laid out as in play."""

    model: PocketGenerator
    look_back: LookbackMaker
    generator: torch.Generator
    windows: list[RolloutWindow] = field(default_factory=list)
    cached: tuple[int, ...] = ()
    text: TextKV = field(default_factory=list)

    def turn_to(self, caption: str, transition: Transition, window: Window) -> None:
        """Lay the next block out; START forgets everything."""
        if transition is Transition.START:
            self.windows = [RolloutWindow(POCKET_MODEL.tokens_per_frame) for _ in self.model.transformer.blocks]
            self.cached = ()
        self.text = self.model.read([caption])
        layout = lay_out(self.cached, transition, window)
        rotations = self.look_back.rotations(layout)
        for layer in self.windows:
            layer.keep(layout.slots)
            layer.rotations = rotations
        self.cached = tuple(self.cached[slot] for slot in layout.slots)

    def make_block(self, exit_step: int, shape: torch.Size) -> Tensor:
        """Denoise 1 f c h w up to a step, which alone has a gradient; returns its estimate of the clean latents."""
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
        transformer.update_cache(latents, transformer.modulate(latents.new_zeros(1)), self.text, self.windows)
        for layer in self.windows:
            layer.commit()
        newest = self.cached[-1] if self.cached else -1
        self.cached += tuple(range(newest + 1, newest + 1 + latents.shape[1]))

    def _noise(self, shape: torch.Size) -> Tensor:
        return torch.randn(shape, generator=self.generator, device=self.generator.device)

    def _estimate(self, noisy: Tensor, step: int) -> Tensor:
        timestep = torch.full((1,), SCHEDULE.timesteps[step], device=noisy.device)
        output = self.model.transformer(noisy, self.model.transformer.modulate(timestep), self.text, self.windows)
        return clean_estimate(POCKET_MODEL.prediction, output.float(), noisy, SCHEDULE.sigmas[step])


@dataclass(frozen=True)
class Target:
    """What a block should show.

    Attributes:
        block: as it was played.
        latents: 1 f c h w.
        weight: how much it counts in a loss.
    """

    block: PlayedBlock
    latents: Tensor
    weight: float


def targets(encoder: PatchEncoder, rng: np.random.Generator) -> Iterator[Target]:
    """Blocks of one rollout after the other, for ever; each begins with START."""
    while True:
        haste, blocks = float(rng.choice(HASTES)), int(rng.geometric(1 / BLOCKS))
        for block, frames in islice(play_on(rng, haste), blocks):
            video = as_video(torch.from_numpy(frames))
            with torch.no_grad():
                latents = encoder.encode_whole(video)
            yield Target(block, latents, block_weight(block.caption))
