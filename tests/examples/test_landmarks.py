"""Landmarks are in place in rendered frames, and not in frames that lack or shift them."""

from __future__ import annotations

import numpy as np
import pytest

from examples.pocket_world.evaluate import landmarks
from examples.pocket_world.evaluate.landmarks import REACH, landmarks_in_place
from examples.pocket_world.world.scenes import COLUMNS, NEAR_PERIOD, TILE, WIDTH
from examples.pocket_world.world.state import SCENES, WorldState, advance, ground_truth, render_block, spawn


def walk(scene: str, blocks: int) -> list[np.ndarray]:
    """Return whether each landmark is in place, over a walk rendered with landmarks, without, and half a block late."""
    state = spawn("fox", scene, "walk_right")
    found: list[list[bool]] = [[], [], []]
    for _ in range(blocks):
        state = advance(state)
        shown = (render_block(state, [11]), render_block(state, [11], landmarks=False), render_block(state, [5]))
        for results, block in zip(found, shown, strict=True):
            results += landmarks_in_place(block, state)
    return [np.array(results) for results in found]


@pytest.mark.parametrize("scene", SCENES)
def test_landmarks_count_as_in_place_only_where_they_are_drawn(scene: str) -> None:
    there, absent, late = walk(scene, 15)
    assert len(there) > 20
    assert there.all()
    assert not absent.any()
    assert late.mean() < 0.4


@pytest.mark.parametrize("column", COLUMNS)
def test_a_landmark_counts_while_it_is_in_view_and_not_otherwise(column: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landmarks, "COLUMNS", (column,))
    state = spawn("robot", "snow", "walk_right")
    for _ in range(NEAR_PERIOD // TILE):
        state = advance(state)
        place = (column - ground_truth(state, [11])[0].scroll) % NEAR_PERIOD
        counted = len(landmarks_in_place(render_block(state, [11]), state))
        if REACH <= place <= WIDTH // 2 - 2 * REACH or WIDTH // 2 + 2 * REACH <= place <= WIDTH - REACH:
            assert counted == 1, place
        if WIDTH + REACH <= place <= NEAR_PERIOD - REACH:
            assert counted == 0, place


def test_a_landmark_behind_the_subject_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    flowers = COLUMNS[3]
    monkeypatch.setattr(landmarks, "COLUMNS", (flowers,))
    counted = {}
    for blocks in range(5, 11):
        state = WorldState("robot", "meadow", "walk_right", blocks * TILE, 1)
        place = flowers - ground_truth(state, [11])[0].scroll
        counted[place] = len(landmarks_in_place(render_block(state, [11]), state))
    behind = min(counted, key=lambda place: abs(place - WIDTH // 2))
    assert counted.pop(behind) == 0
    assert sum(counted.values()) >= 4
