"""Plants of the scenery, each drawn at a column x with its foot at y = 0; pixel units, y up."""

from __future__ import annotations

from collections.abc import Sequence

from examples.pocket_world.world.drawing import Canvas, Fill, blobs_at, polygon_at

WOOD: Fill = ("#a9713f", "#83522c")


def round_tree(
    canvas: Canvas,
    x: float,
    fill: Fill = ("#6cc25a", "#3f9d4b"),
    light: str = "#85d26c",
    ink: str = "#2c6b34",
    fruit: str = "#f2574f",
) -> None:
    """Draw a leafy tree with fruit, 52 pixels high."""
    canvas.ink = "#4f3520"
    polygon_at(canvas, x, [(-2.5, 0), (3, 0), (2, 28), (-1.6, 28)], WOOD)
    canvas.ink = ink
    blobs_at(canvas, x, [(-10, 29, 10, 9), (10, 29, 10, 9), (0, 38, 13, 12)], fill)
    canvas.ink = None
    blobs_at(canvas, x, [(-4, 42, 6, 5)], light)
    for dx, y in ((-9, 30), (8, 35), (2, 28)):
        canvas.ellipse(x + dx, y, 2.1, 2.1, fruit)


def bush(
    canvas: Canvas,
    x: float,
    fill: Fill = ("#74c95c", "#43a04c"),
    berry: str = "#ffd1ec",
    ink: str = "#2c6b34",
) -> None:
    """Draw a bush with pale flowers, 15 pixels high."""
    canvas.ink = ink
    blobs_at(canvas, x, [(-9, 5, 8, 6), (9, 5, 8, 6), (0, 8, 9, 8)], fill)
    canvas.ink = None
    for dx, y in ((-9, 6), (-1, 11), (8, 7), (2, 5)):
        canvas.ellipse(x + dx, y, 1.5, 1.5, berry)


def flowers(canvas: Canvas, x: float, colours: Sequence[str] = ("#ff6fa8", "#ffd84a", "#b98bff")) -> None:
    """Draw three tall flowers, 18 pixels high."""
    for dx, y, colour in zip((-8, 0, 8), (11, 15, 10), colours, strict=True):
        canvas.ink = None
        canvas.limb([(x + dx * 0.6, 0), (x + dx, y)], 1.6, "#2f8a3c")
        canvas.ink = "#8a4a6a"
        blobs_at(
            canvas,
            x + dx,
            [(-2.4, y, 2.2, 2.2), (2.4, y, 2.2, 2.2), (0, y + 2.4, 2.2, 2.2), (0, y - 2.4, 2.2, 2.2)],
            colour,
        )
        canvas.ink = None
        canvas.ellipse(x + dx, y, 1.6, 1.6, "#fff3b0")


def mushroom(
    canvas: Canvas, x: float, cap: Fill = ("#ff6b5a", "#d63a3a"), ink: str = "#7a2a2a", size: float = 1.0
) -> None:
    """Draw a spotted mushroom, 19 pixels high at size 1."""
    canvas.ink = ink
    polygon_at(
        canvas, x, [(-4 * size, 0), (4 * size, 0), (3 * size, 9 * size), (-3 * size, 9 * size)], ("#fff6e6", "#e8d6b8")
    )
    arc = [(-11, 8), (-9.5, 13), (-5, 17.5), (0, 19), (5, 17.5), (9.5, 13), (11, 8)]
    polygon_at(canvas, x, [(dx * size, y * size) for dx, y in arc], cap, 0.8)
    canvas.ink = None
    for dx, y, r in ((-5, 12, 2), (1, 15.2, 1.8), (6, 11.2, 1.7)):
        canvas.ellipse(x + dx * size, y * size, r * size, r * size, "#ffffff")


