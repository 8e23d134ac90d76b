"""Tables as Markdown and as JSON data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from examples.stats import SeedStatistics, format_number

Entry = SeedStatistics | float | str | None
"""A table entry; None where a row has no value."""

Values = Mapping[tuple[str, ...], Mapping[str, Sequence[float]]]
"""One value per seed, by the labels of a row and by metric."""


@dataclass(frozen=True)
class Table:
    """Rows of entries under columns.

    Raises:
        ValueError: A row has another number of entries than there are columns.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[list[Entry]]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"expected rows of {len(self.columns)} entries in {self.title!r}, got {row}")

    @classmethod
    def of_values(cls, title: str, labels: tuple[str, ...], rows: Values) -> Table:
        """Tabulate statistics over seeds; `labels` are the headings of the label columns."""
        metrics = tuple(next(iter(rows.values())))
        entries: list[list[Entry]] = [
            [*label, *(SeedStatistics.of(values[metric]) for metric in metrics)] for label, values in rows.items()
        ]
        return cls(title, (*labels, *metrics), entries)

    def markdown(self) -> list[str]:
        """Return the lines of a Markdown table under its title."""
        return [f"**{self.title}**", "", *markdown_table(self.columns, [[_text(e) for e in row] for row in self.rows])]

    def data(self) -> dict[str, object]:
        """Return the table as JSON data."""
        rows = [[json_entry(entry) for entry in row] for row in self.rows]
        return {"title": self.title, "columns": self.columns, "rows": rows}


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    return [f"| {' | '.join(entries)} |" for entries in (columns, ["---"] * len(columns), *rows)]


def json_entry(entry: Entry) -> object:
    """Return an entry as JSON data; an unknown standard deviation is null."""
    if isinstance(entry, SeedStatistics):
        std = None if math.isnan(entry.std) else entry.std
        return {"mean": entry.mean, "std": std, "count": entry.count}
    return entry


def _text(entry: Entry) -> str:
    if entry is None:
        return ""
    return format_number(entry) if isinstance(entry, float) else str(entry)
