"""Variations: words that all prompts of a rollout share, drawn from its seed."""

from __future__ import annotations

import re
from typing import Any

import pytest

from infrope_env.control.actions import ActionSet, Transition

LISTS = [["by day", "at night"], ["", "in the rain"]]


def with_variations(**changes: Any) -> dict[str, Any]:
    """Return the bundled action set as TOML tables, with variations."""
    tables = ActionSet.load("pocket").to_dict()
    return tables | {"template": "{subject} {motion} in {scene} {variation}", "variations": LISTS} | changes


@pytest.fixture
def varied() -> ActionSet:
    return ActionSet.from_dict(with_variations())


def test_every_seed_has_one_of_each_list_and_many_seeds_have_all(varied: ActionSet) -> None:
    drawn = [varied.draw_variation(seed) for seed in range(64)]
    assert drawn == [varied.draw_variation(seed) for seed in range(64)]
    assert set(drawn) == {"by day", "at night", "by day in the rain", "at night in the rain"}
    assert all(drawn.count(each) > 6 for each in set(drawn))


def test_prompts_of_names_share_the_variation_of_the_seed(varied: ActionSet) -> None:
    seed = next(seed for seed in range(64) if varied.draw_variation(seed) == "at night in the rain")
    steering = varied.start(subject="frog", scene="city", seed=seed)
    assert steering.prompt == "a green frog stands still in a city at night at night in the rain"
    steering, transition = varied.steer(steering, varied.index("jump"))
    assert (steering.prompt, transition) == (
        "a green frog jumps up and down in a city at night at night in the rain",
        Transition.SWITCH,
    )
    steering, transition = varied.steer(steering, varied.index("cut_snow"))
    assert steering.prompt == "a green frog jumps up and down in a snowy field at night in the rain"
    assert transition is Transition.CUT
    ahead = varied.prompts_nearest_first(steering)
    assert all(prompt.endswith(" at night in the rain") for prompt in ahead) and len(ahead) == len(varied.prompts())


def test_a_typed_prompt_is_taken_as_it_is_and_the_next_action_has_the_variation_again(varied: ActionSet) -> None:
    steering = varied.start(variation="at night", prompt="a frog waits")
    assert steering.prompt == "a frog waits"
    steering, _ = varied.steer(steering, varied.index("wave"))
    assert steering.prompt == "a green frog waves hello in a snowy field at night"


def test_given_words_replace_the_draw_and_no_words_leave_the_prompt_as_it_was(varied: ActionSet) -> None:
    assert varied.start(seed=3, variation="in fog").prompt.endswith("in a snowy field in fog")
    assert varied.start(seed=3, variation="").prompt == ActionSet.load("pocket").start().prompt
    assert varied.start().variation == ""


def test_a_set_without_variations_draws_none() -> None:
    pocket = ActionSet.from_dict(with_variations(variations=[]))
    assert pocket.draw_variation(5) == "" and pocket.start(seed=5).variation == ""


def test_variations_survive_writing_and_reading(varied: ActionSet) -> None:
    assert ActionSet.from_dict(varied.to_dict()) == varied
    assert "variations" not in ActionSet.load("wan").to_dict()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variations": ["by day"]}, "variations: expected lists of texts, got ['by day']"),
        ({"variations": [[]]}, "variations: expected lists of texts, got [[]]"),
        ({"variations": [[3]]}, "variations: expected lists of texts, got [[3]]"),
        ({"variations": "by day"}, "variations: expected lists of texts, got 'by day'"),
        ({"template": "{subject} {motion} in {scene}"}, "variations: the template has no {variation}"),
    ],
)
def test_a_mistake_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        ActionSet.from_dict(with_variations(**changes))
