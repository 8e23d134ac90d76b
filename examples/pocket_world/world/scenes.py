"""The six scenes: painters for the lights in the sky, the clouds, the layers from far to near, and the landmarks.

A painter draws one period of its layer: `NEAR_PERIOD` for the near layer, the picture's width for all others. y = 0 is
the ground line. A landmark is drawn at a column x.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from examples.pocket_world.world import plants, props
from examples.pocket_world.world.drawing import Canvas, Fill

HEIGHT, WIDTH = 96, 160
GROUND = 14
"""Height of the ground line, on which landmarks stand, above the bottom of the picture."""
TILE = 24
"""Pixels that a block of walking scrolls, and the period of the pattern on the ground."""
NEAR_PERIOD = 15 * TILE
"""Period of the landmarks, in whole tiles, so that blocks of a walk begin at only 15 positions."""
COLUMNS = (128, 24, 196, 268, 330)
"""Columns of a scene's landmarks in their period. At scroll 0 the subject stands between the first two."""

Painter = Callable[[Canvas], None]
Landmark = Callable[[Canvas, float], None]


@dataclass(frozen=True)
class Recipe:
    """The parts of a scene.

    Attributes:
        skies: Colours of the sky from top to bottom, in each light, that of the scene's own first.
        lights: Painter of sun, moon and stars.
        far: Painter of the far layer.
        middle: Painter of the middle layer, in front of the far one.
        ground: Painter of the ground.
        landmarks: Objects and plants along the walk, at `COLUMNS`.
        other_landmarks: Those of the other half of the arrangements.
        far_tint: Colour of the far layer in half of the arrangements.
        ground_tint: Colour of the ground in half of the arrangements.
        clouds: Painter of the drifting clouds; None in the cave and at night.
    """

    skies: tuple[tuple[str, ...], ...]
    lights: Painter
    far: Painter
    middle: Painter
    ground: Painter
    landmarks: tuple[Landmark, ...]
    other_landmarks: tuple[Landmark, ...]
    far_tint: str
    ground_tint: str
    clouds: Painter | None = None


def _ridge(canvas: Canvas, period: int, waves: Sequence[tuple[int, float, float]], base: float, fill: Fill) -> None:
    """Fill the area below a periodic sum of waves (cycles per period, height, shift) around the height `base`."""
    xs = range(0, period + 1, 2)
    heights = [base + sum(h * math.sin(2 * math.pi * (n * x / period + s)) for n, h, s in waves) for x in xs]
    canvas.polygon([(0, -GROUND), *zip(xs, heights, strict=True), (period, -GROUND)], fill, 0.0)


def _ground(canvas: Canvas, edge: str, fill: Fill, patches: str) -> None:
    """Draw the ground: a bright edge, a shaded body, and flat ovals that make its motion visible."""
    canvas.ink = None
    canvas.box(-2, -GROUND - 2, NEAR_PERIOD + 2, 1, fill, 0)
    canvas.box(-2, -1.4, NEAR_PERIOD + 2, 1, edge, 0)
    for x in range(0, NEAR_PERIOD, TILE):
        canvas.ellipse(x + 8, -6.5, 6, 1.9, patches)
        canvas.ellipse(x + 19, -11, 3.5, 1.7, patches)


def _sun(x: float, y: float, colour: str, halo: str) -> Callable[[Canvas], None]:
    def paint(canvas: Canvas) -> None:
        canvas.glow(x, y, 30, halo, 0.8)
        canvas.ellipse(x, y, 8.5, 8.5, colour)

    return paint


def _meadow_far(canvas: Canvas) -> None:
    _ridge(canvas, WIDTH, [(1, 6, 0.1), (2, 5, 0.4)], 24, ("#a9dcc0", "#b9e6b8"))


def _meadow_middle(canvas: Canvas) -> None:
    _ridge(canvas, WIDTH, [(1, 5, 0.0), (2, 3, 0.3)], 13, ("#a4dc7c", "#8fd06c"))
    for x, y in ((40, 17), (62, 15), (128, 10)):
        canvas.box(x - 1, y - 5, x + 1, y + 3, "#a98a5c")
        canvas.ellipse(x, y + 7, 6, 7, ("#8ccf70", "#6dbb63"))


def _meadow_ground(canvas: Canvas) -> None:
    _ground(canvas, "#8fdc5f", ("#5fbb4a", "#3f9a42"), "#3f9840")


