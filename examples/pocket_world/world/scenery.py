"""The six scenes as layers: the near layer scrolls, clouds drift, the far layer stays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import ImageColor

from examples.pocket_world.world.arrangement import DEFAULT_ARRANGEMENT, Arrangement
from examples.pocket_world.world.drawing import Canvas, vertical_gradient
from examples.pocket_world.world.scenes import (
    COLUMNS,
    GROUND,
    HEIGHT,
    NEAR_PERIOD,
    RECIPES,
    WIDTH,
    Painter,
)

SHADE, WARMTH = 0.2, 24
"""Relative darkening of the ground where it is darkest, and increase of red (of 255) where it is warmest."""
TINT = 0.7
"""Share of the other colour in a tinted layer."""
LUMA = np.array([0.299, 0.587, 0.114])


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

    @classmethod
    def of(cls, pixels: np.ndarray) -> Layer:
        """Make a layer of one period of premultiplied RGBA pixels, uint8 (HEIGHT, period, 4)."""
        period = pixels.shape[1]
        pixels = np.concatenate([pixels, pixels[:, :WIDTH]], axis=1)
        alpha = pixels[..., 3]
        painted: np.ndarray = np.any(alpha, axis=1)
        top, bottom = int(np.argmax(painted)), HEIGHT - int(np.argmax(painted[::-1]))
        opaque: np.ndarray = np.all(alpha == 255, axis=1)
        solid = bottom - int(np.argmin([*opaque[top:bottom][::-1], False]))
        keep = np.round((255 - alpha.astype(float)) * 256 / 255).astype(np.uint16)
        return cls(
            np.ascontiguousarray(pixels[top:bottom, :, :3].astype(np.uint16)),
            np.repeat(keep[top:bottom, :, None], 3, axis=2),
            top,
            solid,
            bottom,
            period,
        )

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
def scenery(scene: str, arrangement: Arrangement = DEFAULT_ARRANGEMENT) -> Scenery:
    """Paint a scene in one of its arrangements; the result is cached."""
    return Scenery(
        _sky(scene, arrangement.sky(scene), arrangement.south),
        _clouds(scene),
        _far(scene, arrangement.autumn, arrangement.south),
        near_layer(scene, arrangement.rain, arrangement.landmarks(scene)),
    )


@cache
def _sky(scene: str, number: int, mirrored: bool) -> np.ndarray:
    canvas = Canvas(WIDTH, HEIGHT, (0, HEIGHT - GROUND))
    RECIPES[scene].lights(canvas)
    lights = canvas.pixels().astype(float)[:, :: -1 if mirrored else 1]
    rows = vertical_gradient(HEIGHT, RECIPES[scene].skies[number])[:, None]
    blended: np.ndarray = np.round(rows * (1 - lights[..., 3:] / 255) + lights[..., :3])
    return blended.astype(np.uint8)


@cache
def _clouds(scene: str) -> Layer | None:
    clouds = RECIPES[scene].clouds
    return None if clouds is None else Layer.of(paint(clouds, WIDTH))


@cache
def _far(scene: str, tinted: bool, mirrored: bool) -> Layer:
    def painter(canvas: Canvas) -> None:
        recipe.far(canvas)
        recipe.middle(canvas)

    recipe = RECIPES[scene]
    pixels = paint(painter, WIDTH)[:, :: -1 if mirrored else 1]
    return Layer.of(tint(pixels, recipe.far_tint) if tinted else pixels)


@cache
def near_layer(scene: str, tinted: bool, landmarks: tuple[bool, ...]) -> Layer:
    """Paint ground and landmarks of a scene; `landmarks` says at each place whether the other one stands there."""
    recipe = RECIPES[scene]
    pixels = np.zeros((HEIGHT, NEAR_PERIOD, 4), np.uint8)
    for place, other in enumerate(landmarks):
        pixels = _over(_landmark(scene, place, other), pixels)
    ground = paint(recipe.ground, NEAR_PERIOD)
    return Layer.of(encode_position(_over(tint(ground, recipe.ground_tint) if tinted else ground, pixels)))


@cache
def _landmark(scene: str, place: int, other: bool) -> np.ndarray:
    """Paint one landmark alone, premultiplied RGBA uint8 (HEIGHT, NEAR_PERIOD, 4)."""
    recipe = RECIPES[scene]
    landmark = (recipe.other_landmarks if other else recipe.landmarks)[place]
    return paint(lambda canvas: landmark(canvas, COLUMNS[place]), NEAR_PERIOD)


def _over(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Compose premultiplied RGBA pixels, uint8."""
    composed: np.ndarray = np.round(above + below * (1 - above[..., 3:] / 255))
    return composed.astype(np.uint8)


def tint(pixels: np.ndarray, colour: str) -> np.ndarray:
    """Move the colours of premultiplied RGBA pixels, uint8, towards shades of one colour."""
    target = np.array(ImageColor.getrgb(colour), float)
    brightness, alpha = pixels[..., :3] @ LUMA, pixels[..., 3:]
    shades = brightness[..., None] * target / target.max()
    mixed = np.round((1 - TINT) * pixels[..., :3] + TINT * shades)
    return np.concatenate([mixed.astype(np.uint8), alpha], axis=2)


def encode_position(pixels: np.ndarray) -> np.ndarray:
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


def paint(painter: Painter, period: int) -> np.ndarray:
    """Paint one period of a layer, premultiplied RGBA uint8 (HEIGHT, period, 4)."""
    canvas = Canvas(period, HEIGHT, (0, HEIGHT - GROUND), period)
    painter(canvas)
    return canvas.pixels()
