"""Labelled blocks for the detectors: true ones, ones with a planted fault, and what a lens or a codec does to them.

A fault carries the label `NONE` for what it spoils: a picture between two scenes shows no scene, a walk over ground
that moves the wrong way is no motion. So a detector that sees it does not have to pick the nearest name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from examples.pocket_world.evaluate.detectors import NONE
from examples.pocket_world.train.codec import Codec
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
"""Phases of a walk in which the legs are apart: stopped there, nobody takes it for standing."""
AIRBORNE = (3, 4, 5, 6, 7, 8)
FAULT_CHANCE = 0.45
FARTHEST_SCROLL = 1260


@dataclass(frozen=True)
class Specimen:
    """One block, t H W 3 in uint8, and what a detector should say of it; None where it need not say anything."""

    frames: np.ndarray
    subject: str | None
    scene: str | None
    motion: str | None


def random_state(rng: np.random.Generator) -> WorldState:
    """Any subject in any motion anywhere, in a motion's first block or a later one."""
    subject, scene, motion = (str(rng.choice(names)) for names in (SUBJECTS, SCENES, MOTIONS))
    scroll = int(rng.integers(-FARTHEST_SCROLL, FARTHEST_SCROLL))
    lasted, entered = int(rng.integers(2)), int(rng.integers(100))
    return WorldState(subject, scene, motion, scroll, lasted, entered)


def true_block(state: WorldState, first: bool = False) -> Specimen:
    """The block as the world draws it; the first of a rollout shows its first frame four times."""
    phases = (*[FIRST_PHASE] * FIRST_PHASE, *range(FIRST_PHASE, BLOCK_FRAMES)) if first else range(BLOCK_FRAMES)
    return Specimen(render_block(state, phases), state.subject, state.scene, state.motion)


def frozen(state: WorldState, phase: int) -> Specimen:
    """A block that stands still in one phase: a walk that does not go on, a jump that hangs in the air."""
    frame = render_block(state, [phase])
    return Specimen(frame.repeat(BLOCK_FRAMES, axis=0), state.subject, state.scene, NONE)


def reversed_walk(state: WorldState) -> Specimen:
    """A walk played backwards: facing one way, moving the other."""
    return replace(true_block(state), frames=render_block(state)[::-1].copy(), motion=NONE)


def walk_over(state: WorldState, speed: int) -> Specimen:
    """The state's own phases over ground that moves at another speed: a treadmill, a slide."""
    scrolls = [state.scroll + speed * (phase + 1) for phase in range(BLOCK_FRAMES)]
    own = WALKING_SPEED.get(state.motion, 0)
    frames = [
        render_block(replace(state, scroll=scroll - own * (phase + 1)), [phase]) for phase, scroll in enumerate(scrolls)
    ]
    return Specimen(np.concatenate(frames), state.subject, state.scene, NONE)


def cross_fade(state: WorldState, scene: str, shares: np.ndarray) -> Specimen:
    """The same block in two scenes at once; `shares`, one a frame, says how much of the second shows."""
    pair = np.stack([render_block(state), render_block(replace(state, scene=scene))]).astype(np.float32)
    frames = pair[0] + (pair[1] - pair[0]) * shares[:, None, None, None]
    return Specimen(frames.round().astype(np.uint8), state.subject, NONE, state.motion)


def deserted(state: WorldState) -> Specimen:
    """The scene alone."""
    frame = scenery(state.scene).draw(state.scroll)
    return Specimen(np.repeat(frame[None], BLOCK_FRAMES, axis=0), NONE, state.scene, NONE)


def two_at_once(state: WorldState, subject: str, share: float) -> Specimen:
    """Two subjects, each half transparent."""
    pair = np.stack([render_block(state), render_block(replace(state, subject=subject))]).astype(np.float32)
    frames = pair[0] + (pair[1] - pair[0]) * share
    return Specimen(frames.round().astype(np.uint8), NONE, state.scene, None)


