import copy
import itertools
import json
import random
import subprocess
import sys
import tomllib

import numpy as np
import pytest

from examples.pocket_world.world.captions import caption
from infrope_env.control.actions import BUNDLED, ActionSet, Transition

START, CONTINUE, SWITCH, CUT = Transition


@pytest.fixture
def pocket() -> ActionSet:
    return ActionSet.load("pocket")


@pytest.fixture
def tables() -> dict:
    """A small valid action set, to be spoilt."""
    return {
        "name": "tiny",
        "template": "a {subject} {motion} in {scene}",
        "subjects": {"fox": "orange fox", "frog": "green frog"},
        "scenes": {"snow": {"text": "a snowy field", "key": "1"}, "cave": {"text": "a dark cave"}},
        "motions": {"stand": {"text": "stands still"}, "jump": {"text": "jumps", "keys": ["space", "shift+up"]}},
    }


def play(action_set, *names, steering=None):
    """The prompts and transitions that a list of action names leads through."""
    steering = steering or action_set.start()
    played = []
    for name in names:
        steering, transition = action_set.steer(steering, action_set.index(name))
        played.append((steering.prompt, transition))
    return played


# the bundled set


def test_pocket_actions_come_in_the_documented_order(pocket):
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


def test_a_set_lists_every_prompt_once_those_of_the_start_first(pocket):
    prompts = pocket.prompts()
    assert len(prompts) == len(set(prompts)) == 5 * 6 * 6
    assert prompts[0] == pocket.start().prompt
    frog = pocket.prompts("frog")
    assert len(frog) == 36 and frog[0] == "a green frog stands still in a snowy field" and set(frog) < set(prompts)
    with pytest.raises(ValueError, match="expected subject to be one of robot, frog, fox, wizard, penguin, got 'cat'"):
        pocket.prompts("cat")


# Wan's set


@pytest.fixture
def wan() -> ActionSet:
    return ActionSet.load("wan")


def test_what_pocket_has_wan_has_under_the_same_names_and_keys(pocket, wan):
    assert wan.names[:6] == pocket.names[:6] and set(pocket.names) <= set(wan.names)
    bound = {keys: wan.names[action] for keys, action in wan.keys_to_action().items()}
    assert {keys: pocket.names[action] for keys, action in pocket.keys_to_action().items()}.items() <= bound.items()
    assert [bound[(str(i),)] for i in range(1, 10)] == [f"cut_{scene}" for scene in wan.scenes]
    assert bound[("shift", "right")] == bound[("shift", "d")] == "run_right"


def test_every_prompt_of_wan_is_long_and_tells_figure_and_place_twice(wan):
    assert len(wan.prompts()) == len(wan.subjects) * len(wan.scenes) * len(wan.motions)
    for subject, scene, motion in itertools.product(wan.subjects, wan.scenes, wan.motions):
        prompt = wan.prompt_for(subject, scene, motion)
        assert 60 <= len(prompt.split()) <= 120, prompt
        who, where = wan.subjects[subject], wan.scenes[scene]
        assert prompt.count(who.text) == prompt.count(where.text) == prompt.count(wan.motions[motion].text) == 1
        assert prompt.count(who.again) == prompt.count(where.again) == 2


def test_words_of_wan_fit_into_a_sentence(wan):
    assert all(subject.text.startswith(("a ", "an ")) for subject in wan.subjects.values())
    for text in (*wan.subjects.values(), *wan.scenes.values()):
        assert text.again.startswith("the ") and not text.text.endswith(".")
    prompt = wan.start().prompt
    assert ". The setting is an ancient redwood forest at dawn, with" in prompt
    assert "With the redwood forest all around, the knight stands still and upright" in prompt


# steering


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


def test_a_motion_with_the_same_words_continues(tables):
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


# free text


