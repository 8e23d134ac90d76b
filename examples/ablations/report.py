"""The pages: one section an experiment, verdicts in front, pictures beside. Knows no experiment."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from examples.ablations.comparison import NEGLIGIBLE, Verdict
from examples.ablations.table import Table


@dataclass(frozen=True)
class Section:
    """What one experiment found.

    Attributes:
        text: paragraphs.
        pictures: files beside the report, by caption.
    """

    title: str
    text: list[str]
    tables: list[Table]
    verdicts: list[Verdict]
    pictures: dict[str, Path] = field(default_factory=dict)


def write(folder: Path, facts: dict[str, Any], sections: dict[str, Section]) -> Path:
    """Write ablations.md and ablations.json; the former's path."""
    folder.mkdir(parents=True, exist_ok=True)
    data = {name: _data(section) for name, section in sections.items()}
    (folder / "ablations.json").write_text(json.dumps(facts | {"sections": data}, indent=1) + "\n")
    page = folder / "ablations.md"
    page.write_text("\n".join(markdown(facts, sections)) + "\n")
    return page


def markdown(facts: dict[str, Any], sections: dict[str, Section]) -> list[str]:
    """The whole page."""
    lines = [*heading(facts), "", "## Verdict", ""]
    for section in sections.values():
        lines += [f"- *{section.title}*, **{verdict.outcome}**. {verdict.text}" for verdict in section.verdicts]
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
    """What was measured, with what, where."""
    sums = ", ".join(f"{name} {value[:16]}" for name, value in facts["weights"].items())
    made = ", ".join(facts["made at"]) or "none"
    return [
        f"# What each idea is worth: ablations of the {facts['world']} world",
        "",
        f"`{facts['command']}`, commit {facts['commit']} (cells made at {made}), {facts['minutes']} minutes of one "
        f"thread on {facts['device']} ({facts['processor']}, {facts['cpus']} processors, {facts['dtype']}).",
        f"Weights (sha256): {sums}.",
        f"Everything is done with {facts['seeds']} seeds; numbers are means ± the standard deviation between seeds. "
        "A verdict is the 95 % interval (Student's t) of the difference, seed by seed: undecided where it holds 0, no "
        f"difference where all of it lies within {NEGLIGIBLE}. "
        "Several are drawn from the same rollouts, so one in twenty may be chance.",
        *facts["trained under"],
        "",
        *(["This is a quick run: short horizons, few samples."] if facts["quick"] else []),
        *facts["left out"],
    ]


def _data(section: Section) -> dict[str, object]:
    return {
        "title": section.title,
        "verdicts": [asdict(verdict) for verdict in section.verdicts],
        "tables": [table.data() for table in section.tables],
        "pictures": {caption: path.name for caption, path in section.pictures.items()},
    }
