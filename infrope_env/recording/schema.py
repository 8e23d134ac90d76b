"""The schema of meta.json and of the log's lines: type, size, range and nesting of every entry.

A recording may come from a stranger. Everything that a replay uses from it passes these checks first, and nothing that
it names is imported or opened.
"""

from __future__ import annotations

import inspect
import json
import math
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import fields
from string import Formatter
from typing import Any

import gymnasium

from infrope_env.config import Sampler, Window
from infrope_env.control.actions import ActionSet, Transition
from infrope_env.control.reset_options import TEXT_OPTIONS
from infrope_env.env import InfinityRopeEnv
from infrope_env.env_state import RESET
from infrope_env.models.background_code import BACKGROUND
from infrope_env.models.compile import GRAPHS
from infrope_env.models.options import DTYPES, PRECISIONS
from infrope_env.recording.quality import QUALITIES
from infrope_env.recording.run_info import RunInfo
from infrope_env.sampler import MOST_STEPS

PACKAGE = "infrope_env."
MAX_THREADS = 256
MAX_ROWS = 65_536
MAX_DEPTH = 12
MAX_KEY, MAX_NAME, MAX_TEXT = 300, 1_000, 100_000  # characters
MAX_BLOCKS = 2**40
MAX_FRAMES = 4096  # latent frames that a block sees
MAX_SEED = 2**64 - 1
MAX_PROMPTS, MAX_PROMPT_CHARACTERS = 50_000, 20_000_000  # all prompts of an action set
DEVICE = re.compile(r"(cpu|cuda(:\d{1,3})?)")
TEXT_DEVICE = re.compile(r"(auto|refuse|cpu|cuda(:\d{1,3})?)")
EPISODE = re.compile(r"episode_\d{3,9}", re.ASCII)
DIGEST = re.compile(r"[0-9a-f]{64}")
SURROGATE = re.compile("[\ud800-\udfff]")


class SchemaError(ValueError):
    """An entry does not fit. The message is a clause that names it: "expected seed to be ..., got ..."."""


class Entries:
    """A JSON object and its place in the file.

    Attributes:
        values: The object's entries.
    """

    def __init__(self, place: str, values: object) -> None:
        """Wrap the object at the dotted name `place`; SchemaError when it is no object."""
        self._place = place
        if not isinstance(values, dict):
            raise SchemaError(f"expected {place or 'the content'} to be an object, got {shorten(values)}")
        self.values: dict[str, Any] = values

    def name(self, key: str) -> str:
        """Return the dotted name of an entry."""
        return f"{self._place}.{key}".lstrip(".")

    def allow(self, keys: Collection[str]) -> None:
        """Raise SchemaError for an entry that is not among `keys`."""
        for key in self.values.keys() - set(keys):
            raise SchemaError(f"unknown entry {shorten(self.name(key))}")

    def get(self, key: str) -> Any:
        """Return an entry; SchemaError when it is missing."""
        if key not in self.values:
            raise SchemaError(f"{self.name(key)} is missing")
        return self.values[key]

    def require(self, key: str, holds: bool, expected: str) -> None:
        """Raise SchemaError when a condition on an entry does not hold."""
        if not holds:
            raise SchemaError(f"expected {self.name(key)} to be {expected}, got {shorten(self.values.get(key))}")

    def table(self, key: str) -> Entries:
        """Return an entry that is an object."""
        return Entries(self.name(key), self.get(key))

    def integer(self, key: str, least: int, most: int) -> None:
        """Check a whole number."""
        value = self.get(key)
        holds = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        self.require(key, holds, f"a whole number from {least} to {most}")

    def number(self, key: str) -> None:
        """Check a number; `parse_json` has refused what is not finite."""
        value = self.get(key)
        self.require(key, isinstance(value, int | float) and not isinstance(value, bool), "a number")

    def flag(self, key: str) -> None:
        """Check true or false."""
        self.require(key, isinstance(self.get(key), bool), "true or false")

    def label(self, key: str) -> None:
        """Check a short text that can be printed in a message."""
        value = self.get(key)
        holds = isinstance(value, str) and len(value) <= MAX_NAME and value.isprintable()
        self.require(key, holds, f"a printable text of at most {MAX_NAME} characters")

    def text(self, key: str) -> None:
        """Check a text, for example a prompt."""
        self.require(key, isinstance(self.get(key), str), "a text")

    def choice(self, key: str, choices: Collection[str]) -> None:
        """Check one of a few texts."""
        value = self.get(key)
        self.require(key, isinstance(value, str) and value in choices, f"one of {', '.join(choices)}")

    def match(self, key: str, pattern: re.Pattern[str], expected: str) -> None:
        """Check a text of a fixed form."""
        value = self.get(key)
        self.require(key, isinstance(value, str) and pattern.fullmatch(value) is not None, expected)

    def digest(self, key: str) -> None:
        """Check a sha256."""
        self.match(key, DIGEST, "64 hexadecimal digits")

    def array(self, key: str, most: int, holds: Callable[[object], bool], expected: str) -> None:
        """Check a list of at most `most` values, each of which `holds`."""
        values = self.get(key)
        fits = isinstance(values, list) and len(values) <= most and all(map(holds, values))
        self.require(key, fits, f"a list of at most {most} {expected}")

    def labels(self, key: str) -> None:
        """Check an object of short texts."""
        table = self.table(key)
        for name in table.values:
            table.label(name)


