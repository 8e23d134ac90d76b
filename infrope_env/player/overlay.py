"""What is written over the picture: what is in force, what became of every key, which keys there are.

Draws on the window's surface, after the picture was scaled: pixel frames, and so recordings, never see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pygame

Colour = tuple[int, int, int]
Span = tuple[str, Colour]
Line = Sequence[Span]

BRIGHT: Colour = (245, 245, 240)
DIM: Colour = (170, 174, 180)
KEY: Colour = (255, 214, 120)
WARNING: Colour = (255, 150, 120)
TRANSITIONS: dict[str, Colour] = {"switch": (130, 200, 255), "cut": (255, 170, 90)}
PANEL_ALPHA = 170
RECEIPT_S = 4.0
NOTICE_S = 5.0
FADE_S = 1.0
RECEIPTS_SHOWN = 6


@dataclass(frozen=True)
class KeyReceipt:
    """One key press in words; times in seconds on the clock that `draw` is given."""

    key: str
    action: str
    pressed_s: float
    block: int | None = None
    shown_s: float | None = None


@dataclass(frozen=True)
class Readout:
    """All that the overlay says at one moment.

    Attributes:
        transition: into the block on show.
        fps: pixel frames really shown per second.
        receipts: oldest first.
        notice: an answer to a command, such as "saved at block 12", said at `notice_s`.
        typed: the text line while a prompt is being typed, else None.
        bindings: (keys, what they do) pairs.
    """

    prompt: str = ""
    transition: str = ""
    block: int = 0
    fps: float = 0.0
    paused: bool = False
    receipts: tuple[KeyReceipt, ...] = ()
    notice: str = ""
    notice_s: float = 0.0
    typed: str | None = None
    bindings: tuple[tuple[str, str], ...] = ()


class Overlay:
    """Draws readouts. Belongs to one window: fonts do not outlive a closed display."""

    def __init__(self) -> None:
        self._pens: dict[int, Pen] = {}

    def draw(self, surface: pygame.Surface, readout: Readout, now: float) -> None:
        """Write everything; `now` in seconds decides how far receipts and the notice have faded."""
        pen = self._pen(surface)
        margin, height = pen.size // 2, surface.get_height()
        width = surface.get_width() - 4 * margin
        status = pen.panel(_status(readout, pen, width))
        surface.blit(status, (margin, margin))
        _draw_receipts(surface, pen, readout.receipts, now, margin * 2 + status.get_height())
        bottom = height - margin
        if readout.bindings:
            pairs: list[Line] = [[(keys, KEY), (f" {does}", DIM)] for keys, does in readout.bindings]
            bar = pen.panel(pen.flow(pairs, width, ("    ", DIM)))
            bottom -= bar.get_height()
            surface.blit(bar, (margin, bottom))
            bottom -= margin
        _draw_essentials(surface, pen, readout, now, bottom)

    def draw_essentials(self, surface: pygame.Surface, readout: Readout, now: float) -> None:
        """Write only what has to be seen with the overlay off as well: the text line and the notice."""
        pen = self._pen(surface)
        _draw_essentials(surface, pen, readout, now, surface.get_height() - pen.size // 2)

    def _pen(self, surface: pygame.Surface) -> Pen:
        size = min(22, max(12, surface.get_width() // 60))
        if size not in self._pens:
            self._pens[size] = Pen(size)
        return self._pens[size]


class Pen:
    """Sets lines of coloured text at one size, in pixels."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._font = pygame.font.Font(None, size + 4)  # the built-in face is small for its size

    def width(self, line: Line) -> int:
        """Of a line, in pixels."""
        return sum(self._font.size(text)[0] for text, _ in line)

    def words(self, line: Line, width: int) -> list[Line]:
        """Break a line between words so that each part fits `width`."""
        return self.flow([[(word, colour)] for text, colour in line for word in text.split()], width, (" ", DIM))

    def flow(self, parts: Sequence[Line], width: int, gap: Span) -> list[Line]:
        """Lay parts out in as many lines as `width` needs, never breaking a part."""
        lines: list[list[Span]] = [[]]
        for part in parts:
            longer = [*lines[-1], gap, *part] if lines[-1] else [*part]
            if lines[-1] and self.width(longer) > width:
                lines.append([*part])
            else:
                lines[-1] = longer
        return list(lines)

    def panel(self, lines: Sequence[Line]) -> pygame.Surface:
        """Lines of text on a translucent rounded rectangle."""
        padding, step = self.size // 2, round(self.size * 1.25)
        width = max(self.width(line) for line in lines) + 2 * padding
        panel = pygame.Surface((width, len(lines) * step + padding), pygame.SRCALPHA)
        pygame.draw.rect(panel, (0, 0, 0, PANEL_ALPHA), panel.get_rect(), border_radius=padding)
        for row, line in enumerate(lines):
            left = padding
            for text, colour in line:
                left += panel.blit(self._font.render(text, True, colour), (left, padding // 2 + row * step + 1)).width
        return panel


def _status(readout: Readout, pen: Pen, width: int) -> list[Line]:
    said = readout.transition
    facts: list[Span] = [
        (f"block {readout.block}", BRIGHT),
        (f"   {said}", TRANSITIONS.get(said, DIM)),
        (f"   {readout.fps:.1f} fps", DIM),
    ]
    if readout.paused:
        facts.append(("   paused", KEY))
    return [*pen.words([(readout.prompt, BRIGHT)], width), facts]


def _draw_receipts(surface: pygame.Surface, pen: Pen, receipts: Sequence[KeyReceipt], now: float, top: int) -> None:
    """The newest receipts below the status, each in a panel of its own, so that it can fade by itself."""
    visible = [receipt for receipt in receipts if _alpha(receipt.shown_s, now, RECEIPT_S) > 0]
    for receipt in visible[-RECEIPTS_SHOWN:]:
        panel = pen.panel([_receipt(receipt)])
        panel.set_alpha(_alpha(receipt.shown_s, now, RECEIPT_S))
        surface.blit(panel, (pen.size // 2, top))
        top += panel.get_height() + pen.size // 4


def _receipt(receipt: KeyReceipt) -> Line:
    spans: list[Span] = [(receipt.key, KEY), (f"  {receipt.action}", BRIGHT)]
    if receipt.block is None:
        return [*spans, ("  waits", DIM)]
    if receipt.shown_s is None:
        return [*spans, (f"  in block {receipt.block}", DIM)]
    return [*spans, (f"  block {receipt.block}  {1000 * (receipt.shown_s - receipt.pressed_s):.0f} ms", DIM)]


def _draw_essentials(surface: pygame.Surface, pen: Pen, readout: Readout, now: float, bottom: int) -> None:
    margin = pen.size // 2
    lines: list[Line] = []
    if readout.notice and _alpha(readout.notice_s, now, NOTICE_S):
        lines += pen.words([(readout.notice, WARNING)], surface.get_width() - 4 * margin)
    if readout.typed is not None:
        lines += _text_line(readout.typed, now)
    if lines:
        panel = pen.panel(lines)
        surface.blit(panel, (margin, bottom - panel.get_height()))


def _text_line(typed: str, now: float) -> list[Line]:
    cursor = "|" if now % 1 < 0.5 else " "
    return [
        [("prompt  ", KEY), (typed + cursor, BRIGHT)],
        [("Enter sets it    Shift+Enter cuts to it    Esc leaves", DIM)],
    ]


def _alpha(since_s: float | None, now: float, lasts_s: float) -> int:
    """255 while fresh (or not shown at all yet), falling to 0 in the last FADE_S of `lasts_s`."""
    if since_s is None:
        return 255
    left_s = since_s + lasts_s - now
    return int(255 * min(1.0, max(0.0, left_s / FADE_S)))
