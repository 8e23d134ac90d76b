"""A window, a clock and a worker without time of their own, for the live picture of render_mode="human"."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest


class FakeTime:
    """A clock that only `sleep` advances."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


class FakeDisplay:
    """A window that remembers what it showed, and when; `closes_after` pixel frames the player closes it."""

    opened: list["FakeDisplay"]
    closes_after: float = float("inf")
    clock: Callable[[], float] = staticmethod(lambda: 0.0)

    def __init__(self, frame_size: tuple[int, int], title: str) -> None:
        self.frame_size, self.shown, self.times, self.is_open = frame_size, [], [], True
        type(self).opened.append(self)

    def show(self, frame: np.ndarray) -> None:
        self._check_thread()
        assert self.is_open
        self.shown.append(frame.copy())
        self.times.append(self.clock())

    def poll_closed(self) -> bool:
        self._check_thread()
        return len(self.shown) >= self.closes_after

    def close(self) -> None:
        self.is_open = False

    def _check_thread(self) -> None:
        assert threading.current_thread() is threading.main_thread()


def fake_display(monkeypatch: pytest.MonkeyPatch, **attributes: Any) -> list[FakeDisplay]:
    """Replace the window by one that shows nothing; return the list of those that are opened."""
    display = type("Display", (FakeDisplay,), {"opened": [], **attributes})
    monkeypatch.setattr("infrope_env.env_live.DisplayWindow", display)
    return display.opened  # type: ignore[attr-defined, no-any-return]
