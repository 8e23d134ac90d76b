"""Names of the physical keys that go down and up, whatever the layout of the keyboard and NumLock are.

A key has the name that its layout gives it. Where the layout lacks a bound letter or sign (a Russian layout has no "d",
a French one has "." on Shift only), the key at its place on a US keyboard has that name. A key that goes up has the
name with which it went down, also when the layout, NumLock or a modifier has changed since.
"""

from __future__ import annotations

import string
from collections.abc import Collection

import pygame

from infrope_env.control.key_names import key_name

KEYPAD_WITHOUT_NUMLOCK = {
    pygame.KSCAN_KP_0: "insert", pygame.KSCAN_KP_1: "end", pygame.KSCAN_KP_2: "down", pygame.KSCAN_KP_3: "page down",
    pygame.KSCAN_KP_4: "left", pygame.KSCAN_KP_5: "clear", pygame.KSCAN_KP_6: "right", pygame.KSCAN_KP_7: "home",
    pygame.KSCAN_KP_8: "up", pygame.KSCAN_KP_9: "page up", pygame.KSCAN_KP_PERIOD: "delete",
}  # fmt: skip
PUNCTUATION = {
    "APOSTROPHE": "'", "BACKSLASH": "\\", "COMMA": ",", "EQUALS": "=", "GRAVE": "`", "LEFTBRACKET": "[", "MINUS": "-",
    "PERIOD": ".", "RIGHTBRACKET": "]", "SEMICOLON": ";", "SLASH": "/",
}  # fmt: skip
US_NAMES = {getattr(pygame, f"KSCAN_{sign.upper()}"): sign for sign in string.ascii_lowercase + string.digits} | {
    getattr(pygame, f"KSCAN_{name}"): sign for name, sign in PUNCTUATION.items()
}
"""Letter, digit or sign of each scancode on a US keyboard."""
_SCANCODES = pygame.key.ScancodeWrapper(range(512))  # type: ignore[arg-type]  # maps key codes in the layout in force


class KeyReader:
    """The physical keys that are down, by scancode."""

    def __init__(self, bound: Collection[str]) -> None:
        """Read keys.

        Args:
            bound: Names of all keys that have an effect.
        """
        self._bound = frozenset(bound)
        self._down: dict[int, str] = {}

    def press(self, event: pygame.event.Event) -> str:
        """Return the name of the key of a KEYDOWN event."""
        name = self._name(event)
        self._down[_physical_key(event)] = name
        return name

    def release(self, event: pygame.event.Event) -> str | None:
        """Return the name with which the key of a KEYUP event went down; None while another key of that name is down.

        It is None as well for a key that went down unseen.
        """
        name = self._down.pop(_physical_key(event), None)
        return None if name in self._down.values() else name

    def release_all(self) -> None:
        """Forget the keys that are down."""
        self._down.clear()

    def is_chord(self, event: pygame.event.Event) -> bool:
        """Return whether Ctrl or Super, which no binding uses, is down with the key: a shortcut of the desktop."""
        held = {"ctrl": event.mod & pygame.KMOD_CTRL, "meta": event.mod & pygame.KMOD_META}
        return any(down and name not in self._bound for name, down in held.items())

    def _name(self, event: pygame.event.Event) -> str:
        scancode = getattr(event, "scancode", 0)
        if scancode in KEYPAD_WITHOUT_NUMLOCK and not event.mod & pygame.KMOD_NUM:
            return KEYPAD_WITHOUT_NUMLOCK[scancode]
        name, us_name = key_name(pygame.key.name(event.key)), US_NAMES.get(scancode)
        if name not in self._bound and us_name in self._bound and us_name and not _SCANCODES[ord(us_name)]:
            return us_name
        return name


def _physical_key(event: pygame.event.Event) -> int:
    """Return the scancode, or where an input tool gives none, the negative key code."""
    return getattr(event, "scancode", 0) or -event.key
