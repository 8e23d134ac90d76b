"""The buffer of a remote stream, fed with simulated arrivals. Times are seconds."""

from collections.abc import Sequence

import numpy as np
import pytest

from infrope_env.player.playback import BlockFrames
from infrope_env.remote.jitter import LEAST_BUFFER_S, MOST_BUFFER_S, JitterBuffer

FRAME_S, FRAMES = 1 / 16, 12
BLOCK_S = FRAME_S * FRAMES


def block(number: int, frames: int = FRAMES, immediate: bool = False) -> BlockFrames:
    return BlockFrames(np.full((frames, 1, 1, 3), number % 256, np.uint8), {"block": number}, immediate)


def play(buffer: JitterBuffer, arrivals_s: Sequence[float], until_s: float, tick_s: float = 0.005) -> dict[int, float]:
    """Feed blocks and look at 200 frames per second; return when each block was first seen."""
    seen: dict[int, float] = {}
    waiting = list(enumerate(arrivals_s))
    for now in np.arange(0, until_s, tick_s):
        while waiting and waiting[0][1] <= now:
            number, arrived_s = waiting.pop(0)
            buffer.add(block(number), FRAME_S, arrived_s)
        shown = buffer.frame_at(now)
        if shown is not None:
            seen.setdefault(shown.block.info["block"], float(now))
    return seen


def test_blocks_of_a_steady_network_follow_each_other_without_a_gap() -> None:
    buffer = JitterBuffer()
    arrivals_s = [BLOCK_S * number for number in range(40)]
    seen = play(buffer, arrivals_s, 40 * BLOCK_S)
    assert buffer.underruns <= 1 and list(seen) == list(range(40))
    waits_s = [seen[number] - arrivals_s[number] for number in range(5, 40)]
    assert max(waits_s) < 0.06 and min(waits_s) > 0


@pytest.mark.parametrize("drift", [0.997, 1.003])
def test_it_follows_a_server_whose_clock_runs_faster_or_slower(drift: float) -> None:
    buffer = JitterBuffer()
    arrivals_s = [BLOCK_S * drift * number for number in range(200)]
    seen = play(buffer, arrivals_s, 200 * BLOCK_S * drift)
    assert buffer.underruns <= 1 and len(seen) == 200
    assert all(seen[number] - arrivals_s[number] < 0.1 for number in range(10, 200))


def test_the_buffer_grows_until_jitter_holds_no_picture_any_more() -> None:
    rng, buffer = np.random.default_rng(3), JitterBuffer()
    arrivals_s = np.maximum.accumulate(BLOCK_S * np.arange(200) + rng.exponential(0.03, 200))
    play(buffer, arrivals_s, 100 * BLOCK_S)
    early = buffer.underruns
    buffer = JitterBuffer()
    play(buffer, arrivals_s, 200 * BLOCK_S)
    assert early < 20 and buffer.underruns - early <= early
    assert LEAST_BUFFER_S < buffer.buffer_s < MOST_BUFFER_S


def test_a_late_block_holds_the_last_picture_and_is_then_shown_whole() -> None:
    buffer = JitterBuffer()
    buffer.add(block(0), FRAME_S, 0.0)
    end_s = BLOCK_S * (1 + LEAST_BUFFER_S / BLOCK_S)
    shown = buffer.frame_at(end_s + 0.3)
    assert shown is not None and (shown.block.info["block"], shown.index) == (0, FRAMES - 1)
    buffer.add(block(1), FRAME_S, end_s + 0.3)
    shown = buffer.frame_at(end_s + 0.3)
    assert shown is not None and (shown.block.info["block"], shown.index) == (1, 0)
    assert buffer.underruns == 1 and buffer.late_s == pytest.approx(0.3) and buffer.buffer_s > 2 * LEAST_BUFFER_S


def test_an_immediate_block_replaces_what_is_on_show_and_what_waits() -> None:
    buffer = JitterBuffer()
    for number in range(3):
        buffer.add(block(number), FRAME_S, 0.0)
    buffer.add(block(9, 9, immediate=True), FRAME_S, 0.1)
    shown = buffer.frame_at(0.1)
    assert shown is not None and (shown.block.info["block"], shown.index) == (9, 0)
    shown = buffer.frame_at(100.0)
    assert shown is not None and shown.block.info["block"] == 9


def test_a_pause_is_no_underrun() -> None:
    buffer = JitterBuffer()
    buffer.add(block(0), FRAME_S, 0.0)
    buffer.gap()
    buffer.frame_at(50.0)
    buffer.add(block(1), FRAME_S, 50.0)
    assert buffer.frame_at(50.0) is not None
    assert buffer.underruns == 0 and buffer.buffer_s == LEAST_BUFFER_S


def test_a_window_that_was_not_drawn_goes_on_with_the_newest_block() -> None:
    buffer = JitterBuffer()
    for number in range(20):
        buffer.add(block(number), FRAME_S, number * BLOCK_S)
    shown = buffer.frame_at(19 * BLOCK_S + 0.1)
    assert shown is not None and shown.block.info["block"] == 19


def test_after_a_stall_it_catches_up_within_seconds() -> None:
    buffer = JitterBuffer()
    stalled_s = [number * BLOCK_S if number < 10 else max(number * BLOCK_S, 12.5 * BLOCK_S) for number in range(40)]
    seen = play(buffer, stalled_s, 40 * BLOCK_S)
    assert seen[11] - stalled_s[11] > BLOCK_S and seen[26] - stalled_s[26] < 0.1
