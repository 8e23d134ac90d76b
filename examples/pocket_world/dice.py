"""The dice of the world, read from the noise: what a walk brings into view, told by the block's noise.

What stands farther along the way nothing in the past can tell. A generator of few steps that learns by regression
would answer with the mean of all that may come, which is fog. So in training a few numbers of a block's noise are made
to agree with the throw that its clip has seen: they keep their distribution (a sign, and which of some is the largest),
so in play any noise will do, and every other noise would be another world. The bundled generator has not learnt to
read them: with agreeing noise it is as wrong at the picture's edge as with any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from examples.pocket_world.way import CELL, KINDS, STRIP, Throw

ROW = 9
"""Latent row of the numbers: things reach into it, wherever they stand."""
KIND_NUMBERS = slice(1, 1 + KINDS)
CELL_NUMBERS = slice(1 + KINDS, 1 + KINDS + STRIP // CELL)
NUMBERS = CELL_NUMBERS.stop


class Uncovered(NamedTuple):
    """A strip that came into view in a block, on the right (1) or left (-1), and the throw for it."""

    side: int
    thrown: Throw


def agree(noise: Tensor, uncovered: Sequence[Uncovered | None]) -> Tensor:
    """Make the noise of blocks, N f c h w, agree with what has come into view in each; changes it in place.

    The strongest channels of one latent pixel, at the picture's edge in the block's first frame, are the dice: they are
    what a network listens to most.
    """
    for block, strip in zip(noise, uncovered, strict=True):
        if strip is not None:
            (kind, cells), column = strip.thrown, -1 if strip.side > 0 else 0
            numbers = block[0, -NUMBERS:, ROW, column]
            numbers[0] = numbers[0].abs() if kind is not None else -numbers[0].abs()
            if kind is not None:
                _put_the_largest(numbers[KIND_NUMBERS], kind)
                _put_the_largest(numbers[CELL_NUMBERS], cells)
    return noise


def _put_the_largest(numbers: Tensor, place: int) -> None:
    largest = int(numbers.argmax())
    numbers[[place, largest]] = numbers[[largest, place]]
