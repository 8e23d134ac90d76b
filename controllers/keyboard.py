"""Keys become actions: taps queue in order, then the newest held key or the longest held chord rules.

Keys are names ("right", "shift"), times are seconds on the caller's clock: nothing here knows pygame. Pressing happens
in the window's thread and choosing in the one that makes blocks, so every public method takes the same lock.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infrope_env.control.idle import idle_action

Binding = tuple[str, ...]
RECEIPTS_KEPT = 64


@dataclass(frozen=True)
class Receipt:
    """What became of one key press.

    Attributes:
        keys: the binding it completed, ("right",) or ("shift", "right").
        action: what it asks for.
        name: of the action.
        pressed_s: when, like `shown_s`, in seconds on the caller's clock.
        block: the block it was applied at; None while it waits.
        shown_s: when the first pixel frame of that block was shown; None before.
    """

    keys: Binding
    action: int
    name: str
    pressed_s: float
    block: int | None = None
    shown_s: float | None = None

    @property
    def latency_s(self) -> float | None:
        """Key to pixel; None until the block is on show."""
        return None if self.shown_s is None else self.shown_s - self.pressed_s


@dataclass
class _Press:
    """A press that no block has answered yet."""

    key: str
    receipt: Receipt
    tap: bool  # it gets a block of its own, held or not


class KeyboardController:
    """Chooses one action per block from what was pressed since the last one.

    A press gets a block of its own when it is over before the next block begins, when it was made while a block was
    being generated, or when its action is in `once`. Held keys rule the blocks that no tap claims.
    """

    def __init__(
        self, keys_to_action: Mapping[Binding, int], once: Collection[int] = (), names: tuple[str, ...] = ()
    ) -> None:
        """Bind keys.

        Args:
            keys_to_action: by key names, as `ActionSet.keys_to_action()` gives it.
            once: actions that act once per press however long the key is held: the cuts.
            names: of the actions.
        """
        self._actions = {frozenset(keys): (tuple(keys), action) for keys, action in keys_to_action.items()}
        self._once = frozenset(once)
        self._names = names
        self._held: dict[str, None] = {}  # in the order of pressing
        self._waiting: list[_Press] = []
        self._receipts: deque[Receipt] = deque(maxlen=RECEIPTS_KEPT)
        self._lock = threading.Lock()

    def press(self, key: str, now: float = 0.0, generating: bool = False) -> None:
        """A key goes down; a key that is down already (autorepeat) is ignored.

        Args:
            key: its name, as bindings write it.
            now: seconds.
            generating: a block is being made at this moment, too late to change it.
        """
        with self._lock:
            if key in self._held:
                return
            self._held[key] = None
            found = self._strongest(lambda keys, _: key in keys)
            if found is not None:
                keys, action = found
                self._absorb(keys)
                tap = generating or action in self._once
                self._waiting.append(
                    _Press(key, Receipt(keys, action, self._names[action] if self._names else "", now), tap)
                )

    def release(self, key: str) -> None:
        """A key comes up; a press that no block has answered yet becomes a tap."""
        with self._lock:
            self._let_go(key)

    def release_all(self) -> None:
        """Every key comes up: the window lost the focus."""
        with self._lock:
            for key in list(self._held):
                self._let_go(key)

    def __call__(self, observation: NDArray[np.uint8], info: Mapping[str, Any]) -> int:
        """The action of the next block: the oldest tap, else the held keys', else that of pressing nothing."""
        block = int(info["block"]) + 1
        with self._lock:
            tap = next((press for press in self._waiting if press.tap), None)
            if tap is not None:
                self._waiting.remove(tap)
                self._receipts.append(replace(tap.receipt, block=block))
                return tap.receipt.action
            found = self._strongest(lambda _, action: action not in self._once)
            action = self._idle(info) if found is None else found[1]
            self._settle(action, block)
            return action

    def shown(self, block: int, now: float) -> None:
        """The first pixel frame of `block` is on show: complete the receipts of the presses it answers."""
        with self._lock:
            for i, receipt in enumerate(self._receipts):
                if receipt.block == block and receipt.shown_s is None:
                    self._receipts[i] = replace(receipt, shown_s=now)

    def forget_unshown(self) -> None:
        """A reset or a restore was shown instead: blocks that never will be shown leave no receipt."""
        with self._lock:
            kept = [receipt for receipt in self._receipts if receipt.shown_s is not None]
            self._receipts = deque(kept, maxlen=RECEIPTS_KEPT)

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """The newest receipts, oldest first: applied ones, then those that wait."""
        with self._lock:
            return (*self._receipts, *(press.receipt for press in self._waiting))

    def _strongest(self, wanted: Callable[[Binding, int], bool]) -> tuple[Binding, int] | None:
        """Of the held bindings that are wanted: the longest, and of equally long ones the newest."""
        order = {key: i for i, key in enumerate(self._held)}
        held = [entry for keys, entry in self._actions.items() if keys <= order.keys() and wanted(*entry)]
        return max(held, key=lambda entry: (len(entry[0]), max(order[key] for key in entry[0])), default=None)

    def _absorb(self, keys: Binding) -> None:
        """A key still held that has now become part of a chord no longer asks for something by itself."""
        self._waiting = [press for press in self._waiting if press.tap or not set(press.receipt.keys) < set(keys)]

    def _let_go(self, key: str) -> None:
        self._held.pop(key, None)
        for press in self._waiting:
            press.tap = press.tap or press.key == key

    def _settle(self, action: int, block: int) -> None:
        """The held keys have ruled: their presses are answered, those of older held keys are overruled."""
        answered = [press.receipt for press in self._waiting if press.receipt.action == action]
        self._receipts.extend(replace(receipt, block=block) for receipt in answered)
        self._waiting.clear()

    def _idle(self, info: Mapping[str, Any]) -> int:
        """The action of pressing nothing."""
        return idle_action(info, self._names)
