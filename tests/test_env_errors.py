"""Errors of the environment: every message says what was wrong and what was expected."""

import gymnasium
import pytest
from gymnasium.error import ResetNeeded

from infrope_env.env import InfinityRopeEnv


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"render_mode": "ansi"}, "expected render_mode to be None or one of rgb_array, .*, got 'ansi'"),
        ({"max_blocks": 1}, r"expected max_blocks to be at least 2 \(reset makes the first block\), got 1"),
        ({"max_blocks": 2.5}, "expected max_blocks to be at least 2"),
        ({"actions": "pokcet"}, "No action set named 'pokcet'"),
        ({"weights": "nowhere"}, "No weights named 'nowhere'"),
        ({"window": 3}, "expected a window of at least"),
        ({"window": {"sinks": 2}}, "unknown window setting 'sinks'"),
        ({"steps": 5}, "expected steps to be a whole number from 1 to 4, got 5"),
        ({"reward": "brightness"}, "expected reward to be a dotted name"),
        ({"reward": "no.such:thing"}, "There is no reward 'no.such:thing': No module named 'no'"),
        ({"reward": "json:nothing"}, "There is no reward 'json:nothing': .*no attribute 'nothing'"),
        ({"reward": "math:pi"}, "expected reward 'math:pi' to be callable, got a float"),
    ],
)
def test_arguments_that_cannot_work_are_refused(tiny_weights, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        InfinityRopeEnv(**{"weights": str(tiny_weights), "device": "cpu", **arguments})


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"scenery": "snow"},
            "expected reset options to be among subject, .*, prompt, variation, image, got 'scenery'",
        ),
        ({"scene": "moon"}, "expected scene to be one of meadow, .*, got 'moon'"),
        ({"subject": "cat"}, "expected subject to be one of robot"),
        ({"motion": 3}, "expected reset option 'motion' to be a string, got 3"),
    ],
)
def test_reset_options_that_do_not_exist_are_refused(env, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        env.reset(options=options)


@pytest.mark.parametrize("action", [-1, 12, "jump", 1.5, None])
def test_an_unknown_action_is_refused_with_the_known_ones(env, action):
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"expected an action from 0 to 11 \(0 stand, 1 walk_left, .*got"):
        env.step(action)


@pytest.mark.parametrize("call", ["step", "render", "save_state", "set_prompt"])
def test_calls_before_the_first_reset_are_refused(env, call):
    with pytest.raises(ResetNeeded, match=rf"Cannot call {call}\(\) before reset\(\)"):
        getattr(env, call)(*{"step": [0], "set_prompt": ["a fox"]}.get(call, []))


def test_wan_names_the_weights_that_are_missing(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("INFROPE_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match=r"'infinite-forcing' is not here. Run 'infrope weights infinite-forcing --d"):
        gymnasium.make("infrope/Wan-v0")
