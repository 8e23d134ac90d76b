"""The interfaces of the stream and the keyboard of a session: those of an environment here, or of a remote one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

from infrope_env.control.keyboard import Receipt
from infrope_env.player.inspection import Inspection
from infrope_env.player.playback import BlockFrames, Info, ShownFrame


class LiveStream(Protocol):
    """Pixel frames to show, and the commands of the window; `Stream` describes each of them.

    Attributes:
        paused: Whether play is paused.
        generating: Whether a block is being generated: a key pressed now acts on the block after it.
    """

    paused: bool
    generating: bool

    @property
    def trouble(self) -> str:
        """Why no block comes now, in a sentence; empty otherwise."""

    def start(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Future[Info]:
        """Begin to play; the Future has the info of the first block."""

    def close(self) -> None:
        """Stop."""

    def frame_to_show(self, now: float | None = None) -> ShownFrame | None:
        """Return the pixel frame to show; StreamError when there will be no more."""

    def is_finished(self, now: float) -> bool:
        """Return whether the last block has been shown to its end."""

    def pause(self, paused: bool) -> None:
        """Stop beginning and showing blocks, or continue."""

    def single_step(self) -> None:
        """Show one more block while paused."""

    def new_world(self) -> Future[Info]:
        """Begin a new rollout."""

    def save(self) -> Future[Info]:
        """Save the state after the newest block."""

    def restore(self) -> Future[Info]:
        """Restore the saved state."""

    def rewind(self) -> Future[Info]:
        """Step back to the block before the one on show."""

    def inspect(self, on: bool) -> Future[None]:
        """Measure the attention mass of the blocks from the next one on, or stop."""

    def inspection_of(self, block: BlockFrames) -> Inspection | None:
        """Return what a block saw; None where that is not known."""

    def set_prompt(self, text: str, cut: bool = False, wanted: Callable[[], bool] = lambda: True) -> Future[None]:
        """Put free text in force from the next block on."""


class LiveKeyboard(Protocol):
    """Keys that go down and up, and a receipt of every press; `KeyboardController` describes each of them."""

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """The newest receipts, oldest first."""

    def press(self, key: str, now: float = 0.0, generating: bool = False) -> None:
        """Register that a key goes down."""

    def release(self, key: str) -> None:
        """Register that a key goes up."""

    def release_all(self) -> None:
        """Release every key, because the window lost the focus."""

    def shown(self, block: int, now: float) -> None:
        """Complete the receipts of a block, whose first pixel frame has just been shown."""
