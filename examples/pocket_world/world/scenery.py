"""The six scenes as layers: the near layer scrolls, clouds drift, the far layer stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from examples.pocket_world.world.drawing import Canvas, vertical_gradient
from examples.pocket_world.world.scenes import (
    COLUMNS,
    GROUND,
    HEIGHT,
    NEAR_PERIOD,
    RECIPES,
    WIDTH,
    Painter,
    Recipe,
)

SHADE, WARMTH = 0.2, 24
"""Relative darkening of the ground where it is darkest, and increase of red (of 255) where it is warmest."""


@dataclass(frozen=True)
class Layer:
    """One layer of a scene, one period plus one picture wide.

    Attributes:
        colour: Premultiplied colour, uint16.
        keep: Remaining share of the background in 256ths, uint16.
        top: First row of the picture that the layer covers.
        solid: Row of the picture from which on the layer is opaque.
        bottom: Row of the picture at which the layer ends.
        period: Period of the layer in pixels.
    """

    colour: np.ndarray
    keep: np.ndarray
    top: int
    solid: int
    bottom: int
    period: int

    def draw_over(self, picture: np.ndarray, shift: int, upper: bool = True) -> None:
        """Draw the visible part of the layer over a picture, uint8 (HEIGHT, WIDTH, 3).

        Args:
            picture: Picture to change.
            shift: Position of the picture's left border in the layer, in pixels.
            upper: Whether to draw the rows above `solid`.
        """
        start = shift % self.period
        view = slice(start, start + WIDTH)
        rows = self.solid - self.top
        if upper:
            behind = picture[self.top : self.solid]
            behind[:] = (behind * self.keep[:rows, view] >> 8) + self.colour[:rows, view]
        picture[self.solid : self.bottom] = self.colour[rows:, view]


@dataclass(frozen=True)
class Scenery:
    """A scene: its fixed sky, uint8 (HEIGHT, WIDTH, 3), and its layers from far to near."""

    sky: np.ndarray
    clouds: Layer | None
    far: Layer
    near: Layer

    def draw(self, scroll: int, drift: int = 0, landmarks: bool = True) -> np.ndarray:
        """Draw the scene without a subject, uint8 (HEIGHT, WIDTH, 3).

        Only the near layer scrolls, by a whole latent pixel per latent frame: a small generator blurs layers that move
        at several speeds or in front of each other.

        Args:
            scroll: Position of the camera in pixels.
            drift: Pixels that the clouds have moved to the left.
            landmarks: Whether to draw the landmarks.
        """
        picture = self.sky.copy()
        if self.clouds is not None:
            self.clouds.draw_over(picture, drift)
        self.far.draw_over(picture, 0)
        self.near.draw_over(picture, scroll, landmarks)
        return picture


@cache
def scenery(scene: str) -> Scenery:
    """Paint a scene; the result is cached."""
    recipe = RECIPES[scene]
    return Scenery(
        _paint_sky(recipe),
        None if recipe.clouds is None else paint_layer(recipe.clouds, WIDTH),
        paint_layer(partial(_paint_far, recipe), WIDTH),
        paint_layer(partial(_paint_near, recipe), NEAR_PERIOD, tint_ground),
    )


def _paint_sky(recipe: Recipe) -> np.ndarray:
    canvas = Canvas(WIDTH, HEIGHT, (0, HEIGHT - GROUND))
    recipe.lights(canvas)
    lights = canvas.pixels().astype(float)
    rows = vertical_gradient(HEIGHT, recipe.sky)[:, None]
    blended: np.ndarray = np.round(rows * (1 - lights[..., 3:] / 255) + lights[..., :3])
    return blended.astype(np.uint8)


def _paint_far(recipe: Recipe, canvas: Canvas) -> None:
    recipe.far(canvas)
    recipe.middle(canvas)


def _paint_near(recipe: Recipe, canvas: Canvas) -> None:
    for landmark, column in zip(recipe.landmarks, COLUMNS, strict=True):
        landmark(canvas, column)
    recipe.ground(canvas)


def tint_ground(pixels: np.ndarray) -> np.ndarray:
    """Modulate brightness and warmth of the ground along the near layer, premultiplied RGBA uint8.

    Brightness runs in four waves per period and warmth in three, so the ground's colour identifies the position: a
    generator can predict the next landmark even if none is in view. A single wave would identify it, too, but changes
    so little within a block that a generator does not learn its motion.
    """
    angle = 2 * np.pi * np.arange(NEAR_PERIOD)[:, None] / NEAR_PERIOD
    light, warmth = 1 - SHADE * (1 - np.sin(4 * angle)) / 2, WARMTH * np.cos(3 * angle) * (1, 0, -1)
    ground = pixels[HEIGHT - GROUND :, :, :3]
    lit = np.clip(np.round(ground * light + warmth), 0, 255).astype(np.uint8)
    return np.concatenate([pixels[: HEIGHT - GROUND], np.dstack([lit, pixels[HEIGHT - GROUND :, :, 3]])])


def paint_layer(painter: Painter, period: int, finish: Callable[[np.ndarray], np.ndarray] | None = None) -> Layer:
    """Paint one period of a layer; `finish` changes its premultiplied RGBA pixels."""
    canvas = Canvas(period, HEIGHT, (0, HEIGHT - GROUND), period)
    painter(canvas)
    pixels = canvas.pixels() if finish is None else finish(canvas.pixels())
    pixels = np.concatenate([pixels, pixels[:, :WIDTH]], axis=1)
    alpha = pixels[..., 3]
    painted: np.ndarray = np.any(alpha, axis=1)
    top, bottom = int(np.argmax(painted)), HEIGHT - int(np.argmax(painted[::-1]))
    opaque: np.ndarray = np.all(alpha == 255, axis=1)
    solid = bottom - int(np.argmin([*opaque[top:bottom][::-1], False]))
    keep = np.round((255 - alpha.astype(float)) * 256 / 255).astype(np.uint16)
    return Layer(
        np.ascontiguousarray(pixels[top:bottom, :, :3].astype(np.uint16)),
        np.repeat(keep[top:bottom, :, None], 3, axis=2),
        top,
        solid,
        bottom,
        period,
    )
