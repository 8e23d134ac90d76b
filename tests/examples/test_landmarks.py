"""What stands along the way is found where the world draws it, and missed where it is not."""

from __future__ import annotations

import numpy as np
import pytest

from examples.pocket_world.evaluate import landmarks
from examples.pocket_world.evaluate.landmarks import REACH, things_right
from examples.pocket_world.world.scenes import COLUMNS, NEAR_PERIOD, TILE, WIDTH
from examples.pocket_world.world.state import SCENES, WorldState, advance, ground_truth, render_block, spawn


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


@pytest.mark.parametrize("column", COLUMNS)
def test_every_thing_counts_in_some_blocks_of_a_round_and_not_out_of_view(
    column: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landmarks, "COLUMNS", (column,))
    state = spawn("robot", "snow", "walk_right")
    for _ in range(NEAR_PERIOD // TILE):
        state = advance(state)
        place = (column - ground_truth(state, [11])[0].scroll) % NEAR_PERIOD
        counted = len(things_right(render_block(state, [11]), state))
        if REACH <= place <= WIDTH // 2 - 2 * REACH or WIDTH // 2 + 2 * REACH <= place <= WIDTH - REACH:
            assert counted == 1, place
        if WIDTH + REACH <= place <= NEAR_PERIOD - REACH:
            assert counted == 0, place


def test_what_is_behind_the_subject_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    flowers = COLUMNS[3]
    monkeypatch.setattr(landmarks, "COLUMNS", (flowers,))
    counted = {}
    for blocks in range(5, 11):
        state = WorldState("robot", "meadow", "walk_right", blocks * TILE, 1)
        place = flowers - ground_truth(state, [11])[0].scroll
        counted[place] = len(things_right(render_block(state, [11]), state))
    behind = min(counted, key=lambda place: abs(place - WIDTH // 2))
    assert counted.pop(behind) == 0
    assert sum(counted.values()) >= 4
