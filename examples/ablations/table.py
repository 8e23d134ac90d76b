"""Tables as Markdown and as plain data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from examples.ablations.statistics import Spread, digits

Entry = Spread | float | str | None
"""None is a number that a row does not have."""


@dataclass(frozen=True)
class Table:
    """Rows of entries under columns."""

    title: str
    columns: tuple[str, ...]
    rows: list[list[Entry]]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"expected rows of {len(self.columns)} entries in {self.title!r}, got {row}")

    def markdown(self) -> list[str]:
        """Lines."""
        lines = [f"**{self.title}**", "", _line(self.columns), _line(["---"] * len(self.columns))]
        return lines + [_line([_text(entry) for entry in row]) for row in self.rows]

    def data(self) -> dict[str, object]:
        """For JSON."""
        return {"title": self.title, "columns": self.columns, "rows": [[_plain(e) for e in row] for row in self.rows]}


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _text(entry: Entry) -> str:
    if entry is None:
        return ""
    return digits(entry) if isinstance(entry, float) else str(entry)


def _plain(entry: Entry) -> object:
    if isinstance(entry, Spread):
        std = None if math.isnan(entry.std) else entry.std
        return {"mean": entry.mean, "std": std, "count": entry.count}
    return entry
