"""Text over the picture: the prompt in force, the block that answered each key press, and the list of keys.

It is drawn on the window's surface after the picture was scaled, so pixel frames and recordings never contain it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pygame

from controllers.keyboard import Receipt
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
PROMPT_HINT = "Enter sets it, Shift+Enter cuts to it, Esc cancels"
RECEIPT_S = 4.0
NOTICE_S = 5.0
FADE_S = 1.0
RECEIPTS_SHOWN = 6


@dataclass(frozen=True)
class Readout:
    """The content of the overlay at one moment.

    Attributes:
        prompt: Prompt of the block on show.
        transition: Transition into the block on show.
        block: Index of the block on show.
        fps: Pixel frames really shown per second.
        paused: Whether play is paused.
        receipts: Receipts of key presses, oldest first.
        notice: The result of a command, such as "saved at block 12".
        notice_s: Time of the notice, in seconds on the clock of the session.
        typed: Text of the prompt being typed; None while no prompt is typed.
        caret: Index in `typed` of the caret; None means its end.
        waiting: Whether that prompt was submitted and is being encoded.
        bindings: Pairs of keys and their effect.
    """

    prompt: str = ""
    transition: str = ""
    block: int = 0
    fps: float = 0.0
    paused: bool = False
    receipts: tuple[Receipt, ...] = ()
    notice: str = ""
    notice_s: float = 0.0
    typed: str | None = None
    caret: int | None = None
    waiting: bool = False
    bindings: tuple[tuple[str, str], ...] = ()


class Overlay:
    """The overlay of one window; its fonts become invalid when the display closes."""

    def __init__(self) -> None:
        self._renderers: dict[int, TextRenderer] = {}  # by text size

    def draw(self, surface: pygame.Surface, readout: Readout, now: float) -> None:
        """Draw everything.

        Args:
            surface: Surface of the window.
            readout: The content.
            now: Time in seconds, which decides how far receipts and the notice have faded.
        """
        renderer = self._renderer(surface)
        margin, height = renderer.size // 2, surface.get_height()
        width = surface.get_width() - 4 * margin
        status = renderer.panel(_status(readout, renderer, width))
        surface.blit(status, (margin, margin))
        _draw_receipts(surface, renderer, readout.receipts, now, top=margin * 2 + status.get_height())
        bottom = height - margin
        if readout.bindings:
            pairs: list[Line] = [[(keys, KEY), (f" {effect}", DIM)] for keys, effect in readout.bindings]
            bar = renderer.panel(renderer.flow(pairs, width, ("    ", DIM)))
            bottom -= bar.get_height()
            surface.blit(bar, (margin, bottom))
            bottom -= margin
        _draw_essentials(surface, renderer, readout, now, bottom)

    def draw_essentials(self, surface: pygame.Surface, readout: Readout, now: float) -> None:
        """Draw only the text line and the notice, which are shown with the overlay off as well."""
        renderer = self._renderer(surface)
        _draw_essentials(surface, renderer, readout, now, surface.get_height() - renderer.size // 2)

    def _renderer(self, surface: pygame.Surface) -> TextRenderer:
        size = min(22, max(12, surface.get_width() // 60))
        if size not in self._renderers:
            self._renderers[size] = TextRenderer(size)
        return self._renderers[size]


class TextRenderer:
    """Layout and rendering of coloured text in one size."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._fonts = Fonts(size + 4)  # the built-in face is small for its size

    def width(self, line: Line) -> int:
        """Return the width of a line in pixels."""
        return sum(self._fonts.font_for(text).size(text)[0] for text, _ in line)

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

    def panel(self, lines: Sequence[Line]) -> pygame.Surface:
        """Render lines of text on a translucent rounded rectangle."""
        padding, step = self.size // 2, round(self.size * 1.25)
        width = max(self.width(line) for line in lines) + 2 * padding
        panel = pygame.Surface((width, len(lines) * step + padding), pygame.SRCALPHA)
        pygame.draw.rect(panel, (0, 0, 0, PANEL_ALPHA), panel.get_rect(), border_radius=padding)
        for row, line in enumerate(lines):
            left = padding
            for text, colour in line:
                rendered = self._fonts.font_for(text).render(text, True, colour)
                baseline = padding // 2 + row * step + 1 + (step - rendered.get_height()) // 2
                left += panel.blit(rendered, (left, baseline)).width
        return panel


