"""Actions: the prompt that each one puts in force and the transition into the next block."""

import random
import subprocess
import sys

import pytest

from infrope_env.control.actions import ActionSet, Transition
from tests.control.play import play

START, CONTINUE, SWITCH, CUT = Transition


@pytest.fixture
def pocket() -> ActionSet:
    return ActionSet.load("pocket")


def test_the_same_motion_again_continues(pocket):
    assert [t for _, t in play(pocket, "stand", "walk_right", "walk_right")] == [CONTINUE, SWITCH, CONTINUE]


def test_a_motion_keeps_the_scene_and_a_cut_keeps_the_motion(pocket):
    assert play(pocket, "walk_right", "cut_cave", "jump") == [
        ("an orange fox walks to the right in a snowy field", SWITCH),
        ("an orange fox walks to the right in a dark cave", CUT),
        ("an orange fox jumps up and down in a dark cave", SWITCH),
    ]


def test_a_cut_into_the_same_scene_is_a_cut_every_time(pocket):
    assert [t for _, t in play(pocket, "cut_snow", "cut_snow")] == [CUT, CUT]


def test_a_motion_with_the_same_words_continues(pocket):
    tables = pocket.to_dict()
    tables["motions"]["idle"] = {"text": "stands still"}
    assert play(ActionSet.from_dict(tables), "idle")[0][1] is CONTINUE


def test_the_subject_never_changes(pocket):
    steering = pocket.start(subject="wizard")
    for action in range(len(pocket.actions)):
        steering, _ = pocket.steer(steering, action)
        assert steering.subject == "wizard" and "purple wizard" in steering.prompt


def test_start_takes_names_and_a_prompt_wins_over_them(pocket):
    assert pocket.start("frog", "city", "wave").prompt == "a green frog waves hello in a city at night"
    start = pocket.start(subject="frog", prompt="rain falls")
    assert (start.prompt, start.free_text, start.subject) == ("rain falls", True, "frog")
    assert pocket.start(subject="frog", prompt="a fox waves").subject == "fox"


@pytest.mark.parametrize("action", [-1, 12])
def test_an_action_that_does_not_exist_is_refused(pocket, action):
    with pytest.raises(ValueError, match=f"from 0 to 11, got {action}"):
        pocket.steer(pocket.start(), action)


def test_unknown_names_are_refused_with_the_known_ones(pocket):
    with pytest.raises(ValueError, match=r"action to be one of stand, walk_left, .*, got 'fly'"):
        pocket.index("fly")
    with pytest.raises(ValueError, match=r"subject to be one of robot, frog, .*, got 'dragon'"):
        pocket.start(subject="dragon")
    with pytest.raises(ValueError, match="scene to be one of meadow"):
        pocket.start(scene="moon", prompt="a prompt hides no mistake")


# The transition compares the prompt in force with the one that the newest block shows.


def test_a_prompt_that_was_set_and_not_shown_switches(pocket):
    steering = pocket.set_prompt(pocket.start(), "rain falls")
    stand = pocket.index("stand")
    assert pocket.steer(steering, stand, shown_prompt=pocket.start().prompt) == (steering, SWITCH)
    assert pocket.steer(steering, stand, shown_prompt="rain falls") == (steering, CONTINUE)


def test_an_action_that_leads_back_to_the_shown_prompt_continues(pocket):
    start = pocket.start()
    steering = pocket.set_prompt(start, "rain falls")
    jumped, _ = pocket.steer(start, pocket.index("jump"))
    assert pocket.steer(steering, pocket.index("jump"), shown_prompt=jumped.prompt)[1] is CONTINUE


def test_a_requested_cut_cuts_whatever_the_action_is(pocket):
    start = pocket.start()
    for name in pocket.names:
        action = pocket.index(name)
        plain, cut = pocket.steer(start, action), pocket.steer(start, action, cut_requested=True)
        assert cut == (plain[0], CUT)


def test_without_a_shown_prompt_the_one_in_force_was_shown(pocket):
    for action in range(len(pocket.actions)):
        start = pocket.start(prompt="rain falls")
        assert pocket.steer(start, action) == pocket.steer(start, action, shown_prompt="rain falls")


def test_transitions_follow_the_prompt_over_ten_thousand_actions(pocket):
    rng, steering = random.Random(0), pocket.start()
    for _ in range(10_000):
        shown, action, cut_requested = steering.prompt, rng.randrange(len(pocket.actions)), False
        if rng.random() < 0.1:
            steering = pocket.set_prompt(steering, rng.choice(["rain falls", "the sun sets"]))
            cut_requested = rng.random() < 0.5
        steering, transition = pocket.steer(steering, action, shown_prompt=shown, cut_requested=cut_requested)
        assert (transition is CUT) == (cut_requested or pocket.names[action].startswith("cut_"))
        if transition is not CUT:
            assert (transition is SWITCH) == (steering.prompt != shown)
        if not steering.free_text:
            assert steering.prompt == pocket.prompt_for(steering.subject, steering.scene, steering.motion)


def test_importing_the_module_does_not_import_torch():
    code = "import sys, infrope_env.control.actions; print('torch' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "False"


def test_the_prompts_that_one_action_leads_to_come_first(pocket):
    steering = pocket.start(subject="wizard", scene="city", motion="jump")
    prompts = pocket.prompts_nearest_first(steering)
    one_action_away = {pocket.steer(steering, action)[0].prompt for action in range(len(pocket.actions))}
    assert set(prompts[: len(one_action_away)]) == one_action_away
    assert set(prompts[: len(pocket.prompts("wizard"))]) == set(pocket.prompts("wizard"))
    assert sorted(prompts) == sorted(pocket.prompts())
