"""Arguments of the wrong kind are refused in one sentence of this package."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from infrope_env.control.action_files import BUNDLED
from infrope_env.control.actions import ActionSet
from infrope_env.control.playable import playable
from infrope_env.control.reset_options import ResetOptions

POCKET = ActionSet.load("pocket")
TABLES = POCKET.to_dict()
HUGE = 10**5000  # has no decimal text


def repr_free(value: object) -> str:
    """Return an id for a test: some of the values have no repr."""
    return type(value).__name__


class Odd:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def nested(levels: int) -> list:
    value: list = []
    for _ in range(levels):
        value = [value]
    return value


ODD_VALUES = [
    None,
    True,
    3,
    HUGE,
    1.5,
    float("nan"),
    b"x",
    "",
    "\ud800",
    [],
    nested(10_000),
    {},
    {1: 2},
    object(),
    Odd(),
]
ODD_VALUES += [np.zeros(3), np.float32(1), Path("x"), "x" * 100_000, {"a": Odd()}, [None], lambda: None]


def refused(call: Callable[[], object], error: type[Exception] | tuple[type[Exception], ...] = ValueError) -> str:
    """Return the message of the error, which is one short sentence."""
    with pytest.raises(error) as caught:
        call()
    sentence = str(caught.value)
    assert type(caught.value) in (ValueError, TypeError) and "expected" in sentence and len(sentence) < 800
    return sentence


@pytest.mark.parametrize(
    "options", [[], 0, "", "image", 3, [("subject", "fox")], np.zeros(2), {"subject"}, HUGE, Odd()], ids=repr_free
)
def test_reset_options_that_are_no_table_are_refused(options: object):
    assert "expected reset options to be a dict, got" in refused(lambda: ResetOptions.parse(options), TypeError)


def test_no_reset_options_are_fine():
    assert ResetOptions.parse(None) == ResetOptions.parse({}) == ResetOptions({}, None)


@pytest.mark.parametrize("value", [v for v in ODD_VALUES if not (isinstance(v, str) and v != "\ud800")], ids=repr_free)
def test_an_option_that_is_no_text_is_refused(value: object):
    assert "expected reset option 'prompt' to be a string" in refused(lambda: ResetOptions.parse({"prompt": value}))


@pytest.mark.parametrize("key", [1, None, ("subject",), HUGE, b"subject", Odd()], ids=repr_free)
def test_an_option_of_another_name_is_refused(key: object):
    assert "expected reset options to be among subject, scene" in refused(lambda: ResetOptions.parse({key: "fox"}))


@pytest.mark.parametrize("text", [None, 3, b"a fox", ["a fox"], "a \ud800 fox", HUGE], ids=repr_free)
def test_a_prompt_that_is_no_text_is_refused(text: object):
    assert "expected the prompt to be a text" in refused(lambda: POCKET.set_prompt(POCKET.start(), text), TypeError)


@pytest.mark.parametrize("action", [None, "0", 1.0, HUGE, -1, [0], np.zeros(2, int), Odd()], ids=repr_free)
def test_an_action_that_is_none_is_refused(action: object):
    assert "expected an action from 0 to" in refused(lambda: POCKET.steer(POCKET.start(), action))


@pytest.mark.parametrize("name", [3, ["fox"], {}, HUGE, Odd()], ids=repr_free)
def test_a_name_that_is_none_is_refused(name: object):
    assert "expected subject to be one of" in refused(lambda: POCKET.start(subject=name))
    assert "expected action to be one of" in refused(lambda: POCKET.index(name))


@pytest.mark.parametrize("path", [None, 3, b"pocket", [], HUGE, Odd()], ids=repr_free)
def test_an_action_set_that_is_no_path_is_refused(path: object):
    assert "expected an action set to be a path, got" in refused(lambda: ActionSet.load(path), TypeError)


@pytest.mark.parametrize("path", ["", "a\0b", "~nobody-of-that-name/mine.toml"])
def test_a_path_that_is_none_is_refused(path: str):
    assert "expected an action set to be a path, got" in refused(lambda: ActionSet.load(path))


def test_a_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "mine.toml").write_bytes((BUNDLED / "pocket.toml").read_bytes())
    assert ActionSet.load("~/mine.toml") == POCKET


@pytest.mark.parametrize("value", ODD_VALUES, ids=repr_free)
def test_action_tables_with_odd_values_are_refused(value: object):
    for place in ("name", "template", "subjects", "scenes", "motions"):
        if not (isinstance(value, str) and value == "x" * 100_000 and place in ("name", "template")):
            refused(lambda place=place: ActionSet.from_dict(TABLES | {place: value}))
    for place in ("subjects", "scenes", "motions"):
        entry = value if not (isinstance(value, str) and value.startswith("x")) else None
        refused(lambda place=place, entry=entry: ActionSet.from_dict(TABLES | {place: {"fox": entry}}))
    if not isinstance(value, dict):
        refused(lambda: ActionSet.from_dict(value))


@pytest.mark.parametrize(
    "key", [1, None, ("a", "b"), HUGE, b"name", "", "a b", "\n", "x y" * 10_000, Odd()], ids=repr_free
)
def test_action_tables_with_odd_keys_are_refused(key: object):
    with pytest.raises(ValueError, match="unknown key, expected one of"):
        ActionSet.from_dict(TABLES | {key: "x"})
    for place in ("subjects", "scenes", "motions"):
        refused(lambda place=place: ActionSet.from_dict(TABLES | {place: {key: {"text": "a fox"}}}))


@pytest.mark.parametrize("env", [None, 3, "infrope/PocketWorld-v0", object(), Odd()], ids=repr_free)
def test_only_an_environment_is_playable(env: object):
    assert "expected an infrope environment such as" in refused(lambda: playable(env))
