"""The pocket world: state, rules and pictures of one subject that moves through endless scenery.

Deterministic and without hidden clocks: a block's picture is a function of its `WorldState`. Everything is counted in
blocks of 12 frames. Knows neither captions nor the model that learns this world.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from examples.pocket_world.world.scenery import scenery
from examples.pocket_world.world.scenes import GROUND, HEIGHT, WIDTH
from examples.pocket_world.world.sprites import (
    CELL_WIDTH,
    FEET_ROW,
    PHASES,
    jump_height,
    put,
    shadow_sprite,
    subject_sprite,
)

__all__ = ["BLOCK_FRAMES", "FPS", "HEIGHT", "MOTIONS", "SCENES", "SUBJECTS", "WIDTH"]

FPS = 16
BLOCK_FRAMES = PHASES
FIRST_PHASE = 3
"""Phase of a rollout's first frame: the codec's first latent frame covers one pixel frame instead of four."""
SUBJECTS = ("robot", "frog", "fox", "wizard", "penguin")
MOTIONS = ("stand", "walk_left", "walk_right", "jump", "crouch", "wave")
SCENES = ("meadow", "desert", "snow", "city", "beach", "cave")
WALKING_SPEED = {"walk_left": -2, "walk_right": 2}
"""Scroll per frame in pixels; every other motion stays in place."""
FEET = HEIGHT - GROUND + 3
"""Row of the picture on which the subject stands, a little in front of the things on the ground line."""


@dataclass(frozen=True)
class WorldState:
    """What a block shows.

    `scroll` is the camera's position in pixels just before the block: the frame at phase p is seen from
    `scroll + speed * (p + 1)`, so a block depends on the last frame and its own motion only. `motion_blocks` says how
    many blocks the motion has lasted before this one, 0 in a motion's first block; `scene_blocks` says the same of the
    scene, for the clouds drift with it.
    """

    subject: str
    scene: str
    motion: str
    scroll: int
    motion_blocks: int
    scene_blocks: int = 0

    def __post_init__(self) -> None:
        """Refuse names that the world does not have."""
        for kind, name, known in (
            ("subject", self.subject, SUBJECTS),
            ("scene", self.scene, SCENES),
            ("motion", self.motion, MOTIONS),
        ):
            if name not in known:
                raise ValueError(f"expected {kind} to be one of {', '.join(known)}, got {name!r}")


@dataclass(frozen=True)
class FrameTruth:
    """What is exactly true of one frame.

    Attributes:
        scroll: camera position in pixels.
        drift: how far the clouds have moved to the left, in pixels.
        jump_height: of the feet above the ground, in pixels.
        facing: 1 (right) or -1.
    """

    scroll: int
    drift: int
    jump_height: int
    facing: int


def spawn(subject: str, scene: str, motion: str = "stand", scroll: int = 0) -> WorldState:
    """Return the first block of a rollout, which shows its frames from FIRST_PHASE on."""
    return WorldState(subject, scene, motion, scroll, 0)


def advance(state: WorldState, motion: str | None = None, scene: str | None = None) -> WorldState:
    """Return the block after `state`; None keeps what is. Any given scene, also the same one, is a cut to scroll 0."""
    following = state.motion if motion is None else motion
    if scene is not None:
        return WorldState(state.subject, scene, following, 0, 0)
    scroll = state.scroll + WALKING_SPEED.get(state.motion, 0) * BLOCK_FRAMES
    lasted = state.motion_blocks + 1 if following == state.motion else 0
    return WorldState(state.subject, state.scene, following, scroll, lasted, state.scene_blocks + 1)


def ground_truth(state: WorldState, phases: Iterable[int] = range(BLOCK_FRAMES)) -> tuple[FrameTruth, ...]:
    """Return what is true of every frame of a block."""
    speed = WALKING_SPEED.get(state.motion, 0)
    facing = -1 if state.motion == "walk_left" else 1
    return tuple(
        FrameTruth(state.scroll + speed * (p + 1), cloud_drift(state, p), jump_height(state.motion, p), facing)
        for p in phases
    )


def cloud_drift(state: WorldState, phase: int) -> int:
    """How far the clouds have come since the scene began, in pixels: four every three frames, so a token a block."""
    return (state.scene_blocks * BLOCK_FRAMES + phase + 1) * 4 // 3


def render_block(state: WorldState, phases: Iterable[int] = range(BLOCK_FRAMES), things: bool = True) -> np.ndarray:
    """Draw the frames of a block at the given phases (0 to 11), or without what stands along the way.

    Returns:
        uint8 (frames, HEIGHT, WIDTH, 3).
    """
    phases = tuple(phases)
    frames = np.empty((len(phases), HEIGHT, WIDTH, 3), np.uint8)
    for frame, phase, truth in zip(frames, phases, ground_truth(state, phases), strict=True):
        frame[:] = scenery(state.scene).draw(truth.scroll, truth.drift, things)
        left = (WIDTH - CELL_WIDTH) // 2
        put(frame, shadow_sprite(truth.jump_height), FEET - 4, left)
        sprite = subject_sprite(state.subject, state.motion, phase, state.motion_blocks == 0)
        put(frame, sprite, FEET - FEET_ROW - truth.jump_height, left)
    return frames


class World:
    """A rollout: `reset` draws the first block, every `step` the next one."""

    state: WorldState

    def reset(self, subject: str, scene: str, motion: str = "stand", scroll: int = 0) -> np.ndarray:
        """Start anew and draw phases 3 to 11; uint8 (9, HEIGHT, WIDTH, 3)."""
        self.state = spawn(subject, scene, motion, scroll)
        return render_block(self.state, range(FIRST_PHASE, BLOCK_FRAMES))

    def step(self, motion: str | None = None, scene: str | None = None) -> np.ndarray:
        """Move on by a block, see `advance`; uint8 (12, HEIGHT, WIDTH, 3)."""
        self.state = advance(self.state, motion, scene)
        return render_block(self.state)


def main(sheet: Path) -> None:
    """Write a labelled contact sheet of every subject, motion and scene, twice enlarged.

    Args:
        sheet: the picture to write.
    """
    from examples.pocket_world.evaluate.contact_sheet import contact_sheet

    contact_sheet().save(sheet)


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
