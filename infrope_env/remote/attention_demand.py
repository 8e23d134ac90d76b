"""Attention is measured while a client of the rollout asks for it, and not a block longer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from infrope_env.remote.feed import BlockFeed


class AttentionDemand:
    """Follows what the clients of one rollout ask for.

    Attributes:
        has_begun: Whether attention has been measured for a client, now or earlier.
    """

    def __init__(self, feed: BlockFeed, measure: Callable[[bool], Future[Any]]) -> None:
        """Begin unmeasured.

        Args:
            feed: The blocks of the rollout, whose clients may ask.
            measure: Measures the attention mass of the blocks from the next one on, or stops.
        """
        self._feed, self._measure = feed, measure
        self._is_on = self.has_begun = False
        self._change: Future[Any] = Future()
        self._change.set_result(None)

    def update(self) -> Future[Any]:
        """Begin or stop to measure if clients ask otherwise than before; return the Future of the newest change.

        It has a ValueError where attention cannot be measured.
        """
        if self._feed.is_inspected != self._is_on:
            self._is_on = self._feed.is_inspected
            self.has_begun = self.has_begun or self._is_on
            self._change = self._measure(self._is_on)
        return self._change
