"""The time from key to pixel: simulated key presses in live play without a window. No pygame is imported."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from infrope_env.control.frames import Frames
from infrope_env.control.keyboard import KeyboardController, Receipt
from infrope_env.control.playable import playable
from infrope_env.player.stream import Stream

POLL_S = 0.005  # as the window polls
HELD_S = 0.06  # a quick press of a key
WARM_UP_BLOCKS = 8  # until the pace knows the machine
TIMEOUT_BLOCKS = 100  # without an answer


def measure_latency(
    env: gymnasium.Env[Frames, Any], presses: int, seed: int = 0, report: Callable[[int], None] = lambda done: None
) -> list[Receipt]:
    """Play live, press random keys at random moments, and return the receipt of every press, oldest first.

    A key is pressed up to one block after the answer to the last one is on show, so that the moments are spread
    evenly over a block.

    Args:
        env: The environment; only this function uses it until it returns.
        presses: Number of key presses.
        seed: Seed of the rollout, of the keys and of the moments.
        report: Called with the number of answered presses after each.

    Raises:
        StreamError: A block could not be made.
    """
    action_set, rng = playable(env).action_set, np.random.default_rng(seed)
    keyboard = KeyboardController(action_set.keys_to_action(), (), action_set.names)
    bindings = action_set.keys_to_action().items()
    motions = [keys[0] for keys, index in bindings if len(keys) == 1 and action_set.actions[index].motion is not None]
    stream = Stream(env, keyboard)
    stream.start(seed)
    try:
        screen = _Screen(stream, keyboard)
        screen.wait_until(lambda: screen.blocks >= WARM_UP_BLOCKS)
        receipts: list[Receipt] = []
        for _ in range(presses):
            screen.wait(float(rng.uniform(0, screen.block_s)))
            receipts.append(screen.press(str(rng.choice(motions))))
            report(len(receipts))
        return receipts
    finally:
        stream.close()


class _Screen:
    """Takes pixel frames from a stream as a window does, and completes the receipts of those it sees first."""

    def __init__(self, stream: Stream, keyboard: KeyboardController) -> None:
        self._stream, self._keyboard = stream, keyboard
        self._shown: int | None = None
        self.blocks = 0  # on show so far
        self.block_s = 0.0  # for which the newest is on show

    def press(self, key: str) -> Receipt:
        """Press a key and return its receipt when the answer is on show."""
        began, pressed_s = self.blocks, time.monotonic()
        self._keyboard.press(key, pressed_s, self._stream.generating)
        self.wait(HELD_S)
        self._keyboard.release(key)
        answered: list[Receipt] = []

        def is_answered() -> bool:
            answered[:] = [each for each in self._keyboard.receipts if each.pressed_s == pressed_s and each.latency_s]
            return bool(answered) or self.blocks > began + TIMEOUT_BLOCKS

        self.wait_until(is_answered)
        if not answered:
            raise RuntimeError(f"no block answered the key {key!r}, within {TIMEOUT_BLOCKS} blocks")
        return answered[0]

    def wait(self, seconds: float) -> None:
        """Show pixel frames for some time."""
        end_s = time.monotonic() + seconds
        self.wait_until(lambda: time.monotonic() >= end_s)

    def wait_until(self, reached: Callable[[], bool]) -> None:
        """Show pixel frames until something is true."""
        while not reached():
            frame = self._stream.frame_to_show()
            if frame is not None and frame.block.info["block"] != self._shown:
                self._shown = frame.block.info["block"]
                self._keyboard.shown(self._shown, time.monotonic())
                self.blocks += 1
                self.block_s = self._stream.pace.frame_s(len(frame.block.frames)) * len(frame.block.frames)
            time.sleep(POLL_S)
