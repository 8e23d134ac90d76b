"""The entries of an action set in TOML: subjects, scenes, motions and defaults; reading, checking, writing."""

from __future__ import annotations

import os
import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infrope_env.control.mentions import is_text
from infrope_env.control.toml_table import Table
from infrope_env.errors import shown
from infrope_env.regular_file import as_path

BUNDLED = Path(__file__).parent.parent / "assets" / "actions"
NAME_FIELDS = ("subject", "scene", "motion")
PLACEHOLDERS = (*NAME_FIELDS, "subject_again", "scene_again", "variation")
"""Placeholders of a template.

Those with "again" are for the second mention: "the knight" after "a knight in armour". `variation` has the words that
all prompts of a rollout share.
"""


@dataclass(frozen=True)
class Subject:
    """A character.

    Attributes:
        text: Its words at the first mention in a prompt.
        again: Its words at the second mention; None repeats `text`.
        aliases: Further words by which a typed prompt may mention it.
    """

    text: str
    again: str | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scene:
    """A place.

    Attributes:
        text: Its words at the first mention in a prompt.
        key: Key that cuts to it; None binds no key.
        again: Its words at the second mention; None repeats `text`.
        aliases: Further words by which a typed prompt may mention it.
    """

    text: str
    key: str | None = None
    again: str | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Motion:
    """A motion of the subject.

    Attributes:
        text: Its words in a prompt.
        keys: Its key bindings; "shift+right" is a chord.
    """

    text: str
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Defaults:
    """Names of the subject, scene and motion with which a rollout starts unless the reset names others."""

    subject: str
    scene: str
    motion: str


def find_action_file(name_or_path: str | Path) -> Path:
    """Return the path of a bundled action set ("pocket"), or the given path of a TOML file.

    Raises:
        TypeError: It is neither a name nor a path.
        ValueError: There is no bundled set of that name; the message lists the bundled ones.
    """
    path = as_path(name_or_path, "an action set")
    if path.suffix == ".toml" or path.name != os.fspath(name_or_path):
        return path
    bundled = sorted(file.stem for file in BUNDLED.glob("*.toml"))
    if path.name not in bundled:
        known = ", ".join(bundled)
        raise ValueError(
            f"No action set named {shown(name_or_path)}; bundled: {known}. Or pass the path of a .toml file."
        )
    return BUNDLED / f"{name_or_path}.toml"


def read_template(top: Table) -> str:
    """Return the prompt template; ValueError when it has a placeholder other than `PLACEHOLDERS`."""
    template = top.text("template")
    try:
        pieces = list(string.Formatter().parse(template))
    except ValueError as error:
        raise top.mistake("template", f"{error} in {shown(template)}") from error
    for _, field, spec, conversion in pieces:
        if field is not None and (field not in PLACEHOLDERS or spec or conversion):
            allowed = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
            raise top.mistake("template", f"unknown placeholder {{{field[:60]}}}, expected {allowed} only")
    return template


def read_variations(top: Table) -> tuple[tuple[str, ...], ...]:
    """Return the lists of `variations`; none if there are none.

    Raises:
        ValueError: It is no list of lists of texts, or the template has no place for them.
    """
    if "variations" not in top.values:
        return ()
    lists = top.values["variations"]
    is_right = isinstance(lists, list | tuple) and all(
        isinstance(each, list | tuple) and each and all(is_text(words) for words in each) for each in lists
    )
    if not is_right:
        raise top.mistake("variations", f"expected lists of texts, got {shown(lists)}")
    if "{variation}" not in top.text("template"):
        raise top.mistake("variations", "the template has no {variation}")
    return tuple(tuple(each) for each in lists)


def read_subjects(table: Table) -> dict[str, Subject]:
    """Return the entries of [subjects] by name; an entry is a string, or a table with `text`, `again`, `aliases`."""
    subjects = {}
    for name, value in table.values.items():
        if not isinstance(value, Mapping):
            subjects[name] = Subject(table.text(name))
            continue
        entry = table.table(name)
        entry.allow("text", "again", "aliases")
        subjects[name] = Subject(entry.text("text"), entry.optional_text("again"), entry.texts("aliases"))
    return subjects


def read_scenes(table: Table) -> dict[str, Scene]:
    """Return the entries of [scenes] by name."""
    scenes = {}
    for name in table.values:
        entry = table.table(name)
        entry.allow("text", "key", "again", "aliases")
        key = entry.binding("key", entry.text("key")) if "key" in entry.values else None
        scenes[name] = Scene(entry.text("text"), key, entry.optional_text("again"), entry.texts("aliases"))
    return scenes


def read_motions(table: Table) -> dict[str, Motion]:
    """Return the entries of [motions] by name."""
    motions = {}
    for name in table.values:
        entry = table.table(name)
        entry.allow("text", "keys")
        motions[name] = Motion(entry.text("text"), entry.keys("keys"))
    return motions


def read_defaults(top: Table) -> Defaults:
    """Return the names in [start]; a missing one is the first entry of its table."""
    start = top.table("start") if "start" in top.values else Table(top.source, "start", {})
    start.allow(*NAME_FIELDS)
    names = []
    for field in NAME_FIELDS:
        entries = top.table(f"{field}s").values
        name = start.text(field) if field in start.values else next(iter(entries))
        if name not in entries:
            raise start.mistake(field, f"expected one of {', '.join(entries)}, got {shown(name)}")
        names.append(name)
    return Defaults(*names)


def to_toml_value(entry: Subject | Scene | Motion) -> str | dict[str, object]:
    """Return an entry as TOML writes it: without empty fields, and a subject with nothing but text as a string."""
    if isinstance(entry, Motion):
        return {"text": entry.text, "keys": list(entry.keys)}
    fields = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(entry).items() if value}
    return entry.text if isinstance(entry, Subject) and fields.keys() == {"text"} else fields
