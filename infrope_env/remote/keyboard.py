"""The keyboard of a remote session: sends keys to the server and keeps the receipts of their presses."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from infrope_env.control.actions import ActionSet
from infrope_env.control.keyboard import MAX_RECEIPTS, Binding, Receipt

UNANSWERED_S = 10.0  # a press that a newer key has outranked gets no answer


class RemoteKeyboard:
    """Keys that go down and up, and a receipt of every press that completes a binding.

    The thread of the window presses keys while the thread of the connection takes answers, so every public method holds
    the same lock.
    """

    def __init__(
        self,
        action_set: ActionSet,
        send_key: Callable[[str, bool, float], int | None],
        send_release_all: Callable[[], None],
        report_shown: Callable[[list[float]], None] = lambda latencies_s: None,
    ) -> None:
        """Bind keys.

        Args:
            action_set: Words and keys of the world.
            send_key: Sends a key's name, whether it goes down, and the time; returns the number of the event, or None
                when there is no connection.
            send_release_all: Sends that every key goes up.
            report_shown: Called when a block is on show, with the seconds from key to pixel of the presses that it
                answers.
        """
        self._actions = {frozenset(keys): (keys, index) for keys, index in action_set.keys_to_action().items()}
        self._names = action_set.names
        self._send_key, self._send_release_all, self._report_shown = send_key, send_release_all, report_shown
        self._held: dict[str, None] = {}  # in the order of pressing
        self._waiting: dict[int, Receipt] = {}  # presses without a block, by number of the event
        self._receipts: deque[Receipt] = deque(maxlen=MAX_RECEIPTS)
        self._lock = threading.Lock()

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """The newest receipts, oldest first: those with a block, then those of queued presses."""
        with self._lock:
            return (*self._receipts, *self._waiting.values())

    def press(self, key: str, now: float = 0.0, generating: bool = False) -> None:
        """Send a key that goes down; autorepeat of a held key is ignored.

        Args:
            key: Name of the key, as bindings write it.
            now: Time in seconds.
            generating: Ignored: the server knows whether a block is being made.
        """
        with self._lock:
            if key in self._held:
                return
            self._held[key] = None
            seq, binding = self._send_key(key, True, now), self._completed_by(key)
            if seq is not None and binding is not None:
                keys, action = binding
                self._waiting[seq] = Receipt(keys, action, self._names[action], now)
                self._forget_outranked(now)

    def release(self, key: str) -> None:
        """Send a key that goes up."""
        with self._lock:
            if key in self._held:
                del self._held[key]
                self._send_key(key, False, 0.0)

    def release_all(self) -> None:
        """Release every key, because the window lost the focus."""
        with self._lock:
            if self._held:
                self._held.clear()
                self._send_release_all()

    def press_held_again(self, now: float) -> None:
        """Send the keys that are down to a server that knows none of them, and forget what it did not answer."""
        with self._lock:
            self._waiting.clear()
            for key in self._held:
                self._send_key(key, True, now)

    def answer(self, answers: Iterable[Mapping[str, Any]], block: int) -> None:
        """Give the presses that a block answers its index.

        Args:
            answers: Number of the event, index and name of the action for each.
            block: Index of the block.
        """
        with self._lock:
            for answer in answers:
                if (receipt := self._waiting.pop(answer["seq"], None)) is not None:
                    answered = replace(receipt, action=answer["action"], name=answer["name"], block=block)
                    self._receipts.append(answered)

    def shown(self, block: int, now: float) -> None:
        """Complete the receipts of a block, whose first pixel frame has just been shown, and report their times."""
        latencies_s = []
        with self._lock:
            for i, receipt in enumerate(self._receipts):
                if receipt.block == block and receipt.shown_s is None:
                    self._receipts[i] = replace(receipt, shown_s=now)
                    latencies_s.append(now - receipt.pressed_s)
        self._report_shown(latencies_s)

    def forget_unshown(self) -> None:
        """Drop the receipts of blocks that will never appear, because a reset or a restore replaced them."""
        with self._lock:
            kept = [receipt for receipt in self._receipts if receipt.shown_s is not None]
            self._receipts = deque(kept, maxlen=MAX_RECEIPTS)

    def _completed_by(self, key: str) -> tuple[Binding, int] | None:
        """Return the longest binding that a key completes, and its action."""
        found = [entry for keys, entry in self._actions.items() if key in keys and keys <= self._held.keys()]
        return max(found, key=lambda entry: len(entry[0]), default=None)

    def _forget_outranked(self, now: float) -> None:
        recent = {seq: each for seq, each in self._waiting.items() if now - each.pressed_s < UNANSWERED_S}
        self._waiting = recent
