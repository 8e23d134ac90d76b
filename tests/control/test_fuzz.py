"""Random changes to action sets, storyboards, scripts and cards give a value or one sentence, at once.

The seeds are fixed, so that every run tries the same inputs.
"""

import json
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from infrope_env.control.action_files import BUNDLED
from infrope_env.control.actions import ActionSet
from infrope_env.control.scripted import ScriptedController
from infrope_env.control.storyboard import parse
from infrope_env.control.storyboard_file import read_storyboard
from infrope_env.models.card import Card

MOST_SECONDS, MOST_LETTERS = 1.0, 1500
TOML = (BUNDLED / "pocket.toml").read_text()
CARD = (BUNDLED.parent / "pocket" / "card.json").read_text()
BOARD = "an orange fox runs[5s] | a #1 fox (16:9) waves[10.5s#] | a frog [wide shot] sits; good morning | | goodbye"
LONGLIVE = '{"prompts": ["a fox runs", "a fox waves", "a frog sits"]}\n{"prompts": ["a robot"]}'
SCRIPT = "walk_right*8 jump cut_desert*2 stand*14 wave"
NAMES = ActionSet.load("pocket").names
PIECES = """[ ] ( ) { } < > # | ; : . , = * + - _ ' " \\ / ~ 0 1 9 s m h [5s] [10s#] (10s) [1m30s] [[ ]] \n
\r \t \0 \v \x85 \u2028 \ufeff \ud800 é ∞ 火 e a.b "a" 'a' ''' \"\"\" {a= {"a": null true NaN
Infinity -1 1e999 0x 1.5 {subject} {} {{ }} """
PIECES_OF_A_MUTATION = [
    *PIECES.split(" "),
    " ",
    "9" * 5000,
    "[" * 3000,
    "{a=" * 3000,
    '{"a":' * 3000,
    "a." * 3000,
    "x" * 3000,
]
VALUES = [
    None,
    True,
    -1,
    0,
    10**9,
    10**4000,
    1.5,
    float("nan"),
    float("inf"),
    "",
    "x",
    [],
    [1, "a"],
    {},
    {"text": "x"},
    [[]],
]

Reader = Callable[[str, Path], object]
READERS: dict[str, tuple[str, Reader]] = {
    "a storyboard": (BOARD, lambda text, _: parse(text)),
    "a storyboard of the release": (BOARD, lambda text, _: parse(text, compat="release")),
    "a storyboard's file": (BOARD, lambda text, folder: read_storyboard(written(folder / "a.txt", text))),
    "a line of a file": (
        f"{BOARD}\r\n{BOARD}",
        lambda text, folder: read_storyboard(written(folder / "a", text), line=2),
    ),
    "JSON lines": (LONGLIVE, lambda text, folder: read_storyboard(written(folder / "a.jsonl", text), line=1)),
    "a script": (SCRIPT, lambda text, _: ScriptedController.from_text(text, NAMES)),
    "an action set": (TOML, lambda text, folder: ActionSet.load(written(folder / "a.toml", text))),
    "a card": (CARD, lambda text, folder: Card.parse(text, folder / "card.json")),
}


def written(path: Path, text: str) -> Path:
    path.write_bytes(text.encode(errors="surrogatepass"))
    return path


def mutated(text: str, rng: random.Random) -> str:
    """Return a text with one to four random changes: pieces put in, deleted, repeated, swapped or cut off."""
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice((0, 1, 1, 2, 5, 30)))
        piece = rng.choice(PIECES_OF_A_MUTATION)
        text = rng.choice(
            (
                text[:start] + piece + text[end:],
                text[:start] + piece + text[end:],
                text[:start] + text[end:],
                text[:end] + text[start:end] * rng.choice((1, 3, 100)) + text[end:],
                text[:start] + text[start:end][::-1] + text[end:],
                text[:start] if rng.random() < 0.2 else text[:start] + chr(rng.randrange(0x3000)) + text[end:],
            )
        )
    return text


def changed(value: object, rng: random.Random) -> object:
    """Return a JSON structure with one random value or key replaced or removed, at any depth."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        fate = rng.random()
        rest = {name: inner for name, inner in value.items() if name != key}
        if fate < 0.1:
            return rest
        if fate < 0.2:
            return rest | {rng.choice(("", "x", "../x", "text", "\ud800")): value[key]}
        return value | {key: changed(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.5:
        place = rng.randrange(len(value))
        return [*value[:place], changed(value[place], rng), *value[place + 1 :]]
    return rng.choice(VALUES)


def outcome(call: Callable[[], object]) -> str:
    """Return "value" or "sentence"; fail for any other exception, a long message, or a slow answer."""
    started = time.process_time()
    try:
        call()
        result = "value"
    except ValueError as error:
        result = "sentence"
        assert not isinstance(error, UnicodeError), error
        assert str(error).strip() and len(str(error)) < MOST_LETTERS, str(error)[:500]
    assert time.process_time() - started < MOST_SECONDS
    return result


@pytest.mark.parametrize("kind", READERS)
def test_a_changed_text_gives_a_value_or_a_sentence(kind: str, tmp_path: Path) -> None:
    text, read = READERS[kind]
    rng = random.Random(kind)
    found = [outcome(lambda: read(mutated(text, rng), tmp_path)) for _ in range(400)]
    assert set(found) == {"value", "sentence"} or (kind.endswith("release") and set(found) == {"value"})


def test_a_changed_table_gives_a_value_or_a_sentence(tmp_path: Path) -> None:
    rng = random.Random(3)
    tables, card = ActionSet.load("pocket").to_dict(), json.loads(CARD)
    found = [outcome(lambda: ActionSet.from_dict(changed(tables, rng))) for _ in range(1500)]  # type: ignore[arg-type]
    found += [outcome(lambda: Card.parse(json.dumps(changed(card, rng)), tmp_path / "card.json")) for _ in range(1500)]
    assert set(found) == {"value", "sentence"}


def test_random_bytes_are_no_action_set_and_no_storyboard(tmp_path: Path) -> None:
    rng = random.Random(5)
    for _ in range(300):
        mark = rng.choice((b"", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf"))
        (tmp_path / "a.toml").write_bytes(mark + rng.randbytes(rng.randrange(200)))
        for read in (ActionSet.load, read_storyboard):
            outcome(lambda read=read: read(tmp_path / "a.toml"))
