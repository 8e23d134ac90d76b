"""The six scenes: what is near scrolls, clouds drift, what is far stays.

Knows nothing of subjects.
"""

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
"""What share of its light the ground loses where it is darkest; by how much of 255 red rises where it is warmest."""


@dataclass(frozen=True)
class Strip:
    """One layer: premultiplied colour and remaining background in 256ths, uint16, one period plus one picture wide.

    Rows start at `top` of the picture and end before `bottom`; between `solid` and `bottom` nothing shines through.
    """

    colour: np.ndarray
    keep: np.ndarray
    top: int
    solid: int
    bottom: int
    period: int

    def draw_over(self, picture: np.ndarray, shift: int, airy: bool = True) -> None:
        """Put the part of the strip that is in view, `shift` pixels along, over a picture, uint8 (HEIGHT, WIDTH, 3).

        What stands above `solid` can be left out.
        """
        start = shift % self.period
        view = slice(start, start + WIDTH)
        rows = self.solid - self.top
        if airy:
            behind = picture[self.top : self.solid]
            behind[:] = (behind * self.keep[:rows, view] >> 8) + self.colour[:rows, view]
        picture[self.solid : self.bottom] = self.colour[rows:, view]


@dataclass(frozen=True)
class Scenery:
    """A scene: its fixed sky, uint8 (HEIGHT, WIDTH, 3), and its strips from far to near."""

    sky: np.ndarray
    clouds: Strip | None
    far: Strip
    near: Strip

    def draw(self, scroll: int, drift: int = 0, things: bool = True) -> np.ndarray:
        """Return the empty scene, uint8 (HEIGHT, WIDTH, 3).

        Args:
            scroll: the camera's position, in pixels. Only the near layer moves with it, by a whole latent pixel a
                latent frame: of layers that moved at several speeds, or one behind the other, a small generator made
                a blur.
            drift: pixels that the clouds have moved to the left.
            things: whether anything stands on the ground.
        """
        picture = self.sky.copy()
        if self.clouds is not None:
            self.clouds.draw_over(picture, drift)
        self.far.draw_over(picture, 0)
        self.near.draw_over(picture, scroll, things)
        return picture


@cache
def scenery(scene: str) -> Scenery:
    """Paint a scene, once."""
    recipe = RECIPES[scene]
    return Scenery(
        _paint_sky(recipe),
        None if recipe.clouds is None else _paint_strip(recipe.clouds, WIDTH),
        _paint_strip(partial(_paint_far, recipe), WIDTH),
        _paint_strip(partial(_paint_near, recipe), NEAR_PERIOD, tinted),
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
    for thing, column in zip(recipe.things, COLUMNS, strict=True):
        thing(canvas, column)
    recipe.ground(canvas)


def tinted(pixels: np.ndarray) -> np.ndarray:
    """The near layer, premultiplied RGBA in uint8, with ground that turns warmer and cooler, lighter and darker.

    At rates that meet once in a period only, so the ground alone tells where one is: a generator that has lost a
    thing on the way still knows what comes next. Slower waves would do that too, but move too little in a block for
    a generator to learn that they move.
    """
    turn = 2 * np.pi * np.arange(NEAR_PERIOD)[:, None] / NEAR_PERIOD
    light, warmth = 1 - SHADE * (1 - np.sin(4 * turn)) / 2, WARMTH * np.cos(3 * turn) * (1, 0, -1)
    ground = pixels[HEIGHT - GROUND :, :, :3]
    lit = np.clip(np.round(ground * light + warmth), 0, 255).astype(np.uint8)
    return np.concatenate([pixels[: HEIGHT - GROUND], np.dstack([lit, pixels[HEIGHT - GROUND :, :, 3]])])


def _paint_strip(painter: Painter, period: int, finish: Callable[[np.ndarray], np.ndarray] | None = None) -> Strip:
    canvas = Canvas(period, HEIGHT, (0, HEIGHT - GROUND), period)
    painter(canvas)
    pixels = canvas.pixels() if finish is None else finish(canvas.pixels())
    pixels = np.concatenate([pixels, pixels[:, :WIDTH]], axis=1)
    alpha = pixels[..., 3]
    painted = alpha.any(axis=1)
    top, bottom = int(np.argmax(painted)), HEIGHT - int(np.argmax(painted[::-1]))
    solid = bottom - int(np.argmin([*(alpha == 255).all(axis=1)[top:bottom][::-1], False]))
    keep = np.round((255 - alpha.astype(float)) * 256 / 255).astype(np.uint16)
    return Strip(
        np.ascontiguousarray(pixels[top:bottom, :, :3].astype(np.uint16)),
        np.repeat(keep[top:bottom, :, None], 3, axis=2),
        top,
        solid,
        bottom,
        period,
    )
