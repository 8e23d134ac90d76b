"""pygame's code of a key by its name in action sets. Imports pygame on the first use only."""

from __future__ import annotations

LEFT_KEYS = {"shift": "LSHIFT", "ctrl": "LCTRL", "alt": "LALT", "meta": "LMETA"}


def key_code(name: str) -> int:
    """Return pygame's code of a key: "d" is 100, "page up" is `pygame.K_PAGEUP`, "shift" is the left one.

    Raises:
        ValueError: pygame has no such key.
    """
    if len(name) == 1:
        return ord(name)
    import pygame

    code = getattr(pygame, f"K_{LEFT_KEYS.get(name, name.upper().replace(' ', ''))}", None)
    if code is None:
        raise ValueError(f"There is no key named {name!r}; expected one such as 'd', 'right', 'space' or 'f1'.")
    return int(code)
