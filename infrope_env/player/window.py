"""A resizable window that shows pixel frames, their aspect kept. Knows neither blocks nor keys."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pygame

PREFERRED_WIDTH = 960  # pixels; a small picture is shown as many whole times larger as fit
BORDER = (12, 12, 14)
INVISIBLE_DRIVERS = ("offscreen", "dummy")

DrawOver = Callable[["pygame.Surface"], None]


class NoDisplay(RuntimeError):
    """A window was asked for and there is nowhere to open it."""

    def __init__(self) -> None:
        super().__init__("no display: set DISPLAY, or run with --headless")


def open_display() -> None:
    """Start the parts of pygame a window needs; not its sound, which fails on servers.

    Raises:
        NoDisplay: there is none. pygame would silently draw into memory; that is kept for SDL_VIDEODRIVER=dummy.
        ImportError: pygame is missing; the sentence says how to install it.
    """
    try:
        import pygame
    except ImportError as error:
        raise ImportError("a window needs pygame: pip install pygame-ce") from error
    wanted = os.environ.get("SDL_VIDEODRIVER", os.environ.get("SDL_VIDEO_DRIVER", ""))
    if sys.platform == "linux" and not (wanted or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise NoDisplay  # without asking SDL, whose drivers complain on stderr by themselves
    try:
        pygame.display.init()
    except pygame.error as error:
        raise NoDisplay from error
    driver = pygame.display.get_driver()
    if driver in INVISIBLE_DRIVERS and wanted != driver:
        pygame.display.quit()
        raise NoDisplay
    pygame.font.init()


class DisplayWindow:
    """Shows pixel frames as large as the window allows, in its middle."""

    def __init__(self, frame_size: tuple[int, int], title: str = "infrope", scale: int | None = None) -> None:
        """Open a window.

        Args:
            frame_size: height and width of the pixel frames.
            title: in its title bar.
            scale: window pixels per frame pixel at first; by default what fills about 960 pixels.

        Raises:
            NoDisplay: there is no display.
        """
        open_display()
        import pygame

        height, width = frame_size
        scale = scale or max(1, PREFERRED_WIDTH // width)
        self._frame_size = frame_size
        pygame.display.set_caption(title)
        self._screen = pygame.display.set_mode((width * scale, height * scale), pygame.RESIZABLE)
        pygame.key.stop_text_input()  # else the key that opens a text line is also its first letter

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the window, in window pixels."""
        return self._screen.get_size()

    @property
    def picture(self) -> tuple[int, int, int, int]:
        """Where the frame is shown: left, top, width, height in window pixels."""
        (height, width), (window_width, window_height) = self._frame_size, self.size
        scale = min(window_width / width, window_height / height)
        shown = max(1, round(width * scale)), max(1, round(height * scale))
        return (window_width - shown[0]) // 2, (window_height - shown[1]) // 2, *shown

    def show(self, frame: NDArray[np.uint8], draw_over: DrawOver | None = None) -> None:
        """Show one pixel frame.

        Args:
            frame: uint8 [H, W, 3]; only read.
            draw_over: draws on the window's surface, over the picture.
        """
        import pygame

        self._screen = pygame.display.get_surface() or self._screen  # resizing replaces it
        left, top, width, height = self.picture
        self._screen.fill(BORDER)
        self._screen.blit(_scaled(frame, (width, height)), (left, top))
        if draw_over is not None:
            draw_over(self._screen)
        pygame.display.flip()

    def play_frames(self, frames: Iterable[NDArray[np.uint8]], fps: float) -> None:
        """Show frames at their pace; returns when the last one has had its time."""
        import pygame

        due = time.monotonic()
        for frame in frames:
            pygame.event.pump()
            self.show(frame)
            due += 1 / fps
            time.sleep(max(0.0, due - time.monotonic()))

    def screenshot(self) -> NDArray[np.uint8]:
        """What the window shows, overlay included: uint8 [height, width, 3] in window pixels."""
        import pygame

        return pygame.surfarray.array3d(self._screen).swapaxes(0, 1).copy()

    def close(self) -> None:
        """Close the window; more than once is fine."""
        import pygame

        pygame.font.quit()
        pygame.display.quit()


def _scaled(frame: NDArray[np.uint8], size: tuple[int, int]) -> pygame.Surface:
    """Whole multiples keep hard pixel edges; another size is smoothed, or some pixels would look wider than others."""
    import pygame

    height, width = frame.shape[:2]
    surface = pygame.image.frombuffer(frame.tobytes(), (width, height), "RGB").convert()
    whole = size[0] % width == 0 and size[1] % height == 0
    return pygame.transform.scale(surface, size) if whole else pygame.transform.smoothscale(surface, size)
