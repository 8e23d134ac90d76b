"""A font that has the letters of a text."""

from __future__ import annotations

from functools import cached_property

import pygame

INSTALLED = (
    "notosans", "dejavusans", "notosanscjksc", "notosanscjkjp", "notosanscjkkr", "droidsansfallback", "wenquanyizenhei",
    "microsoftyahei", "malgungothic", "yugothic", "segoeui", "segoeuisymbol", "segoeuiemoji", "pingfangsc",
    "applesdgothicneo", "hiraginosans", "arialunicodems", "notosansdevanagari", "notosansarabic", "notosansthai",
    "nirmalaui", "leelawadeeui", "unifont", "freesans", "freeserif", "notosanssymbols2", "notoemoji", "symbola",
)  # fmt: skip
"""Fonts of Linux, Windows and macOS by pygame's names, tried in this order for letters that pygame's own font lacks."""
NO_LETTER = "\U0010ffff"  # a code point that no font may have: it is drawn as the sign for a missing letter


class Fonts:
    """pygame's own font in one size, and installed fonts for the letters that it lacks."""

    def __init__(self, size: int) -> None:
        """Load pygame's own font.

        Args:
            size: Height in pixels.
        """
        self._size = size
        self._own = Font(pygame.font.Font(None, size))
        self._by_letter: dict[str, Font | None] = {}  # None: no font has it

    def runs(self, text: str) -> list[tuple[pygame.font.Font, str]]:
        """Split a text into parts with the font of each: the first that has its letters, or else pygame's own."""
        runs: list[tuple[pygame.font.Font, str]] = []
        for letter in text:
            font = (self._font_of(letter) or self._own).font
            if runs and runs[-1][0] is font:
                runs[-1] = font, runs[-1][1] + letter
            else:
                runs.append((font, letter))
        return runs

    def missing_letters(self, text: str) -> str:
        """Return the letters of the text that no font has, in order and each once."""
        return "".join(letter for letter in dict.fromkeys(text) if self._font_of(letter) is None)

    def _font_of(self, letter: str) -> Font | None:
        if letter not in self._by_letter:
            fonts = (self._own,) if self._own.has(letter) else self._installed
            self._by_letter[letter] = next((font for font in fonts if font.has(letter)), None)
        return self._by_letter[letter]

    @cached_property
    def _installed(self) -> tuple[Font, ...]:
        paths = [path for name in INSTALLED if (path := pygame.font.match_font(name))]
        return tuple(Font(pygame.font.Font(path, round(0.8 * self._size))) for path in dict.fromkeys(paths))


class Font:
    """A font that knows which letters it has."""

    def __init__(self, font: pygame.font.Font) -> None:
        self.font = font
        self._known: dict[str, bool] = {" ": True}

    def has(self, letter: str) -> bool:
        """Return whether the font has a letter: whether it is drawn otherwise than a missing one."""
        if letter not in self._known:
            self._known[letter] = self._pixels(letter) != self._no_letter
        return self._known[letter]

    @cached_property
    def _no_letter(self) -> bytes:
        return self._pixels(NO_LETTER)

    def _pixels(self, letter: str) -> bytes:
        surface = self.font.render(letter, False, (255, 255, 255), (0, 0, 0))
        return bytes(surface.get_width().to_bytes(4, "little") + pygame.image.tobytes(surface, "RGB"))
