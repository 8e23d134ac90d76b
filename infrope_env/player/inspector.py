"""The inspector: a strip of the frames that the block on show saw, at their temporal coordinates, over the picture.

Below a picture of each frame stand its coordinate and its attention mass. A mark divides coordinates that do not follow
each other, as behind a RoPE Cut; frames that a KV Flush dropped are crossed out.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pygame

from infrope_env.control.frames import Frames
from infrope_env.player.inspection import Cell, Inspection, Kind
from infrope_env.player.text import BRIGHT, DIM, KEY, TRANSITIONS, WARNING, Colour, Line, TextRenderer, text_size

COLOURS: dict[Kind, Colour] = {
    "sink": KEY,
    "memory": (200, 170, 255),
    "context": (120, 210, 180),
    "block": BRIGHT,
    "dropped": WARNING,
}
EMPTY: Colour = (45, 47, 52)
FULL_BAR = 0.5
"""Attention mass at which a bar has its full height."""
STRIP_ALPHA = 205
HEADER = 8.5
"""Width of the column with the names of the rows, in sizes of the text."""
SMALLEST = (200, 160)
"""Width and height in pixels below which a window has no room for the strip."""


class Inspector:
    """The strip of one window; its fonts become invalid when the display closes."""

    def __init__(self) -> None:
        self._renderers: dict[int, TextRenderer] = {}  # by text size
        self._drawn: tuple[Inspection | None, tuple[int, int], pygame.Surface] | None = None

    def draw(self, surface: pygame.Surface, inspection: Inspection | None) -> int:
        """Draw the strip at the bottom of a window's surface.

        Args:
            surface: Surface of the window.
            inspection: What the block on show saw; None if that is not known.

        Returns:
            Height above the strip, in pixels.
        """
        size, height = surface.get_size(), surface.get_height()
        if size[0] < SMALLEST[0] or height < SMALLEST[1]:
            return height
        if self._drawn is None or self._drawn[0] is not inspection or self._drawn[1] != size:
            self._drawn = inspection, size, self._panel(surface, inspection)
        panel, margin = self._drawn[2], text_size(surface) // 2
        top = height - margin - panel.get_height()
        surface.blit(panel, (margin, top))
        return top

    def _panel(self, surface: pygame.Surface, inspection: Inspection | None) -> pygame.Surface:
        text = self._renderers.setdefault(text_size(surface), TextRenderer(text_size(surface)))
        width = surface.get_width() - 2 * (text.size // 2)
        if inspection is None:
            return text.panel([[("What this block saw is not known.", DIM)]])
        return StripPanel(inspection, text, width, surface.get_height() // 6).draw()


class StripPanel:
    """Layout and drawing of one strip."""

    def __init__(self, inspection: Inspection, text: TextRenderer, width: int, most_height: int) -> None:
        """Lay the strip out.

        Args:
            inspection: What the block saw.
            text: Renderer of its text.
            width: Width of the panel in pixels.
            most_height: Height of a picture in pixels, at most.
        """
        self._inspection, self._cells, self._text = inspection, inspection.cells, text
        self._width, self._padding = width, text.size // 2
        self._left = self._padding + round(HEADER * text.size)
        self._gap, self._jump = text.size // 2, 2 * text.size
        picture = inspection.thumbnails[self._cells[-1].frame]
        gaps = sum(self._gap_before(cell) for cell in self._cells[1:])
        room = (width - self._left - self._padding - gaps) // len(self._cells)
        self._cell = max(4, min(room, most_height * picture.shape[1] // picture.shape[0]))
        self._picture_height = max(3, self._cell * picture.shape[0] // picture.shape[1])
        self._bar_height = 2 * text.size
        self._top = self._padding // 2  # of the row of captions
        self._pictures = self._top + text.step
        self._axis = self._pictures + self._picture_height + 2
        self._bars = self._axis + text.step + 2
        self._numbers = self._bars + self._bar_height
        self.height = self._numbers + text.step + self._padding // 2

    def draw(self) -> pygame.Surface:
        """Return the panel."""
        panel = self._text.background(self._width, self.height, STRIP_ALPHA)
        self._draw_header(panel)
        for cell, left, jump_left in self._places():
            self._draw_picture(panel, cell, left)
            if cell.coordinate is not None:
                colour = TRANSITIONS["cut"] if cell.jump else BRIGHT
                self._centre(panel, str(cell.coordinate), colour, left, self._axis)
                self._draw_mass(panel, cell, left)
            if cell.jump:
                self._centre(panel, "//", TRANSITIONS["cut"], jump_left, self._axis, self._jump)
        self._draw_captions(panel)
        return panel

    def _gap_before(self, cell: Cell) -> int:
        return self._jump if cell.jump else self._gap

    def _places(self) -> Iterator[tuple[Cell, int, int]]:
        """Yield every cell, its left edge, and the left edge of the gap before it."""
        left = self._left
        for index, cell in enumerate(self._cells):
            gap = self._gap_before(cell) if index else 0
            yield cell, left + gap, left
            left += gap + self._cell

    def _draw_header(self, panel: pygame.Surface) -> None:
        inspection, text = self._inspection, self._text
        name = inspection.transition
        flush = "KV Flush" if any(cell.kind == "dropped" for cell in self._cells) else ""
        cut = "RoPE Cut" if name == "cut" else ""
        lines: list[Line] = [
            [(f"block {inspection.block}", BRIGHT)],
            [(name, TRANSITIONS.get(name, DIM))],
            *[[(idea, TRANSITIONS.get(name, DIM))] for idea in (cut, flush) if idea],
        ]
        room = (self._axis - self._pictures) // text.step
        for row, line in enumerate([lines[0], *lines[1:][: max(0, room)]]):
            text.draw(panel, line, self._padding, self._top + row * text.step)
        text.draw(panel, [("coordinate", DIM)], self._padding, self._axis)
        text.draw(panel, [("attention mass", DIM)], self._padding, self._bars)
        if inspection.is_measured:
            text.draw(panel, [("line: equal share", DIM)], self._padding, self._bars + text.step)
        else:
            text.draw(panel, [("not measured for this block", DIM)], self._left, self._bars)

    def _draw_captions(self, panel: pygame.Surface) -> None:
        """Draw the name of every group of frames above its first one, where it fits."""
        places = list(self._places())
        first = [i for i, (cell, _, _) in enumerate(places) if not i or places[i - 1][0].kind != cell.kind]
        for index, following in pairwise([*first, len(places)]):
            cell, left, _ = places[index]
            right = places[following][1] if following < len(places) else self._width
            caption = f"block {self._inspection.block}, its own frames" if cell.kind == "block" else cell.kind
            line: Line = [(caption, COLOURS[cell.kind])]
            if self._text.width(line) <= right - left:
                self._text.draw(panel, line, left, self._top)

    def _draw_picture(self, panel: pygame.Surface, cell: Cell, left: int) -> None:
        rect = pygame.Rect(left, self._pictures, self._cell, self._picture_height)
        if (picture := self._inspection.thumbnails.get(cell.frame)) is None:
            pygame.draw.rect(panel, EMPTY, rect)
        else:
            panel.blit(_scaled(picture, rect.size, faded=cell.kind == "dropped"), rect)
        if cell.kind == "dropped":
            pygame.draw.line(panel, WARNING, rect.topleft, (rect.right - 1, rect.bottom - 1), 2)
            pygame.draw.line(panel, WARNING, (rect.left, rect.bottom - 1), (rect.right - 1, rect.top), 2)
        pygame.draw.rect(panel, COLOURS[cell.kind], rect.inflate(2, 2), 1)
        label: Line = [(str(cell.frame), BRIGHT)]
        width, step = self._text.width(label) + self._padding, self._text.step
        if cell.frame >= 0 and width <= rect.width and step <= rect.height // 2:
            panel.fill((0, 0, 0), (rect.left, rect.bottom - step + 2, width, step - 2))
            self._text.draw(panel, label, rect.left + self._padding // 2, rect.bottom - step + 1)

    def _draw_mass(self, panel: pygame.Surface, cell: Cell, left: int) -> None:
        """Draw the bar of a frame, the mark of an equal share, and the mass in percent."""
        if cell.mass is None:
            return
        bar = pygame.Rect(left, self._bars, self._cell, self._bar_height)
        pygame.draw.rect(panel, EMPTY, bar)
        height = round(bar.height * min(1.0, cell.mass / FULL_BAR))
        pygame.draw.rect(panel, COLOURS[cell.kind], (bar.left, bar.bottom - height, bar.width, height))
        equal = bar.bottom - round(bar.height * min(1.0, 1 / len(self._inspection.visible) / FULL_BAR))
        pygame.draw.line(panel, (0, 0, 0), (bar.left, equal), (bar.right - 1, equal))
        pygame.draw.line(panel, DIM, (bar.left, equal - 1), (bar.right - 1, equal - 1))
        self._centre(panel, f"{100 * cell.mass:.0f} %", COLOURS[cell.kind], left, self._numbers)

    def _centre(
        self, panel: pygame.Surface, text: str, colour: Colour, left: int, top: int, width: int | None = None
    ) -> None:
        """Draw a text in the middle of a cell, or of `width` pixels, if it fits."""
        room, needed = width or self._cell, self._text.width([(text, colour)])
        if needed <= room:
            self._text.draw(panel, [(text, colour)], left + (room - needed) // 2, top)


def _scaled(picture: Frames, size: tuple[int, int], faded: bool) -> pygame.Surface:
    """Return a picture, H W 3, at a size of width and height; a faded one is dark."""
    height, width = picture.shape[:2]
    surface = pygame.image.frombuffer(picture.tobytes(), (width, height), "RGB")
    scaled = pygame.transform.smoothscale(surface, size)
    if faded:
        scaled.fill((90, 90, 90), special_flags=pygame.BLEND_RGB_MULT)
    return scaled
