"""Labelled samples for the detectors: rendered blocks, blocks with a planted fault, and augmentations.

A fault has the label `NONE` for the part that it makes wrong: a cross-fade shows no scene, a walk over ground that
moves the wrong way is no motion. Trained on faults, a detector need not choose the most similar label for one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from examples.pocket_world.evaluate.detectors import NONE
from examples.pocket_world.train.codec import Codec, as_video
from examples.pocket_world.world.arrangement import DEFAULT_ARRANGEMENT, Arrangement
from examples.pocket_world.world.scenery import scenery
from examples.pocket_world.world.state import (
    BLOCK_FRAMES,
    FIRST_PHASE,
    MOTIONS,
    SCENES,
    SUBJECTS,
    WALKING_SPEED,
    WorldState,
    render_block,
)
from infrope_env.pixels.patch_codec import channel_noise_scale

STRIDES = (2, 3, 4, 8, 9, 10)
"""Phases of a walk in which the legs are apart, so that a frozen frame does not look like standing."""
AIRBORNE = (3, 4, 5, 6, 7, 8)
FAULT_CHANCE = 0.45
MAX_SCROLL = 1260


@dataclass(frozen=True)
class LabelledSample:
    """One block, t H W 3 uint8, and its labels; None where no label is right or wrong."""

    frames: np.ndarray
    subject: str | None
    scene: str | None
    motion: str | None


def random_state(rng: np.random.Generator, arrangements: bool = False) -> WorldState:
    """Draw a subject, scene, motion, position and, on request, arrangement, in the motion's first or second block."""
    subject, scene, motion = (str(rng.choice(names)) for names in (SUBJECTS, SCENES, MOTIONS))
    scroll = int(rng.integers(-MAX_SCROLL, MAX_SCROLL))
    motion_blocks, scene_blocks = int(rng.integers(2)), int(rng.integers(100))
    arrangement = Arrangement.drawn(rng) if arrangements else DEFAULT_ARRANGEMENT
    return WorldState(subject, scene, motion, scroll, motion_blocks, scene_blocks, arrangement)


def rendered_block(state: WorldState, first: bool = False) -> LabelledSample:
    """Render a block; the first block of a rollout repeats its first frame in front."""
    phases = (*[FIRST_PHASE] * FIRST_PHASE, *range(FIRST_PHASE, BLOCK_FRAMES)) if first else range(BLOCK_FRAMES)
    return LabelledSample(render_block(state, phases), state.subject, state.scene, state.motion)


def frozen_block(state: WorldState, phase: int) -> LabelledSample:
    """Render a block that repeats one phase: a walk that stops, a jump that stays in the air."""
    frame = render_block(state, [phase])
    return LabelledSample(frame.repeat(BLOCK_FRAMES, axis=0), state.subject, state.scene, NONE)


def reversed_walk(state: WorldState) -> LabelledSample:
    """Render a walk in reverse: the subject faces one way and moves the other."""
    return replace(rendered_block(state), frames=render_block(state)[::-1].copy(), motion=NONE)


def sliding_block(state: WorldState, speed: int) -> LabelledSample:
    """Render the state's motion over ground that scrolls at another speed, in pixels per frame."""
    scrolls = [state.scroll + speed * (phase + 1) for phase in range(BLOCK_FRAMES)]
    own = WALKING_SPEED.get(state.motion, 0)
    frames = [
        render_block(replace(state, scroll=scroll - own * (phase + 1)), [phase]) for phase, scroll in enumerate(scrolls)
    ]
    return LabelledSample(np.concatenate(frames), state.subject, state.scene, NONE)


def cross_fade(state: WorldState, scene: str, shares: np.ndarray) -> LabelledSample:
    """Blend the same block in two scenes; `shares`, one per frame, are the weights of the second."""
    pair = np.stack([render_block(state), render_block(replace(state, scene=scene))]).astype(np.float32)
    frames = pair[0] + (pair[1] - pair[0]) * shares[:, None, None, None]
    return LabelledSample(frames.round().astype(np.uint8), state.subject, NONE, state.motion)


def empty_scene(state: WorldState) -> LabelledSample:
    """Render the scene without a subject."""
    frame = scenery(state.scene, state.arrangement).draw(state.scroll)
    return LabelledSample(np.repeat(frame[None], BLOCK_FRAMES, axis=0), NONE, state.scene, NONE)


def blended_subjects(state: WorldState, subject: str, share: float) -> LabelledSample:
    """Blend the same block with two subjects; `share` is the weight of the second."""
    pair = np.stack([render_block(state), render_block(replace(state, subject=subject))]).astype(np.float32)
    frames = pair[0] + (pair[1] - pair[0]) * share
    return LabelledSample(frames.round().astype(np.uint8), NONE, state.scene, None)


