"""Which key does what, in words, and what keys are called. Imports neither pygame nor the engine."""

from __future__ import annotations

from infrope_env.control.actions import ActionSet

COMMANDS = (
    ("Enter", "new world"),
    (".", "pause"),
    ("N", "one block while paused"),
    ("F5", "save"),
    ("F9", "restore"),
    ("T", "type a prompt"),
    ("H", "overlay"),
    ("Esc", "quit"),
)
"""The window's own keys; action sets may not bind them."""

SIDED = ("shift", "ctrl", "alt", "meta")


def listed(action_set: ActionSet) -> tuple[tuple[str, str], ...]:
    """(keys, what they do) for every action with a key, then for every command."""
    bound = [("/".join(action.keys), _says(action.name)) for action in action_set.actions if action.keys]
    return (*bound, *COMMANDS)


def as_text(action_set: ActionSet) -> str:
    """The same as lines for a terminal."""
    pairs = listed(action_set)
    width = max(len(keys) for keys, _ in pairs)
    return "\n".join(f"  {keys:<{width}}  {does}" for keys, does in pairs)


def key_name(pygame_name: str) -> str:
    """What action sets call a key that pygame calls so: "left shift" is "shift", "[1]" on the number pad is "1"."""
    name = pygame_name.lower()
    if name.startswith("[") and name.endswith("]"):
        return name[1:-1]
    side, _, key = name.partition(" ")
    return key if side in ("left", "right") and key in SIDED else name


def _says(action: str) -> str:
    return action.replace("_", " ").replace("cut ", "cut to ")
