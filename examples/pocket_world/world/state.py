"""The pocket world: state, rules and rendering of one subject that moves through periodic scenery.

Rendering is deterministic: the frames of a block are a function of its `WorldState`. Time is counted in blocks of 12
frames.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from examples.pocket_world.world.arrangement import DEFAULT_ARRANGEMENT, Arrangement
from examples.pocket_world.world.scenery import scenery
from examples.pocket_world.world.scenes import GROUND, HEIGHT, WIDTH
from examples.pocket_world.world.sprites import (
    CELL_WIDTH,
    FEET_ROW,
    PHASES,
    jump_height,
    paste,
    shadow_sprite,
    subject_sprite,
)

__all__ = ["BLOCK_FRAMES", "FPS", "HEIGHT", "MOTIONS", "SCENES", "SUBJECTS", "WIDTH"]

FPS = 16
BLOCK_FRAMES = PHASES
FIRST_PHASE = 3
"""Phase of a rollout's first frame: the first latent frame covers one pixel frame instead of four."""
SUBJECTS = ("robot", "frog", "fox", "wizard", "penguin")
MOTIONS = ("stand", "walk_left", "walk_right", "jump", "crouch", "wave")
SCENES = ("meadow", "desert", "snow", "city", "beach", "cave")
WALKING_SPEED = {"walk_left": -2, "walk_right": 2}
"""Scroll in pixels per frame; every other motion stays in place."""
FEET = HEIGHT - GROUND + 3
"""Row of the picture on which the subject stands, slightly in front of the ground line."""


@dataclass(frozen=True)
class WorldState:
    """The state of a block, which determines its frames.

    Attributes:
        subject: One of `SUBJECTS`.
        scene: One of `SCENES`.
        motion: One of `MOTIONS`.
        scroll: Camera position before the block, in pixels; at phase p it is `scroll + speed * (p + 1)`.
        motion_blocks: Blocks that the motion has lasted before this one.
        scene_blocks: Blocks that the scene has lasted before this one; clouds drift with it.
        arrangement: Version of the world.
    """

    subject: str
    scene: str
    motion: str
    scroll: int
    motion_blocks: int
    scene_blocks: int = 0
    arrangement: Arrangement = DEFAULT_ARRANGEMENT

    def __post_init__(self) -> None:
        """Raise ValueError for an unknown name."""
        for kind, name, known in (
            ("subject", self.subject, SUBJECTS),
            ("scene", self.scene, SCENES),
            ("motion", self.motion, MOTIONS),
        ):
            if name not in known:
                raise ValueError(f"expected {kind} to be one of {', '.join(known)}, got {name!r}")


@dataclass(frozen=True)
class FrameTruth:
    """The ground truth of one frame.

    Attributes:
        scroll: Camera position in pixels.
        drift: Pixels that the clouds have moved to the left.
        jump_height: Height of the feet above the ground, in pixels.
        facing: 1 if the subject faces right, -1 if it faces left.
    """

    scroll: int
    drift: int
    jump_height: int
    facing: int


def spawn(
    subject: str,
    scene: str,
    motion: str = "stand",
    scroll: int = 0,
    arrangement: Arrangement = DEFAULT_ARRANGEMENT,
) -> WorldState:
    """Return the state of a rollout's first block, which shows the phases from FIRST_PHASE on."""
    return WorldState(subject, scene, motion, scroll, 0, arrangement=arrangement)


def advance(
    state: WorldState, motion: str | None = None, scene: str | None = None, arrangement: Arrangement | None = None
) -> WorldState:
    """Return the state of the next block; None keeps motion, scene or arrangement.

    A scene, even the same one, cuts to scroll 0.
    """
    state = replace(state, arrangement=arrangement or state.arrangement)
    next_motion = state.motion if motion is None else motion
    if scene is not None:
        return replace(state, scene=scene, motion=next_motion, scroll=0, motion_blocks=0, scene_blocks=0)
    scroll = state.scroll + WALKING_SPEED.get(state.motion, 0) * BLOCK_FRAMES
    motion_blocks = state.motion_blocks + 1 if next_motion == state.motion else 0
    return replace(
        state, motion=next_motion, scroll=scroll, motion_blocks=motion_blocks, scene_blocks=state.scene_blocks + 1
    )


def ground_truth(state: WorldState, phases: Iterable[int] = range(BLOCK_FRAMES)) -> tuple[FrameTruth, ...]:
    """Return the ground truth of every frame of a block, at the given phases (0 to 11)."""
    speed = WALKING_SPEED.get(state.motion, 0)
    facing = -1 if state.motion == "walk_left" else 1
    return tuple(
        FrameTruth(state.scroll + speed * (p + 1), cloud_drift(state, p), jump_height(state.motion, p), facing)
        for p in phases
    )


def cloud_drift(state: WorldState, phase: int) -> int:
    """Return the drift of the clouds since the scene began: four pixels every three frames, a token per block."""
    return (state.scene_blocks * BLOCK_FRAMES + phase + 1) * 4 // 3


def render_block(
    state: WorldState, phases: Iterable[int] = range(BLOCK_FRAMES), landmarks: bool = True, subject: bool = True
) -> np.ndarray:
    """Render the frames of a block at the given phases (0 to 11), with or without landmarks and subject.

    The subject's shadow is always drawn.

    Returns:
        uint8 (frames, HEIGHT, WIDTH, 3).
    """
    phases = tuple(phases)
    frames = np.empty((len(phases), HEIGHT, WIDTH, 3), np.uint8)
    for frame, phase, truth in zip(frames, phases, ground_truth(state, phases), strict=True):
        frame[:] = scenery(state.scene, state.arrangement).draw(truth.scroll, truth.drift, landmarks)
        left = (WIDTH - CELL_WIDTH) // 2
        paste(frame, shadow_sprite(truth.jump_height), FEET - 4, left)
        if subject:
            sprite = subject_sprite(state.subject, state.motion, phase, state.motion_blocks == 0)
            paste(frame, sprite, FEET - FEET_ROW - truth.jump_height, left)
    return frames


class World:
    """A rollout of the rendered world: `reset` renders the first block, every `step` the next one."""

    state: WorldState

    def reset(
        self,
        subject: str,
        scene: str,
        motion: str = "stand",
        scroll: int = 0,
        arrangement: Arrangement = DEFAULT_ARRANGEMENT,
    ) -> np.ndarray:
        """Begin a rollout and render phases 3 to 11, uint8 (9, HEIGHT, WIDTH, 3)."""
        self.state = spawn(subject, scene, motion, scroll, arrangement)
        return render_block(self.state, range(FIRST_PHASE, BLOCK_FRAMES))

    def step(
        self, motion: str | None = None, scene: str | None = None, arrangement: Arrangement | None = None
    ) -> np.ndarray:
        """Advance by a block, see `advance`, and render it, uint8 (12, HEIGHT, WIDTH, 3)."""
        self.state = advance(self.state, motion, scene, arrangement)
        return render_block(self.state)


def main(sheet: Path, arrangements: bool = False) -> None:
    """Write a labelled contact sheet of every subject, motion and scene, at twice the size.

    Args:
        sheet: File of the picture.
        arrangements: Draw every scene in six arrangements instead.
    """
    from examples.pocket_world.evaluate.contact_sheet import arrangement_sheet, contact_sheet

    (arrangement_sheet() if arrangements else contact_sheet()).save(sheet)


if __name__ == "__main__":
    from infrope_env.output import run_program

    run_program(main)
