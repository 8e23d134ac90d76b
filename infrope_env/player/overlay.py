"""Text over the picture: the prompt in force, the block that answered each key press, and the list of keys.

It is drawn on the window's surface after the picture was scaled, so pixel frames and recordings never contain it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pygame

from infrope_env.control.keyboard import Receipt
from infrope_env.player.text import BRIGHT, DIM, KEY, TRANSITIONS, WARNING, Line, Span, TextRenderer, text_size

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
        trouble: Why no block comes now; shown as long as it lasts.
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
    trouble: str = ""
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
        stack = _PanelStack(surface, renderer)
        essentials = stack.reserve(_essential_lines(readout, renderer, stack.width, now, stack.lines_left))
        status = stack.reserve(_status(readout, renderer, stack.width, stack.lines_left))
        pairs: list[Line] = [[(keys, KEY), (f" {effect}", DIM)] for keys, effect in readout.bindings]
        bindings = renderer.flow(pairs, stack.width, ("    ", DIM)) if pairs else []
        stack.draw_at_bottom(stack.reserve(bindings if len(bindings) <= stack.lines_left else []))
        stack.draw_at_bottom(essentials)
        stack.draw_at_top(status)
        for receipt, alpha in _visible(readout.receipts, now, stack.receipts_left):
            stack.draw_at_top([_receipt_line(receipt)], alpha)

    def draw_essentials(self, surface: pygame.Surface, readout: Readout, now: float) -> None:
        """Draw only the text line and the notice, which are shown with the overlay off as well."""
        renderer = self._renderer(surface)
        stack = _PanelStack(surface, renderer)
        stack.draw_at_bottom(_essential_lines(readout, renderer, stack.width, now, stack.lines_left))

    def _renderer(self, surface: pygame.Surface) -> TextRenderer:
        size = text_size(surface)
        if size not in self._renderers:
            self._renderers[size] = TextRenderer(size)
        return self._renderers[size]


class _PanelStack:
    """Panels from the top and the bottom of a window, which cover at most half of its height together.

    Attributes:
        width: Width of a line of text at most, in pixels.
        lines_left: Lines that one more panel can have.
        receipts_left: Panels of one line that can be added.
    """

    def __init__(self, surface: pygame.Surface, renderer: TextRenderer) -> None:
        self._surface, self._renderer, self._margin = surface, renderer, renderer.size // 2
        self.width = surface.get_width() - 4 * self._margin
        self._room = surface.get_height() // 2  # pixels of height that may be covered
        self._top, self._bottom = self._margin, surface.get_height() - self._margin

    @property
    def lines_left(self) -> int:
        return max(0, (self._room - self._renderer.panel_height(0)) // self._renderer.step)

    @property
    def receipts_left(self) -> int:
        return max(0, self._room // self._renderer.panel_height(1))

    def reserve(self, lines: list[Line]) -> list[Line]:
        """Count a panel of these lines as covered, and return them."""
        self._room -= self._renderer.panel_height(len(lines)) if lines else 0
        return lines

    def draw_at_bottom(self, lines: list[Line]) -> None:
        """Draw a panel above those at the bottom; none without lines."""
        if lines:
            panel = self._renderer.panel(lines)
            self._bottom -= panel.get_height()
            self._surface.blit(panel, (self._margin, self._bottom))
            self._bottom -= self._margin

    def draw_at_top(self, lines: list[Line], alpha: int = 255) -> None:
        """Draw a panel below those at the top; none without lines."""
        if lines:
            panel = self._renderer.panel(lines)
            panel.set_alpha(alpha)
            self._surface.blit(panel, (self._margin, self._top))
            self._top += panel.get_height() + self._margin // 2


def _status(readout: Readout, renderer: TextRenderer, width: int, most: int) -> list[Line]:
    """Return at most `most` lines: the prompt in force, shortened if need be, and the facts of the block."""
    facts: list[Span] = [
        (f"block {readout.block}", BRIGHT),
        (f"   {readout.transition}", TRANSITIONS.get(readout.transition, DIM)),
        (f"   {readout.fps:.1f} fps", DIM),
    ]
    if readout.paused:
        facts.insert(1, ("   paused", KEY))
    prompt = renderer.wrap([(readout.prompt, BRIGHT)], width)
    shown = prompt[: max(0, most - 1)]
    if shown and len(shown) < len(prompt):
        shown[-1] = [*shown[-1], (" ...", DIM)]
    return [*shown, facts][-most:] if most else []


def _visible(receipts: Sequence[Receipt], now: float, most: int) -> list[tuple[Receipt, int]]:
    """Return the newest receipts and the opacity of each; each has its own panel, so that it fades separately."""
    opacities = [(receipt, _alpha(receipt.shown_s, now, RECEIPT_S)) for receipt in receipts]
    visible = [(receipt, alpha) for receipt, alpha in opacities if alpha > 0]
    most = min(most, RECEIPTS_SHOWN)
    return visible[-most:] if most else []


def _receipt_line(receipt: Receipt) -> Line:
    spans: list[Span] = [("+".join(receipt.keys), KEY), (f"  {receipt.name}", BRIGHT)]
    if receipt.block is None:
        return [*spans, ("  queued", DIM)]
    if receipt.latency_s is None:
        return [*spans, (f"  in block {receipt.block}", DIM)]
    return [*spans, (f"  block {receipt.block}  {1000 * receipt.latency_s:.0f} ms", DIM)]


def _essential_lines(readout: Readout, renderer: TextRenderer, width: int, now: float, most: int) -> list[Line]:
    """Return at most `most` lines: the notice and the prompt being typed, whose text has priority over hints."""
    prompt = [] if readout.typed is None else _prompt_lines(readout, renderer, width, now)
    notice = renderer.wrap([(readout.trouble, WARNING)], width) if readout.trouble else []
    if readout.notice and _alpha(readout.notice_s, now, NOTICE_S):
        notice += renderer.wrap([(readout.notice, WARNING)], width)
    prompt = prompt[: max(1, most - len(notice))]
    return [*notice[: max(0, most - len(prompt))], *prompt][:most]


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
