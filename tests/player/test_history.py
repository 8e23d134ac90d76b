"""States that are kept to step back: how many, in which order, and at what cost."""

from collections.abc import Callable
from functools import partial

import numpy as np

from infrope_env.player.history import MOST_BLOCKS, History
from infrope_env.player.playback import BlockFrames
from tests.player.fakes import FakeClock

BLOCK_S = 0.75


def blocks(count: int) -> list[BlockFrames]:
    return [BlockFrames(np.zeros((12, 6, 10, 3), np.uint8), {"block": index}) for index in range(count)]


def filled(
    made: list[BlockFrames], history: History, work: Callable[[], None] = lambda: None, size: int = 1
) -> History:
    def save(block: BlockFrames) -> object:
        work()
        return block.info["block"]

    for block in made:
        history.add(block, BLOCK_S, partial(save, block), size)
    return history


def kept(history: History) -> list[object]:
    return [played.state for played in history._played if played.state is not None]


def test_the_newest_states_are_kept() -> None:
    history = filled(blocks(40), History())
    assert kept(history) == list(range(40 - MOST_BLOCKS, 40)) and history.states == MOST_BLOCKS


def test_stepping_back_forgets_what_was_played_after() -> None:
    made = blocks(6)
    history = filled(made[:5], History())
    assert history.before(made[5]).state == 4  # not in the history yet: newer than all of it
    played = history.before(made[4])
    assert played is not None and played.state == 3
    history.end_with(played)
    again = BlockFrames(made[3].frames, made[3].info, immediate=True)
    history.add_restored(again, played.state)
    assert history.before(again).state == 2 and kept(history) == [0, 1, 2, 3]
    assert history.before(made[0]) is None


def test_copies_take_at_most_a_tenth_of_the_time_on_show() -> None:
    clock = FakeClock()
    made = blocks(50)
    history = filled(made, History(clock=clock), lambda: clock.pass_time(0.5))
    assert kept(history) == list(range(21, 50, 7))  # 0.075 s are allowed for each of the newest 32 blocks
    assert history.before(made[34]).state == 28 and history.before(made[36]).state == 35


def test_one_slow_copy_does_not_thin_out_the_states() -> None:
    clock = FakeClock()
    times = iter([0.002, 0.002, 3.0] + [0.002] * 5)
    history = filled(blocks(8), History(clock=clock), lambda: clock.pass_time(next(times)))
    assert kept(history) == list(range(8))


def test_where_memory_is_short_the_oldest_states_make_room() -> None:
    history = History(free=lambda: 1000 - 100 * history.states)
    filled(blocks(20), history, size=100)
    assert kept(history) == list(range(11, 20))


def test_without_room_for_one_state_none_is_kept() -> None:
    history = filled(made := blocks(3), History(free=lambda: 150), size=100)
    assert kept(history) == [] and history.before(made[2]) is None
