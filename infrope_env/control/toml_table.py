"""TOML tables whose errors name file, table and key."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from infrope_env.control.key_names import RESERVED_KEYS


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
            raise ValueError(f"{source}: expected [{name}] to be a table, got {values!r}")
        self.values = values

    def mistake(self, key: str, sentence: str) -> ValueError:
        """Return the error to raise for one key of this table."""
        place = f"[{self.name}] {key}" if self.name else key
        return ValueError(f"{self.source}: {place}: {sentence}")

    def allow(self, *keys: str) -> None:
        """Raise ValueError for a key that is not one of these; the message suggests the nearest one."""
        for key in self.values:
            if key not in keys:
                near = difflib.get_close_matches(key, keys, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(keys)}"
                raise self.mistake(key, f"unknown key, {hint}")

    def filled(self) -> Table:
        """Return this table; ValueError when it is empty or a name in it cannot be part of an action's name."""
        if not self.values:
            raise ValueError(f"{self.source}: [{self.name}] is empty, expected at least one entry")
        for key in self.values:
            if not key.isidentifier():  # scripts such as "walk_right*8 jump" are split at spaces and asterisks
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
        if not isinstance(value, str) or not value.strip():
            got = f"got {value!r}" if key in self.values else "but it is missing"
            raise self.mistake(key, f"expected a non-empty string, {got}")
        return value

    def optional_text(self, key: str) -> str | None:
        """Return a string, or None when the key is missing."""
        return self.text(key) if key in self.values else None

    def texts(self, key: str, kind: str = "strings") -> tuple[str, ...]:
        """Return a list of strings, empty when the key is missing; `kind` names them in the error message."""
        value = self.values.get(key, [])
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            raise self.mistake(key, f"expected a list of {kind}, got {value!r}")
        return tuple(value)

    def keys(self, key: str) -> tuple[str, ...]:
        """Return a list of key bindings, empty when the key is missing."""
        return tuple(self.binding(key, item) for item in self.texts(key, "key names"))

    def binding(self, key: str, item: str) -> str:
        """Return a key binding in lower case; ValueError when the window reserves one of its keys."""
        parts = chord(item)
        if not all(parts):
            raise self.mistake(key, f'expected a key name such as "right" or "shift+right", got {item!r}')
        if reserved := RESERVED_KEYS.intersection(parts):
            raise self.mistake(key, f"the key {min(reserved)!r} is used by the window, choose another")
        return "+".join(parts)
