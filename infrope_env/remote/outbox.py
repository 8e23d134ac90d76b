"""The queue of one client: few messages, few blocks. A slow viewer loses whole blocks."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from infrope_env.remote.frame_encoding import Packets
from infrope_env.remote.limits import MOST_QUEUED_MESSAGES, MOST_UNACKNOWLEDGED, LimitError
from infrope_env.remote.message import Message
from infrope_env.remote.protocol import Wire, encode
from infrope_env.remote.server_messages import Block

MOST_WAITING_BLOCKS = 2
SLOW_S = 1.0
"""Seconds to an acknowledgement above which a viewer is slow: it gets one block at a time, always the newest."""


@dataclass(frozen=True)
class OutgoingBlock:
    """A block on its way to a client.

    Attributes:
        header: Its message.
        packets: Bytes of every pixel frame, and of the picture of its strip; clients share them.
        due_s: When it is due, on the clock of the server.
    """

    header: Block
    packets: Packets
    due_s: float


class Outbox:
    """Messages and blocks for one client, oldest first; messages overtake blocks.

    Attributes:
        keeps_all: Whether no block may be dropped, for a player: its rollout waits instead.
        dropped: Number of blocks dropped so far.
    """

    def __init__(self, keeps_all: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self.keeps_all, self._clock = keeps_all, clock
        self.dropped = 0
        self._dropped_since = 0  # the newest block sent
        self._messages: deque[Wire] = deque()
        self._blocks: deque[OutgoingBlock] = deque()
        self._sent: deque[tuple[int, float]] = deque()  # sequence number and time of those not acknowledged
        self._ack_s = 0.0  # from sending the block acknowledged last
        self._wake = asyncio.Event()

    @property
    def unacknowledged(self) -> int:
        """Number of blocks on their way: sent or waiting, not acknowledged."""
        return len(self._sent) + len(self._blocks)

    def put(self, message: Message, body: bytes | None = None) -> None:
        """Add a message; LimitError when the client has not read many of the messages before."""
        if len(self._messages) >= MOST_QUEUED_MESSAGES:
            raise LimitError("the client does not read its messages")
        self._messages.append(encode(message, body))
        self._wake.set()

    def put_block(self, block: OutgoingBlock) -> None:
        """Add a block. One that replaces what is on show replaces those that wait; a viewer loses the oldest."""
        if block.header.immediate:
            self._blocks.clear()
        self._blocks.append(block)
        while not self.keeps_all and len(self._blocks) > (1 if self._is_slow() else MOST_WAITING_BLOCKS):
            self._blocks.popleft()
            self.dropped, self._dropped_since = self.dropped + 1, self._dropped_since + 1
        self._wake.set()

    def acknowledge(self, seq: int) -> bool:
        """Register that a block, and those before it, arrived; return whether it was on its way."""
        if seq not in [number for number, _ in self._sent]:
            return False
        number = None
        while number != seq:
            number, sent_s = self._sent.popleft()
        self._ack_s = self._clock() - sent_s
        self._wake.set()
        return True

    async def next(self) -> Wire:
        """Return the next message to send, when there is one."""
        while True:
            if self._messages:
                return self._messages.popleft()
            if self._blocks and len(self._sent) < (1 if self._is_slow() else MOST_UNACKNOWLEDGED):
                return self._encode(self._blocks.popleft())
            self._wake.clear()
            await self._wake.wait()

    def _is_slow(self) -> bool:
        """Return whether blocks take long to arrive, at a client that may lose some."""
        oldest_s = self._clock() - self._sent[0][1] if self._sent else 0.0
        return not self.keeps_all and max(self._ack_s, oldest_s) > SLOW_S

    def _encode(self, block: OutgoingBlock) -> Wire:
        due_ms = round(max(0.0, 1000 * (block.due_s - self._clock())), 1)
        header = dataclasses.replace(block.header, due_ms=due_ms, dropped=self._dropped_since)
        self._dropped_since = 0
        self._sent.append((header.seq, self._clock()))
        return encode(header, b"".join(block.packets))
