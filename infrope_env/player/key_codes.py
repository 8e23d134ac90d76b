"""Key names, as action sets write them, to pygame's key codes. Imports pygame only when asked."""

from __future__ import annotations

LEFT_ONES = {"shift": "LSHIFT", "ctrl": "LCTRL", "alt": "LALT", "meta": "LMETA"}


def key_code(name: str) -> int:
    """The key code of a name: "d" is 100, "page up" is pygame.K_PAGEUP; of "shift" and its like the left one.

    Raises:
        ValueError: pygame has no such key.
    """
    if len(name) == 1:
        return ord(name)
    import pygame

    code = getattr(pygame, f"K_{LEFT_ONES.get(name, name.upper().replace(' ', ''))}", None)
    if code is None:
        raise ValueError(f"There is no key named {name!r}; expected one such as 'd', 'right', 'space' or 'f1'.")
    return int(code)
