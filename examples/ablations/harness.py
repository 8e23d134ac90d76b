"""One rollout, steered by names as the environment steers it, that can go back to a moment and try something else."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from examples.ablations.frame_buffer import Film
from examples.ablations.variant import Setting
from examples.pocket_world.evaluate.trials import EVALUATION_SEED_OFFSET
from examples.pocket_world.world.state import WorldState
from infrope_env.config import Sampler, Window
from infrope_env.control.actions import ActionSet, Steering, Transition
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.rope import RotaryTable
from infrope_env.dynamics.state import RolloutState
from infrope_env.dynamics.transformer import CausalWanTransformer
from infrope_env.text.prompt_cache import PromptCache


@dataclass(frozen=True)
class Moment:
    """All that a rig's future depends on."""

    rollout: RolloutState
    film: Film
    steering: Steering


class LongRollout(Rollout):
    """A rollout whose rotary table has another length than the official one."""

    def __init__(self, model: CausalWanTransformer, window: Window, sampler: Sampler, coordinates: int) -> None:
        super().__init__(model, window, sampler)
        shape = model.config
        self._table = RotaryTable(shape.head_dim, shape.rows, shape.cols, self.device, coordinates)


class Rig:
    """A rollout and its film.

    Attributes:
        rollout: the engine's.
        steering: what has been asked for.
        latents: the newest block's, b f c h w.
        block_ms: time of the newest block without text and decoding.
        passes: through the generator that the newest block took.
    """

    def __init__(self, setting: Setting, rollout: Rollout | None = None) -> None:
        world = setting.world
        self.actions = ActionSet.load("pocket")
        self._prompt_cache = PromptCache(world.text_encoder, device=world.device)
        self.rollout = rollout or make_rollout(setting)
        self._decoder = world.decoder
        self._film = Film(self._decoder)
        self.steering = self.actions.start()
        self.block_ms, self.passes = 0.0, 0

    def start(self, state: WorldState, seed: int) -> None:
        """Begin anew; noise seeds are no training's, and the blocks are those the environment makes from this seed."""
        self.steering = self.actions.start(state.subject, state.scene, state.motion)
        self.rollout.reset(EVALUATION_SEED_OFFSET + seed)
        self._film = Film(self._decoder)
        self._advance(Transition.START)

    def play(self, action: str) -> None:
        """Make the next block under an action, as the environment does."""
        self.steering, transition = self.actions.steer(self.steering, self.actions.index(action))
        self._advance(transition)

    def reach(self, scene: str, transition: Transition) -> None:
        """Ask for a scene as its cut would, but let its block follow by another transition."""
        self.steering, _ = self.actions.steer(self.steering, self.actions.index(f"cut_{scene}"))
        self._advance(transition)

    def look(self) -> np.ndarray:
        """The newest block's pixel frames, t H W 3 in uint8."""
        return self._film.look()

    def save(self) -> Moment:
        """Copy all that the future depends on."""
        return Moment(self.rollout.save(), copy.copy(self._film), self.steering)

    def restore(self, moment: Moment) -> None:
        """Go back, also to a moment of a rig whose window differs only in rules; the moment stays usable."""
        self.rollout.restore(moment.rollout)
        self._film, self.steering = copy.copy(moment.film), moment.steering

    def _advance(self, transition: Transition) -> None:
        embedding = self._prompt_cache.embedding(self.steering.prompt)
        with passes_of(self.rollout.model) as passes:
            started = time.perf_counter()
            block = self.rollout.advance(embedding, transition)
            if self.rollout.device.type == "cuda":
                torch.cuda.synchronize(self.rollout.device)
            self.block_ms = 1000 * (time.perf_counter() - started)
        self.passes, self.latents = len(passes), block.latents
        self._film.add(block.latents)


def make_rollout(setting: Setting) -> Rollout:
    """The engine, as a setting says."""
    model = setting.world.transformer
    if setting.coordinates is None:
        return Rollout(model, setting.window, setting.sampler)
    return LongRollout(model, setting.window, setting.sampler, setting.coordinates)


def with_rules(setting: Setting, **rules: object) -> Setting:
    """The same setting under other rules of its window; sizes, and so states, stay as they are."""
    return replace(setting, window=Window.parse(rules, default=setting.window))


@contextmanager
def passes_of(model: CausalWanTransformer) -> Iterator[list[None]]:
    """Count passes through a generator, the commit's among them, by its first layer."""
    passes: list[None] = []

    def count(*_: object) -> None:
        passes.append(None)

    handle = model.blocks[0].register_forward_hook(count)
    try:
        yield passes
    finally:
        handle.remove()


def relative_change(after: Tensor, before: Tensor) -> float:
    """Root mean square of what has changed, over that of what there was."""
    difference = (after.float() - before.float()).square().mean().sqrt()
    return float(difference / before.float().square().mean().sqrt().clamp(min=torch.finfo(torch.float32).eps))
