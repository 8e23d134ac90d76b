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

    def font_for(self, text: str) -> pygame.font.Font:
        """Return the first font that has every letter of the text, or else the one that has the most of them."""
        missing = {letter for letter in text if not self._own.has(letter)}
        if not missing:
            return self._own.font
        fonts = [self._own, *self._installed]
        return max(fonts, key=lambda font: sum(font.has(letter) for letter in set(text))).font

    def missing_letters(self, text: str) -> str:
        """Return the letters of the text that its font lacks, in order and each once."""
        font = self.font_for(text)
        chosen = next(known for known in (self._own, *self._installed) if known.font is font)
        return "".join(letter for letter in dict.fromkeys(text) if not chosen.has(letter))

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
