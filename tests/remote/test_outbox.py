"""What waits for a client: bounded, in order, and for a viewer always near the present."""

import asyncio
import json
from typing import Any

import pytest

from infrope_env.remote.limits import MOST_QUEUED_MESSAGES, MOST_UNACKNOWLEDGED, LimitError
from infrope_env.remote.outbox import Outbox, OutgoingBlock
from infrope_env.remote.protocol import decode_from_server
from infrope_env.remote.server_messages import Block, Notice

LOOP = asyncio.Runner()  # the loop that all outboxes of these tests belong to


class Clock:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def block(seq: int, immediate: bool = False, due_s: float = 100.0) -> OutgoingBlock:
    header = Block(
        seq=seq, rollout="1", info={}, immediate=immediate, due_ms=0.0, frame_ms=62.5, encoding="raw", sizes=[1],
        answers=[], timings={}, dropped=0,
    )  # fmt: skip
    return OutgoingBlock(header, (bytes([seq]),), due_s)


def sent(outbox: Outbox) -> list[Any]:
    """Return what the outbox sends until it waits: (sequence number, dropped) of blocks, texts of notices."""

    async def drain() -> list[Any]:
        result: list[Any] = []
        try:
            while True:
                message, _ = decode_from_server(await asyncio.wait_for(outbox.next(), 0.01))
                result.append((message.seq, message.dropped) if isinstance(message, Block) else message.text)
        except TimeoutError:
            return result

    return LOOP.run(drain())


def test_a_viewer_that_acknowledges_loses_nothing() -> None:
    outbox = Outbox(clock=Clock())
    for seq in range(1, 9):
        outbox.put_block(block(seq))
        assert sent(outbox) == [(seq, 0)] and outbox.acknowledge(seq)
    assert outbox.dropped == 0 and outbox.unacknowledged == 0


def test_a_viewer_that_acknowledges_nothing_gets_few_blocks_and_loses_the_oldest() -> None:
    outbox = Outbox(clock=Clock())
    got = []
    for seq in range(1, 11):
        outbox.put_block(block(seq))
        got += sent(outbox)
    assert got == [(1, 0), (2, 0), (3, 0)] and outbox.unacknowledged == MOST_UNACKNOWLEDGED + 2
    outbox.acknowledge(3)
    assert sent(outbox) == [(9, 5), (10, 0)] and outbox.dropped == 5


def test_a_slow_viewer_gets_the_newest_block_one_at_a_time() -> None:
    clock = Clock()
    outbox = Outbox(clock=clock)
    outbox.put_block(block(1))
    assert sent(outbox) == [(1, 0)]
    clock.now += 5
    outbox.acknowledge(1)
    for seq in range(2, 6):
        outbox.put_block(block(seq))
    assert sent(outbox) == [(5, 3)]
    outbox.put_block(block(6))
    outbox.put_block(block(7))
    assert sent(outbox) == []
    clock.now += 0.1  # its network is fast again
    outbox.acknowledge(5)
    outbox.put_block(block(8))
    assert sent(outbox) == [(7, 1), (8, 0)]


def test_a_player_loses_nothing_until_a_block_replaces_what_waits() -> None:
    outbox = Outbox(keeps_all=True, clock=Clock())
    for seq in range(1, 11):
        outbox.put_block(block(seq))
    assert outbox.unacknowledged == 10 and sent(outbox) == [(1, 0), (2, 0), (3, 0)]
    outbox.put_block(block(11, immediate=True))
    outbox.acknowledge(2)
    assert sent(outbox) == [(11, 0)] and outbox.dropped == 0


def test_messages_overtake_blocks_and_are_bounded() -> None:
    outbox = Outbox(clock=Clock())
    outbox.put_block(block(1))
    outbox.put(Notice(text="first"))
    assert sent(outbox) == ["first", (1, 0)]
    with pytest.raises(LimitError):
        for _ in range(MOST_QUEUED_MESSAGES + 1):
            outbox.put(Notice(text="unread"))


def test_a_number_that_was_not_sent_acknowledges_nothing() -> None:
    outbox = Outbox(clock=Clock())
    outbox.put_block(block(1))
    sent(outbox)
    assert not outbox.acknowledge(7) and not outbox.acknowledge(-1) and outbox.unacknowledged == 1


def test_the_due_time_is_that_of_sending() -> None:
    clock = Clock()
    outbox = Outbox(clock=clock)
    outbox.put_block(block(1, due_s=100.5))
    clock.now += 0.2
    wire = LOOP.run(outbox.next())
    assert isinstance(wire, bytes)
    assert json.loads(wire[4:-1])["due_ms"] == 300.0
