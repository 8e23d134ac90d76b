"""Names of keys as action sets write them, and the keys that the window reserves for its own commands."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

MODIFIERS = ("shift", "ctrl", "alt", "meta")


@dataclass(frozen=True)
class WindowCommand:
    """A command of the window; action sets cannot bind its keys.

    Attributes:
        name: Identifier, for example "save".
        keys: Names of the keys that trigger it, lower case.
        label: The key as help and overlay show it; empty without reserved keys.
        effect: What it does, in a few words.
        also: Names of further keys that trigger it, unless the action set binds them.
    """

    name: str
    keys: tuple[str, ...]
    label: str
    effect: str
    also: tuple[str, ...] = ()


WINDOW_COMMANDS = (
    WindowCommand("new_world", ("return", "enter"), "Enter", "new world"),
    WindowCommand("pause", (".", "period"), ".", "pause", also=("p", "pause", "break")),
    WindowCommand("single_step", ("n",), "N", "one block while paused"),
    WindowCommand("save", ("f5",), "F5", "save"),
    WindowCommand("restore", ("f9",), "F9", "restore"),
    WindowCommand("rewind", (), "", "back one block", also=("backspace",)),
    WindowCommand("type_prompt", ("t",), "T", "type a prompt"),
    WindowCommand("inspector", (), "", "what the model sees", also=("i",)),
    WindowCommand("overlay", ("h",), "H", "overlay"),
    WindowCommand("fullscreen", (), "", "fullscreen", also=("f11",)),
    WindowCommand("quit", ("escape", "esc"), "Esc", "quit"),
)
RESERVED_KEYS = frozenset(key for command in WINDOW_COMMANDS for key in command.keys)


def command_keys(bound: Collection[str]) -> dict[str, str]:
    """Return the name of the window's command that each key triggers.

    Args:
        bound: Names of the keys that the action set binds; it cannot bind reserved ones.
    """
    reserved = {key: command.name for command in WINDOW_COMMANDS for key in command.keys}
    return reserved | {key: command.name for command in WINDOW_COMMANDS for key in command.also if key not in bound}


def key_name(pygame_name: str) -> str:
    """Return the action-set name of a key, given pygame's: "left shift" is "shift", "[1]" (keypad) is "1"."""
    name = pygame_name.lower()
    if name.startswith("[") and name.endswith("]"):
        return name[1:-1]
    side, _, key = name.partition(" ")
    return key if side in ("left", "right") and key in MODIFIERS else name
