"""The arms of the comparison: which tree plays, and under which arguments of the environment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Arm:
    """One row of the table.

    Attributes:
        name: Label of the row.
        arguments: Arguments of the environment, besides the dtype.
        is_before: Whether the earlier commit plays, in place of the present tree.
        bar: Largest acceptable ratio of its block time to that of the earlier commit; None where there is none.
    """

    name: str
    arguments: dict[str, object] = field(default_factory=dict)
    is_before: bool = False
    bar: float | None = None


ARMS = (
    Arm("before", is_before=True),
    Arm("after", bar=0.85),
    Arm("3-steps", {"steps": 3}),
    Arm("2-steps", {"steps": 2}),
    Arm("1-step", {"steps": 1}),
    Arm("int8", {"precision": "int8"}, bar=0.6),
    Arm("int8-1-step", {"precision": "int8", "steps": 1}, bar=0.33),
    Arm("compiled", {"compile": "background"}, bar=0.85),
    Arm("compiled-1-step", {"compile": "background", "steps": 1}),
)


def choose_arms(names: Sequence[str]) -> list[Arm]:
    """Return the arms of these names, the earlier commit first; without names all that compile nothing.

    Raises:
        ValueError: There is no arm of a name.
    """
    known = {arm.name: arm for arm in ARMS}
    if unknown := set(names) - known.keys():
        raise ValueError(f"expected arms to be among {', '.join(known)}, got {min(unknown)!r}")
    chosen = [arm for arm in ARMS if (arm.name in names if names else "compile" not in arm.arguments)]
    return chosen if chosen[0].is_before else [ARMS[0], *chosen]