def parse_json(data: bytes) -> Any:
    """Return the content of JSON from a stranger.

    Raises:
        SchemaError: It is nested too deeply, or a text or number in it is too large.
        ValueError: It is not JSON, or not UTF-8.
    """
    try:
        content = json.loads(data.decode("utf-8"))
    except RecursionError as error:
        raise SchemaError(f"expected at most {MAX_DEPTH} levels of nesting") from error
    level = [content]
    for _ in range(MAX_DEPTH):
        for value in level:
            _check_scalar(value)
        level = [inner for value in level for inner in _children(value)]
        if not level:
            return content
    raise SchemaError(f"expected at most {MAX_DEPTH} levels of nesting")


def check_meta(content: object) -> None:
    """Check the content of meta.json; SchemaError for the first entry that does not fit."""
    meta = Entries("", content)
    meta.choice("env_id", own_ids())
    _check_env_kwargs(meta.table("env_kwargs"))
    _check_actions(meta.table("actions"))
    _check_parsed(Window.parse, meta.table("window").values)
    meta.integer("frame_rate", 1, 1000)
    meta.integer("seed", 0, MAX_SEED)
    _check_options(meta.table("options"))
    if meta.get("continues") is not None:
        _check_continues(meta.table("continues"))
    _check_made_with(meta.table("made_with"))
    if "quality" in meta.values:
        meta.choice("quality", QUALITIES)
    if meta.values.get("closed") is not None:
        closed = meta.table("closed")
        closed.integer("blocks", 0, MAX_BLOCKS)
        closed.digest("chain")


def check_line(content: object) -> None:
    """Check a line of the log; SchemaError for the first entry that does not fit."""
    line = Entries("", content)
    for key in ("block", "first_frame", "end_frame"):
        line.integer(key, 0, MAX_BLOCKS)
    if line.get("action") is not None:
        line.integer("action", 0 if line.values["block"] else RESET, MAX_PROMPTS)
    if line.get("asked") is not None:
        asked = line.table("asked")
        asked.allow(("given", "text", "cut"))
        asked.text("text")
        asked.flag("cut")
        if "given" in asked.values:
            asked.flag("given")
    for key in ("subject", "scene", "motion"):
        line.label(key)
    line.text("prompt")
    line.choice("transition", [transition.value for transition in Transition])
    if line.values.get("reward") is not None:
        line.number("reward")
    for key in {"terminated", "truncated", "compiled"} & line.values.keys():
        line.flag(key)
    if line.values.get("attention") is not None:
        _check_attention(line.table("attention"))
    line.digest("sha256")
    line.digest("chain")


def _check_attention(attention: Entries) -> None:
    attention.allow(("frames", "coordinates", "mass"))
    for key in ("frames", "coordinates"):
        attention.array(key, MAX_FRAMES, lambda value: type(value) is int, "whole numbers")
    attention.array("mass", MAX_FRAMES, lambda value: type(value) in (int, float), "numbers")


def own_ids() -> list[str]:
    """Return the ids of this package whose observations are whole blocks, which a recording needs."""
    blocks = {name: spec.entry_point for name, spec in gymnasium.registry.items() if not spec.additional_wrappers}
    return [name for name, entry in blocks.items() if isinstance(entry, str) and entry.startswith(PACKAGE)]


