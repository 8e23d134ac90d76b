"""The five subjects: figures of parts that a pose moves, facing right, feet at the origin, y up."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from examples.pocket_world.world.drawing import Canvas, Fill, Point


@dataclass(frozen=True)
class Pose:
    """The position of a figure's parts.

    Attributes:
        feet: (offset, lift) of the rear and the front foot, in pixels.
        arms: Angles of the rear and the front arm in degrees: 0 hangs down, 90 points sideways, 180 up.
        bob: Pixels by which the body is raised.
        crouch: From 0, upright, to 1.
        stretch: Vertical scale of the trunk.
        lean: Horizontal shear of the body.
        tail: Angle of the tail in degrees.
        mouth: From 0, closed, to 1.
        blink: Whether the eyes are closed.
    """

    feet: tuple[Point, Point] = ((0.0, 0.0), (0.0, 0.0))
    arms: tuple[float, float] = (15.0, 15.0)
    bob: float = 0.0
    crouch: float = 0.0
    stretch: float = 1.0
    lean: float = 0.0
    tail: float = 0.0
    mouth: float = 0.0
    blink: bool = False


Part = Callable[[Canvas, Pose], None]


@dataclass(frozen=True)
class Figure:
    """The parts of a subject, drawn in the order behind, legs, trunk, head, arms.

    Attributes:
        ink: Colour of the contours.
        neck: Height at which the head is attached.
        shoulder: Point at which the front arm is attached; the rear one mirrors it.
        squat: Fraction by which a full crouch lowers the trunk.
    """

    ink: str
    neck: float
    shoulder: Point
    squat: float
    behind: Part
    legs: Part
    trunk: Part
    head: Part
    arms: Part


def _eye(canvas: Canvas, x: float, y: float, pose: Pose, radius: float = 2.3, white: bool = True) -> None:
    """Draw a round eye that looks right, or its closed lid."""
    with canvas.inked(None):
        if pose.blink:
            canvas.limb([(x - radius * 0.8, y), (x + radius * 0.8, y)], 1.1, "#20202c")
        else:
            if white:
                canvas.ellipse(x, y, radius + 0.5, radius + 0.9, "#ffffff")
            canvas.ellipse(x + 0.6 * white, y, radius * 0.72, radius * 0.95, "#20202c")
            canvas.ellipse(x + 0.6 * white + 0.5, y + 0.8, 0.6, 0.6, "#ffffff")


def _mouth(canvas: Canvas, x: float, y: float, pose: Pose, width: float = 2.5) -> None:
    """Draw a smile, or an open mouth."""
    with canvas.inked(None):
        if pose.mouth:
            canvas.ellipse(x, y - 0.5, width * 0.7, 1.7, "#8c2f39")
        else:
            canvas.limb(
                [(x - width, y + 0.5), (x - width / 3, y - 0.4), (x + width / 3, y - 0.4), (x + width, y + 0.5)],
                0.9,
                "#3a2430",
            )


def _blush(canvas: Canvas, x: float, y: float, colour: str) -> None:
    with canvas.inked(None):
        canvas.ellipse(x, y, 1.8, 1.1, colour)


def _legs(hip: float, spread: float, width: float, leg: Fill, foot: Fill, foot_size: Point) -> Part:
    """Return the part that draws two legs from the hips to the feet, the rear one first."""

    def draw(canvas: Canvas, pose: Pose) -> None:
        top = hip * (1 - 0.45 * pose.crouch) + pose.bob
        for side, (offset, lift) in zip((-spread, spread), pose.feet, strict=True):
            x, y = side + offset, foot_size[1] + lift
            canvas.limb([(side * 0.8, top), (x, y + 0.5)], width, leg)
            canvas.ellipse(x + foot_size[0] * 0.25, y, *foot_size, foot)

    return draw


def _arms(shoulder: Point, length: float, width: float, sleeve: Fill, hand: Fill, hand_size: float) -> Part:
    """Return the part that draws two arms, which swing outwards."""

    def draw(canvas: Canvas, pose: Pose) -> None:
        for side, degrees in zip((-1, 1), pose.arms, strict=True):
            angle = math.radians(degrees)
            start = (side * shoulder[0], shoulder[1])
            reach = length * (1.25 if degrees > 95 else 1.0)
            end = (start[0] + side * reach * math.sin(angle), start[1] - reach * math.cos(angle))
            canvas.limb([start, end], width, sleeve)
            if hand_size:
                canvas.ellipse(*end, hand_size, hand_size, hand)

    return draw


def _nothing(canvas: Canvas, pose: Pose) -> None:
    """Draw nothing, for a figure without this part."""


def _robot_trunk(canvas: Canvas, pose: Pose) -> None:
    canvas.box(-9, 7, 9, 23, ("#ff5a4d", "#c92a2f"), 3)
    canvas.box(-4, 11, 7, 20, ("#ffe066", "#f5b82e"), 1.5)
    with canvas.inked(None):
        canvas.ellipse(-0.8, 16.8, 1.4, 1.4, "#e8413c")
        canvas.ellipse(3.8, 16.8, 1.4, 1.4, "#3fb6e8")
        canvas.limb([(-1.5, 13.2), (4.5, 13.2)], 1.2, "#c98a1b")


def _robot_head(canvas: Canvas, pose: Pose) -> None:
    canvas.limb([(0, 36), (0, 42)], 1.6, "#8d99a8")
    canvas.ellipse(0, 43, 2.5, 2.5, ("#fff3a8", "#ffc928"))
    canvas.ellipse(-11, 30, 2.4, 3.4, "#f5b82e")
    canvas.ellipse(11, 30, 2.4, 3.4, "#f5b82e")
    canvas.box(-11, 23, 11, 38, ("#ff6f5e", "#d8323a"), 4.5)
    canvas.box(-6.5, 25.5, 10, 34.5, ("#34405c", "#222b42"), 3.5)
    for x in (-1.8, 5.6):
        if pose.blink:
            with canvas.inked(None):
                canvas.limb([(x - 1.6, 30.5), (x + 1.6, 30.5)], 1.1, "#7df2ff")
        else:
            with canvas.inked(None):
                canvas.ellipse(x, 30.8, 1.9, 2.3, "#7df2ff")
                canvas.ellipse(x + 0.5, 31.6, 0.7, 0.7, "#ffffff")
    width = 1.4 + 0.6 * pose.mouth
    with canvas.inked(None):
        canvas.limb([(1.9 - width, 27.4), (1.9 + width, 27.4)], 0.9 + 0.8 * pose.mouth, "#7df2ff")


def _frog_trunk(canvas: Canvas, pose: Pose) -> None:
    canvas.ellipse(0, 12, 9.5, 9.5, ("#62d04a", "#37a33a"))
    with canvas.inked(None):
        canvas.ellipse(1.8, 11.5, 6.3, 7.3, ("#f4fbc4", "#d6efa0"))


def _frog_head(canvas: Canvas, pose: Pose) -> None:
    for x in (-4.5, 7.0):
        canvas.ellipse(x, 33, 5, 5, ("#8be86a", "#4fc043"))
    canvas.ellipse(0.5, 26, 13.5, 8.5, ("#7fe062", "#43b540"))
    with canvas.inked(None):
        canvas.ellipse(-4.5, 32.2, 4.3, 4.0, "#7fe062")
        canvas.ellipse(7.0, 32.2, 4.3, 4.0, "#7fe062")
    _eye(canvas, -4.0, 33.4, pose, 2.7)
    _eye(canvas, 7.5, 33.4, pose, 2.7)
    _blush(canvas, -6.5, 25, "#f59a9a")
    _blush(canvas, 11, 25, "#f59a9a")
    _mouth(canvas, 2.8, 23.6, pose, 5.0)


def _fox_tail(canvas: Canvas, pose: Pose) -> None:
    swing = math.radians(pose.tail)
    turn = [(-4.0, 8.0), (-11.0, 8.0), (-16.0, 13.0), (-17.0, 20.0)]
    points = [(x + 9 * math.sin(swing) * k / 3, y + 4 * math.sin(swing) * k / 3) for k, (x, y) in enumerate(turn)]
    canvas.limb(points[:3], 6.5, ("#ff9a3d", "#e06a1c"))
    canvas.ellipse(*points[2], 5, 5.5, ("#ff9a3d", "#e8742a"))
    canvas.ellipse(*points[3], 4.0, 5.0, ("#ffffff", "#ffe9d0"))
    with canvas.inked(None):
        canvas.ellipse(points[2][0], points[2][1] + 1.2, 4.4, 4.6, "#f58433")


def _fox_trunk(canvas: Canvas, pose: Pose) -> None:
    canvas.ellipse(0, 12, 8.5, 9.5, ("#ff9a3d", "#e46f20"))
    with canvas.inked(None):
        canvas.ellipse(2.0, 12.5, 5.2, 7.6, ("#ffffff", "#ffe9d0"))


def _fox_head(canvas: Canvas, pose: Pose) -> None:
    for base, tip in ((-6.5, -9.5), (5.5, 9.0)):
        canvas.polygon([(base - 4, 30), (base + 4, 32), (tip, 41.5)], ("#7a3a1c", "#ff8a30"), 0.8)
        with canvas.inked(None):
            canvas.polygon([(base - 1.2, 32), (base + 1.8, 33), (tip + 0.1, 37.5)], "#ffd9c2")
    canvas.ellipse(0, 26.5, 12, 8.8, ("#ffa347", "#f07c2a"))
    with canvas.inked(None):
        canvas.polygon(
            [(-10.5, 24), (-3, 25), (3.5, 27.5), (8.5, 25), (11, 24), (8, 20), (3, 18.6), (-5, 19)], "#fff6ea", 0.6
        )
    _eye(canvas, -2.2, 28, pose, 2.6, white=False)
    _eye(canvas, 7.0, 28, pose, 2.6, white=False)
    with canvas.inked(None):
        canvas.ellipse(4.2, 24.2, 1.9, 1.4, "#33222a")
    _mouth(canvas, 3.8, 21.6, pose, 2.2)


def _wizard_trunk(canvas: Canvas, pose: Pose) -> None:
    robe = [(-5, 22), (5, 22), (8, 14), (11, 3.5), (0, 2.6), (-11, 3.5), (-8, 14)]
    canvas.polygon(robe, ("#a25cf0", "#6f30c4"), 0.8)
    with canvas.inked(None):
        canvas.limb([(-10.8, 4.2), (0, 3.2), (10.8, 4.2)], 1.8, "#ffd34d")
        canvas.limb([(-7.5, 12.2), (7.6, 12.2)], 1.8, "#ffd34d")


def _wizard_head(canvas: Canvas, pose: Pose) -> None:
    canvas.ellipse(0, 25.8, 9, 7.5, ("#ffe0c4", "#f6c39c"))
    beard = [(-7.5, 25), (-3, 23.6), (3, 24.6), (8.2, 25), (7, 19), (3.5, 14.5), (-1.5, 17), (-6, 20)]
    canvas.polygon(beard, ("#ffffff", "#dfe3f2"), 0.6)
    with canvas.inked(None):
        canvas.ellipse(3.6, 25.2, 1.7, 1.4, "#f0a27e")
    _eye(canvas, -0.8, 27.2, pose, 2.2, white=False)
    _eye(canvas, 6.0, 27.2, pose, 2.2, white=False)
    if pose.mouth:
        with canvas.inked(None):
            canvas.ellipse(3.2, 22.0, 1.7, 1.3, "#8c2f39")
    canvas.polygon([(-8, 33), (8, 33), (3, 39.5), (-3.5, 46), (-5.5, 45.5), (-5, 40.5)], ("#b978ff", "#7434cc"), 0.8)
    canvas.ellipse(0.3, 32.6, 12.8, 2.3, ("#a25cf0", "#6f30c4"))
    with canvas.inked(None):
        canvas.limb([(-6.8, 35.4), (5.8, 35.4)], 1.8, "#ffd34d")
        canvas.ellipse(-0.9, 39.4, 1.5, 1.5, "#ffe98a")


def _penguin_trunk(canvas: Canvas, pose: Pose) -> None:
    canvas.ellipse(0, 17, 12.5, 15.5, ("#4d8df0", "#2a58bd"))
    with canvas.inked(None):
        canvas.ellipse(2.6, 13.6, 8.4, 11.2, ("#ffffff", "#e3ecfa"))


def _penguin_head(canvas: Canvas, pose: Pose) -> None:
    canvas.ellipse(0, 29, 11, 10, ("#69a6ff", "#3b74dd"))
    with canvas.inked(None):
        canvas.ellipse(0.2, 27.6, 4.6, 5.4, "#ffffff")
        canvas.ellipse(6.6, 27.6, 4.0, 5.4, "#ffffff")
    _eye(canvas, 0.4, 29.8, pose, 2.5, white=False)
    _eye(canvas, 7.0, 29.8, pose, 2.5, white=False)
    if pose.mouth:
        canvas.polygon([(3, 24.8), (8, 24.8), (9.5, 22.6)], "#d9701a", 0.4)
    canvas.polygon([(2.2, 26.6), (7.4, 27.4), (13, 25.4), (7, 24.4)], ("#ffc04a", "#ff9326"), 0.6)
    canvas.limb([(-8.2, 20.6), (0, 19.2), (8.4, 20.6)], 3.6, ("#ff6b6b", "#e0414c"))
    canvas.limb([(-6.5, 19.5), (-8.5, 14.5)], 3.4, ("#f0555a", "#d43a46"))


FIGURES: dict[str, Figure] = {
    "robot": Figure(
        "#4a1320",
        23,
        (10.5, 20),
        0.40,
        _nothing,
        _legs(9, 4.5, 3.6, "#8d99a8", ("#ffd34d", "#e59f1f"), (4.4, 2.6)),
        _robot_trunk,
        _robot_head,
        _arms((10.5, 20), 9.5, 3.4, "#a9b4c2", ("#ffe066", "#f5b82e"), 2.9),
    ),
    "frog": Figure(
        "#14491f",
        20,
        (8.5, 17),
        0.42,
        _nothing,
        _legs(8, 5, 4.4, "#45b53f", ("#8be86a", "#4fc043"), (5.4, 2.3)),
        _frog_trunk,
        _frog_head,
        _arms((8.5, 17), 10, 3.6, "#4fc043", "#8be86a", 2.5),
    ),
    "fox": Figure(
        "#5c260c",
        20,
        (7.5, 17),
        0.42,
        _fox_tail,
        _legs(8, 4.2, 4.2, "#e46f20", ("#7a3a1c", "#5a2813"), (4.2, 2.4)),
        _fox_trunk,
        _fox_head,
        _arms((7.5, 17), 9.5, 3.8, "#f58433", ("#7a3a1c", "#5a2813"), 2.4),
    ),
    "wizard": Figure(
        "#2b1160",
        22,
        (7.5, 19.5),
        0.40,
        _nothing,
        _legs(6, 4.5, 3.6, "#4a2a8a", ("#8a5a3c", "#64391f"), (4.2, 2.3)),
        _wizard_trunk,
        _wizard_head,
        _arms((7.5, 19.5), 10, 4.6, ("#a25cf0", "#7f3fd6"), "#ffd9b8", 2.5),
    ),
    "penguin": Figure(
        "#122a66",
        22,
        (11, 19.5),
        0.34,
        _nothing,
        _legs(6, 4.8, 3.6, "#f08c1e", ("#ffb638", "#f08c1e"), (4.8, 2.2)),
        _penguin_trunk,
        _penguin_head,
        _arms((11, 19.5), 11, 5.0, ("#4d8df0", "#2f62c8"), "#3b74dd", 0),
    ),
}
