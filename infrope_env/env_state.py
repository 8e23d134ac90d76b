"""Data of the environment besides pixels: infos, prompt requests, what blocks saw, and saved states."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from infrope_env.config import Sampler, Window
from infrope_env.control.actions import ActionSet, Steering, Transition
from infrope_env.control.frames import Frames
from infrope_env.dynamics.attention_mass import AttentionProbe
from infrope_env.dynamics.context_strip import ContextStrip
from infrope_env.dynamics.coordinates import Layout
from infrope_env.dynamics.state import GeneratedBlock, RolloutState
from infrope_env.models.world_model import WorldModel
from infrope_env.pixels.codec import DecoderState

Action = int | np.integer[Any]
"""Index of an action."""

RESET = -1
"""The action in the info of a block that `reset` made."""


def new_block_id() -> str:
    """Return the identity of a new block, unique among all blocks ever made."""
    return uuid.uuid4().hex


def describe_block(
    block: int, num_frames: int, action: int, steering: Steering, transition: Transition, seed: int
) -> dict[str, Any]:
    """Return the info of a block: a function of weights, seed and actions, with the same keys for every block.

    Args:
        block: Index of the block.
        num_frames: Number of its valid pixel frames.
        action: Index of the action it was made under; RESET for a first block.
        steering: Subject, scene, motion and prompt in force.
        transition: Transition into the block.
        seed: Seed of the rollout's noise.
    """
    return {
        "block": block,
        "num_frames": num_frames,
        "action": action,
        **{name: getattr(steering, name) for name in ("subject", "scene", "motion", "prompt")},
        "free_prompt": steering.free_text,
        "transition": transition.value,
        "seed": seed,
    }


def strip_of_block(made: GeneratedBlock | None, window: Window, hook: object) -> ContextStrip:
    """Return what the newest block saw.

    Args:
        made: The block; None for a block 0 that was not generated.
        window: Sizes and rules of the attention window.
        hook: The rollout's context hook, which has the attention mass of the block if it is a probe.
    """
    if made is None:
        layout = Layout((), (), tuple(range(window.block)))
        return ContextStrip.of(0, Transition.START, (), (), layout, window)
    measured = hook.newest(made.index) if isinstance(hook, AttentionProbe) else None
    mass = () if measured is None else measured.mass
    return ContextStrip.of(made.index, made.transition, made.cached, made.visible, made.layout, window, mass)


@dataclass(frozen=True)
class PromptRequest:
    """A `set_prompt` call.

    Attributes:
        text: The prompt.
        cut: Whether the prompt begins with a cut.
    """

    text: str
    cut: bool


@dataclass(frozen=True)
class StateOrigin:
    """The settings under which a state was saved; an environment restores states of the same settings only.

    An experiment that changes only rules of the window replaces the origin of a state to restore it:
    `env.restore_state(dataclasses.replace(state, origin=env.origin))`.

    Attributes:
        weights: sha256 of every weights file, sorted.
        device: Type of the device: "cpu" or "cuda".
        dtype: Dtype of the generator.
        window: Sizes and rules of the attention window.
        action_set: Words and keys of the world.
        decode: Whether observations are decoded; the state holds a decoder state only if so.
        sampler: Denoising steps.
        precision: Kind of number in which the generator multiplies.
    """

    weights: tuple[str, ...]
    device: str
    dtype: torch.dtype
    window: Window
    action_set: ActionSet
    decode: bool = True
    sampler: Sampler = field(default_factory=Sampler)
    precision: str = "float"

    @classmethod
    def of(cls, model: WorldModel, window: Window, action_set: ActionSet, decode: bool) -> StateOrigin:
        """Return the settings of an environment with this model."""
        weights = tuple(sorted(model.sha256.values()))
        return cls(weights, model.device.type, model.dtype, window, action_set, decode, model.sampler, model.precision)


@dataclass(frozen=True)
class EnvState:
    """A copy of everything that an environment's future depends on.

    Attributes:
        origin: Settings under which it was saved.
        rollout: State of the rollout.
        decoder_state: State of the streaming decoder; empty if observations are not decoded.
        steering: Subject, scene, motion and prompt in force.
        pending_prompt: The `set_prompt` call that the next block will apply; None if there is none.
        observation: Observation of the newest block, t H W 3.
        info: Info of the newest block.
        latents: Clean latents of the newest block, b f c h w.
        seed_used: Seed of the rollout's noise.
        names_used: Names and prompt with which the rollout was reset, by option.
        np_random: The environment's random generator, which draws seeds.
        np_random_seed: Seed of that generator.
        picture: Picture from which the rollout started, H W 3; None if it started from noise.
        block_id: Identity of the newest block, unique among all blocks ever made.
    """

    origin: StateOrigin
    rollout: RolloutState
    decoder_state: DecoderState
    steering: Steering
    pending_prompt: PromptRequest | None
    observation: Frames
    info: dict[str, Any]
    latents: Tensor
    seed_used: int
    names_used: dict[str, str]
    np_random: np.random.Generator
    np_random_seed: int | None
    picture: Frames | None
    block_id: str
