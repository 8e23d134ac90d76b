"""Objects of the scenery, each drawn at a column x with its foot at y = 0; pixel units, y up."""

from __future__ import annotations

from examples.pocket_world.world.drawing import Canvas, Fill, blobs_at, polygon_at

WOOD: Fill = ("#a9713f", "#83522c")


def cloud(canvas: Canvas, x: float, y: float, size: float = 1.0, fill: Fill = ("#ffffff", "#e6f3ff")) -> None:
    """Draw a flat-bottomed cloud, about 34 pixels wide at size 1."""
    blobs = [(-9, y + 2, 8, 4), (9, y + 2, 8, 3.6), (-2, y + 5, 8, 6.5), (6, y + 4, 6, 5)]
    blobs_at(canvas, x, [(dx * size, y + (v - y) * size, rx * size, ry * size) for dx, v, rx, ry in blobs], fill)


def fence(canvas: Canvas, x: float) -> None:
    """Draw three pickets and two rails, 36 pixels wide."""
    canvas.ink = "#8b7a66"
    for y in (6, 13):
        canvas.box(x - 19, y, x + 19, y + 3, ("#fffaf0", "#e6d9c3"))
    for dx in (-13, 0, 13):
        polygon_at(canvas, x + dx, [(-2.5, 0), (2.5, 0), (2.5, 16), (0, 19), (-2.5, 16)], ("#fffdf7", "#eadfcb"))


def rocks(canvas: Canvas, x: float, fill: Fill, ink: str, cap: str | None = None) -> None:
    """Draw a heap of three boulders, 17 pixels high, with snow or light on top if `cap` is given."""
    canvas.ink = ink
    polygon_at(canvas, x, [(2, 0), (17, 0), (15, 7), (9, 10), (4, 7)], fill, 1.2)
    polygon_at(canvas, x, [(-15, 0), (7, 0), (6, 10), (-2, 16), (-10, 13)], fill, 1.2)
    if cap:
        canvas.ink = None
        polygon_at(canvas, x, [(-9.5, 12), (-2, 15.5), (5, 10), (1, 10.5), (-2, 12), (-5, 10.5)], cap, 0.8)


def signpost(canvas: Canvas, x: float) -> None:
    """Draw a wooden arrow sign, 24 pixels high."""
    canvas.ink = "#5a3a22"
    canvas.box(x - 1.6, 0, x + 1.6, 23, WOOD)
    polygon_at(canvas, x, [(-11, 14), (9, 14), (14, 18), (9, 22), (-11, 22)], ("#d79a5c", "#b5763d"))
    canvas.ink = None
    canvas.limb([(x - 7, 18), (x + 7, 18)], 1.3, "#7d4d28")


def snowman(canvas: Canvas, x: float) -> None:
    """Draw two snowballs with a hat and a carrot, 34 pixels high."""
    canvas.ink = "#6a86b8"
    canvas.ellipse(x, 9, 11, 10, ("#ffffff", "#d3e2f7"))
    canvas.ellipse(x, 23, 8, 7.5, ("#ffffff", "#dde9fa"))
    canvas.ink = "#3a2a4a"
    canvas.box(x - 5, 29, x + 5, 37, ("#5a4a7a", "#43365f"))
    canvas.box(x - 8, 28, x + 8, 30, "#43365f")
    canvas.ink = None
    polygon_at(canvas, x, [(1, 24), (1, 21.5), (9, 22.3)], "#ff8c2e")
    for dx, y in ((-3, 25.5), (3, 25.5), (0, 13), (0, 8)):
        canvas.ellipse(x + dx, y, 1.2, 1.2, "#2a2a3a")


def cabin(canvas: Canvas, x: float) -> None:
    """Draw a red hut under snow with a lit window, 38 pixels high."""
    canvas.ink = "#5a2430"
    canvas.box(x + 8, 24, x + 13, 38, "#8a6a6a")
    canvas.box(x - 17, 0, x + 17, 20, ("#d9534f", "#b03a3c"))
    canvas.ink = "#6a86b8"
    polygon_at(canvas, x, [(-22, 18), (22, 18), (0, 35)], ("#ffffff", "#dbe7f8"), 1.2)
    canvas.ink = "#5a2430"
    canvas.box(x - 12, 0, x - 3, 14, WOOD)
    canvas.box(x + 3, 5, x + 12, 13, "#ffe07a")


