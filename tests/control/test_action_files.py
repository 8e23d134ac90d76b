"""Action-set files: reading, writing, and errors that name file, table and key."""

import copy
import json
import os
import tomllib

import pytest

from infrope_env.control.action_files import BUNDLED
from infrope_env.control.actions import ActionSet
from infrope_env.control.key_names import RESERVED_KEYS


@pytest.fixture
def tables() -> dict:
    """A small valid action set."""
    return {
        "name": "tiny",
        "template": "a {subject} {motion} in {scene}",
        "subjects": {"fox": "orange fox", "frog": "green frog"},
        "scenes": {"snow": {"text": "a snowy field", "key": "1"}, "cave": {"text": "a dark cave"}},
        "motions": {"stand": {"text": "stands still"}, "jump": {"text": "jumps", "keys": ["space", "shift+up"]}},
    }


def test_an_action_set_survives_json(tables):
    pocket, wan = ActionSet.load("pocket"), ActionSet.load("wan")
    for action_set in (pocket, wan, ActionSet.from_dict(tables)):
        assert ActionSet.from_dict(json.loads(json.dumps(action_set.to_dict()))) == action_set
    for action_set in (pocket, wan):
        assert action_set.to_dict() == tomllib.loads((BUNDLED / f"{action_set.name}.toml").read_text())


def test_a_second_mention_can_have_other_words(tables):
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


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_a_file_of_any_editor_is_read(tmp_path, encoding, ends):
    text = (BUNDLED / "pocket.toml").read_text().replace("an orange fox", "an orange\u2028fox")
    (tmp_path / "mine.toml").write_bytes(text.replace("\n", ends).encode(encoding))
    assert ActionSet.load(tmp_path / "mine.toml") == ActionSet.load("pocket")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"name = '\xff'", "mine.toml: expected text in UTF-8: "),
        ("name = 'x'".encode("utf-16-le"), "mine.toml: expected text in UTF-8, got null characters"),
    ],
)
def test_a_file_that_is_no_text_is_refused(tmp_path, data, sentence):
    (tmp_path / "mine.toml").write_bytes(data)
    with pytest.raises(ValueError, match=sentence):
        ActionSet.load(tmp_path / "mine.toml")


@pytest.mark.parametrize(
    "text",
    [
        f"name = {'[' * 100_000}",
        f"name = {'9' * 5000}",
        f"name = 0x{'f' * 100_000}",
        f"{'a.' * 100_000}a = 1",
        f"[{'a.' * 100_000}a]",
        f"name = {'{a=' * 100_000}",
        "x" * 2_000_000,
    ],
)
def test_hostile_toml_is_refused_at_once(tmp_path, text):
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(ValueError, match=r"mine.toml: .{1,300}$"):
        ActionSet.load(tmp_path / "mine.toml")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "zero.toml").symlink_to("/dev/zero")
    for name, kind in {"pipe.toml": "a pipe", "zero.toml": "a device"}.items():
        with pytest.raises(ValueError, match=rf"{name}: cannot be read: expected a regular file, it is {kind}"):
            ActionSet.load(tmp_path / name)


def changed(tables, path, value):
    """Return a copy of the tables with one entry set, or removed when the value is None."""
    copied = copy.deepcopy(tables)
    *folders, last = path.split("/")
    place = copied
    for folder in folders:
        place = place[folder]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return copied


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
        ActionSet.from_dict(changed(tables, path, value), source="mine")
    assert sentence in str(caught.value)


@pytest.mark.parametrize("key", [*sorted(RESERVED_KEYS), "Escape", "shift+n"])
def test_reserved_keys_cannot_be_bound(tables, key):
    for path, value in (("motions/jump/keys", [key]), ("scenes/snow/key", key)):
        with pytest.raises(ValueError, match="is used by the window, choose another"):
            ActionSet.from_dict(changed(tables, path, value))


def test_the_window_reserves_the_keys_of_its_commands():
    assert {"enter", "return", "period", ".", "n", "f5", "f9", "t", "h", "escape", "esc"} == RESERVED_KEYS
