"""The report: ablations.md with a table of comparisons and a section per experiment, and ablations.json."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from examples.ablations.comparison import COLUMNS, NEGLIGIBLE, Comparison
from examples.ablations.table import Table, markdown_table
from infrope_env.atomic_file import write_atomically


@dataclass(frozen=True)
class Section:
    """Results of one experiment.

    Attributes:
        title: Heading.
        text: Paragraphs.
        tables: Tables of metrics.
        comparisons: Lines of the comparison table.
        pictures: Image files by caption.
    """

    title: str
    text: list[str]
    tables: list[Table]
    comparisons: list[Comparison]
    pictures: dict[str, Path] = field(default_factory=dict)

    def data(self) -> dict[str, object]:
        """Return the section as JSON data."""
        return {
            "title": self.title,
            "comparisons": [comparison.data() for comparison in self.comparisons],
            "tables": [table.data() for table in self.tables],
            "pictures": {caption: path.name for caption, path in self.pictures.items()},
        }


def write_report(folder: Path, facts: dict[str, Any], sections: dict[str, Section]) -> Path:
    """Write ablations.md and ablations.json; return the path of the former."""
    page = folder / "ablations.md"
    data = facts | {"sections": {name: section.data() for name, section in sections.items()}}
    write_atomically(folder / "ablations.json", (json.dumps(data, indent=1) + "\n").encode())
    write_atomically(page, ("\n".join(markdown(facts, sections)) + "\n").encode())
    return page


def markdown(facts: dict[str, Any], sections: dict[str, Section]) -> list[str]:
    """Return the lines of the page."""
    rows = [[section.title, *each.entries()] for section in sections.values() for each in section.comparisons]
    lines = [*heading(facts), "", "## Comparisons", "", *markdown_table(("experiment", *COLUMNS), rows)]
    for section in sections.values():
        lines += ["", f"## {section.title}"]
        for paragraph in section.text:
            lines += ["", paragraph]
        for table in section.tables:
            lines += ["", *table.markdown()]
        for caption, path in section.pictures.items():
            lines += ["", f"![{caption}]({path.name})", "", f"*{caption}*"]
    return lines


def heading(facts: dict[str, Any]) -> list[str]:
    """Return the lines on what was measured, with which weights, command, commit and machine."""
    hashes = ", ".join(f"{name} {value[:16]}" for name, value in facts["weights"].items())
    measured_at = ", ".join(facts["measured at"]) or "none"
    paragraphs = [
        f"# Ablations of ∞-RoPE on the {facts['model']} model",
        f"Report: `{facts['command']}`, commit {facts['commit']}. Measurements: commit {measured_at}, "
        f"{facts['minutes']} minutes of one thread on {facts['device']} ({facts['processor']}, {facts['cpus']} "
        f"processors, {facts['dtype']}).",
        f"Weights (sha256): {hashes}.",
        f"Every measurement is repeated with {facts['seeds']} seeds. Entries are the mean ± the standard deviation "
        "between seeds. The interval of a difference is the 95 % confidence interval (Student's t) of differences "
        "paired by seed. The outcome is *undecided* if the interval contains 0, and *no difference* if the interval "
        f"lies within ±{NEGLIGIBLE} or excludes 0 with a mean below {NEGLIGIBLE}. Where the default has the best mean, "
        "it is not tested against the others. Several comparisons use the same rollouts and there is no correction for "
        "their number: one in twenty can be chance.",
        *facts["training"],
        *(["This is a quick run: short horizons, few samples."] if facts["quick"] else []),
        *([" ".join(facts["left out"])] if facts["left out"] else []),
    ]
    return "\n\n".join(paragraphs).split("\n")
