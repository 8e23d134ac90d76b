"""The live picture of render_mode="human": the newest block at 16 fps while a worker makes the next one."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

from infrope_env.control.frames import Frames
from infrope_env.env_worker import Result, Worker
from infrope_env.player.pace import Pace
from infrope_env.player.window import DisplayWindow


class LiveView:
    """A window in which the pixel frames of all blocks follow each other in real time.

    Every pixel frame is shown once, in order. `add` shows the first one of a new block, `show_during` the others while
    the next block is made. Where blocks take longer to make than to show, pixel frames are spread evenly over the time
    that a block takes; one that takes longer than those before it finds the last pixel frame still on show.

    pygame is used by the calling thread only, which should be the main thread: some systems require it.

    Attributes:
        closed: Whether the player has closed the window.
    """

    def __init__(self, frame_size: tuple[int, int], title: str, fps: float) -> None:
        """Open the window, which shows nothing yet.

        Args:
            frame_size: Height and width of a pixel frame.
            title: Text in the title bar of the window.
            fps: Pixel frames per second.

        Raises:
            NoDisplayError: There is no display.
            ImportError: pygame is not installed.
        """
        self.closed = False
        self._display = DisplayWindow(frame_size, title=title)
        self._frame_s = 1 / fps
        self._pace = Pace(fps)  # of the blocks but the first, which warms up
        self._has_warmed_up = False
        self._waiting: deque[Frames] = deque()  # pixel frames of the newest block that have not been shown
        self._num_frames = 1  # of the newest block
        self._shown_s = -math.inf  # when the pixel frame on show was due

    @property
    def is_open(self) -> bool:
        """Whether the window is there: a program can quit pygame's display."""
        return self._display.is_open

    def show_during(self, make: Callable[[], Result]) -> Result:
        """Return the result of `make`, which runs in a worker, when all pixel frames have been shown.

        An error of `make` is raised at once. Any other exception here, such as that of Ctrl-C, ends the worker first
        and drops the pixel frames that are left. When the player closes the window, the result is waited for.
        """
        worker = Worker(make)
        try:
            worker.start()
            self._play(worker)
            result = worker.result()
        except BaseException as error:
            worker.stop()
            if error is not worker.error:
                self._waiting.clear()
            raise
        if self._has_warmed_up:
            self._pace.add(worker.took_s)
        self._has_warmed_up = True
        return result

    def add(self, frames: Frames) -> None:
        """Show the first pixel frame of a new block, in place of those of other blocks that have not been shown."""
        self._waiting, self._num_frames = deque(frames), len(frames)
        self._show_next(self._frame_s)

    def close(self) -> None:
        """Show the pixel frames that are left, then close the window."""
        try:
            if self._waiting and not self.closed and self.is_open:
                self._play(None)
        finally:
            self._waiting.clear()
            self._display.close()

    def _play(self, worker: Worker[Result] | None) -> None:
        """Show the waiting pixel frames at their pace, and the last one until the worker has ended."""
        was_making = False
        while worker is None or worker.error is None:
            if self._display.poll_closed():
                self.closed = True
                self._display.close()
                return
            making = worker is not None and not worker.done
            if was_making and not making:  # pixel frames that were spread out are not late now
                self._shown_s = max(self._shown_s, time.monotonic() - self._frame_s)
            was_making = making
            period_s = self._pace.frame_s(self._num_frames) if making else self._frame_s
            wait_s = self._shown_s + period_s - time.monotonic()
            if wait_s <= 0 and self._waiting:
                self._show_next(period_s)
            elif wait_s <= 0 and not making:
                return
            elif worker is not None and making:
                worker.wait(wait_s if 0 < wait_s < self._frame_s else self._frame_s)
            else:
                time.sleep(wait_s)

    def _show_next(self, period_s: float) -> None:
        """Show the next pixel frame, `period_s` after the one on show; a little delay does not shift those after it."""
        now, due_s = time.monotonic(), self._shown_s + period_s
        self._shown_s = due_s if 0 <= now - due_s < period_s else now
        self._display.show(self._waiting.popleft())
