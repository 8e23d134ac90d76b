"""Free text: a typed prompt, how long it holds, and the names that it mentions."""

import itertools

import numpy as np
import pytest

from examples.pocket_world.world.captions import caption
from infrope_env.control.actions import ActionSet, Transition
from tests.control.play import play

START, CONTINUE, SWITCH, CUT = Transition


@pytest.fixture
def pocket() -> ActionSet:
    return ActionSet.load("pocket")


def test_free_text_switches_and_holds_while_the_motion_is_repeated(pocket):
    steering = pocket.set_prompt(pocket.start(), "rain falls")
    assert steering.free_text
    assert pocket.steer(steering, pocket.index("stand"), shown_prompt=pocket.start().prompt)[1] is SWITCH
    assert play(pocket, "stand", "stand", steering=steering) == [("rain falls", CONTINUE)] * 2


def test_another_motion_ends_free_text(pocket):
    steering = pocket.set_prompt(pocket.start(), "rain falls")
    steering, transition = pocket.steer(steering, pocket.index("jump"))
    assert (steering.prompt, transition) == ("an orange fox jumps up and down in a snowy field", SWITCH)
    assert not steering.free_text


def test_a_cut_ends_free_text_also_into_the_same_scene(pocket):
    steering = pocket.set_prompt(pocket.start(), "rain falls")
    assert play(pocket, "cut_snow", steering=steering) == [("an orange fox stands still in a snowy field", CUT)]


@pytest.mark.parametrize("name", ["pocket", "wan"])
def test_actions_keep_the_subject_and_the_scene_that_a_text_mentions(name):
    action_set = ActionSet.load(name)
    for subject, scene in itertools.product(action_set.subjects, action_set.scenes):
        text = action_set.prompt_for(subject, scene, "wave")
        steering = action_set.set_prompt(action_set.start(), text)
        assert (steering.subject, steering.scene, steering.motion) == (subject, scene, "stand")
        steering, _ = action_set.steer(steering, action_set.index("jump"))
        assert steering.prompt == action_set.prompt_for(subject, scene, "jump")


def test_every_caption_that_the_model_was_trained_on_mentions_its_subject_and_scene(pocket):
    rng = np.random.default_rng(0)
    for subject, scene, motion in itertools.product(pocket.subjects, pocket.scenes, pocket.motions):
        elsewhere = pocket.start("frog" if subject == "fox" else "fox", "cave" if scene == "snow" else "snow")
        for _ in range(20):
            text = caption(subject, scene, motion, rng)
            steering = pocket.set_prompt(elsewhere, text)
            assert (steering.subject, steering.scene) == (subject, scene), text


def test_names_that_a_text_does_not_mention_stay(pocket):
    start = pocket.start("wizard", "beach")
    assert pocket.set_prompt(start, "a penguin waves").scene == "beach"
    assert pocket.set_prompt(start, "in the city").subject == "wizard"


def test_the_same_text_again_continues_and_cuts_on_request(pocket):
    steering = pocket.set_prompt(pocket.start(), "rain falls")
    again, stand = pocket.set_prompt(steering, "rain falls"), pocket.index("stand")
    assert pocket.steer(again, stand, shown_prompt="rain falls")[1] is CONTINUE
    assert pocket.steer(again, stand, shown_prompt="rain falls", cut_requested=True)[1] is CUT


def test_free_text_equal_to_the_prompt_in_force_is_still_free_text(pocket):
    start = pocket.start()
    steering = pocket.set_prompt(start, start.prompt)
    assert steering.free_text and pocket.steer(steering, pocket.index("stand"))[1] is CONTINUE


def test_braces_in_free_text_are_only_braces(pocket):
    assert pocket.set_prompt(pocket.start(), "{subject}").prompt == "{subject}"
