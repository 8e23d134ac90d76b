"""The action that changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def idle_action(info: Mapping[str, Any], action_names: Sequence[str]) -> int:
    """Return the action of a player who presses nothing: 0, or the motion in force under a free prompt.

    Another motion would replace the free prompt (`info["free_prompt"]`); asking for the motion in force keeps it.
    """
    return action_names.index(info["motion"]) if info["free_prompt"] else 0
