"""The blocks of one rollout on their way to its clients: numbered, and encoded once for all that read an encoding."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from infrope_env.player.playback import BlockFrames
from infrope_env.remote.frame_encoding import Packets, encode_frames, to_mp4
from infrope_env.remote.message import Encoding
from infrope_env.remote.outbox import Outbox, OutgoingBlock
from infrope_env.remote.server_messages import Block, Strip
from infrope_env.remote.strips import EncodedStrip, encode_strip

logger = logging.getLogger(__name__)

CLIP_S = 60.0
"""Seconds of the newest blocks that are kept as packets."""


class Watcher(Protocol):
    """A client that looks at a rollout.

    Attributes:
        encoding: Encoding of its blocks.
        outbox: Where they go.
        steers: Whether its key presses are the ones that blocks answer.
        inspects: Whether it asks for what blocks saw.
    """

    encoding: Encoding
    outbox: Outbox
    steers: bool
    inspects: bool


@dataclass(eq=False)
class PublishedBlock:
    """A block of a rollout with its number.

    Attributes:
        seq: Sequence number.
        block: Its pixel frames and info.
        due_s: When it is due, on the clock of the server.
        frame_s: Seconds for which each pixel frame is shown.
        answers: Key presses that it answers.
        timings: Milliseconds by part.
        packets: Its bytes in every encoding that was needed.
        strip: What it saw; None until a client asks for it, and where that is not known.
    """

    seq: int
    block: BlockFrames
    due_s: float
    frame_s: float
    answers: list[dict[str, Any]] = field(default_factory=list)
    timings: Mapping[str, float] = field(default_factory=dict)
    packets: dict[Encoding, Packets] = field(default_factory=dict)
    strip: EncodedStrip | None = None


class BlockFeed:
    """The blocks of one rollout, in order, for the clients that look at it.

    Attributes:
        rollout: Id of the rollout.
        watchers: The clients.
    """

    def __init__(self, rollout: str, frame_rate: int, keeps_clip: bool = True) -> None:
        """Begin to send, in a task of the running loop.

        Args:
            rollout: Id of the rollout.
            frame_rate: Pixel frames per second of videos.
            keeps_clip: Whether the newest blocks are kept as H.264 packets, for `clip`.
        """
        self.rollout, self.keeps_clip = rollout, keeps_clip
        self.watchers: set[Watcher] = set()
        self._joining: set[Watcher] = set()  # those whose first block is not sent yet
        self._frame_rate = frame_rate
        self._seq = 0
        self._newest: PublishedBlock | None = None
        self._jobs: asyncio.Queue[PublishedBlock | Watcher] = asyncio.Queue()
        self._clip: deque[Packets] = deque()
        self._executor = ThreadPoolExecutor(1, "infrope encoding")
        self._task = asyncio.create_task(self._run(), name="infrope feed")

    def publish(
        self,
        block: BlockFrames,
        *,
        due_s: float,
        frame_s: float,
        answers: list[dict[str, Any]] | None = None,
        timings: Mapping[str, float] | None = None,
    ) -> PublishedBlock:
        """Send a block to every client; returns it with its number. The arguments are those of `PublishedBlock`."""
        self._seq += 1
        published = PublishedBlock(self._seq, block, due_s, frame_s, answers or [], timings or {})
        self._jobs.put_nowait(published)
        return published

    def add(self, watcher: Watcher) -> None:
        """Send the newest block, and every later one, to a client."""
        self._joining.add(watcher)
        self._jobs.put_nowait(watcher)

    def remove(self, watcher: Watcher) -> None:
        """Send nothing more to a client."""
        self.watchers.discard(watcher)
        self._joining.discard(watcher)

    @property
    def is_inspected(self) -> bool:
        """Whether a client asks for what blocks saw."""
        return any(watcher.inspects for watcher in (*self.watchers, *self._joining))

    async def newest_strip(self) -> tuple[Strip, bytes] | None:
        """Return what the newest block saw, as a message and its body; None where that is not known."""
        if (newest := self._newest) is None:
            return None
        await self._inspect(newest)
        if newest.strip is None:
            return None
        message = Strip(seq=newest.seq, info=dict(newest.block.info), strip=newest.strip.fields)
        return message, newest.strip.picture

    async def clip(self, seconds: float) -> bytes:
        """Return the last seconds, in whole blocks, as an mp4; empty before the first block."""
        wanted: list[Packets] = []
        for packets in reversed(self._clip):
            if sum(map(len, wanted)) >= seconds * self._frame_rate:
                break
            wanted.insert(0, packets)
        if not wanted:
            return b""
        return await asyncio.get_running_loop().run_in_executor(self._executor, to_mp4, wanted, self._frame_rate)

    async def close(self) -> None:
        """Stop sending."""
        self._task.cancel()
        await asyncio.wait([self._task])
        self._executor.shutdown(wait=False)

    async def _run(self) -> None:
        while True:
            job = await self._jobs.get()
            try:
                if isinstance(job, PublishedBlock):
                    self._newest = job
                    await self._send(job)
                elif job in self._joining:
                    await self._welcome(job)
            except Exception:  # one block is lost, not all that follow
                logger.exception("a block could not be sent")

    async def _welcome(self, watcher: Watcher) -> None:
        """Send the newest block to a client that has just come."""
        if self._newest is not None:
            await self._encode(self._newest, watcher.encoding)
            await self._inspect(self._newest)
        if watcher in self._joining:
            self._joining.remove(watcher)
            self.watchers.add(watcher)
            if self._newest is not None:
                self._put(self._newest, watcher, immediate=True)

    async def _send(self, block: PublishedBlock) -> None:
        watchers = sorted(self.watchers, key=lambda watcher: not watcher.steers)
        await self._inspect(block)
        for encoding in dict.fromkeys(watcher.encoding for watcher in watchers):
            await self._encode(block, encoding)
            for watcher in watchers:
                if watcher.encoding == encoding and watcher in self.watchers:
                    self._put(block, watcher)
        if self.keeps_clip:
            self._clip.append(await self._encode(block, "h264"))
            while sum(map(len, self._clip)) > CLIP_S * self._frame_rate + len(self._clip[-1]):
                self._clip.popleft()

    async def _encode(self, block: PublishedBlock, encoding: Encoding) -> Packets:
        if encoding not in block.packets:
            run, frames = asyncio.get_running_loop().run_in_executor, block.block.frames
            block.packets[encoding] = await run(self._executor, encode_frames, frames, encoding, self._frame_rate)
        return block.packets[encoding]

    async def _inspect(self, block: PublishedBlock) -> None:
        """Encode what a block saw, if a client asks for it."""
        inspection = block.block.inspection
        if self.is_inspected and inspection is not None and block.strip is None:
            run = asyncio.get_running_loop().run_in_executor
            block.strip = await run(self._executor, encode_strip, inspection)

    def _put(self, block: PublishedBlock, watcher: Watcher, immediate: bool = False) -> None:
        packets = block.packets[watcher.encoding]
        strip = block.strip if watcher.inspects else None
        header = Block(
            seq=block.seq,
            rollout=self.rollout,
            info=dict(block.block.info),
            immediate=immediate or block.block.immediate,
            due_ms=0.0,
            frame_ms=round(1000 * block.frame_s, 2),
            encoding=watcher.encoding,
            sizes=[len(packet) for packet in packets],
            answers=block.answers if watcher.steers else [],
            timings={name: round(ms, 1) for name, ms in block.timings.items()},
            dropped=0,
            strip=None if strip is None else strip.fields,
        )
        parts = packets if strip is None else (*packets, strip.picture)
        watcher.outbox.put_block(OutgoingBlock(header, parts, block.due_s))