def _status(readout: Readout, renderer: TextRenderer, width: int) -> list[Line]:
    facts: list[Span] = [
        (f"block {readout.block}", BRIGHT),
        (f"   {readout.transition}", TRANSITIONS.get(readout.transition, DIM)),
        (f"   {readout.fps:.1f} fps", DIM),
    ]
    if readout.paused:
        facts.append(("   paused", KEY))
    return [*renderer.wrap([(readout.prompt, BRIGHT)], width), facts]


def _draw_receipts(
    surface: pygame.Surface, renderer: TextRenderer, receipts: Sequence[Receipt], now: float, top: int
) -> None:
    """Draw the newest receipts below the status, each in its own panel, so that each fades separately."""
    visible = [receipt for receipt in receipts if _alpha(receipt.shown_s, now, RECEIPT_S) > 0]
    for receipt in visible[-RECEIPTS_SHOWN:]:
        panel = renderer.panel([_receipt_line(receipt)])
        panel.set_alpha(_alpha(receipt.shown_s, now, RECEIPT_S))
        surface.blit(panel, (renderer.size // 2, top))
        top += panel.get_height() + renderer.size // 4


def _receipt_line(receipt: Receipt) -> Line:
    spans: list[Span] = [("+".join(receipt.keys), KEY), (f"  {receipt.name}", BRIGHT)]
    if receipt.block is None:
        return [*spans, ("  queued", DIM)]
    if receipt.latency_s is None:
        return [*spans, (f"  in block {receipt.block}", DIM)]
    return [*spans, (f"  block {receipt.block}  {1000 * receipt.latency_s:.0f} ms", DIM)]


def _draw_essentials(
    surface: pygame.Surface, renderer: TextRenderer, readout: Readout, now: float, bottom: int
) -> None:
    margin = renderer.size // 2
    lines: list[Line] = []
    if readout.notice and _alpha(readout.notice_s, now, NOTICE_S):
        lines += renderer.wrap([(readout.notice, WARNING)], surface.get_width() - 4 * margin)
    if readout.typed is not None:
        lines += _prompt_lines(readout, renderer, surface.get_width() - 4 * margin, now)
    if lines:
        panel = renderer.panel(lines)
        surface.blit(panel, (margin, bottom - panel.get_height()))


def _prompt_lines(readout: Readout, renderer: TextRenderer, width: int, now: float) -> list[Line]:
    typed = readout.typed or ""
    caret = len(typed) if readout.caret is None else readout.caret
    label: Span = ("prompt  ", KEY)
    before, after = renderer.scroll(typed, caret, width - renderer.width([label]))
    colour = DIM if readout.waiting else BRIGHT
    mark = "|" if now % 1 < 0.5 and not readout.waiting else " "
    lines: list[Line] = [[label, (before, colour), (mark, BRIGHT), (after, colour)]]
    hint = "encoding the prompt ..., Esc cancels" if readout.waiting else PROMPT_HINT
    lines += renderer.wrap([(hint, DIM)], width)
    if missing := renderer.missing_letters(typed):
        codes = ", ".join(f"U+{ord(letter):04X}" for letter in missing[:4])
        lines += renderer.wrap([(f"No installed font shows {codes}. The prompt keeps these letters.", WARNING)], width)
    return lines


def _alpha(since_s: float | None, now: float, lasts_s: float) -> int:
    """Return the opacity of a text shown since `since_s`: 255, falling to 0 in the last FADE_S of `lasts_s` seconds.

    A receipt whose block is not on show yet (None) is opaque.
    """
    if since_s is None:
        return 255
    remaining_s = since_s + lasts_s - now
    return int(255 * min(1.0, max(0.0, remaining_s / FADE_S)))
