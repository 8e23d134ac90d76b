"""Coloured text in one size: its layout in lines, and panels of it."""

from __future__ import annotations

from collections.abc import Sequence

import pygame

from infrope_env.player.fonts import Fonts

Colour = tuple[int, int, int]
Span = tuple[str, Colour]
Line = Sequence[Span]

BRIGHT: Colour = (245, 245, 240)
DIM: Colour = (170, 174, 180)
KEY: Colour = (255, 214, 120)
WARNING: Colour = (255, 150, 120)
TRANSITIONS: dict[str, Colour] = {"switch": (130, 200, 255), "cut": (255, 170, 90)}
PANEL_ALPHA = 170


def text_size(surface: pygame.Surface) -> int:
    """Return the size of text over a picture on the surface of a window, in pixels."""
    return min(22, max(12, surface.get_width() // 60))


class TextRenderer:
    """Layout and rendering of coloured text in one size.

    Attributes:
        size: Size of the text in pixels, about that of a capital letter with its gap.
        step: Distance of two lines in pixels.
    """

    def __init__(self, size: int) -> None:
        self.size, self.step = size, round(size * 1.25)
        self._fonts = Fonts(size + 4)  # the built-in face is small for its size

    def width(self, line: Line) -> int:
        """Return the width of a line in pixels."""
        return sum(font.size(part)[0] for text, _ in line for font, part in self._fonts.runs(text))

    def missing_letters(self, text: str) -> str:
        """Return the letters of a text that no font here has."""
        return self._fonts.missing_letters(text)

    def wrap(self, line: Line, width: int) -> list[Line]:
        """Break a line between words, and words that are too long, into lines of at most `width` pixels."""
        words = [(word, colour) for text, colour in line for word in text.split()]
        parts = [[(part, colour)] for word, colour in words for part in self._break(word, width)]
        return self.flow(parts, width, (" ", DIM))

    def scroll(self, text: str, caret: int, width: int) -> tuple[str, str]:
        """Return what is shown of a text before and after its caret, so that both fit into `width` pixels."""
        start, end = 0, len(text)
        while True:
            before = ("..." if start else "") + text[start:caret]
            after = text[caret:end] + ("..." if end < len(text) else "")
            excess = self.width([(before, BRIGHT), ("|", BRIGHT), (after, BRIGHT)]) - width
            if excess <= 0 or (start >= caret and end <= caret):
                return before, after
            letters = 1 + excess // (2 * self.size)
            if end - caret > (caret - start) // 3:  # a quarter of the line shows what follows the caret
                end = max(caret, end - letters)
            else:
                start = min(caret, start + letters)

    def _break(self, word: str, width: int) -> list[str]:
        """Return the parts of a word that each fit into `width` pixels."""
        parts = [""]
        for letter in word if self.width([(word, DIM)]) > width else ():
            if parts[-1] and self.width([(parts[-1] + letter, DIM)]) > width:
                parts.append("")
            parts[-1] += letter
        return parts if parts[-1] else [word]

    def flow(self, parts: Sequence[Line], width: int, gap: Span) -> list[Line]:
        """Arrange parts, `gap` between them, in lines of at most `width` pixels without breaking a part."""
        lines: list[list[Span]] = [[]]
        for part in parts:
            longer = [*lines[-1], gap, *part] if lines[-1] else [*part]
            if lines[-1] and self.width(longer) > width:
                lines.append([*part])
            else:
                lines[-1] = longer
        return list(lines)

    def panel_height(self, lines: int) -> int:
        """Return the height of a panel in pixels."""
        return lines * self.step + self.size // 2

    def panel(self, lines: Sequence[Line]) -> pygame.Surface:
        """Render lines of text on a translucent rounded rectangle."""
        width = max(self.width(line) for line in lines) + 2 * (self.size // 2)
        panel = self.background(width, self.panel_height(len(lines)))
        for row, line in enumerate(lines):
            self.draw(panel, line, self.size // 2, self.size // 4 + row * self.step)
        return panel

    def background(self, width: int, height: int, alpha: int = PANEL_ALPHA) -> pygame.Surface:
        """Return a translucent rounded rectangle, sizes in pixels."""
        panel = pygame.Surface((width, height), pygame.SRCALPHA)
        pygame.draw.rect(panel, (0, 0, 0, alpha), panel.get_rect(), border_radius=self.size // 2)
        return panel

    def draw(self, surface: pygame.Surface, line: Line, left: int, top: int) -> None:
        """Draw a line of text into the `step` pixels below `top`."""
        for text, colour in line:
            for font, part in self._fonts.runs(text):
                rendered = font.render(part, True, colour)
                left += surface.blit(rendered, (left, top + 1 + (self.step - rendered.get_height()) // 2)).width
