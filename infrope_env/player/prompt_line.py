"""The line in which a prompt is typed: text, caret, and the keys that edit it."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

import pygame

MAX_CHARACTERS = 2000
CONTROLS = ("Cc", "Cs", "Zl", "Zp")  # Unicode's categories of control characters, lone surrogates and line breaks
REPEAT_DELAY_S, REPEAT_S = 0.4, 0.04  # a held editing key acts again after the delay, then at this period
SHORTCUT = pygame.KMOD_CTRL | pygame.KMOD_META


class PromptLine:
    """A prompt that is being typed.

    Attributes:
        text: The text so far.
        caret: Index in the text before which typed text is inserted.
        waiting: Whether the text was submitted and is being encoded; keys then change nothing.
        refusal: Why the text that was submitted last was refused; empty otherwise.
        is_open: Whether the line is still in use.
    """

    def __init__(self, opener: int | None = None) -> None:
        """Open an empty line.

        Args:
            opener: Code of the key that opened it. While this key stays down, its repeats are not letters.
        """
        self.text = self.refusal = ""
        self.caret = 0
        self.waiting, self.is_open = False, True
        self._opener = opener
        self._mods = 0  # modifiers of the newest key
        self._repeated: tuple[int, float] | None = None  # the editing key that is down, and when it acts again
        self._edits: dict[int, Callable[[], None]] = {
            pygame.K_BACKSPACE: lambda: self._cut(self.caret - 1, self.caret),
            pygame.K_DELETE: lambda: self._cut(self.caret, self.caret + 1),
            pygame.K_LEFT: lambda: self._move(self.caret - 1),
            pygame.K_RIGHT: lambda: self._move(self.caret + 1),
            pygame.K_HOME: lambda: self._move(0),
            pygame.K_END: lambda: self._move(len(self.text)),
        }
        pygame.key.start_text_input()

    def close(self) -> None:
        """Close the line."""
        self.is_open = False
        pygame.key.stop_text_input()

    def type(self, text: str) -> None:
        """Insert typed text, unless it is a repeat of the key that opened the line or comes of a shortcut.

        Ctrl together with Alt is AltGr on Windows and types letters.
        """
        shortcut = self._mods & SHORTCUT and not self._mods & pygame.KMOD_ALT
        if self._opener is None and not shortcut:
            self.insert(text)

    def insert(self, text: str) -> None:
        """Insert text at the caret; line breaks and control characters become spaces."""
        if self.waiting:
            return
        clean = "".join(" " if unicodedata.category(letter) in CONTROLS else letter for letter in text)
        clean = clean[: MAX_CHARACTERS - len(self.text)]
        self.text = self.text[: self.caret] + clean + self.text[self.caret :]
        self.caret += len(clean)

    def press(self, event: pygame.event.Event, now: float) -> None:
        """Edit the text by a key that goes down at `now`, in seconds."""
        self._mods = event.mod
        if event.key != self._opener:
            self._opener = None
        key = _without_numlock(event)
        self._repeated = (key, now + REPEAT_DELAY_S) if key in self._edits else None
        if key in self._edits:
            self._edit(key)
        elif (key == pygame.K_v and event.mod & SHORTCUT) or (key == pygame.K_INSERT and event.mod & pygame.KMOD_SHIFT):
            self.insert(pygame.scrap.get_text().strip())

    def release(self, event: pygame.event.Event) -> None:
        """Register that a key goes up."""
        self._mods = event.mod
        if event.key == self._opener:
            self._opener = None
        if self._repeated is not None and _without_numlock(event) == self._repeated[0]:
            self._repeated = None

    def release_all(self) -> None:
        """Register that the window lost the focus."""
        self._opener = self._repeated = None
        self._mods = 0

    def repeat(self, now: float) -> None:
        """Let the editing key that is down act again if it is due at `now`, in seconds."""
        if self._repeated is not None and now >= self._repeated[1]:
            key, due_s = self._repeated
            self._repeated = key, max(due_s + REPEAT_S, now - REPEAT_S)
            self._edit(key)

    def _edit(self, key: int) -> None:
        if not self.waiting:
            self._edits[key]()

    def _move(self, caret: int) -> None:
        self.caret = min(max(caret, 0), len(self.text))

    def _cut(self, start: int, end: int) -> None:
        """Remove the text between two indices, of which the first may be -1."""
        if start >= 0:
            self.text = self.text[:start] + self.text[end:]
            self.caret = start


def _without_numlock(event: pygame.event.Event) -> int:
    """Return the code of a key; on a keypad without NumLock, that of the editing key that it is."""
    keypad = {
        pygame.K_KP4: pygame.K_LEFT, pygame.K_KP6: pygame.K_RIGHT, pygame.K_KP7: pygame.K_HOME,
        pygame.K_KP1: pygame.K_END, pygame.K_KP_PERIOD: pygame.K_DELETE,
    }  # fmt: skip
    return int(event.key if event.mod & pygame.KMOD_NUM else keypad.get(event.key, event.key))