def street_lamp(canvas: Canvas, x: float) -> None:
    """Draw a lit street lamp, 50 pixels high."""
    canvas.glow(x + 9, 44, 24, "#ffd97a", 0.75)
    canvas.ink = "#14132a"
    canvas.limb([(x, 0), (x, 44), (x + 3, 48), (x + 9, 48)], 2.2, "#5a6080")
    canvas.box(x - 3, 0, x + 3, 5, "#4a5070")
    canvas.ellipse(x + 9, 45, 4.6, 3.4, ("#fffbe0", "#ffd75a"))


def haystack(canvas: Canvas, x: float) -> None:
    """Draw a round haystack, 24 pixels high."""
    canvas.ink = "#8a6420"
    polygon_at(canvas, x, [(-15, 0), (15, 0), (12, 13), (5, 22), (-5, 22), (-12, 13)], ("#ffe08a", "#dba53c"), 1.5)
    canvas.ink = None
    for points in ([(-9, 4), (-6, 15)], [(0, 3), (0, 19)], [(9, 4), (6, 15)], [(-12, 9), (12, 9)]):
        canvas.limb([(x + dx, y) for dx, y in points], 1.2, "#b98428")


def igloo(canvas: Canvas, x: float) -> None:
    """Draw a house of snow blocks with a dark door, 22 pixels high."""
    canvas.ink = "#5f7fb5"
    polygon_at(
        canvas, x, [(-18, 0), (18, 0), (17, 9), (11, 17), (0, 20.5), (-11, 17), (-17, 9)], ("#ffffff", "#c3d8f4"), 1.2
    )
    canvas.ink = None
    for y, half in ((6, 17), (12, 14)):
        canvas.limb([(x - half, y), (x + half, y)], 1.1, "#93aed8")
    canvas.ink = "#5f7fb5"
    polygon_at(canvas, x, [(-6, 0), (6, 0), (5, 8), (0, 10.5), (-5, 8)], "#34406a", 0.8)


def post_box(canvas: Canvas, x: float) -> None:
    """Draw a blue letter box on a post, 27 pixels high."""
    canvas.ink = "#101a3c"
    canvas.box(x - 2, 0, x + 2, 10, "#8a90b0")
    canvas.box(x - 9, 9, x + 9, 26, ("#4fa3ff", "#2c62d0"), 2)
    canvas.ink = None
    canvas.box(x - 6, 20, x + 6, 22.5, "#12204a", 0.4)
    canvas.box(x - 4, 13, x + 4, 17, "#fff3c4", 0.4)


def crab(canvas: Canvas, x: float) -> None:
    """Draw a crab with raised claws, 17 pixels high."""
    canvas.ink = "#8c2a1e"
    for side in (-1, 1):
        canvas.limb([(x + 7 * side, 4), (x + 13 * side, 9)], 2.2, "#ff7a4d")
        canvas.ellipse(x + 13.5 * side, 12.5, 4.2, 3.8, ("#ff9166", "#f05a36"))
        canvas.limb([(x + 6 * side, 3), (x + 12 * side, 0.5)], 1.6, "#e85a36")
    canvas.ellipse(x, 6, 10, 6, ("#ff9166", "#e8502e"))
    canvas.ink = None
    for side in (-1, 1):
        canvas.ellipse(x + 3.4 * side, 10, 1.9, 2.2, "#ffffff")
        canvas.ellipse(x + 3.4 * side, 10.3, 0.9, 1.1, "#2a1a2a")


def beach_hut(canvas: Canvas, x: float) -> None:
    """Draw a striped wooden hut with a pointed roof, 38 pixels high."""
    canvas.ink = "#2a5a78"
    canvas.box(x - 15, 0, x + 15, 22, ("#ffffff", "#e9f2f8"))
    canvas.ink = None
    for dx in (-11.5, -4, 3.5, 11):
        canvas.box(x + dx - 1.8, 1, x + dx + 1.8, 21, ("#58c6e8", "#38a4d0"), 0.2)
    canvas.ink = "#2a5a78"
    polygon_at(canvas, x, [(-20, 21), (20, 21), (0, 37)], ("#ffd34f", "#f0a83a"), 1.2)
    canvas.box(x - 5, 0, x + 5, 15, ("#3f6fa0", "#2f5780"))


