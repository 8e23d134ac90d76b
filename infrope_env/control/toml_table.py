"""TOML tables whose errors name file, table and key."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infrope_env.control.key_names import RESERVED_KEYS
from infrope_env.control.mentions import is_text
from infrope_env.errors import shown

LONG_KEY = re.compile(r"""(?<![\w"'-])(?:[\w"'-]++[ \t]*+\.[ \t]*+){20}""")
"""A key of many parts, "a.b.c...", for which tomllib takes time that grows with the square of its length."""


def parse_toml(text: str, path: Path) -> dict[str, Any]:
    """Return the tables of a TOML text; ValueError begins with the path."""
    if found := LONG_KEY.search(text):
        raise ValueError(f"{path}: not valid TOML: expected keys of at most 20 parts, got {shown(found[0])}")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError(f"{path}: not valid TOML: nested too deeply") from error
    except ValueError as error:  # broken TOML, or a number of thousands of digits
        raise ValueError(f"{path}: not valid TOML: {error}") from error


def chord(key: str) -> tuple[str, ...]:
    """Return the keys of a binding, which are held together: "shift+right" is ("shift", "right")."""
    return tuple(part.strip().lower() for part in key.split("+"))


class Table:
    """One TOML table and its place in the file.

    Attributes:
        source: Start of every error message, usually the path of the file.
        name: Dotted name of the table; empty for the top level.
        values: The table's entries.
    """

    def __init__(self, source: str, name: str, values: object) -> None:
        """Wrap the table [name] of the file `source`; ValueError when `values` is not a table."""
        self.source, self.name = source, name
        if not isinstance(values, Mapping):
            place = f"[{name}]" if name else "the file"
            raise ValueError(f"{source}: expected {place} to be a table, got {shown(values)}")
        self.values = values

    def mistake(self, key: object, sentence: str) -> ValueError:
        """Return the error to raise for one key of this table."""
        key = key if isinstance(key, str) and len(key) < 100 and key.isprintable() else shown(key)
        place = f"[{self.name}] {key}" if self.name else key
        return ValueError(f"{self.source}: {place}: {sentence}")

    def allow(self, *keys: str) -> None:
        """Raise ValueError for a key that is not one of these; the message suggests the nearest one."""
        for key in self.values:
            if key not in keys:
                near = difflib.get_close_matches(key[:100], keys, n=1) if isinstance(key, str) else []
                hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(keys)}"
                raise self.mistake(key, f"unknown key, {hint}")

    def filled(self) -> Table:
        """Return this table; ValueError when it is empty or a name in it cannot be part of an action's name."""
        if not self.values:
            raise ValueError(f"{self.source}: [{self.name}] is empty, expected at least one entry")
        for key in self.values:
            if (
                not isinstance(key, str) or not key.isidentifier()
            ):  # scripts such as "walk_right*8 jump" are split at spaces and asterisks
                raise self.mistake(key, "expected a name of letters, digits and underscores")
        return self

    def table(self, key: str) -> Table:
        """Return the table [name.key]; ValueError when it is missing."""
        name = f"{self.name}.{key}".lstrip(".")
        if key not in self.values:
            raise ValueError(f"{self.source}: missing table [{name}]")
        return Table(self.source, name, self.values[key])

    def text(self, key: str) -> str:
        """Return a string; ValueError when it is missing or blank."""
        value = self.values.get(key)
        if not is_text(value) or not value.strip():
            got = f"got {shown(value)}" if key in self.values else "but it is missing"
            raise self.mistake(key, f"expected a non-empty string, {got}")
        return value

    def optional_text(self, key: str) -> str | None:
        """Return a string, or None when the key is missing."""
        return self.text(key) if key in self.values else None

    def count(self, key: str, least: int = 0) -> int | None:
        """Return a whole number, or None when the key is missing; ValueError when it is less than `least`."""
        value = self.values.get(key)
        if key in self.values and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            raise self.mistake(key, f"expected a whole number of at least {least}, got {shown(value)}")
        return value

    def flag(self, key: str) -> bool:
        """Return true or false; false when the key is missing."""
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise self.mistake(key, f"expected true or false, got {shown(value)}")
        return value

    def texts(self, key: str, kind: str = "strings") -> tuple[str, ...]:
        """Return a list of strings, empty when the key is missing; `kind` names them in the error message."""
        value = self.values.get(key, [])
        if not isinstance(value, list | tuple) or not all(map(is_text, value)):
            raise self.mistake(key, f"expected a list of {kind}, got {shown(value)}")
        return tuple(value)

    def keys(self, key: str) -> tuple[str, ...]:
        """Return a list of key bindings, empty when the key is missing."""
        return tuple(self.binding(key, item) for item in self.texts(key, "key names"))

    def binding(self, key: str, item: str) -> str:
        """Return a key binding in lower case; ValueError when the window reserves one of its keys."""
        parts = chord(item)
        if not all(parts):
            raise self.mistake(key, f'expected a key name such as "right" or "shift+right", got {shown(item)}')
        if reserved := RESERVED_KEYS.intersection(parts):
            raise self.mistake(key, f"the key {min(reserved)!r} is used by the window, choose another")
        return "+".join(parts)
