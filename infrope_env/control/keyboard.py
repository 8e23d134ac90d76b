"""Control by keyboard: taps queue in order; otherwise the longest held chord or the newest held key applies.

Keys are names ("right", "shift") and times are seconds on the caller's clock. The window's thread presses keys while
the thread that makes blocks chooses actions, so every public method holds the same lock.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from infrope_env.control.frames import Frames
from infrope_env.control.idle import idle_action

Binding = tuple[str, ...]
MAX_RECEIPTS = 64


@dataclass(frozen=True)
class Receipt:
    """One key press and the block that answered it.

    Attributes:
        keys: Binding that the press completed: ("right",) or ("shift", "right").
        action: Index of the bound action.
        name: Name of the bound action.
        pressed_s: Time of the press, in seconds on the caller's clock.
        block: Index of the block made under the action; None while the press is queued.
        shown_s: Time at which the first pixel frame of that block was shown; None before.
    """

    keys: Binding
    action: int
    name: str
    pressed_s: float
    block: int | None = None
    shown_s: float | None = None

    @property
    def latency_s(self) -> float | None:
        """Seconds from key to pixel; None until the block is on screen."""
        return None if self.shown_s is None else self.shown_s - self.pressed_s


@dataclass
class _Press:
    """A queued press, which has no block yet.

    Attributes:
        key: Key that went down last.
        receipt: Receipt of the press.
        tap: Whether the press gets a block of its own even after the key is released.
    """

    key: str
    receipt: Receipt
    tap: bool


class KeyboardController:
    """Controller that chooses one action per block from the keys pressed and held.

    A press gets a block of its own when the key is released before the next block begins, when it went down while a
    block was being generated, or when its action is in `once`. Held keys apply to all other blocks.
    """

    def __init__(self, keys_to_action: Mapping[Binding, int], once: Collection[int], names: Sequence[str]) -> None:
        """Bind keys.

        Args:
            keys_to_action: Action of every binding, as `ActionSet.keys_to_action()` returns it.
            once: Actions that apply once per press, however long the key is held: the cuts.
            names: Name of every action, by index.
        """
        self._actions = {frozenset(keys): (tuple(keys), action) for keys, action in keys_to_action.items()}
        self._once = frozenset(once)
        self._names = tuple(names)
        self._held: dict[str, None] = {}  # in the order of pressing
        self._waiting: list[_Press] = []
        self._receipts: deque[Receipt] = deque(maxlen=MAX_RECEIPTS)
        self._lock = threading.Lock()

    def press(self, key: str, now: float = 0.0, generating: bool = False) -> None:
        """Register that a key goes down; autorepeat of a held key is ignored.

        Args:
            key: Name of the key, as bindings write it.
            now: Time in seconds.
            generating: A block is being made now, too late to change it.
        """
        with self._lock:
            if key in self._held:
                return
            self._held[key] = None
            found = self._strongest(lambda keys, _: key in keys)
            if found is None:
                return
            keys, action = found
            # A held key that is now part of a chord no longer has an action of its own.
            self._waiting = [press for press in self._waiting if press.tap or not set(press.receipt.keys) < set(keys)]
            receipt = Receipt(keys, action, self._names[action], now)
            self._waiting.append(_Press(key, receipt, tap=generating or action in self._once))

    def release(self, key: str) -> None:
        """Register that a key goes up; a queued press of it becomes a tap."""
        with self._lock:
            self._release(key)

    def release_all(self) -> None:
        """Release every key, because the window lost the focus."""
        with self._lock:
            for key in list(self._held):
                self._release(key)

    def __call__(self, observation: Frames, info: Mapping[str, Any]) -> int:
        """Return the action of the next block: of the oldest tap, else of the held keys, else the idle action."""
        block = int(info["block"]) + 1
        with self._lock:
            tap = next((press for press in self._waiting if press.tap), None)
            if tap is not None:
                self._waiting.remove(tap)
                self._receipts.append(replace(tap.receipt, block=block))
                return tap.receipt.action
            found = self._strongest(lambda _, action: action not in self._once)
            action = idle_action(info, self._names) if found is None else found[1]
            answered = [press.receipt for press in self._waiting if press.receipt.action == action]
            self._receipts.extend(replace(receipt, block=block) for receipt in answered)
            self._waiting.clear()  # the others are presses of held keys that a newer held key outranks
            return action

    def shown(self, block: int, now: float) -> None:
        """Complete the receipts of `block`, whose first pixel frame has just been shown."""
        with self._lock:
            for i, receipt in enumerate(self._receipts):
                if receipt.block == block and receipt.shown_s is None:
                    self._receipts[i] = replace(receipt, shown_s=now)

    def forget_unshown(self) -> None:
        """Drop the receipts of blocks that will never appear, because a reset or a restore replaced them."""
        with self._lock:
            kept = [receipt for receipt in self._receipts if receipt.shown_s is not None]
            self._receipts = deque(kept, maxlen=MAX_RECEIPTS)

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """The newest receipts, oldest first: those with a block, then those of queued presses."""
        with self._lock:
            return (*self._receipts, *(press.receipt for press in self._waiting))

    def _strongest(self, wanted: Callable[[Binding, int], bool]) -> tuple[Binding, int] | None:
        """Return the longest held binding that is wanted, the newest of equally long ones, and its action."""
        order = {key: i for i, key in enumerate(self._held)}
        held = [entry for keys, entry in self._actions.items() if keys <= order.keys() and wanted(*entry)]
        return max(held, key=lambda entry: (len(entry[0]), max(order[key] for key in entry[0])), default=None)

    def _release(self, key: str) -> None:
        self._held.pop(key, None)
        for press in self._waiting:
            press.tap = press.tap or press.key == key
