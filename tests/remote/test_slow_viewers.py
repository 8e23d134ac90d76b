"""A slow viewer loses whole blocks and stays near the present; the player does not notice."""

from pathlib import Path

import numpy as np

from infrope_env.remote.limits import MOST_UNACKNOWLEDGED
from infrope_env.remote.lobby import Capacity
from tests.remote.network import port_of, proxy_to, through
from tests.remote.players import Player, fast_env, playing
from tests.remote.served import serving

FPS, BLOCKS = 40, 9
BLOCK_S = 12 / FPS
ATTEMPTS = 4
"""Comparisons until one is undisturbed by other work of the machine; what viewers cost, they cost in all of them."""


def inter_arrival_s(player: Player) -> float:
    """Return the median time between two blocks from now on."""
    first = len(player.blocks)
    player.wait_for_blocks(BLOCKS + 1)
    times_s = [time_s for *_, time_s in player.blocks[first:]]
    return float(np.median(np.diff(times_s)))


def test_two_viewers_one_of_them_slow_cost_the_player_nothing(tiny_weights: Path) -> None:
    with (
        serving(lambda: fast_env(tiny_weights, FPS), capacity=Capacity()) as server,
        playing(server.url) as player,
    ):
        player.wait_for_blocks(2)
        rate, pairs = len(player.blocks[-1][1]) / BLOCK_S, []
        while len(pairs) < ATTEMPTS and not any(abs(watched_s / alone_s - 1) < 0.05 for alone_s, watched_s in pairs):
            alone_s = inter_arrival_s(player)
            with (
                proxy_to(port_of(server), rate / 10) as proxy,
                playing(server.url, role="viewer") as fast,
                playing(through(server, proxy), role="viewer") as slow,
            ):
                slow.wait_for_blocks(1)
                pairs.append((alone_s, inter_arrival_s(player)))
                slow.wait(lambda slow=slow: sum(block.dropped for block, *_ in slow.blocks) > 4)
                # A block takes the time of ten, and the one after it was made meanwhile.
                slow.wait(lambda slow=slow: player.blocks[-1][0].seq - slow.blocks[-1][0].seq <= 24)
            assert sum(block.dropped for block, *_ in fast.blocks) == 0
            numbers = [block.seq for block, *_ in slow.blocks]
            assert numbers == sorted(numbers) and all(len(body) == sum(b.sizes) for b, body, _ in slow.blocks)
        assert any(abs(watched_s / alone_s - 1) < 0.05 for alone_s, watched_s in pairs), pairs
        assert sum(block.dropped for block, *_ in player.blocks) == 0
        player.wait(lambda: server.metrics.counters["blocks_dropped"] >= 4)


def test_a_slow_player_loses_no_block_its_rollout_waits(tiny_weights: Path) -> None:
    block_bytes = 12 * 32 * 48 * 3
    with (
        serving(lambda: fast_env(tiny_weights, 160), capacity=Capacity()) as server,
        proxy_to(port_of(server), block_bytes / 0.3) as proxy,  # a block lasts 75 ms, and takes four times as long
        playing(through(server, proxy)) as player,
    ):
        player.wait_for_blocks(12)
        numbers = [block.seq for block, *_ in player.blocks]
        assert numbers == list(range(1, len(numbers) + 1))
        assert sum(block.dropped for block, *_ in player.blocks) == 0
        assert server.metrics.counters["blocks"] <= len(player.blocks) + MOST_UNACKNOWLEDGED + 2