def random_specimen(rng: np.random.Generator) -> Specimen:
    """A true block mostly, else one of the faults."""
    state = random_state(rng)
    if rng.random() > FAULT_CHANCE:
        return true_block(state, first=bool(rng.random() < 0.15))
    faults: tuple[Callable[[np.random.Generator, WorldState], Specimen], ...] = (
        _random_freeze,
        _random_reversal,
        _random_slide,
        _random_fade,
        _random_pair,
        lambda _, state: deserted(state),
    )
    chances = (0.1, 0.05, 0.5, 0.15, 0.12, 0.08)
    return faults[int(rng.choice(len(faults), p=chances))](rng, state)


def _random_freeze(rng: np.random.Generator, state: WorldState) -> Specimen:
    motion = str(rng.choice(("walk_left", "walk_right", "walk_right", "jump")))
    phase = int(rng.choice(AIRBORNE if motion == "jump" else STRIDES))
    return frozen(replace(state, motion=motion), phase)


def _random_reversal(rng: np.random.Generator, state: WorldState) -> Specimen:
    return reversed_walk(replace(state, motion=str(rng.choice(tuple(WALKING_SPEED)))))


def _random_slide(rng: np.random.Generator, state: WorldState) -> Specimen:
    speeds = [speed for speed in (-2, 0, 2) if speed != WALKING_SPEED.get(state.motion, 0)]
    return walk_over(state, int(rng.choice(speeds)))


def _random_fade(rng: np.random.Generator, state: WorldState) -> Specimen:
    other = str(rng.choice([scene for scene in SCENES if scene != state.scene]))
    return cross_fade(state, other, rng.uniform(0.3, 0.7, BLOCK_FRAMES))


def _random_pair(rng: np.random.Generator, state: WorldState) -> Specimen:
    other = str(rng.choice([subject for subject in SUBJECTS if subject != state.subject]))
    return two_at_once(state, other, float(rng.uniform(0.35, 0.65)))


@torch.inference_mode()
def through_codec(codec: Codec, frames: np.ndarray, noise: float = 0.0) -> np.ndarray:
    """Encode and decode one block, t H W 3 in uint8, with some noise on its latents as a generator leaves it."""
    # the decoder starts with a single frame: four more of the first one in front take that place
    padded = np.concatenate([frames[:1].repeat(4, axis=0), frames])
    video = torch.from_numpy(padded).permute(0, 3, 1, 2)[None].float() / 255  # t H W c -> 1 t c H W
    latents = codec.encoder.encode_whole(video)
    mistakes = noise * channel_noise_scale(codec.encoder.variances)[:, None, None] * torch.randn_like(latents)
    decoded, _ = codec.decoder.decode(latents + mistakes, None)
    return decoded[0, -len(frames) :].numpy()


def spoil(frames: Tensor, generator: torch.Generator, blur: float = 1.0, noise: float = 0.06) -> Tensor:
    """Blur, noise and colour jitter, each block its own.

    Args:
        frames: b t 3 h w in [0, 1].
        generator: draws strengths up to the given ones.
        blur: largest standard deviation of the blur, in pixels of these frames.
        noise: largest standard deviation of the noise.
    """

    def draw(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(len(frames), *shape, 1, 1, generator=generator)

    coloured = frames.pow(draw(0.8, 1.25, 1, 1)) * draw(0.88, 1.12, 1, 3) + draw(-0.05, 0.05, 1, 3)
    grain = torch.randn(frames.shape, generator=generator) * draw(0, noise, 1, 1)
    return (blurred(coloured, draw(0.0, blur).flatten()) + grain).clamp(0, 1)


def blurred(frames: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur of b t 3 h w, a standard deviation per block; below a third of a pixel nothing happens."""
    offsets = torch.arange(-3, 4)
    kernel = torch.exp(-(offsets**2) / (2 * sigma.clamp(min=0.1)[:, None] ** 2))
    kernel = kernel / kernel.sum(1, keepdim=True)  # b 7
    b, t, c, h, w = frames.shape
    x = frames.movedim(0, 2).reshape(t * c, b, h, w)
    x = F.conv2d(F.pad(x, (3, 3, 3, 3), mode="replicate"), kernel[:, None, :, None], groups=b)
    x = F.conv2d(x, kernel[:, None, None, :], groups=b)
    return x.reshape(t, c, b, h, w).movedim(2, 0)