def _desert_far(canvas: Canvas) -> None:
    for x, half, top in ((30, 20, 36), (92, 13, 28), (132, 9, 40)):
        points = [
            (x - half - 6, 0),
            (x - half, top - 3),
            (x - half + 3, top),
            (x + half - 3, top),
            (x + half, top - 3),
            (x + half + 6, 0),
        ]
        canvas.polygon(points, ("#e08f78", "#eab08c"))
        canvas.box(x - half, top - 11, x + half, top - 8, "#d07f6c", 0.2)
    canvas.box(-2, -GROUND, WIDTH + 2, 8, "#f2c793", 0)


def _desert_middle(canvas: Canvas) -> None:
    _ridge(canvas, WIDTH, [(1, 5, 0.2), (3, 2, 0.1)], 13, ("#f7d596", "#eec47c"))
    _ridge(canvas, WIDTH, [(2, 4, 0.6), (1, 2, 0.3)], 6, ("#efc27a", "#e6b266"))


def _desert_ground(canvas: Canvas) -> None:
    _ground(canvas, "#ffe3a3", ("#eebf6c", "#d99f4e"), "#c98f45")


def _snow_far(canvas: Canvas) -> None:
    for x, half, top in ((24, 34, 54), (82, 28, 42), (130, 30, 49)):
        canvas.polygon([(x - half, 0), (x, top), (x + half, 0)], ("#9db4dc", "#c3d4ee"))
        cap = 0.34
        w, y = half * cap, top * (1 - cap)
        canvas.polygon(
            [(x - w, y), (x - w * 0.4, y + 3), (x, y - 2), (x + w * 0.45, y + 3), (x + w, y), (x, top)], "#ffffff"
        )
    canvas.box(-2, -GROUND, WIDTH + 2, 6, "#d3e0f3", 0)


def _snow_middle(canvas: Canvas) -> None:
    for x, height in ((12, 26), (29, 20), (72, 24), (118, 28), (134, 21)):
        with canvas.lifted(6):
            plants.pine(canvas, x, height, ("#8fbcc4", "#76a6b4"), None)
    _ridge(canvas, WIDTH, [(1, 3, 0.1), (2, 2, 0.5)], 8, ("#edf4fd", "#dbe8f8"))


def _snow_ground(canvas: Canvas) -> None:
    _ground(canvas, "#ffffff", ("#e9f2fd", "#c7d9f0"), "#b9cdea")


def _city_lights(canvas: Canvas) -> None:
    canvas.glow(128, 62, 26, "#fff0c0", 0.5)
    canvas.ellipse(128, 62, 8, 8, "#fff3cf")
    canvas.ellipse(125.5, 64, 1.8, 1.8, "#ecdcae")
    canvas.ellipse(130.5, 59.5, 1.3, 1.3, "#ecdcae")
    for x, y in ((12, 74), (33, 62), (52, 77), (74, 70), (95, 76), (108, 56), (150, 74), (20, 52), (60, 58)):
        canvas.ellipse(x, y, 0.8, 0.8, "#e8e6ff")


