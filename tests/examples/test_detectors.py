"""The detectors classify rendered frames, also blurred or noisy ones, and reject planted faults."""

from __future__ import annotations

import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from examples.pocket_world.evaluate.detectors import NONE, WEIGHTS, Detectors
from examples.pocket_world.evaluate.labelled_samples import (
    STRIDES,
    blended_subjects,
    cross_fade,
    empty_scene,
    frozen_block,
    random_state,
    rendered_block,
    reversed_walk,
    sliding_block,
)
from examples.pocket_world.evaluate.train_detectors import Options, blur_frames
from examples.pocket_world.evaluate.train_detectors import main as train
from examples.pocket_world.world.arrangement import Arrangement
from examples.pocket_world.world.state import MOTIONS, SCENES, SUBJECTS, WorldState, render_block

MIN_SHARE = 0.95
"""A share that a detector with a score of 0.99 exceeds."""


@pytest.fixture(scope="module")
def detectors() -> Detectors:
    return Detectors.load()


def walks(count: int) -> list[WorldState]:
    rng = np.random.default_rng(5)
    states = [random_state(rng) for _ in range(count)]
    return [replace(s, motion=("walk_right", "walk_left")[i % 2]) for i, s in enumerate(states)]


def share(hits: list[bool]) -> float:
    return sum(hits) / len(hits)


