"""Rendering of an environment: the newest pixel frame, a list of frames, or a window."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import gymnasium

from infrope_env.control.frames import Frames

if TYPE_CHECKING:
    from infrope_env.env_live import LiveView

Result = TypeVar("Result")

FRAMES_PER_SECOND = 16
RENDER_MODES = ("rgb_array", "rgb_array_list", "human")


def check_render_mode(mode: str | None) -> None:
    """Raise ValueError for a render mode that no environment has."""
    if mode is not None and mode not in RENDER_MODES:
        raise ValueError(f"expected render_mode to be None or one of {', '.join(RENDER_MODES)}, got {mode!r}")


class Renderer:
    """Display of an environment's blocks.

    Attributes:
        window_closed: Whether the player has closed the window in this episode.
    """

    def __init__(self, frame_size: tuple[int, int], title: str) -> None:
        """Show nothing yet.

        Args:
            frame_size: Height and width of a pixel frame.
            title: Text in the title bar of the window.
        """
        self._frame_size, self._title = frame_size, title
        self._blocks_rendered = 0  # as a single frame
        self._newest: Frames | None = None  # observation that was rendered last as a single frame
        self._unrendered: list[Frames] = []
        self._view: LiveView | None = None
        self.window_closed = False

    def begin_episode(self, mode: str | None) -> None:
        """Open the window of "human", also again in an episode that follows one whose window the player closed.

        Raises:
            NoDisplayError: There is no display.
        """
        self.window_closed = False
        self._open(mode)

    def while_shown(self, mode: str | None, make: Callable[[], Result]) -> Result:
        """Return the result of `make`; the window of "human" shows the newest block meanwhile, and to its end."""
        view = self._open(mode)
        if view is None:
            return make()
        try:
            return view.show_during(make)
        finally:
            if view.closed:
                self.window_closed, self._view = True, None

    def add_block(self, frames: Frames, mode: str | None) -> None:
        """Keep the valid frames of a new block for the list, or begin to show them in the window."""
        if mode == "rgb_array_list":
            self._unrendered.append(frames)
        elif (view := self._open(mode)) is not None:
            view.add(frames)

    def _open(self, mode: str | None) -> LiveView | None:
        """Return the window, opened if there is none; None where none is to be open."""
        if mode != "human" or self.window_closed:
            return None
        if self._view is None or not self._view.is_open:
            from infrope_env.env_live import LiveView

            self._view = LiveView(self._frame_size, self._title, FRAMES_PER_SECOND)
        return self._view

    def render(self, observation: Frames, mode: str | None) -> Frames | list[Frames] | None:
        """Return what `InfinityRopeEnv.render` returns when `observation` is the newest block."""
        if mode == "rgb_array":
            self._count_single_frames(observation)
            return observation[-1].copy()
        if mode == "rgb_array_list":
            blocks, self._unrendered = self._unrendered, []
            return [frame.copy() for frames in blocks for frame in frames]
        if mode is None:
            gymnasium.logger.warn("render() shows nothing: the environment was made without a render_mode.")
        return None

    def _count_single_frames(self, observation: Frames) -> None:
        """Warn once, at the second block: a film of single frames lacks most frames, and plays too fast."""
        if observation is not self._newest:
            self._newest, self._blocks_rendered = observation, self._blocks_rendered + 1
            if self._blocks_rendered == 2:
                gymnasium.logger.warn(
                    f"render() returns one of the {len(observation)} pixel frames of a block. For a film of all of "
                    "them, as by RecordVideo, put infrope_env.wrappers.FrameByFrame around the environment first."
                )

    def close(self) -> None:
        """Show the newest block to its end and close the window, if there is one; the next block opens another."""
        if self._view is not None:
            view, self._view = self._view, None
            view.close()
