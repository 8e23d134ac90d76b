"""The action that leaves everything as it is."""

from collections.abc import Mapping, Sequence
from typing import Any


def idle_action(info: Mapping[str, Any], action_names: Sequence[str]) -> int:
    """Return the action that asks for nothing: 0, or, under a typed prompt, the motion in force.

    Any other motion would replace a typed prompt (`info["free_prompt"]`); asking for the motion in force keeps it.
    """
    return action_names.index(info["motion"]) if info["free_prompt"] else 0
