"""Typed prompts: when they take effect, how long they hold, and `info["free_prompt"]`."""

import pytest

from infrope_env.control.idle import idle_action
from infrope_env.control.scripted import StoryboardController
from infrope_env.control.storyboard import parse
from tests.env_play import CUT_SNOW, JUMP, STAND, WALK_RIGHT


def test_a_set_prompt_is_a_switch_and_holds_until_the_motion_changes(env):
    env.reset(seed=0)
    env.set_prompt("a green frog waves hello in a sunny beach")
    infos = [env.step(action)[-1] for action in (STAND, STAND, WALK_RIGHT)]
    assert [info["transition"] for info in infos] == ["switch", "continue", "switch"]
    assert infos[1]["prompt"] == "a green frog waves hello in a sunny beach"
    assert infos[2]["prompt"] == "a green frog walks to the right in a sunny beach"
    assert [(info["subject"], info["scene"], info["motion"]) for info in infos[1:]] == [
        ("frog", "beach", "stand"),
        ("frog", "beach", "walk_right"),
    ]


def test_a_prompt_can_begin_with_a_cut_which_lasts_one_block(env):
    env.reset(seed=0)
    env.set_prompt("a green frog waves hello in a sunny beach", cut=True)
    assert [env.step(STAND)[-1]["transition"] for _ in range(2)] == ["cut", "continue"]


def test_an_action_replaces_a_prompt_that_was_not_shown_and_its_cut_is_made(env):
    env.reset(seed=0)
    env.set_prompt("a green frog waves hello in a sunny beach", cut=True)
    info = env.step(JUMP)[-1]
    assert (info["prompt"], info["transition"]) == ("a green frog jumps up and down in a sunny beach", "cut")
    assert env.step(JUMP)[-1]["transition"] == "continue"


def test_a_prompt_replaced_by_the_shown_one_changes_nothing(env):
    _, info = env.reset(seed=0)
    env.set_prompt("a green frog waves hello in a sunny beach")
    env.set_prompt(info["prompt"])
    assert env.step(STAND)[-1]["transition"] == "continue"


def test_a_prompt_that_was_never_shown_leaves_no_names_behind(env):
    env.reset(seed=0)
    env.set_prompt("a green frog waves hello in a sunny beach")
    env.set_prompt("waves hello")
    infos = [env.step(action)[-1] for action in (STAND, JUMP)]
    assert [info["prompt"] for info in infos] == ["waves hello", "an orange fox jumps up and down in a snowy field"]


def test_the_prompt_can_be_free_from_the_start(env):
    _, info = env.reset(seed=0, options={"prompt": "a red robot waves hello in a dark cave", "scene": "city"})
    assert info["prompt"] == "a red robot waves hello in a dark cave"
    assert (info["subject"], info["scene"], info["motion"]) == ("robot", "cave", "stand")
    assert env.step(STAND)[-1]["prompt"] == info["prompt"]


def test_a_prompt_that_cannot_be_read_changes_nothing(env):
    env.reset(seed=0)
    expected = env.save_state()
    for attempt in (
        lambda: env.set_prompt("a quokka waves hello"),
        lambda: env.reset(seed=1, options={"prompt": "a quokka"}),
    ):
        with pytest.raises(ValueError, match="'quokka'"):
            attempt()
    assert env.steering == expected.steering and env.seed_used == 0
    assert env.step(STAND)[-1]["transition"] == "continue"


# A controller can do nothing with `info` alone.


def test_info_says_whether_a_free_prompt_is_in_force(env):
    infos = [env.reset(seed=0)[1]]
    env.set_prompt("a green frog waves hello in a sunny beach")
    infos += [env.step(action)[-1] for action in (STAND, STAND, JUMP)]
    env.set_prompt("a green frog waves hello in a sunny beach")
    infos += [env.step(action)[-1] for action in (JUMP, CUT_SNOW)]
    assert [info["free_prompt"] for info in infos] == [False, True, True, False, True, False]
    assert env.reset(options={"prompt": "a red robot waves hello in a dark cave"})[1]["free_prompt"] is True
    assert env.reset()[1]["free_prompt"] is False


def test_the_idle_action_keeps_a_free_prompt_and_otherwise_stands_still(env):
    _, info = env.reset(seed=0)
    info = env.step(WALK_RIGHT)[-1]
    assert idle_action(info, env.action_names) == STAND
    env.set_prompt("a green frog waves hello in a sunny beach")
    info = env.step(WALK_RIGHT)[-1]
    for _ in range(2):
        assert idle_action(info, env.action_names) == WALK_RIGHT
        info = env.step(idle_action(info, env.action_names))[-1]
    assert (info["prompt"], info["transition"]) == ("a green frog waves hello in a sunny beach", "continue")


@pytest.mark.parametrize("start", [{"prompt": "a green frog waves hello in a dark cave"}, {"motion": "walk_right"}])
def test_a_storyboard_keeps_its_prompts_in_force_whatever_the_motion_is(env, start):
    prompts = ["a green frog waves hello in a dark cave", "a green frog jumps up and down in a dark cave"]
    board = parse(f"{prompts[0]}[2.25s] | {prompts[1]}[1.5s#]")
    controller = StoryboardController(board, env.set_prompt, env.action_names)
    observation, info = env.reset(seed=0, options=start)
    shown = []
    for _ in range(4):
        observation, _, _, _, info = env.step(controller(observation, info))
        shown.append((info["prompt"], info["transition"]))
    begins = "continue" if "prompt" in start else "switch"
    assert shown == [(prompts[0], begins), (prompts[0], "continue"), (prompts[1], "cut"), (prompts[1], "continue")]


def test_a_storyboard_keeps_a_prompt_that_an_action_put_in_force(env):
    board = parse("an orange fox walks to the right in a snowy field")
    controller = StoryboardController(board, env.set_prompt, env.action_names)
    observation, info = env.reset(seed=0, options={"motion": "walk_right"})
    assert not info["free_prompt"]
    info = env.step(controller(observation, info))[-1]
    assert (info["prompt"], info["transition"]) == (board.shots[0].prompt, "continue")
