"""Variations in the environment: drawn from the seed of a rollout, kept by its states, recordings and rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import pytest

import infrope_env  # noqa: F401  registers the worlds
from infrope_env.control.actions import ActionSet
from infrope_env.env import InfinityRopeEnv
from infrope_env.recording import verify
from infrope_env.wrappers import RecordRollout

ACTIONS: dict[str, Any] = ActionSet.load("pocket").to_dict() | {
    "template": "{subject} {motion} in {scene} {variation}",
    "variations": [["", "at night"], ["", "in a dark city"]],
}
WORDS = {"", "at night", "in a dark city", "at night in a dark city"}


@pytest.fixture
def varied(tiny_weights: Path) -> InfinityRopeEnv:
    return InfinityRopeEnv(weights=str(tiny_weights), device="cpu", actions=ACTIONS)


def words_of(info: dict[str, Any]) -> str:
    return info["prompt"].removeprefix("an orange fox stands still in a snowy field").strip()


def test_seeds_have_variations_and_an_equal_seed_has_an_equal_one(varied: InfinityRopeEnv) -> None:
    drawn = [words_of(varied.reset(seed=seed)[1]) for seed in range(24)]
    assert set(drawn) == WORDS
    assert [words_of(varied.reset(seed=seed)[1]) for seed in range(24)] == drawn


def test_without_a_seed_the_variation_is_that_of_the_seed_in_info(varied: InfinityRopeEnv) -> None:
    varied.reset(seed=5)
    for _ in range(6):
        info = varied.reset()[1]
        assert words_of(info) == varied.action_set.draw_variation(info["seed"])


def test_planning_a_reset_without_a_seed_does_not_draw(varied: InfinityRopeEnv) -> None:
    varied.reset(seed=5)
    seeds = [varied.reset()[1]["seed"] for _ in range(3)]
    varied.reset(seed=5)
    varied.plan_reset(None, None)
    assert [varied.reset()[1]["seed"] for _ in range(3)] == seeds


def test_an_option_or_an_argument_replaces_the_draw(varied: InfinityRopeEnv, tiny_weights: Path) -> None:
    for seed in range(4):
        assert words_of(varied.reset(seed=seed, options={"variation": "in a dark meadow"})[1]) == "in a dark meadow"
        assert words_of(varied.reset(seed=seed, options={"variation": ""})[1]) == ""
    fixed = InfinityRopeEnv(weights=str(tiny_weights), device="cpu", actions=ACTIONS, variation="at night")
    assert {words_of(fixed.reset(seed=seed)[1]) for seed in range(4)} == {"at night"}


def test_an_unknown_word_is_refused_before_anything_changes(varied: InfinityRopeEnv) -> None:
    _, before = varied.reset(seed=1)
    with pytest.raises(ValueError, match="zeppelin"):
        varied.reset(seed=2, options={"variation": "under a zeppelin"})
    assert varied.newest is not None and varied.newest[1] == before


def test_a_restored_state_goes_on_with_its_variation(varied: InfinityRopeEnv) -> None:
    varied.reset(seed=0, options={"variation": "at night"})
    state = varied.save_state()
    varied.reset(seed=0, options={"variation": ""})
    varied.restore_state(state)
    jump = varied.action_names.index("jump")
    assert varied.step(jump)[-1]["prompt"] == "an orange fox jumps up and down in a snowy field at night"


def test_a_recording_replays_with_its_variation(tiny_weights: Path, tmp_path: Path) -> None:
    for folder, options in (("drawn", None), ("given", {"variation": "in a dark meadow"})):
        made = gymnasium.make("infrope/PocketWorld-v0", weights=str(tiny_weights), device="cpu", actions=ACTIONS)
        env = RecordRollout(made, tmp_path / folder)
        env.reset(seed=7, options=options)
        env.step(3)
        env.step(8)
        env.close()
    for folder in ("drawn", "given"):
        assert verify(tmp_path / folder / "episode_000").ok


def test_every_row_of_a_vector_has_the_variation_of_its_seed(tiny_weights: Path) -> None:
    envs = gymnasium.make_vec(
        "infrope/PocketWorld-v0", num_envs=6, weights=str(tiny_weights), device="cpu", actions=ACTIONS
    )
    _, infos = envs.reset(seed=20)
    drawn = [ActionSet.from_dict(ACTIONS).draw_variation(seed) for seed in range(20, 26)]
    assert [words_of({"prompt": prompt}) for prompt in infos["prompt"]] == drawn and len(set(drawn)) > 1
    envs.close()
