"""The action that changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def idle_action(info: Mapping[str, Any], action_names: Sequence[str]) -> int:
    """Return the action to take while no key is pressed: 0, or under a free prompt the motion in force.

    Another motion would replace the free prompt; the motion in force keeps it.

    Args:
        info: Info of the newest block. A prompt that was set since is not in it yet: pass
            `info | {"free_prompt": True}` for the block that is to show it.
        action_names: Name of every action, by index.
    """
    return action_names.index(info["motion"]) if info["free_prompt"] else 0
