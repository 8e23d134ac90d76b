"""What stands along the way is found where the world draws it, and missed where it is not."""

from __future__ import annotations

import numpy as np
import pytest

from examples.pocket_world.landmarks import things_right
from examples.pocket_world.world import SCENES, advance, render_block, spawn


def walk(scene: str, blocks: int) -> list[np.ndarray]:
    """Whether each thing was right, over a walk of rendered blocks with things, without, and half a block late."""
    state = spawn("fox", scene, "walk_right")
    found: list[list[bool]] = [[], [], []]
    for _ in range(blocks):
        state = advance(state)
        shown = (render_block(state, [11]), render_block(state, [11], things=False), render_block(state, [5]))
        for results, block in zip(found, shown, strict=True):
            results += things_right(block, state)
    return [np.array(results) for results in found]


@pytest.mark.parametrize("scene", SCENES)
def test_things_are_found_only_in_their_places(scene: str) -> None:
    there, absent, late = walk(scene, 15)
    assert len(there) > 20
    assert there.all()
    assert not absent.any()
    assert late.mean() < 0.4


def test_every_thing_comes_by_in_a_round_and_none_is_counted_behind_the_subject() -> None:
    state = spawn("robot", "snow", "walk_right")
    counts = []
    for _ in range(15):
        state = advance(state)
        counts.append(len(things_right(render_block(state, [11]), state)))
    assert sum(counts) < 15 * max(counts)
    assert max(counts) >= 2
