"""The states after the newest blocks, by which a player steps back."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile

from infrope_env.machine import free_memory
from infrope_env.player.playback import BlockFrames

MOST_BLOCKS = 32
MOST_SHARE = 0.1  # of the time for which blocks are on show, spent on copying states


@dataclass(frozen=True, eq=False)
class PlayedBlock:
    """A block in the order of play.

    Attributes:
        block: The block.
        state: State of the environment after it; None if it was not kept.
    """

    block: BlockFrames
    state: object | None = None


class History:
    """The newest blocks in the order in which they were played, and states after them.

    A state is copied after every block. Where a copy takes more than a tenth of the time for which a block is on show,
    only some blocks have one, so that copying takes no more than that share. Where memory is short, the oldest states
    make room for the newest.
    """

    def __init__(
        self,
        most: int = MOST_BLOCKS,
        clock: Callable[[], float] = time.monotonic,
        free: Callable[[], int | None] = free_memory,
    ) -> None:
        """Begin without blocks.

        Args:
            most: Number of blocks at most.
            clock: Returns seconds.
            free: Returns the free bytes of host memory, None if the system does not tell.
        """
        self._clock, self._free = clock, free
        self._played: deque[PlayedBlock] = deque(maxlen=most)
        self._copy_s = 0.0  # shortest time that a copy took
        self._allowed_s = 0.0  # for the next copy

    @property
    def states(self) -> int:
        """Number of states that are kept."""
        return sum(played.state is not None for played in self._played)

    def add(self, block: BlockFrames, shown_s: float, save: Callable[[], object], size: int) -> None:
        """Add the newest block, with a copy of the state after it if time and memory allow one.

        Args:
            block: The block.
            shown_s: Seconds for which it is on show.
            save: Returns a copy of the state.
            size: Bytes of the copy.
        """
        self._allowed_s += MOST_SHARE * shown_s
        state = self._copy(save) if self._allowed_s >= self._copy_s and self._make_room(size) else None
        self._played.append(PlayedBlock(block, state))

    def add_restored(self, block: BlockFrames, state: object) -> None:
        """Add a block that is on show again because its state was restored."""
        self._played.append(PlayedBlock(block, state))

    def before(self, block: BlockFrames) -> PlayedBlock | None:
        """Return the newest block before `block` whose state is kept; None if there is none.

        A block that is not in the history is newer than all of it.
        """
        earlier = list(takewhile(lambda played: played.block is not block, self._played))
        return next((played for played in reversed(earlier) if played.state is not None), None)

    def end_with(self, played: PlayedBlock) -> None:
        """Forget a block of the history and all that were played after it."""
        while self._played.pop() is not played:
            pass

    def _copy(self, save: Callable[[], object]) -> object:
        began_s = self._clock()
        state = save()
        took_s = self._clock() - began_s
        self._copy_s = min(took_s, self._copy_s) if self._copy_s else took_s
        self._allowed_s = 0.0
        return state

    def _make_room(self, size: int) -> bool:
        """Forget the oldest states while memory for two is not free; return whether memory for one is."""
        while (free := self._free()) is not None and free < 2 * size and self.states:
            self._forget_oldest()
        return free is None or free >= 2 * size

    def _forget_oldest(self) -> None:
        """Forget the oldest state, and the blocks before it."""
        while self._played.popleft().state is None:
            pass
