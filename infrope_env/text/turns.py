"""Turns at the text encoder: a text that play waits for comes before those encoded ahead in the background."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOOK_S = 0.05  # period at which a thread that waits looks whether it is to give up


class EncodingStopped(Exception):
    """Encoding was given up on request; nothing is wrong."""


_callers: dict[int, threading.Event] = {}  # by thread: those that wait for a text, and whether they are to give up


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Let `interrupt` end what this thread waits for; yields the event that says so. It may be nested."""
    ident = threading.get_ident()
    if ident in _callers:
        yield _callers[ident]
        return
    _callers[ident] = threading.Event()
    try:
        yield _callers[ident]
    finally:
        del _callers[ident]


def interrupt(thread: threading.Thread) -> None:
    """Let a thread that waits for a text to be encoded give up, with EncodingStopped; nothing if it does not wait."""
    if (stopped := _callers.get(thread.ident or 0)) is not None:
        stopped.set()


class Turns:
    """The order of encoding with one encoder; every method may be called by any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._urgent = 0  # callers who wait for a text
        self._has_background = False
        self._in_background: frozenset[str] = frozenset()

    @contextmanager
    def urgent(self) -> Iterator[None]:
        """Hold up background encoding, which waits where it is and loses nothing."""
        with self._changed:
            self._urgent += 1
        try:
            yield
        finally:
            with self._changed:
                self._urgent -= 1
                self._changed.notify_all()

    @contextmanager
    def background(self, choose: Callable[[], list[str]], stopped: Callable[[], bool]) -> Iterator[list[str]]:
        """Encode texts in the background: one caller at a time.

        Args:
            choose: Returns the texts to encode; called when the turn has come.
            stopped: Returns whether to give up; then EncodingStopped is raised.
        """
        with self._changed:
            self._wait_while(lambda: self._has_background, stopped)
            texts = choose()
            self._has_background, self._in_background = True, frozenset(texts)
        try:
            yield texts
        finally:
            with self._changed:
                self._has_background, self._in_background = False, frozenset()
                self._changed.notify_all()

    def give_way(self, stopped: Callable[[], bool]) -> None:
        """Wait, in background encoding, while a text is urgent; raise EncodingStopped once `stopped` returns True."""
        with self._changed:
            self._wait_while(lambda: self._urgent > 0, stopped)

    def wait_for(self, texts: list[str]) -> None:
        """Wait until none of these texts is being encoded in the background; EncodingStopped after an `interrupt`."""
        with interruptible() as stopped, self._changed:
            while self._in_background & set(texts):
                if stopped.is_set():
                    raise EncodingStopped
                self._changed.wait(LOOK_S)

    def wake(self) -> None:
        """Let those who wait look at `stopped` again."""
        with self._changed:
            self._changed.notify_all()

    def _wait_while(self, busy: Callable[[], bool], stopped: Callable[[], bool]) -> None:
        self._changed.wait_for(lambda: stopped() or not busy())
        if stopped():
            raise EncodingStopped