def test_every_subject_motion_and_scene_is_classified(detectors: Detectors) -> None:
    hits: dict[str, list[bool]] = {"subject": [], "scene": [], "motion": []}
    for number, (subject, motion) in enumerate(itertools.product(SUBJECTS, MOTIONS)):
        block = render_block(WorldState(subject, SCENES[number % 6], motion, 37 * number, number // 6 % 2))
        hits["subject"].append(detectors.name_subject(block) == subject)
        hits["scene"].append(detectors.name_scene(block) == SCENES[number % 6])
        hits["motion"].append(detectors.name_motion(block) == motion)
    assert {kind: share(found) > MIN_SHARE for kind, found in hits.items()} == dict.fromkeys(hits, True)


def test_the_first_block_of_a_rollout_is_classified_too(detectors: Detectors) -> None:
    rng = np.random.default_rng(6)
    samples = [rendered_block(random_state(rng), first=True) for _ in range(20)]
    assert share([detectors.name_motion(one.frames) == one.motion for one in samples]) >= 0.9


@pytest.mark.parametrize("condition", ["blurred", "noisy", "enlarged"])
def test_blurred_noisy_and_enlarged_frames_are_classified_too(detectors: Detectors, condition: str) -> None:
    rng = np.random.default_rng(7)
    change = {
        "blurred": lambda frames: blur_frames(frames, 1.5),
        "noisy": lambda frames: (frames + rng.normal(0, 20, frames.shape)).clip(0, 255).astype(np.uint8),
        "enlarged": lambda frames: frames.repeat(3, axis=1).repeat(3, axis=2),
    }[condition]
    hits = []
    for _ in range(20):
        state = random_state(rng)
        block = change(render_block(state))
        hits += [detectors.name_subject(block) == state.subject, detectors.name_scene(block) == state.scene]
        hits.append(detectors.name_motion(block) == state.motion)
    assert share(hits) > 0.93


def test_a_single_frame_is_enough_for_subject_and_scene(detectors: Detectors) -> None:
    frame = render_block(WorldState("wizard", "cave", "jump", 11, 0), [5])
    assert (detectors.name_subject(frame), detectors.name_scene(frame)) == ("wizard", "cave")


def test_another_subject_is_not_taken_for_the_fox(detectors: Detectors) -> None:
    """The prompt names a fox, and the frames show another subject."""
    for number, other in enumerate(subject for subject in SUBJECTS if subject != "fox"):
        block = render_block(WorldState(other, SCENES[number], MOTIONS[number], 30 * number, 0))
        assert detectors.name_subject(block) == other


def test_an_empty_scene_has_no_subject(detectors: Detectors) -> None:
    named = [detectors.name_subject(empty_scene(WorldState("fox", s, "stand", 77, 0)).frames) for s in SCENES]
    assert share([name == NONE for name in named]) > 0.8


def test_two_blended_subjects_are_mostly_no_subject(detectors: Detectors) -> None:
    pairs = list(itertools.combinations(SUBJECTS, 2))
    blends = [
        blended_subjects(WorldState(one, SCENES[number % 6], "stand", 9 * number, 0), other, 0.5).frames
        for number, (one, other) in enumerate(pairs)
    ]
    assert share([detectors.name_subject(frames) == NONE for frames in blends]) >= 0.8


def test_a_frozen_block_is_no_walk(detectors: Detectors) -> None:
    named = [detectors.name_motion(frozen_block(state, STRIDES[i % 6]).frames) for i, state in enumerate(walks(30))]
    assert not {"walk_right", "walk_left"} & set(named)


def test_a_reversed_walk_is_no_walk_in_either_direction(detectors: Detectors) -> None:
    named = [detectors.name_motion(reversed_walk(state).frames) for state in walks(30)]
    assert share([name not in ("walk_right", "walk_left") for name in named]) > MIN_SHARE


def test_walking_legs_over_still_ground_are_no_walk(detectors: Detectors) -> None:
    named = [detectors.name_motion(sliding_block(state, speed=0).frames) for state in walks(30)]
    assert share([name not in ("walk_right", "walk_left") for name in named]) > MIN_SHARE


def test_a_sliding_subject_neither_walks_nor_stands(detectors: Detectors) -> None:
    states = [replace(state, motion="stand") for state in walks(20)]
    named = [detectors.name_motion(sliding_block(state, speed=2).frames) for state in states]
    assert share([name == NONE for name in named]) > 0.9


def test_a_mirrored_walk_goes_the_other_way(detectors: Detectors) -> None:
    opposite = {"walk_left": "walk_right", "walk_right": "walk_left"}
    named = [(state.motion, detectors.name_motion(render_block(state)[:, :, ::-1])) for state in walks(60)]
    assert share([name == opposite[motion] for motion, name in named]) > 0.9


def test_a_cross_fade_is_not_a_cut(detectors: Detectors) -> None:
    """At a cut the first frame shows the new scene; in a fade it shows the old one, and the middle shows neither."""
    rng = np.random.default_rng(8)
    hits = []
    for number in range(20):
        state = replace(random_state(rng), scene=SCENES[number % 6])
        new = SCENES[(number + 1) % 6]
        fade = cross_fade(state, new, np.linspace(0, 1, 12)).frames
        hits += [detectors.name_scene(fade[:1]) == state.scene, detectors.name_scene(fade[-1:]) == new]
        hits.append(detectors.name_scene(fade[5:7]) == NONE)
    assert share(hits) > 0.9


def test_a_motion_needs_a_whole_block(detectors: Detectors) -> None:
    with pytest.raises(ValueError, match="expected a block of 12 frames, got 1"):
        detectors.name_motion(np.zeros((1, 96, 160, 3), np.uint8))


def test_the_weights_file_is_small_and_holds_its_scores() -> None:
    assert WEIGHTS.stat().st_size < 1_000_000
    with safe_open(WEIGHTS, "pt") as file:
        scores = json.loads(file.metadata()["scores"])
    assert min(scores["clean"].values()) >= 0.99
    for condition in scores.keys() - {"clean"}:
        assert min(scores[condition].values()) >= (0.9 if "latents" in condition else 0.95), condition
    assert {"blurred", "noisy", "decoded"} <= scores.keys()


def test_scores_can_be_measured_again_without_changing_the_training_record(tmp_path: Path) -> None:
    weights = tmp_path / "detectors.safetensors"
    shutil.copy(WEIGHTS, weights)
    train(Options(weights, codec=tmp_path / "none", scored=1, resume=True, kinds=()))
    assert Detectors.scores(weights)["clean"]["blocks"] == 1
    before, after = (safe_open(path, "pt").metadata()["training"] for path in (WEIGHTS, weights))
    assert before == after


def test_samples_show_arrangements_only_if_asked() -> None:
    drawn = {random_state(np.random.default_rng(seed), arrangements=True).arrangement for seed in range(40)}
    assert len(drawn) > 15
    plain = random_state(np.random.default_rng(1))
    assert replace(random_state(np.random.default_rng(1), arrangements=True), arrangement=plain.arrangement) == plain
    empty = replace(plain, arrangement=Arrangement("red", south=True))
    assert not np.array_equal(empty_scene(empty).frames, empty_scene(plain).frames)
