"""What stands along the endless way through a scene. Integers only: knows no pictures.

The world remembers what is in view and nothing else, as the model that learns it does. Every block of walking uncovers
a strip of ground at one edge of the picture; two throws of dice say whether a thing comes in there, which, and where.
So nothing ever repeats. Everything stands on a grid of whole latent pixels. Where every rollout and every cut begins,
the same things stand about.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

KINDS = 5
"""Kinds of things in every scene."""
CELL = 8
"""Pixels of the grid on which things stand: a latent pixel."""
STRIP = 24
"""Pixels that a block of walking uncovers."""
SHARE = 1 / 2
"""Chance that something comes in where there is room."""


class Thing(NamedTuple):
    """A thing and where it stands: the column of its middle in near ground pixels."""

    kind: int
    column: int


class Throw(NamedTuple):
    """What the dice say of a strip: the kind of thing that comes in, None for nothing, and after how many cells."""

    kind: int | None
    cells: int


Span = tuple[int, int]
"""First column of a thing and the one after its last, counted from its middle, in whole cells."""

AT_THE_START = (Thing(1, 24), Thing(0, 128))
"""In view at scroll 0; the subject stands between them."""


def throw(rng: np.random.Generator) -> Throw:
    """Throw the dice."""
    kind = int(rng.integers(KINDS)) if rng.random() < SHARE else None
    return Throw(kind, int(rng.integers(STRIP // CELL)))


def in_view(things: Iterable[Thing], spans: tuple[Span, ...], left: int, right: int) -> tuple[Thing, ...]:
    """Those that reach into the columns [left, right)."""
    return tuple(t for t in things if t.column + spans[t.kind][1] > left and t.column + spans[t.kind][0] < right)


def has_room(things: Iterable[Thing], spans: tuple[Span, ...], edge: int, side: int) -> bool:
    """Whether nothing stands at an edge of the picture, beyond which something might come in.

    Args:
        things: in view.
        spans: of every kind.
        edge: column of near ground at the edge of the picture.
        side: 1 for the right edge, -1 for the left one.
    """
    ends = (t.column + spans[t.kind][1 if side > 0 else 0] for t in things)
    return all((edge - end) * side >= CELL for end in ends)


def placed(thrown: Throw, spans: tuple[Span, ...], edge: int, side: int) -> tuple[Thing, ...]:
    """What comes in beyond an edge of the picture; see `has_room`."""
    if thrown.kind is None:
        return ()
    first, last = spans[thrown.kind]
    return (Thing(thrown.kind, edge + side * thrown.cells * CELL - (first if side > 0 else last)),)


def strewn(rng: np.random.Generator, spans: tuple[Span, ...], left: int, right: int) -> tuple[Thing, ...]:
    """Things as they stand anywhere along the way, in view between two columns; `left` is on the grid."""
    things: tuple[Thing, ...] = ()
    column = left - STRIP * int(rng.integers(4))
    while column < right:
        things += placed(throw(rng), spans, column, 1)
        column += STRIP
        while not has_room(things, spans, column, 1):
            column += STRIP
    return in_view(things, spans, left, right)