def lantern(canvas: Canvas, x: float) -> None:
    """Draw a lantern that hangs from a bent pole, 34 pixels high."""
    canvas.glow(x + 6, 20, 22, "#ffc46a", 0.7)
    canvas.ink = "#1f160f"
    canvas.limb([(x - 5, 0), (x - 5, 30), (x - 1, 33), (x + 6, 32), (x + 6, 27)], 2.2, "#7a5a3a")
    canvas.box(x + 2, 14, x + 10, 26, ("#ffe9a0", "#ffb84a"), 1)
    canvas.box(x + 1, 25, x + 11, 28, "#5a4028", 0.6)
    canvas.box(x + 1, 12, x + 11, 14.5, "#5a4028", 0.6)


def phone_booth(canvas: Canvas, x: float) -> None:
    """Draw a red telephone booth with lit panes, 36 pixels high."""
    canvas.ink = "#3a0d1c"
    canvas.box(x - 9, 0, x + 9, 35, ("#f25050", "#b92f3c"), 1.5)
    canvas.ink = None
    for row in range(3):
        for side in (-6.2, 0.6):
            canvas.box(x + side, 4 + 8 * row, x + side + 5.6, 10 + 8 * row, "#ffe9a6")
    canvas.box(x - 6, 29.5, x + 6, 32.5, "#fff6dc")


def bench(canvas: Canvas, x: float) -> None:
    """Draw a wooden bench, 14 pixels high."""
    canvas.ink = "#1d1630"
    for dx in (-11, 11):
        canvas.limb([(x + dx, 0), (x + dx, 13)], 1.8, "#596082")
    for y in (6, 11):
        canvas.box(x - 15, y, x + 15, y + 3, ("#d08a4c", "#a9683a"))


def hydrant(canvas: Canvas, x: float) -> None:
    """Draw a yellow fire hydrant, 16 pixels high."""
    canvas.ink = "#4a2f10"
    canvas.box(x - 6.5, 7, x + 6.5, 11, "#ffb52e")
    canvas.box(x - 4, 0, x + 4, 13, ("#ffd24a", "#f0a020"), 1)
    canvas.ellipse(x, 13.5, 4, 2.6, "#ffdf70")
    canvas.box(x - 6, 0, x + 6, 2.4, "#e59a1c")


def traffic_light(canvas: Canvas, x: float) -> None:
    """Draw a traffic light that shows green, 42 pixels high."""
    canvas.ink = "#0c0c1c"
    canvas.box(x - 1.2, 0, x + 1.2, 22, "#5a6080")
    canvas.box(x - 5, 20, x + 5, 42, ("#3c4262", "#2a2f4a"), 1.5)
    canvas.ink = None
    for y, colour in ((37.5, "#7a2a34"), (31, "#7a6424"), (24.5, "#5cff9a")):
        canvas.ellipse(x, y, 2.7, 2.7, colour)
    canvas.glow(x, 24.5, 9, "#5cff9a", 0.5)


def parasol(
    canvas: Canvas, x: float, fill: Fill = ("#ff7a7a", "#ef4d5e"), stripes: str = "#fff7ec", ink: str = "#9c2f44"
) -> None:
    """Draw a striped beach umbrella, 40 pixels high."""
    canvas.ink = "#7a4a4a"
    canvas.limb([(x, 0), (x, 36)], 2, "#f7f0e0")
    arc = [(-20, 25), (-17, 31.5), (-10, 37), (0, 39.5), (10, 37), (17, 31.5), (20, 25)]
    canvas.ink = ink
    polygon_at(canvas, x, arc, fill, 0.8)
    canvas.ink = None
    polygon_at(canvas, x, [(-12.5, 25), (-10, 33), (-1, 39.2), (-5.5, 33), (-6.5, 25)], stripes, 0.2)
    polygon_at(canvas, x, [(12.5, 25), (10, 33), (1, 39.2), (5.5, 33), (6.5, 25)], stripes, 0.2)