def test_free_text_switches_and_holds_while_the_motion_is_repeated(pocket):
    steering, transition = pocket.set_prompt(pocket.start(), "rain falls")
    assert (transition, steering.free_text) == (SWITCH, True)
    assert play(pocket, "stand", "stand", steering=steering) == [("rain falls", CONTINUE)] * 2


def test_another_motion_ends_free_text(pocket):
    steering, _ = pocket.set_prompt(pocket.start(), "rain falls")
    steering, transition = pocket.steer(steering, pocket.index("jump"))
    assert (steering.prompt, transition) == ("an orange fox jumps up and down in a snowy field", SWITCH)
    assert not steering.free_text


def test_a_cut_ends_free_text_also_into_the_same_scene(pocket):
    steering, _ = pocket.set_prompt(pocket.start(), "rain falls")
    assert play(pocket, "cut_snow", steering=steering) == [("an orange fox stands still in a snowy field", CUT)]


@pytest.mark.parametrize("name", ["pocket", "wan"])
def test_actions_go_on_from_the_subject_and_the_scene_that_a_text_mentions(name):
    action_set = ActionSet.load(name)
    for subject, scene in itertools.product(action_set.subjects, action_set.scenes):
        text = action_set.prompt_for(subject, scene, "wave")
        steering, transition = action_set.set_prompt(action_set.start(), text)
        assert (steering.subject, steering.scene, steering.motion, transition) == (subject, scene, "stand", SWITCH)
        steering, _ = action_set.steer(steering, action_set.index("jump"))
        assert steering.prompt == action_set.prompt_for(subject, scene, "jump")


def test_every_caption_that_the_model_was_trained_on_mentions_its_subject_and_scene(pocket):
    rng = np.random.default_rng(0)
    for subject, scene, motion in itertools.product(pocket.subjects, pocket.scenes, pocket.motions):
        elsewhere = pocket.start("frog" if subject == "fox" else "fox", "cave" if scene == "snow" else "snow")
        for _ in range(20):
            text = caption(subject, scene, motion, rng)
            steering, _ = pocket.set_prompt(elsewhere, text)
            assert (steering.subject, steering.scene) == (subject, scene), text


def test_what_a_text_does_not_mention_stays(pocket):
    start = pocket.start("wizard", "beach")
    assert pocket.set_prompt(start, "a penguin waves")[0].scene == "beach"
    assert pocket.set_prompt(start, "in the city")[0].subject == "wizard"


def test_free_text_can_cut_and_the_same_text_again_continues(pocket):
    steering, transition = pocket.set_prompt(pocket.start(), "rain falls", cut=True)
    assert transition is CUT
    assert pocket.set_prompt(steering, "rain falls")[1] is CONTINUE
    assert pocket.set_prompt(steering, "rain falls", cut=True)[1] is CUT


def test_free_text_equal_to_the_prompt_in_force_is_still_free_text(pocket):
    start = pocket.start()
    steering, transition = pocket.set_prompt(start, start.prompt)
    assert (transition, steering.free_text) == (CONTINUE, True)


def test_braces_in_free_text_are_only_braces(pocket):
    assert pocket.set_prompt(pocket.start(), "{subject}")[0].prompt == "{subject}"


def test_transitions_follow_the_prompt_over_ten_thousand_actions(pocket):
    rng, steering = random.Random(0), pocket.start()
    for _ in range(10_000):
        before, action = steering, rng.randrange(len(pocket.actions))
        if rng.random() < 0.1:
            steering, transition = pocket.set_prompt(steering, rng.choice(["rain falls", "the sun sets"]))
        else:
            steering, transition = pocket.steer(steering, action)
            assert (transition is CUT) == pocket.names[action].startswith("cut_")
        if transition is not CUT:
            assert (transition is SWITCH) == (steering.prompt != before.prompt)
        if not steering.free_text:
            assert steering.prompt == pocket.prompt_for(steering.subject, steering.scene, steering.motion)


# the file


