"""The bundled action sets: names, keys and words."""

import itertools

import pytest

from infrope_env.control.actions import ActionSet


@pytest.fixture
def pocket() -> ActionSet:
    return ActionSet.load("pocket")


@pytest.fixture
def wan() -> ActionSet:
    return ActionSet.load("wan")


def test_pocket_actions_are_in_the_documented_order(pocket):
    assert pocket.names == (
        *("stand", "walk_left", "walk_right", "jump", "crouch", "wave"),
        *("cut_meadow", "cut_desert", "cut_snow", "cut_city", "cut_beach", "cut_cave"),
    )
    assert tuple(pocket.subjects) == ("robot", "frog", "fox", "wizard", "penguin")


def test_pocket_starts_as_a_fox_standing_in_snow(pocket):
    start = pocket.start()
    assert (start.subject, start.scene, start.motion) == ("fox", "snow", "stand")
    assert start.prompt == "an orange fox stands still in a snowy field"
    assert not start.free_text


def test_pocket_keys_lead_to_their_actions(pocket):
    named = {keys: pocket.names[action] for keys, action in pocket.keys_to_action().items()}
    assert named[("left",)] == named[("a",)] == "walk_left"
    assert named[("right",)] == named[("d",)] == "walk_right"
    assert named[("space",)] == named[("up",)] == named[("w",)] == "jump"
    assert named[("down",)] == named[("s",)] == "crouch"
    assert named[("e",)] == "wave"
    assert [named[(str(i),)] for i in range(1, 7)] == list(pocket.names[6:])
    assert "stand" not in named.values()


def test_a_set_lists_every_prompt_once_and_those_of_its_defaults_first(pocket):
    prompts = pocket.prompts()
    assert len(prompts) == len(set(prompts)) == 5 * 6 * 6
    assert prompts[0] == pocket.start().prompt
    frog = pocket.prompts("frog")
    assert len(frog) == 36 and frog[0] == "a green frog stands still in a snowy field" and set(frog) < set(prompts)
    with pytest.raises(ValueError, match="expected subject to be one of robot, frog, fox, wizard, penguin, got 'cat'"):
        pocket.prompts("cat")


def test_wan_has_every_action_of_pocket_under_the_same_name_and_keys(pocket, wan):
    assert wan.names[:6] == pocket.names[:6] and set(pocket.names) <= set(wan.names)
    bound = {keys: wan.names[action] for keys, action in wan.keys_to_action().items()}
    assert {keys: pocket.names[action] for keys, action in pocket.keys_to_action().items()}.items() <= bound.items()
    assert [bound[(str(i),)] for i in range(1, 10)] == [f"cut_{scene}" for scene in wan.scenes]
    assert bound[("shift", "right")] == bound[("shift", "d")] == "run_right"


def test_every_prompt_of_wan_is_long_and_mentions_subject_and_scene_twice(wan):
    assert len(wan.prompts()) == len(wan.subjects) * len(wan.scenes) * len(wan.motions)
    for subject, scene, motion in itertools.product(wan.subjects, wan.scenes, wan.motions):
        prompt = wan.prompt_for(subject, scene, motion)
        assert 60 <= len(prompt.split()) <= 120, prompt
        entries = wan.subjects[subject], wan.scenes[scene]
        assert [prompt.count(entry.text) for entry in (*entries, wan.motions[motion])] == [1, 1, 1]
        assert [prompt.count(entry.again) for entry in entries] == [2, 2]


def test_words_of_wan_fit_into_a_sentence(wan):
    assert all(subject.text.startswith(("a ", "an ")) for subject in wan.subjects.values())
    for entry in (*wan.subjects.values(), *wan.scenes.values()):
        assert entry.again.startswith("the ") and not entry.text.endswith(".")
    prompt = wan.start().prompt
    assert ". The setting is an ancient redwood forest at dawn, with" in prompt
    assert "With the redwood forest all around, the knight stands still and upright" in prompt
