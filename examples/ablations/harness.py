"""The harness of the experiments: actions by name, frames decoded on demand, saved states to branch from."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from torch import Tensor

from examples.ablations.frame_buffer import FrameBuffer
from examples.ablations.variant import Variant
from examples.pocket_world.evaluate.trials import EVALUATION_SEED_OFFSET
from examples.pocket_world.world.state import WorldState
from infrope_env.dynamics.coordinates import lay_out
from infrope_env.dynamics.rollout import ContextHook, LayoutRule, Rollout
from infrope_env.dynamics.transformer import CausalWanTransformer
from infrope_env.env import InfinityRopeEnv
from infrope_env.env_state import EnvState


class ExperimentEnv(InfinityRopeEnv):
    """The environment with a variant's sampler and rotary table; it decodes nothing.

    Attributes:
        rollout: The rollout that makes the blocks.
    """

    def __init__(
        self, variant: Variant, layout_rule: LayoutRule = lay_out, context_hook: ContextHook | None = None
    ) -> None:
        """Load the variant's model; `layout_rule` and `context_hook` are those of `Rollout`."""
        self._variant, self._layout_rule, self._context_hook = variant, layout_rule, context_hook
        super().__init__(weights=variant.weights, window=asdict(variant.window), decode=False)

    def make_rollout(self) -> Rollout:
        """Return a rollout of the variant."""
        self.rollout = Rollout(
            self.model.transformer,
            self.window,
            self._variant.sampler,
            rotary_length=self._variant.rotary_length,
            layout_rule=self._layout_rule,
            context_hook=self._context_hook,
        )
        return self.rollout


@dataclass(frozen=True)
class HarnessState:
    """A saved state of a harness: the environment's, and the frame buffer."""

    env: EnvState
    frames: FrameBuffer


class Harness:
    """One rollout of a variant.

    Attributes:
        env: The environment.
        block_ms: Milliseconds of the newest block, without text encoding and decoding.
        passes: Generator passes of the newest block, the commit pass included.
    """

    def __init__(
        self, variant: Variant, layout_rule: LayoutRule = lay_out, context_hook: ContextHook | None = None
    ) -> None:
        """Make the environment; `layout_rule` and `context_hook` are those of `Rollout`."""
        self.env = ExperimentEnv(variant, layout_rule, context_hook)
        self._frames = FrameBuffer(self.env.model.decoder)
        self.block_ms, self.passes = 0.0, 0

    @property
    def rollout(self) -> Rollout:
        """The environment's rollout."""
        return self.env.rollout

    @property
    def latents(self) -> Tensor:
        """Clean latents of the newest block, b f c h w."""
        return self.env.latents

    def start(self, state: WorldState, seed: int) -> None:
        """Reset to the names of `state`; the noise seed is outside the range that training uses."""
        options = {"subject": state.subject, "scene": state.scene, "motion": state.motion}
        self._frames = FrameBuffer(self.env.model.decoder)
        with self._measured_block():
            self.env.reset(seed=EVALUATION_SEED_OFFSET + seed, options=options)

    def play(self, action: str) -> None:
        """Make the next block under the named action."""
        with self._measured_block():
            self.env.step(self.env.action_names.index(action))

    def change_scene(self, scene: str) -> None:
        """Make the next block under the prompt of another scene, as a change of prompt instead of a cut."""
        steering = self.env.steering
        self.env.set_prompt(self.env.action_set.prompt_for(steering.subject, scene, steering.motion))
        self.play(steering.motion)

    def frames(self) -> np.ndarray:
        """Return the newest block's pixel frames, t H W 3 in uint8."""
        return self._frames.newest()

    def save(self) -> HarnessState:
        """Copy everything that the following blocks depend on."""
        return HarnessState(self.env.save_state(), copy.copy(self._frames))

    def restore(self, state: HarnessState) -> None:
        """Return to a saved state, also one of a harness whose window has the same sizes and other rules."""
        self.env.restore_state(replace(state.env, origin=self.env.origin))
        self._frames = copy.copy(state.frames)

    @contextmanager
    def _measured_block(self) -> Iterator[None]:
        """Count the passes, take the time and append the latents of the block that the body makes."""
        with counted_passes(self.rollout.model) as passes:
            yield
            self.rollout.commit()
        launched = time.perf_counter()
        if self.rollout.device.type == "cuda":
            torch.cuda.synchronize(self.rollout.device)
        queue_s = time.perf_counter() - launched
        timings = self.rollout.timings
        self.block_ms = 1000 * (timings["denoise_s"] + timings["commit_s"] + queue_s)
        self.passes = len(passes)
        self._frames.append(self.latents)


@contextmanager
def counted_passes(model: CausalWanTransformer) -> Iterator[list[None]]:
    """Collect one entry per pass through the generator, the commit pass included."""
    passes: list[None] = []

    def count(*_: object) -> None:
        passes.append(None)

    handle = model.blocks[0].register_forward_hook(count)
    try:
        yield passes
    finally:
        handle.remove()


def relative_change(after: Tensor, before: Tensor) -> float:
    """Return the root mean square of the change over that of `before`."""
    difference = (after.float() - before.float()).square().mean().sqrt()
    return float(difference / before.float().square().mean().sqrt().clamp(min=torch.finfo(torch.float32).eps))