def cactus(canvas: Canvas, x: float, height: float = 38, flower: bool = False) -> None:
    """Draw a saguaro with two arms, or a smaller one with a flower."""
    canvas.ink = "#1f5a3a"
    green: Fill = ("#5fbf6a", "#2f8f57")
    h = height
    canvas.limb([(x, h * 0.35), (x + h * 0.28, h * 0.38), (x + h * 0.28, h * 0.68)], h * 0.13, green)
    canvas.limb([(x, h * 0.45), (x - h * 0.27, h * 0.48), (x - h * 0.27, h * 0.80)], h * 0.13, green)
    canvas.limb([(x, 0), (x, h - h * 0.09)], h * 0.2, green)
    canvas.ink = None
    canvas.limb([(x - h * 0.03, h * 0.1), (x - h * 0.03, h * 0.88)], 1.2, "#8ad98a")
    if flower:
        canvas.ellipse(x, h + 1, 3, 2.2, "#ff7fb0")


def barrel_cactus(canvas: Canvas, x: float) -> None:
    """Draw a round cactus with a pink flower, 16 pixels high."""
    canvas.ink = "#1f5a3a"
    canvas.ellipse(x, 6.5, 9, 8, ("#7ccf6f", "#379a58"))
    canvas.ink = None
    for dx in (-4.5, 0, 4.5):
        canvas.limb([(x + dx, 1.5), (x + dx * 0.8, 11.5)], 1.1, "#2f8a50")
    blobs_at(canvas, x, [(-2.5, 15, 2.5, 2), (2.5, 15, 2.5, 2), (0, 16.4, 2, 2)], "#ff6fa8")


def pine(
    canvas: Canvas, x: float, height: float = 46, fill: Fill = ("#3f9a84", "#22705f"), ink: str | None = "#164d46"
) -> None:
    """Draw a three-tiered pine with snow on every tier."""
    canvas.ink = ink
    h = height
    canvas.box(x - h * 0.05, 0, x + h * 0.05, h * 0.2, WOOD)
    for low, high, half in ((0.14, 0.55, 0.34), (0.38, 0.78, 0.27), (0.60, 1.0, 0.2)):
        canvas.ink = ink
        polygon_at(canvas, x, [(-half * h, low * h), (half * h, low * h), (0, high * h)], fill, 0.8)
        canvas.ink = None
        cap = high - (high - low) * 0.45
        width = half * 0.45 * h
        polygon_at(
            canvas,
            x,
            [
                (-width, cap * h),
                (-width * 0.3, cap * h + 1.2),
                (width * 0.2, cap * h - 1),
                (width, cap * h),
                (0, high * h),
            ],
            "#ffffff",
        )


def icy_bush(canvas: Canvas, x: float) -> None:
    """Draw a round bush half covered with snow, with red berries; 15 pixels high."""
    bush(canvas, x, ("#5aa894", "#35806f"), "#f2574f")
    canvas.ink = None
    blobs_at(canvas, x, [(-8, 10, 6, 2.4), (8, 10, 5.5, 2.2), (0, 14.5, 7, 2.6)], "#ffffff")


def palm(canvas: Canvas, x: float) -> None:
    """Draw a leaning palm with coconuts, 52 pixels high."""
    canvas.ink = "#6a4526"
    polygon_at(
        canvas, x, [(-3.5, 0), (3, 0), (4, 15), (7, 30), (11, 42), (7.5, 43), (3, 31), (-1, 16)], ("#c9955a", "#9c6a3a")
    )
    canvas.ink = "#1e6a3a"
    top = (x + 9, 42)
    for bend, tip in (
        ((-8, 8), (-20, 1)),
        ((-9, 2), (-16, -9)),
        ((8, 9), (20, 2)),
        ((9, 2), (15, -9)),
        ((1, 10), (5, 14)),
    ):
        points = [top, (top[0] + bend[0], top[1] + bend[1]), (top[0] + tip[0], top[1] + tip[1])]
        canvas.limb(points, 4.2, ("#6fd06a", "#2f9a4f"))
    canvas.ink = "#4a2f18"
    for dx in (-2.5, 2.5):
        canvas.ellipse(top[0] + dx, top[1] - 2, 2.6, 2.6, "#8a5a30")
