"""Subjects in motion: the pose of every phase, drawn once and cached."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from examples.pocket_world.world.drawing import Canvas, Placement
from examples.pocket_world.world.subjects import FIGURES, Pose

PHASES = 12
CELL_WIDTH, CELL_HEIGHT = 64, 60
FEET_ROW = 56
"""Row of the cell, counted from its top, on which the subject stands."""
JUMP_HEIGHT = 22.0
STEP = 12.0
"""Pixels that the planted foot moves in half a cycle: as far as the ground scrolls, so that feet do not slide."""


@dataclass(frozen=True)
class Sprite:
    """Premultiplied colour and the remaining share of the background, both uint16 (h, w, 3); `keep` is in 256ths."""

    colour: np.ndarray
    keep: np.ndarray


def sprite_from_pixels(pixels: np.ndarray) -> Sprite:
    """Convert premultiplied RGBA, uint8 (h, w, 4), to the form used in `background * keep // 256 + colour`."""
    keep = np.round((255 - pixels[..., 3:].astype(float)) * 256 / 255).astype(np.uint16)
    return Sprite(pixels[..., :3].astype(np.uint16), np.repeat(keep, 3, axis=2))


def paste(picture: np.ndarray, sprite: Sprite, top: int, left: int) -> None:
    """Blend a sprite over a picture, uint8 (h, w, 3), clipped to its borders."""
    above, before = max(0, -top), max(0, -left)
    view = picture[top + above : top + len(sprite.colour), left + before : max(0, left + sprite.colour.shape[1])]
    seen = (slice(above, above + view.shape[0]), slice(before, before + view.shape[1]))
    view[:] = (view * sprite.keep[seen] >> 8) + sprite.colour[seen]


def jump_height(motion: str, phase: int) -> int:
    """Return the height of the feet above the ground in pixels: a parabola from phase 0 to phase 11, both 0."""
    last = PHASES - 1
    return round(JUMP_HEIGHT * 4 * phase * (last - phase) / last**2) if motion == "jump" else 0


@cache
def subject_sprite(subject: str, motion: str, phase: int, first_block: bool) -> Sprite:
    """Draw a subject at a phase, feet at column CELL_WIDTH / 2 and row FEET_ROW; mirrored in `walk_left`."""
    pixels = _draw(subject, pose_at("walk" if motion.startswith("walk") else motion, phase, first_block))
    return sprite_from_pixels(pixels[:, ::-1] if motion == "walk_left" else pixels)


@cache
def shadow_sprite(height: int) -> Sprite:
    """Draw a soft contact shadow, (8, CELL_WIDTH); smaller and fainter the higher the subject is."""
    shrink = 1 - 0.4 * height / JUMP_HEIGHT
    x = (np.arange(CELL_WIDTH) + 0.5 - CELL_WIDTH / 2) / (15 * shrink)
    y = (np.arange(8) + 0.5 - 4) / (3.2 * shrink)
    opacity = 0.42 * shrink * np.clip(1.25 * (1 - np.hypot(x[None, :], y[:, None])), 0, 1)
    pixels = np.zeros((8, CELL_WIDTH, 4), np.uint8)
    pixels[..., 3] = np.round(255 * opacity)
    return sprite_from_pixels(pixels)


def pose_at(motion: str, phase: int, first_block: bool) -> Pose:
    """Return the pose of a motion ("walk" for both directions) at a phase; only `crouch` depends on `first_block`."""
    if motion == "crouch":
        return _crouch(min(1.0, (phase + 1) / 4) if first_block else 1.0)
    return {"stand": _stand, "walk": _walk, "jump": _jump, "wave": _wave}[motion](phase)


def _stand(phase: int) -> Pose:
    return Pose(bob=0.4 * math.sin(2 * math.pi * phase / PHASES), blink=phase in (6, 7))


def _walk(phase: int) -> Pose:
    swing = math.sin(2 * math.pi * phase / PHASES)
    bob = 1.2 * math.cos(4 * math.pi * phase / PHASES)
    return Pose(
        feet=(_footfall(phase), _footfall(phase + PHASES // 2)),
        bob=bob,
        lean=0.05,
        arms=(20 + 38 * swing, 20 - 38 * swing),
        tail=18 * swing,
    )


def _footfall(phase: int) -> tuple[float, float]:
    """Return offset and lift of a foot that is planted below the body at phase 0."""
    cycle = (phase / PHASES + 0.25) % 1.0
    if cycle < 0.5:
        return STEP * (0.5 - 2 * cycle), 0.0
    return STEP * (2 * cycle - 1.5), 4.5 * math.sin(2 * math.pi * (cycle - 0.5))


def _jump(phase: int) -> Pose:
    if phase in (0, PHASES - 1):
        return _crouch(0.45)
    rising = phase < PHASES / 2
    feet = ((-1.5, -1.0), (1.0, -1.0)) if rising else ((-2.5, 0.5), (2.5, 0.5))
    return Pose(feet=feet, stretch=1.05, arms=(105.0, 105.0) if rising else (125.0, 125.0), mouth=1.0, tail=-20)


def _crouch(depth: float) -> Pose:
    return Pose(
        crouch=depth, arms=(15 + 35 * depth, 15 + 35 * depth), tail=10 * depth, feet=((-2 * depth, 0), (2 * depth, 0))
    )


def _wave(phase: int) -> Pose:
    swing = math.sin(2 * math.pi * phase / PHASES)
    return Pose(arms=(15.0, 122 + 26 * swing), mouth=1.0, lean=0.02 * swing)


def _draw(subject: str, pose: Pose) -> np.ndarray:
    figure = FIGURES[subject]
    canvas = Canvas(CELL_WIDTH, CELL_HEIGHT, (CELL_WIDTH / 2, FEET_ROW))
    canvas.ink = figure.ink
    trunk = Placement(0, pose.bob, 1 + 0.14 * pose.crouch, pose.stretch * (1 - figure.squat * pose.crouch), pose.lean)
    drop = figure.neck * (trunk.sy - 1)
    canvas.placement = trunk
    figure.behind(canvas, pose)
    canvas.placement = Placement()
    figure.legs(canvas, pose)
    canvas.placement = trunk
    figure.trunk(canvas, pose)
    canvas.placement = Placement(0, pose.bob + drop, 1, 1, pose.lean)
    figure.head(canvas, pose)
    canvas.placement = Placement(0, pose.bob + figure.shoulder[1] * (trunk.sy - 1), 1, 1, pose.lean)
    figure.arms(canvas, pose)
    return canvas.pixels()
