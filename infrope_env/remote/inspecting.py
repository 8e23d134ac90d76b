"""The inspector of a remote session: asks the server for what blocks saw, again after every reconnection."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from infrope_env.player.inspection import Inspection
from infrope_env.remote.server_messages import Block, Strip
from infrope_env.remote.strips import decode_strip


class RemoteInspector:
    """The inspector's requests to the server, and a strip that came later than its block.

    Attributes:
        is_on: Whether the client asks for what blocks saw.
    """

    def __init__(self, ask: Callable[[bool], Future[Any]]) -> None:
        """Ask for nothing yet.

        Args:
            ask: Sends the command; returns the Future of its answer.
        """
        self.is_on = False
        self._ask = ask
        self._late: tuple[int, Inspection] | None = None  # with the number of its block

    def switch(self, on: bool) -> Future[Any]:
        """Ask for what blocks saw from now on, or no longer; return the Future of the answer."""
        self.is_on = on
        return self._ask(on)

    def ask_again(self) -> None:
        """Ask on a new connection for what was asked on the one before."""
        if self.is_on:
            self._ask(True)

    def read(self, block: Block, body: bytes) -> Inspection | None:
        """Return what a block saw, of the body behind its pixel frames; None if the server does not tell.

        Raises:
            ValueError, OSError: The body does not end with the picture of the strip.
        """
        return None if block.strip is None else decode_strip(block.info, block.strip, body[sum(block.sizes) :])

    def add_late(self, message: Strip, body: bytes) -> None:
        """Keep what a block saw that was sent before; errors as in `read`."""
        self._late = message.seq, decode_strip(message.info, message.strip, body)

    def late(self, seq: int) -> Inspection | None:
        """Return what the block with a number saw if that came later than the block; None if it did not."""
        return self._late[1] if self._late is not None and self._late[0] == seq else None