def test_an_action_set_survives_json(pocket, wan, tables):
    for action_set in (pocket, wan, ActionSet.from_dict(tables)):
        assert ActionSet.from_dict(json.loads(json.dumps(action_set.to_dict()))) == action_set
    for action_set in (pocket, wan):
        assert action_set.to_dict() == tomllib.loads((BUNDLED / f"{action_set.name}.toml").read_text())


def test_a_template_may_mention_figure_and_place_again_in_other_words(tables):
    tables["template"] = "{subject} in {scene}. In {scene_again} {subject_again} {motion}."
    assert ActionSet.from_dict(tables).start().prompt == (
        "orange fox in a snowy field. In a snowy field orange fox stands still."
    )
    tables["subjects"]["fox"] = {"text": "an orange fox", "again": "the fox"}
    tables["scenes"]["snow"]["again"] = "the field"
    assert (
        ActionSet.from_dict(tables).start().prompt
        == "an orange fox in a snowy field. In the field the fox stands still."
    )
    assert ActionSet.from_dict(tables).to_dict()["subjects"] == tables["subjects"]


def test_a_set_without_start_begins_with_the_first_of_each(tables):
    start = ActionSet.from_dict(tables).start()
    assert (start.subject, start.scene, start.motion) == ("fox", "snow", "stand")


def test_chords_are_tuples_and_keys_are_lower_case(tables):
    tables["motions"]["jump"]["keys"] = ["Space", "shift + Up"]
    assert ActionSet.from_dict(tables).keys_to_action() == {("space",): 1, ("shift", "up"): 1, ("1",): 2}


def test_a_file_is_read_by_path(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text((BUNDLED / "pocket.toml").read_text().replace("an orange fox", "a red fox"))
    assert ActionSet.load(str(file)).start().prompt == "a red fox stands still in a snowy field"
    assert ActionSet.load(file) == ActionSet.load(str(file))


def test_a_missing_set_is_named_with_the_bundled_ones():
    with pytest.raises(ValueError, match="No action set named 'poket'; bundled: pocket, wan"):
        ActionSet.load("poket")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"mine\.toml: cannot be read: No such file"):
        ActionSet.load(tmp_path / "mine.toml")


def test_broken_toml_is_named_with_its_line(tmp_path):
    (tmp_path / "mine.toml").write_text('name = "x"\nname = "y"\n')
    with pytest.raises(ValueError, match=r"mine.toml: not valid TOML: .*line 2"):
        ActionSet.load(tmp_path / "mine.toml")