def _city_far(canvas: Canvas) -> None:
    for x, width, top in (
        (0, 22, 38),
        (22, 16, 50),
        (38, 24, 32),
        (62, 14, 46),
        (76, 26, 36),
        (102, 18, 54),
        (120, 22, 34),
        (142, 18, 44),
    ):
        canvas.box(x, -GROUND, x + width, top, ("#4d4a96", "#5f59ab"), 0.2)
        for k, (dx, dy) in enumerate(((4, 6), (width - 7, 6), (4, 14), (width - 7, 14))):
            if (k + x // 2) % 3:
                canvas.box(x + dx, top - dy - 3, x + dx + 3, top - dy, "#a79be0", 0.1)


def _city_middle(canvas: Canvas) -> None:
    houses: tuple[tuple[int, int, int, Fill], ...] = (
        (3, 42, 30, ("#3a3f7a", "#343a70")),
        (47, 34, 40, ("#5a3f7c", "#4f3870")),
        (83, 42, 24, ("#2f5078", "#2b476c")),
        (127, 31, 36, ("#4a4488", "#40397a")),
    )
    for number, (x, width, top, wall) in enumerate(houses):
        canvas.box(x, -GROUND, x + width, top, wall, 0.3)
        canvas.box(x - 1.5, top - 1.5, x + width + 1.5, top + 1.5, "#262858", 0.2)
        columns = (width - 4) // 10
        for k in range(columns * 3):
            left, up = x + (width - 10 * columns) / 2 + 2 + 10 * (k % columns), top - 10 - 10 * (k // columns)
            if up > 1:
                canvas.box(left, up, left + 6, up + 6, "#ffd978" if (3 * k + number * 2) % 5 < 3 else "#24285a", 0.2)


def _city_ground(canvas: Canvas) -> None:
    canvas.ink = None
    canvas.box(-2, -GROUND - 2, NEAR_PERIOD + 2, 1, ("#8f8db5", "#6f6d98"), 0)
    canvas.box(-2, -1, NEAR_PERIOD + 2, 1, "#bab7dc", 0)
    canvas.box(-2, -GROUND - 2, NEAR_PERIOD + 2, -5.5, ("#3d3d62", "#33334f"), 0)
    for x in range(0, NEAR_PERIOD, TILE):
        canvas.box(x + 4, -11, x + 16, -9, "#f2e6a8", 0.4)
        canvas.limb([(x, -1), (x - 3, -5.5)], 0.8, "#6a688f")


def _beach_far(canvas: Canvas) -> None:
    canvas.polygon([(70, 24), (80, 32), (88, 38), (96, 33), (104, 34), (116, 24)], ("#7cc49a", "#96d6b4"))
    canvas.box(-2, -GROUND, WIDTH + 2, 26, ("#3fa7e8", "#56c2ee"), 0)


def _beach_middle(canvas: Canvas) -> None:
    canvas.box(-2, -GROUND, WIDTH + 2, 18, ("#4fbcec", "#7fe0ea"), 0)
    for x, y, r in ((14, 14, 10), (60, 9, 12), (84, 15, 7), (136, 12, 9)):
        canvas.limb([(x - r, y), (x + r, y)], 1.4, "#b4f0f7")
    for x, sail in ((108, ("#ffffff", "#f1ecff")), (38, ("#ffd36b", "#ffb84a"))):
        _boat(canvas, x, sail)
    _ridge(canvas, WIDTH, [(4, 0.8, 0.0)], 5, "#ffffff")
    _ridge(canvas, WIDTH, [(4, 0.8, 0.0)], 3.2, "#f7e2ae")


def _boat(canvas: Canvas, x: float, sail: Fill) -> None:
    """Draw a sailing boat on the sea, from 16 to 44 pixels above the ground."""
    canvas.ink = "#4a5a8a"
    canvas.limb([(x, 20), (x, 44)], 1.2, "#8a5a3a")
    canvas.polygon([(x + 2, 23), (x + 13, 23), (x + 2, 42)], sail)
    canvas.polygon([(x - 2, 24), (x - 9, 24), (x - 2, 38)], sail)
    canvas.polygon([(x - 14, 21), (x + 16, 21), (x + 10, 15), (x - 9, 15)], ("#e8584f", "#b93a42"))
    canvas.ink = None


def _beach_ground(canvas: Canvas) -> None:
    _ground(canvas, "#fff0c4", ("#f8dc9c", "#eac178"), "#dcb06a")


def _cave_lights(canvas: Canvas) -> None:
    canvas.glow(80, 34, 70, "#6fb6b0", 0.55)


def _cave_far(canvas: Canvas) -> None:
    for x, half, length in ((20, 15, 30), (66, 11, 20), (108, 16, 34), (142, 10, 18)):
        props.stone_spike(canvas, x, HEIGHT, -length, half, ("#3b5560", "#4b6c74"))
    _ridge(canvas, WIDTH, [(2, 6, 0.2), (3, 4, 0.7)], 15, ("#4b6c74", "#3f5a64"))


def _cave_middle(canvas: Canvas) -> None:
    canvas.ink = "#2a333f"
    for x, half, length in ((30, 14, 40), (80, 10, 30), (116, 15, 46), (150, 9, 26)):
        props.stone_spike(canvas, x, HEIGHT - GROUND + 2, -length, half, ("#47505f", "#66717f"))
    for x, half, length in ((56, 12, 28), (96, 9, 20), (138, 14, 34)):
        props.stone_spike(canvas, x, -4, length, half, ("#66717f", "#434b5a"))
    canvas.ink = None
    _ridge(canvas, WIDTH, [(2, 2, 0.2), (4, 1.2, 0.0)], 4, ("#4d5664", "#3d4552"))


def _stalagmite(canvas: Canvas, x: float, length: float, half: float) -> None:
    props.stone_spike(canvas, x, 0, length, half, ("#8a7a72", "#655650"))


def _cave_ground(canvas: Canvas) -> None:
    _ground(canvas, "#a08a78", ("#77655c", "#56474a"), "#4c3e42")


def _day_clouds(*clouds: tuple[float, float, float], fill: Fill = ("#ffffff", "#e6f3ff")) -> Painter:
    """Return a painter of clouds at (column, height, size)."""

    def paint(canvas: Canvas) -> None:
        for x, y, size in clouds:
            props.cloud(canvas, x, y, size, fill)

    return paint


LANDMARKS: dict[str, tuple[Landmark, ...]] = {
    "meadow": (plants.round_tree, plants.bush, props.fence, plants.flowers, plants.mushroom),
    "desert": (
        partial(plants.cactus, height=42),
        partial(props.rocks, fill=("#d99a6c", "#b3714c"), ink="#7a4630", cap="#ecb98c"),
        props.signpost,
        plants.barrel_cactus,
        partial(plants.cactus, height=26, flower=True),
    ),
    "snow": (
        partial(plants.pine, height=50),
        props.snowman,
        plants.icy_bush,
        props.cabin,
        partial(props.rocks, fill=("#a9b6cc", "#7d8cab"), ink="#53627f", cap="#ffffff"),
    ),
    "city": (props.street_lamp, props.hydrant, props.phone_booth, props.bench, props.traffic_light),
    "beach": (plants.palm, props.beach_ball, props.parasol, props.sand_castle, props.surfboard),
    "cave": (
        partial(props.crystals, light="#7df4ff", dark="#2f9fd8", ink="#155a80", size=1.15),
        partial(plants.mushroom, cap=("#6fffd0", "#2bc0a0"), ink="#14534a"),
        partial(_stalagmite, length=26, half=11),
        partial(props.crystals, light="#ff9ae8", dark="#c84fc0", ink="#6a1f70", size=0.9),
        props.treasure,
    ),
}

OTHER_LANDMARKS: dict[str, tuple[Landmark, ...]] = {
    "meadow": (
        partial(plants.round_tree, fill=("#ffb347", "#e0702f"), light="#ffcf6e", ink="#8a4318", fruit="#c23b2a"),
        partial(props.rocks, fill=("#b9b4ae", "#8b8680"), ink="#55504c", cap="#d8d4cc"),
        props.signpost,
        props.haystack,
        partial(plants.mushroom, cap=("#7fa8ff", "#4a6fe0"), ink="#2a3a7a", size=1.25),
    ),
    "desert": (
        plants.palm,
        partial(plants.cactus, height=32),
        props.treasure,
        partial(props.rocks, fill=("#9a6a8c", "#70486a"), ink="#4a2c48", cap="#c092b0"),
        partial(plants.bush, fill=("#c9a05a", "#94703a"), berry="#fff0c0", ink="#5f4420"),
    ),
    "snow": (
        props.street_lamp,
        partial(props.crystals, light="#9ae8ff", dark="#4fa8e8", ink="#2a5a9a", size=0.95),
        props.signpost,
        props.igloo,
        partial(plants.pine, height=36, fill=("#6f8fd0", "#47609c"), ink="#2a3a6a"),
    ),
    "city": (
        partial(plants.round_tree, fill=("#4fae8a", "#2a7a66"), light="#6fcaa4", ink="#123c3a", fruit="#ffd36b"),
        props.post_box,
        props.phone_booth,
        partial(plants.bush, fill=("#5fb080", "#2f7a5c"), berry="#ff9ae8", ink="#123c3a"),
        props.lantern,
    ),
    "beach": (
        partial(props.parasol, fill=("#6fa8ff", "#3f74e8"), ink="#22408c"),
        props.crab,
        props.beach_hut,
        partial(props.rocks, fill=("#a8a29c", "#7a7570"), ink="#4a4642", cap="#cfe8d0"),
        props.signpost,
    ),
    "cave": (
        partial(props.crystals, light="#b4ff7a", dark="#5fc83a", ink="#2a6a1a", size=1.15),
        partial(plants.mushroom, cap=("#c78bff", "#8a4fe0"), ink="#3a1f6a", size=1.3),
        partial(props.crystals, light="#ffe07a", dark="#f0a02f", ink="#7a4a12", size=0.95),
        props.lantern,
        partial(props.rocks, fill=("#7a8494", "#555f70"), ink="#2c343f", cap="#9aa6b6"),
    ),
}
"""The landmarks at the same places in the other half of the arrangements, see `Arrangement.landmarks`."""

RECIPES: dict[str, Recipe] = {
    "meadow": Recipe(
        (
            ("#5cb8f5", "#a8ddfb", "#e4f6fb"),
            ("#7a6fd0", "#f08fae", "#ffd9a0"),
            ("#2f4f9c", "#4f7fc4", "#9fc8e0"),
            ("#9fb8a8", "#cfdcc0", "#f4f0cc"),
        ),
        _sun(26, 66, "#fff3b0", "#fff8d8"),
        _meadow_far,
        _meadow_middle,
        _meadow_ground,
        LANDMARKS["meadow"],
        OTHER_LANDMARKS["meadow"],
        "#e8906a",
        "#d8b04a",
        _day_clouds((32, 60, 1.0), (106, 54, 0.8)),
    ),
    "desert": Recipe(
        (
            ("#f7a072", "#fbc88e", "#fdeab8"),
            ("#4a3a80", "#a8508c", "#f09070"),
            ("#b8a890", "#dccdb0", "#f4e8cc"),
            ("#4fb0ee", "#9fd8f6", "#f2f0d8"),
        ),
        _sun(124, 62, "#fffbe0", "#fff2c0"),
        _desert_far,
        _desert_middle,
        _desert_ground,
        LANDMARKS["desert"],
        OTHER_LANDMARKS["desert"],
        "#9a6fc0",
        "#e07a5a",
        _day_clouds((50, 66, 0.7), (132, 58, 0.6), fill=("#fff3dc", "#fde0b8")),
    ),
    "snow": Recipe(
        (
            ("#a9bdea", "#cddcf6", "#f1f6fd"),
            ("#f0a8b8", "#fbd0cc", "#fff0e0"),
            ("#22386e", "#3f6090", "#7fb0b8"),
            ("#7f8ca4", "#a8b2c0", "#d0d6dc"),
        ),
        lambda canvas: None,
        _snow_far,
        _snow_middle,
        _snow_ground,
        LANDMARKS["snow"],
        OTHER_LANDMARKS["snow"],
        "#e0a0c8",
        "#a8b8ff",
        _day_clouds((46, 66, 0.9), (120, 70, 0.8), fill=("#ffffff", "#e2ebfa")),
    ),
    "city": Recipe(
        (
            ("#141642", "#2c2a6e", "#5d4796"),
            ("#4a1f50", "#8f3f68", "#d87a68"),
            ("#1f3f80", "#4a70b4", "#a0b8e0"),
            ("#0c3040", "#1a5a66", "#3f8f88"),
        ),
        _city_lights,
        _city_far,
        _city_middle,
        _city_ground,
        LANDMARKS["city"],
        OTHER_LANDMARKS["city"],
        "#3f8fa8",
        "#5fa890",
    ),
    "beach": Recipe(
        (
            ("#2fa4f2", "#7fd0fa", "#d2f2fc"),
            ("#f07f5c", "#fbb478", "#ffe6a8"),
            ("#3a3f8c", "#8060b0", "#f0a0b8"),
            ("#7fa8b0", "#b4ccc8", "#e8ece0"),
        ),
        _sun(30, 66, "#ffe95c", "#fff5b8"),
        _beach_far,
        _beach_middle,
        _beach_ground,
        LANDMARKS["beach"],
        OTHER_LANDMARKS["beach"],
        "#7fd0a0",
        "#f0a890",
        _day_clouds((40, 62, 0.9), (118, 52, 0.7)),
    ),
    "cave": Recipe(
        (
            ("#1b252e", "#2a3d47", "#3a5560"),
            ("#331d16", "#5a3524", "#80543a"),
            ("#2c1b36", "#472a55", "#6a4478"),
            ("#16301f", "#2a5038", "#467a56"),
        ),
        _cave_lights,
        _cave_far,
        _cave_middle,
        _cave_ground,
        LANDMARKS["cave"],
        OTHER_LANDMARKS["cave"],
        "#a86fd0",
        "#6f8fb0",
    ),
}