def _check_env_kwargs(kwargs: Entries) -> None:
    """Check the environment's arguments. `verification.py` has those of them that a replay uses."""
    kwargs.allow([name for name in inspect.signature(InfinityRopeEnv.__init__).parameters if name != "self"])
    checks: dict[str, Callable[[str], None]] = {
        "weights": kwargs.label,
        "decoder": kwargs.label,
        "lora": kwargs.label,
        "sampler": lambda key: _check_parsed(Sampler.parse, kwargs.values[key]),
        "precision": lambda key: kwargs.choice(key, PRECISIONS),
        "steps": lambda key: kwargs.integer(key, 1, MOST_STEPS),
        "reward": kwargs.label,
        "render_mode": kwargs.label,
        "device": lambda key: kwargs.match(key, DEVICE, "cpu, cuda or cuda:1"),
        "dtype": lambda key: kwargs.choice(key, DTYPES),
        "text_device": lambda key: kwargs.match(key, TEXT_DEVICE, "auto, refuse, cpu or cuda"),
        "text_dtype": lambda key: kwargs.choice(key, ("bfloat16", "int8", "float32")),
        "max_blocks": lambda key: kwargs.integer(key, 0, MAX_BLOCKS),
        "offload": kwargs.flag,
        "compile": lambda key: kwargs.require(
            key,
            kwargs.values[key] in (False, True, GRAPHS, BACKGROUND),
            f"true, false, {GRAPHS!r} or {BACKGROUND!r}",
        ),
        "decode": kwargs.flag,
    }
    for key in kwargs.values.keys() & checks.keys():
        if kwargs.values[key] is not None:
            checks[key](key)


def _check_actions(actions: Entries) -> None:
    """Check an action set and the number and length of its prompts, which are all made when a model is loaded."""
    count, longest = 1, 0
    for kind in ("subjects", "scenes", "motions"):
        table = actions.table(kind)
        count *= len(table.values)
        longest = max(longest, *(len(text) for text in _texts(table.values)), 0)
    actions.text("template")
    try:
        placeholders = sum(field is not None for _, field, _, _ in Formatter().parse(actions.values["template"]))
        ActionSet.from_dict(actions.values, source="actions")
    except ValueError as error:
        raise SchemaError(_shorten_text(str(error))) from error
    characters = count * (len(actions.values["template"]) + placeholders * longest)
    if count > MAX_PROMPTS or characters > MAX_PROMPT_CHARACTERS:
        raise SchemaError(f"expected actions to have at most {MAX_PROMPTS} prompts of usual length")


def _check_parsed(parse: Callable[[Any], object], value: object) -> None:
    """Check settings by what reads them."""
    try:
        parse(value)
    except (ValueError, TypeError) as error:
        raise SchemaError(_shorten_text(str(error))) from error


def _check_options(options: Entries) -> None:
    options.allow((*TEXT_OPTIONS, "image"))
    for key in options.values.keys() & set(TEXT_OPTIONS):
        options.text(key)
    if "image" in options.values:
        image = options.table("image")
        image.allow(("file", "sha256"))
        image.choice("file", ["image.png"])
        image.digest("sha256")


def _check_continues(continues: Entries) -> None:
    continues.allow(("episode", "block"))
    continues.integer("block", 0, MAX_BLOCKS)
    if continues.get("episode") is not None:
        continues.match("episode", EPISODE, "a folder's name such as episode_000")


def _check_made_with(made_with: Entries) -> None:
    weights = made_with.table("weights")
    for file in weights.values:
        weights.digest(file)
    for key in ("device", "processor", "sampler"):
        made_with.label(key)
    made_with.choice("dtype", DTYPES)
    made_with.integer("threads", 1, MAX_THREADS)
    made_with.labels("versions")
    if "compiled" in made_with.values:
        made_with.flag("compiled")
    if "batch" in made_with.values:
        made_with.integer("batch", 1, MAX_ROWS)
    if "precision" in made_with.values:
        made_with.choice("precision", PRECISIONS)
    if made_with.values.get("kernel_settings") is not None:
        made_with.labels("kernel_settings")
    made_with.allow([field.name for field in fields(RunInfo)])


def _children(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _check_scalar(value: object) -> None:
    """Check the size of a text or number; the keys of an object are printable and short."""
    if isinstance(value, dict):
        if not all(len(key) <= MAX_KEY and key.isprintable() for key in value):
            raise SchemaError(f"expected names of at most {MAX_KEY} printable characters")
    elif isinstance(value, str):
        if len(value) > MAX_TEXT:
            raise SchemaError(f"expected texts of at most {MAX_TEXT} characters, got one of {len(value)}")
        if SURROGATE.search(value):
            raise SchemaError(f"expected texts in Unicode, got {shorten(value)}")
    elif isinstance(value, int) and not -MAX_SEED <= value <= MAX_SEED:
        raise SchemaError(f"expected numbers of at most 64 bits, got {shorten(value)}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise SchemaError(f"expected finite numbers, got {value}")


def _texts(content: object) -> Iterator[str]:
    """Yield every text inside, at any depth; `parse_json` has bounded the depth."""
    if isinstance(content, str):
        yield content
    for inner in _children(content):
        yield from _texts(inner)


def shorten(value: object) -> str:
    """Return a value for a message, printable and of bounded length."""
    return _shorten_text(repr(value) if not isinstance(value, int) or value.bit_length() < 256 else "a huge number")


def _shorten_text(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."