def spoil(tables, path, value):
    """A copy of the tables with one entry set, or taken out when the value is None."""
    spoilt = copy.deepcopy(tables)
    *folders, last = path.split("/")
    place = spoilt
    for folder in folders:
        place = place[folder]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return spoilt


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("scene", {}, "mine: scene: unknown key, did you mean 'scenes'?"),
        ("colour", "red", "mine: colour: unknown key, expected one of name, template"),
        ("scenes/snow/txt", "snow", "mine: [scenes.snow] txt: unknown key, did you mean 'text'?"),
        ("motions/jump/key", "x", "mine: [motions.jump] key: unknown key, did you mean 'keys'?"),
        ("name", None, "mine: name: expected a non-empty string, but it is missing"),
        ("template", None, "mine: template: expected a non-empty string, but it is missing"),
        ("subjects", None, "mine: missing table [subjects]"),
        ("scenes", None, "mine: missing table [scenes]"),
        ("motions", None, "mine: missing table [motions]"),
        ("subjects", {}, "mine: [subjects] is empty, expected at least one entry"),
        ("scenes", {}, "mine: [scenes] is empty, expected at least one entry"),
        ("motions", {}, "mine: [motions] is empty, expected at least one entry"),
        ("subjects", "fox", "mine: expected [subjects] to be a table, got 'fox'"),
        ("scenes/snow", "a snowy field", "mine: expected [scenes.snow] to be a table, got 'a snowy field'"),
        ("start", [], "mine: expected [start] to be a table, got []"),
        ("subjects/fox", 3, "mine: [subjects] fox: expected a non-empty string, got 3"),
        (
            "subjects/fox",
            {"text": "fox", "agian": "x"},
            "mine: [subjects.fox] agian: unknown key, did you mean 'again'?",
        ),
        ("subjects/fox", {"again": "x"}, "mine: [subjects.fox] text: expected a non-empty string, but it is missing"),
        ("scenes/snow/again", "", "mine: [scenes.snow] again: expected a non-empty string, got ''"),
        ("scenes/snow/aliases", "ice", "mine: [scenes.snow] aliases: expected a list of strings, got 'ice'"),
        ("subjects/fox", {"text": "fox", "aliases": [1]}, "aliases: expected a list of strings, got [1]"),
        ("scenes/snow/text", None, "mine: [scenes.snow] text: expected a non-empty string, but it is missing"),
        ("scenes/snow/text", " ", "mine: [scenes.snow] text: expected a non-empty string, got ' '"),
        ("scenes/snow/key", 3, "mine: [scenes.snow] key: expected a non-empty string, got 3"),
        ("motions/jump/keys", "space", "mine: [motions.jump] keys: expected a list of key names, got 'space'"),
        ("motions/jump/keys", [1], "mine: [motions.jump] keys: expected a list of key names, got [1]"),
        ("motions/jump/keys", ["shift+"], "mine: [motions.jump] keys: expected a key name such as"),
        (
            "motions/stand/keys",
            ["space"],
            "mine: [motions.jump] keys: 'space' is already bound by [motions.stand] keys",
        ),
        ("motions/stand/keys", ["up+shift"], "'shift+up' is already bound by [motions.stand] keys"),
        ("scenes/snow/key", "space", "mine: [scenes.snow] key: 'space' is already bound by [motions.jump] keys"),
        ("scenes/cave/key", "1", "mine: [scenes.cave] key: '1' is already bound by [scenes.snow] key"),
        (
            "template",
            "a {animal} {motion}",
            "mine: template: unknown placeholder {animal}, expected {subject}, {scene}",
        ),
        ("template", "a {} {motion}", "mine: template: unknown placeholder {}, expected"),
        ("template", "a {subject:d}", "mine: template: unknown placeholder {subject}"),
        ("template", "a {subject", "mine: template: expected '}' before end of string in 'a {subject'"),
        (
            "motions/cut_snow",
            {"text": "x"},
            "[motions.cut_snow] and [scenes.snow] both make an action named 'cut_snow'",
        ),
        ("motions/walk-left", {"text": "x"}, "mine: [motions] walk-left: expected a name of letters, digits"),
        ("start", {"scene": "moon"}, "mine: [start] scene: expected one of snow, cave, got 'moon'"),
        ("start", {"place": "snow"}, "mine: [start] place: unknown key, expected one of subject, scene, motion"),
        ("start", {"motion": 1}, "mine: [start] motion: expected a non-empty string, got 1"),
    ],
)
def test_a_mistake_is_named_by_file_table_and_key(tables, path, value, sentence):
    with pytest.raises(ValueError) as caught:
        ActionSet.from_dict(spoil(tables, path, value), source="mine")
    assert sentence in str(caught.value)


@pytest.mark.parametrize("key", ["enter", "period", "n", "f5", "f9", "t", "h", "escape", "Escape", "shift+n"])
def test_keys_of_the_window_cannot_be_bound(tables, key):
    for path, value in (("motions/jump/keys", [key]), ("scenes/snow/key", key)):
        with pytest.raises(ValueError, match="is used by the window, choose another"):
            ActionSet.from_dict(spoil(tables, path, value))


def test_importing_the_module_does_not_import_torch():
    code = "import sys, infrope_env.control.actions; print('torch' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "False"
