"""The list of keys and their effects: those of an action set, then those of the window."""

from __future__ import annotations

from collections.abc import Collection

from infrope_env.control.actions import ActionSet
from infrope_env.control.key_names import WINDOW_COMMANDS, WindowCommand


def list_bindings(action_set: ActionSet) -> tuple[tuple[str, str], ...]:
    """Return (keys, effect) for every action that has a key, then for every command of the window."""
    actions = [
        ("/".join(action.keys), action.name.replace("_", " ").replace("cut ", "cut to "))
        for action in action_set.actions
        if action.keys
    ]
    bound = {key for keys in action_set.keys_to_action() for key in keys}
    commands = [(_label(command, bound), command.effect) for command in WINDOW_COMMANDS]
    return (*actions, *((label, effect) for label, effect in commands if label))


def format_bindings(action_set: ActionSet) -> str:
    """Return the bindings as lines for a terminal."""
    bindings = list_bindings(action_set)
    width = max(len(keys) for keys, _ in bindings)
    return "\n".join(f"  {keys:<{width}}  {effect}" for keys, effect in bindings)


def _label(command: WindowCommand, bound: Collection[str]) -> str:
    """Return the keys of a command as help and overlay show them."""
    also = next((key.title() for key in command.also if key not in bound), None)
    return "/".join(label for label in (also, command.label) if label)
