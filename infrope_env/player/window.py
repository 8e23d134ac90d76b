"""A resizable window that shows pixel frames and keeps their aspect ratio."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from infrope_env.control.frames import Frames

if TYPE_CHECKING:
    import pygame

PREFERRED_WIDTH = 960  # window pixels; a small picture is enlarged by the largest whole number that fits
BORDER = (12, 12, 14)
INVISIBLE_DRIVERS = ("offscreen", "dummy")

DrawOver = Callable[["pygame.Surface"], None]


class NoDisplayError(RuntimeError):
    """There is no display to open a window on."""

    def __init__(self) -> None:
        super().__init__("no display: set DISPLAY, or run with --headless")


def open_display() -> None:
    """Initialize pygame's display and fonts, but not its sound, which fails on servers.

    Raises:
        NoDisplayError: There is no display. pygame would silently draw into memory, which is allowed only with
            SDL_VIDEODRIVER=dummy.
        ImportError: pygame is not installed; the message says how to install it.
    """
    try:
        import pygame
    except ImportError as error:
        raise ImportError("a window needs pygame: pip install pygame-ce") from error
    if not hasattr(pygame, "display"):  # pip uninstall pygame removes the files that pygame-ce shares with it
        raise ImportError("pygame is damaged: pip install --force-reinstall pygame-ce")
    driver_set = os.environ.get("SDL_VIDEODRIVER", os.environ.get("SDL_VIDEO_DRIVER", ""))
    if sys.platform == "linux" and not (driver_set or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise NoDisplayError  # before SDL is initialized, whose drivers print to stderr
    try:
        pygame.display.init()
    except pygame.error as error:
        raise NoDisplayError from error
    driver = pygame.display.get_driver()
    if driver in INVISIBLE_DRIVERS and driver_set != driver:
        pygame.display.quit()
        raise NoDisplayError
    pygame.font.init()


class DisplayWindow:
    """A window that shows pixel frames in its middle, as large as they fit."""

    def __init__(self, frame_size: tuple[int, int], title: str = "infrope", scale: int | None = None) -> None:
        """Open a window.

        Args:
            frame_size: Height and width of the pixel frames.
            title: Text in the title bar.
            scale: Window pixels per frame pixel at first; by default as many as make about 960 pixels of width.

        Raises:
            NoDisplayError: There is no display.
            ImportError: pygame is not installed.
        """
        open_display()
        import pygame

        height, width = frame_size
        scale = scale or max(1, PREFERRED_WIDTH // width)
        self._frame_size = frame_size
        self._fullscreen = False
        pygame.display.set_caption(title)
        self._screen = pygame.display.set_mode((width * scale, height * scale), pygame.RESIZABLE)
        pygame.key.stop_text_input()  # otherwise the key that opens a text line is also its first letter

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width of the pixel frames."""
        return self._frame_size

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in window pixels."""
        return self._screen.get_size()

    @property
    def picture_rect(self) -> tuple[int, int, int, int]:
        """Left, top, width and height of the shown pixel frame, in window pixels."""
        (height, width), (window_width, window_height) = self._frame_size, self.size
        scale = min(window_width / width, window_height / height)
        shown = max(1, round(width * scale)), max(1, round(height * scale))
        return (window_width - shown[0]) // 2, (window_height - shown[1]) // 2, *shown

    def show(self, frame: Frames, draw_over: DrawOver | None = None) -> None:
        """Show one pixel frame.

        Args:
            frame: The image, H W 3 uint8; it is not changed.
            draw_over: Draws on the window's surface, over the picture.
        """
        import pygame

        self._screen = pygame.display.get_surface() or self._screen  # resizing replaces the surface
        left, top, width, height = self.picture_rect
        self._screen.fill(BORDER)
        self._screen.blit(_scale(frame, (width, height)), (left, top))
        if draw_over is not None:
            draw_over(self._screen)
        pygame.display.flip()

    def toggle_fullscreen(self) -> None:
        """Fill the screen, or go back to the window as it was, with its size and place."""
        import pygame

        with warnings.catch_warnings():  # set_mode and toggle_fullscreen would make another window at another place
            warnings.simplefilter("ignore", DeprecationWarning)
            window = pygame.Window.from_display_module()
        if self._fullscreen:
            window.set_windowed()
        else:
            window.set_fullscreen(desktop=True)
        self._fullscreen = not self._fullscreen
        pygame.event.pump()  # resizes the surface

    @property
    def is_open(self) -> bool:
        """Whether the window is there; the program can quit pygame's display without `close`."""
        import pygame

        return pygame.display.get_init() and pygame.display.get_surface() is not None

    def poll_closed(self) -> bool:
        """Let the window react to its events; return whether the player closed it, by its button or Esc.

        All other events stay in pygame's queue, for the program that steps the environment.
        """
        import pygame

        pygame.event.pump()
        escape = pygame.key.get_just_pressed()[pygame.K_ESCAPE]
        return bool(escape or pygame.event.get(pygame.QUIT, pump=False))

    def screenshot(self) -> Frames:
        """Return the content of the window with its overlay: height width 3 uint8, in window pixels."""
        import pygame

        return pygame.surfarray.array3d(self._screen).swapaxes(0, 1).copy()

    def close(self) -> None:
        """Close the window; closing it again does nothing."""
        import pygame

        pygame.font.quit()
        pygame.display.quit()


def _scale(frame: Frames, size: tuple[int, int]) -> pygame.Surface:
    """Scale an image: whole multiples keep hard pixel edges, other sizes are smoothed to keep pixels equally wide."""
    import pygame

    height, width = frame.shape[:2]
    surface = pygame.image.frombuffer(frame.tobytes(), (width, height), "RGB").convert()
    whole = size[0] % width == 0 and size[1] % height == 0
    return pygame.transform.scale(surface, size) if whole else pygame.transform.smoothscale(surface, size)
