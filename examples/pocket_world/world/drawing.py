"""Supersampled cartoon shapes, drawn to premultiplied RGBA pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageColor, ImageDraw

SUPERSAMPLING = 6
Point = tuple[float, float]
Fill = str | tuple[str, str]
"""One colour, or a gradient from the top to the bottom of the shape."""


@dataclass(frozen=True)
class Placement:
    """The transform of the shapes that follow: scale about the origin, shear by `lean`, move by (dx, dy) pixels."""

    dx: float = 0.0
    dy: float = 0.0
    sx: float = 1.0
    sy: float = 1.0
    lean: float = 0.0

    def __call__(self, point: Point) -> Point:
        """Transform a point."""
        x, y = point
        return x * self.sx + y * self.lean + self.dx, y * self.sy + self.dy


class Canvas:
    """A transparent picture in pixel units, with the y axis pointing up from `origin` (column, row from the top).

    Every shape gets a contour of width `ink_width` and colour `ink`, unless `ink` is None. With `period`, shapes wrap
    around horizontally.
    """

    def __init__(self, width: int, height: int, origin: Point, period: int | None = None) -> None:
        """Make an empty canvas."""
        self.image = Image.new("RGBA", (width * SUPERSAMPLING, height * SUPERSAMPLING))
        self.origin = origin
        self.shifts = (0,) if period is None else (-period, 0, period)
        self.placement = Placement()
        self.ink: str | None = None
        self.ink_width = 0.8

    @contextmanager
    def inked(self, ink: str | None) -> Iterator[None]:
        """Change the contour colour within a `with` block; None draws no contour."""
        before, self.ink = self.ink, ink
        yield
        self.ink = before

    @contextmanager
    def lifted(self, height: float) -> Iterator[None]:
        """Raise the origin by `height` pixels within a `with` block."""
        before = self.origin
        self.origin = (before[0], before[1] - height)
        yield
        self.origin = before

    def ellipse(self, cx: float, cy: float, rx: float, ry: float, fill: Fill) -> None:
        """Draw an ellipse with its axes along x and y."""
        sx, sy = self.placement.sx, self.placement.sy

        def draw(brush: ImageDraw.ImageDraw, grow: float, shift: float) -> None:
            x, y = self._pixel((cx, cy), shift)
            a, b = (rx * sx + grow) * SUPERSAMPLING, (ry * sy + grow) * SUPERSAMPLING
            brush.ellipse((x - a, y - b, x + a, y + b), fill=255)

        self._paint(draw, fill)

    def polygon(self, points: Sequence[Point], fill: Fill, rounding: float = 0.4) -> None:
        """Draw a polygon, grown by `rounding` pixels with round corners."""

        def draw(brush: ImageDraw.ImageDraw, grow: float, shift: float) -> None:
            corners = [self._pixel(point, shift) for point in points]
            brush.polygon(corners, fill=255)
            _stroke(brush, [*corners, corners[0]], (rounding + grow) * SUPERSAMPLING)

        self._paint(draw, fill)

    def limb(self, points: Sequence[Point], width: float, fill: Fill) -> None:
        """Draw a line with round ends and joints."""

        def draw(brush: ImageDraw.ImageDraw, grow: float, shift: float) -> None:
            _stroke(brush, [self._pixel(point, shift) for point in points], (width / 2 + grow) * SUPERSAMPLING)

        self._paint(draw, fill)

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: Fill, rounding: float = 0.6) -> None:
        """Draw a rectangle with rounded corners, (x0, y0) bottom left, (x1, y1) top right."""
        r = rounding
        self.polygon([(x0 + r, y0 + r), (x1 - r, y0 + r), (x1 - r, y1 - r), (x0 + r, y1 - r)], fill, rounding)

    def glow(self, cx: float, cy: float, radius: float, colour: str, strength: float) -> None:
        """Blend a soft disc of light over the canvas; `strength` is its opacity in the middle, 0 to 1."""
        size = round(2 * radius * SUPERSAMPLING)
        axis = (np.arange(size) + 0.5) / size * 2 - 1
        fall_off = np.clip(1 - np.hypot(axis[:, None], axis[None, :]), 0, 1) ** 2
        disc = Image.new("RGBA", (size, size), ImageColor.getrgb(colour))
        disc.putalpha(Image.fromarray((255 * strength * fall_off).astype(np.uint8)))
        for shift in self.shifts:
            x, y = self._pixel((cx, cy), shift)
            layer = Image.new("RGBA", self.image.size)
            layer.paste(disc, (round(x - size / 2), round(y - size / 2)))
            self.image = Image.alpha_composite(self.image, layer)

    def pixels(self) -> np.ndarray:
        """Return premultiplied RGBA, uint8 (height, width, 4), averaged over the supersampled pixels."""
        return np.asarray(self.image.convert("RGBa").reduce(SUPERSAMPLING))

    def _pixel(self, point: Point, shift: float) -> Point:
        x, y = self.placement(point)
        return (self.origin[0] + x + shift) * SUPERSAMPLING, (self.origin[1] - y) * SUPERSAMPLING

    def _paint(self, draw: Callable[[ImageDraw.ImageDraw, float, float], None], fill: Fill) -> None:
        if self.ink is not None:
            self._stamp(draw, self.ink_width, self.ink)
        self._stamp(draw, 0.0, fill)

    def _stamp(self, draw: Callable[[ImageDraw.ImageDraw, float, float], None], grow: float, fill: Fill) -> None:
        mask = Image.new("L", self.image.size)
        for shift in self.shifts:
            draw(ImageDraw.Draw(mask), grow, shift)
        region = mask.getbbox()
        if region is not None:
            size = (region[2] - region[0], region[3] - region[1])
            self.image.paste(_shading(size, fill), region, mask.crop(region))


def polygon_at(canvas: Canvas, x: float, points: Sequence[Point], fill: Fill, rounding: float = 0.5) -> None:
    """Draw a polygon whose points are relative to column x."""
    canvas.polygon([(x + dx, y) for dx, y in points], fill, rounding)


def blobs_at(canvas: Canvas, x: float, blobs: Sequence[tuple[float, float, float, float]], fill: Fill) -> None:
    """Draw ellipses (dx, y, rx, ry), dx from column x, inside one common contour."""
    layers: list[tuple[float, Fill]] = (
        [(0.0, fill)] if canvas.ink is None else [(canvas.ink_width, canvas.ink), (0.0, fill)]
    )
    with canvas.inked(None):
        for grow, colour in layers:
            for dx, y, rx, ry in blobs:
                canvas.ellipse(x + dx, y, rx + grow, ry + grow, colour)


def _stroke(brush: ImageDraw.ImageDraw, corners: Sequence[Point], radius: float) -> None:
    if radius <= 0:
        return
    brush.line(corners, fill=255, width=max(1, round(2 * radius)))
    for x, y in corners:
        brush.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)


def _shading(size: tuple[int, int], fill: Fill) -> Image.Image:
    if isinstance(fill, str):
        return Image.new("RGBA", size, ImageColor.getrgb(fill))
    column = Image.fromarray(vertical_gradient(size[1], fill)[:, None].astype(np.uint8))
    return column.resize(size, Image.Resampling.NEAREST).convert("RGBA")


def vertical_gradient(rows: int, colours: Sequence[str]) -> np.ndarray:
    """Blend evenly spaced colours from the first row to the last; float (rows, 3) in [0, 255]."""
    stops = np.array([ImageColor.getrgb(colour)[:3] for colour in colours], dtype=float)
    at = np.linspace(0, len(stops) - 1, rows)
    return np.stack([np.interp(at, np.arange(len(stops)), stops[:, channel]) for channel in range(3)], axis=1)