def random_sample(rng: np.random.Generator, arrangements: bool = False) -> LabelledSample:
    """Draw a rendered block, or with `FAULT_CHANCE` a fault."""
    state = random_state(rng, arrangements)
    if rng.random() > FAULT_CHANCE:
        return rendered_block(state, first=bool(rng.random() < 0.15))
    faults: tuple[Callable[[np.random.Generator, WorldState], LabelledSample], ...] = (
        _random_freeze,
        _random_reversal,
        _random_slide,
        _random_fade,
        _random_blend,
        lambda _, state: empty_scene(state),
    )
    chances = (0.1, 0.05, 0.5, 0.15, 0.12, 0.08)
    return faults[int(rng.choice(len(faults), p=chances))](rng, state)


def _random_freeze(rng: np.random.Generator, state: WorldState) -> LabelledSample:
    motion = str(rng.choice(("walk_left", "walk_right", "walk_right", "jump")))
    phase = int(rng.choice(AIRBORNE if motion == "jump" else STRIDES))
    return frozen_block(replace(state, motion=motion), phase)


def _random_reversal(rng: np.random.Generator, state: WorldState) -> LabelledSample:
    return reversed_walk(replace(state, motion=str(rng.choice(tuple(WALKING_SPEED)))))


def _random_slide(rng: np.random.Generator, state: WorldState) -> LabelledSample:
    speeds = [speed for speed in (-2, 0, 2) if speed != WALKING_SPEED.get(state.motion, 0)]
    return sliding_block(state, int(rng.choice(speeds)))


def _random_fade(rng: np.random.Generator, state: WorldState) -> LabelledSample:
    other = str(rng.choice([scene for scene in SCENES if scene != state.scene]))
    return cross_fade(state, other, rng.uniform(0.3, 0.7, BLOCK_FRAMES))


def _random_blend(rng: np.random.Generator, state: WorldState) -> LabelledSample:
    other = str(rng.choice([subject for subject in SUBJECTS if subject != state.subject]))
    return blended_subjects(state, other, float(rng.uniform(0.35, 0.65)))


@torch.inference_mode()
def reconstruct(codec: Codec, frames: np.ndarray, noise: float = 0.0) -> np.ndarray:
    """Encode and decode one block, t H W 3 uint8, with noise on its latents that imitates a generator's errors."""
    # The decoder maps its first latent frame to a single pixel frame; four copies in front of the block absorb that.
    padded = np.concatenate([frames[:1].repeat(4, axis=0), frames])
    latents = codec.encoder.encode_whole(as_video(torch.from_numpy(padded)))
    errors = noise * channel_noise_scale(codec.encoder.variances)[:, None, None] * torch.randn_like(latents)
    decoded, _ = codec.decoder.decode(latents + errors, None)
    return decoded[0, -len(frames) :].numpy()


def augment(frames: Tensor, generator: torch.Generator, blur: float = 1.0, noise: float = 0.06) -> Tensor:
    """Apply colour jitter, blur and noise, with random strengths for each block.

    Args:
        frames: Blocks, b t 3 h w in [0, 1].
        generator: Random generator of the strengths and the noise.
        blur: Largest standard deviation of the blur, in pixels of these frames.
        noise: Largest standard deviation of the noise.
    """

    def draw(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(len(frames), *shape, 1, 1, generator=generator)

    coloured = frames.pow(draw(0.8, 1.25, 1, 1)) * draw(0.88, 1.12, 1, 3) + draw(-0.05, 0.05, 1, 3)
    grain = torch.randn(frames.shape, generator=generator) * draw(0, noise, 1, 1)
    return (gaussian_blur(coloured, draw(0.0, blur).flatten()) + grain).clamp(0, 1)


def gaussian_blur(frames: Tensor, sigma: Tensor) -> Tensor:
    """Blur blocks, b t 3 h w, with one standard deviation per block; below a third of a pixel nothing changes."""
    offsets = torch.arange(-3, 4)
    kernel = torch.exp(-(offsets**2) / (2 * sigma.clamp(min=0.1)[:, None] ** 2))
    kernel = kernel / kernel.sum(1, keepdim=True)  # b 7
    b, t, c, h, w = frames.shape
    x = frames.movedim(0, 2).reshape(t * c, b, h, w)
    x = F.conv2d(F.pad(x, (3, 3, 3, 3), mode="replicate"), kernel[:, None, :, None], groups=b)
    x = F.conv2d(x, kernel[:, None, None, :], groups=b)
    return x.reshape(t, c, b, h, w).movedim(2, 0)
