"""Reading an action set's TOML so that every mistake is named by file, table and key.

Knows tables, strings and key bindings; which tables there are and what they mean stands in actions.py.
"""

import difflib
from collections.abc import Mapping

WINDOW_KEYS = frozenset({"enter", "return", "period", ".", "n", "f5", "f9", "t", "h", "escape", "esc"})


def chord(key: str) -> tuple[str, ...]:
    """The keys held together: "shift+right" is ("shift", "right")."""
    return tuple(part.strip().lower() for part in key.split("+"))


class Table:
    """One TOML table that knows where it stands, so that every mistake can say so."""

    def __init__(self, source: str, name: str, values: object) -> None:
        """Stand at [name] of the file `source`; ValueError when `values` is no table."""
        self.source, self.name = source, name
        if not isinstance(values, Mapping):
            raise ValueError(f"{source}: expected [{name}] to be a table, got {values!r}")
        self.values = values

    def mistake(self, key: str, sentence: str) -> ValueError:
        """The error to raise for one key of this table."""
        place = f"[{self.name}] {key}" if self.name else key
        return ValueError(f"{self.source}: {place}: {sentence}")

    def allow(self, *keys: str) -> None:
        """Refuse every key that is not one of these."""
        for key in self.values:
            if key not in keys:
                near = difflib.get_close_matches(key, keys, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(keys)}"
                raise self.mistake(key, f"unknown key, {hint}")

    def filled(self) -> "Table":
        """This table, when it has entries and their names can be action names."""
        if not self.values:
            raise ValueError(f"{self.source}: [{self.name}] is empty, expected at least one entry")
        for key in self.values:
            if not key.isidentifier():  # names are action names and stand in scripts such as "walk_right*8 jump"
                raise self.mistake(key, "expected a name of letters, digits and underscores")
        return self

    def table(self, key: str) -> "Table":
        """The table below this one."""
        name = f"{self.name}.{key}".lstrip(".")
        if key not in self.values:
            raise ValueError(f"{self.source}: missing table [{name}]")
        return Table(self.source, name, self.values[key])

    def text(self, key: str) -> str:
        """A string that must be there and say something."""
        value = self.values.get(key)
        if not isinstance(value, str) or not value.strip():
            got = f"got {value!r}" if key in self.values else "but it is missing"
            raise self.mistake(key, f"expected a non-empty string, {got}")
        return value

    def texts(self, key: str, what: str = "strings") -> tuple[str, ...]:
        """A list of strings, empty when left out."""
        value = self.values.get(key, [])
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            raise self.mistake(key, f"expected a list of {what}, got {value!r}")
        return tuple(value)

    def keys(self, key: str) -> tuple[str, ...]:
        """A list of key bindings, empty when left out."""
        return tuple(self.binding(key, item) for item in self.texts(key, "key names"))

    def binding(self, key: str, item: str) -> str:
        """One key binding in lower case, when the window does not use its keys itself."""
        parts = chord(item)
        if not all(parts):
            raise self.mistake(key, f'expected a key name such as "right" or "shift+right", got {item!r}')
        if taken := WINDOW_KEYS.intersection(parts):
            raise self.mistake(key, f"the key {min(taken)!r} is used by the window, choose another")
        return "+".join(parts)