def beach_ball(canvas: Canvas, x: float) -> None:
    """Draw a striped ball, 17 pixels high."""
    canvas.ink = "#5a4a7a"
    canvas.ellipse(x, 8, 8.5, 8.5, ("#ffffff", "#e6eaf5"))
    canvas.ink = None
    polygon_at(canvas, x, [(-1, 15), (-6, 12), (-7.5, 7), (-4.5, 8.5)], "#ff5d6c", 0.4)
    polygon_at(canvas, x, [(1, 15), (6, 12), (7.5, 7), (3.5, 8.5)], "#3fa9f5", 0.4)
    polygon_at(canvas, x, [(-4, 1.5), (4, 1.5), (1, 6.5), (-1, 6.5)], "#ffd23f", 0.4)


def sand_castle(canvas: Canvas, x: float) -> None:
    """Draw three towers with a flag, 31 pixels high."""
    canvas.ink = "#a8793a"
    sand: Fill = ("#f7d793", "#dcae62")
    canvas.box(x - 12, 0, x + 12, 10, sand)
    for dx, top in ((-13, 14), (13, 14), (0, 20)):
        canvas.box(x + dx - 5, 0, x + dx + 5, top, sand)
        for k in (-3.6, 0, 3.6):
            canvas.box(x + dx + k - 1.1, top, x + dx + k + 1.1, top + 2.4, sand)
    canvas.ink = None
    canvas.ellipse(x, 3.5, 2.8, 4, "#9c6f35")
    canvas.limb([(x, 22), (x, 31)], 1, "#6a4a2a")
    polygon_at(canvas, x, [(0.5, 31), (7, 28.5), (0.5, 26)], "#ff5d6c", 0.2)


def surfboard(canvas: Canvas, x: float) -> None:
    """Draw a surfboard stuck in the sand, 36 pixels high."""
    canvas.ink = "#1c6a80"
    canvas.ellipse(x, 17, 6, 18.5, ("#5ff0e0", "#2bb8c4"))
    canvas.ink = None
    canvas.limb([(x, 2), (x, 33)], 1.8, "#ffffff")
    canvas.limb([(x - 4.6, 22), (x + 4.6, 22)], 2.2, "#ff8a5c")


def crystals(canvas: Canvas, x: float, light: str, dark: str, ink: str, size: float = 1.0) -> None:
    """Draw a cluster of three glowing crystals, 30 pixels high at size 1."""
    canvas.glow(x, 12 * size, 30 * size, light, 0.5)
    for dx, lean, height, half in ((-7, -5, 18, 3.6), (7, 5, 21, 4), (0, 0, 30, 5)):
        left, right, up = (dx - half) * size, (dx + half) * size, height * size
        canvas.ink = ink
        body = [
            (left, 0),
            (right, 0),
            (right + lean * size, up * 0.75),
            ((dx + lean * 1.2) * size, up),
            (left + lean * size, up * 0.75),
        ]
        polygon_at(canvas, x, body, (light, dark), 0.4)
        canvas.ink = None
        canvas.limb([(x + left + 1.8 * size, 2), (x + left + lean * size + 1.8 * size, up * 0.72)], 1.2, "#ffffff")


def treasure(canvas: Canvas, x: float) -> None:
    """Draw an open chest full of gold, 20 pixels high."""
    canvas.glow(x, 13, 20, "#ffd75a", 0.45)
    canvas.ink = "#2e1a10"
    polygon_at(canvas, x, [(-12, 12), (12, 12), (13, 20), (9, 22), (-9, 22), (-13, 20)], ("#b0713a", "#7d4a26"), 1)
    blobs_at(canvas, x, [(-6, 12, 4, 3), (0, 13, 5, 4), (6, 12, 4, 3)], ("#fff0a0", "#ffc42e"))
    canvas.box(x - 12, 0, x + 12, 11, ("#b87a40", "#80502a"), 1)
    canvas.ink = None
    canvas.box(x - 12, 5, x + 12, 7, "#e8b23c", 0.2)
    canvas.box(x - 2, 3.5, x + 2, 8, "#ffdf70", 0.4)


def stone_spike(canvas: Canvas, x: float, foot: float, length: float, half: float, fill: Fill) -> None:
    """Draw a stalagmite that rises from `foot`, or, if `length` is negative, a stalactite that hangs from it."""
    tip = foot + length
    polygon_at(
        canvas,
        x,
        [
            (-half, foot),
            (half, foot),
            (half * 0.35, foot + length * 0.6),
            (0, tip),
            (-half * 0.4, foot + length * 0.55),
        ],
        fill,
        0.8,
    )
