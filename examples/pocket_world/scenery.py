"""The six scenes as periodic strips that scroll at different speeds. Knows nothing of subjects or time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from examples.pocket_world.drawing import Canvas, vertical_gradient
from examples.pocket_world.scenes import (
    FAR_PERIOD,
    GROUND,
    HEIGHT,
    MIDDLE_PERIOD,
    NEAR_PERIOD,
    RECIPES,
    WIDTH,
    Recipe,
)


@dataclass(frozen=True)
class Strip:
    """One layer: premultiplied colour and remaining background in 256ths, uint16, one period plus one picture wide.

    Rows start at `top` of the picture; from `solid` on nothing shines through. `slowness` scroll pixels move it by one.
    """

    colour: np.ndarray
    keep: np.ndarray
    top: int
    solid: int
    period: int
    slowness: int

    def draw_over(self, picture: np.ndarray, scroll: int) -> None:
        """Put the part of the strip that is in view over a picture, uint8 (HEIGHT, WIDTH, 3)."""
        start = scroll // self.slowness % self.period
        view = slice(start, start + WIDTH)
        airy = self.solid - self.top
        behind = picture[self.top : self.solid]
        behind[:] = (behind * self.keep[:airy, view] >> 8) + self.colour[:airy, view]
        picture[self.solid :] = self.colour[airy:, view]


@dataclass(frozen=True)
class Scenery:
    """A scene: its fixed sky, uint8 (HEIGHT, WIDTH, 3), and its strips from far to near."""

    sky: np.ndarray
    strips: tuple[Strip, Strip, Strip]

    def draw(self, scroll: int) -> np.ndarray:
        """Return the empty scene seen at a scroll position, uint8 (HEIGHT, WIDTH, 3)."""
        picture = self.sky.copy()
        for strip in self.strips:
            strip.draw_over(picture, scroll)
        return picture


@cache
def scenery(scene: str) -> Scenery:
    """Paint a scene, once."""
    recipe = RECIPES[scene]
    return Scenery(
        _paint_sky(recipe),
        (
            _paint_strip(recipe.far, FAR_PERIOD, 4),
            _paint_strip(recipe.middle, MIDDLE_PERIOD, 2),
            _paint_strip(recipe.near, NEAR_PERIOD, 1),
        ),
    )


def _paint_sky(recipe: Recipe) -> np.ndarray:
    canvas = Canvas(WIDTH, HEIGHT, (0, HEIGHT - GROUND))
    recipe.lights(canvas)
    lights = canvas.pixels().astype(float)
    rows = vertical_gradient(HEIGHT, recipe.sky)[:, None]
    blended: np.ndarray = np.round(rows * (1 - lights[..., 3:] / 255) + lights[..., :3])
    return blended.astype(np.uint8)


def _paint_strip(painter: Callable[[Canvas], None], period: int, slowness: int) -> Strip:
    canvas = Canvas(period, HEIGHT, (0, HEIGHT - GROUND), period)
    painter(canvas)
    pixels = canvas.pixels()
    pixels = np.concatenate([pixels, pixels[:, :WIDTH]], axis=1)
    alpha = pixels[..., 3]
    top = int(np.argmax(alpha.any(axis=1)))
    solid = HEIGHT - int(np.argmin([*(alpha == 255).all(axis=1)[::-1], False]))
    keep = np.round((255 - alpha.astype(float)) * 256 / 255).astype(np.uint16)
    return Strip(
        np.ascontiguousarray(pixels[top:, :, :3].astype(np.uint16)),
        np.repeat(keep[top:, :, None], 3, axis=2),
        top,
        solid,
        period,
        slowness,
    )
