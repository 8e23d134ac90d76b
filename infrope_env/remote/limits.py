"""Bounds on what strangers and clients can ask of a server."""

from __future__ import annotations

from dataclasses import dataclass

HELLO_S = 5.0
"""Seconds in which a client says hello."""
REQUEST_S = 10.0
"""Seconds in which a connection sends its HTTP request."""
MOST_PENDING = 64
"""Connections without a session; another one closes the oldest of them."""
HEARTBEAT_S = 2.0
"""Seconds between two pings."""
LOST_S = 6.0
"""Seconds of silence after which the connection of a player or agent is lost."""
VIEWER_LOST_S = 20.0
"""The same for viewers, whose network may need seconds for one block."""
RESUME_S = 60.0
"""Seconds for which a lost session can be resumed."""
RELOAD_S = 5.0
"""Seconds for which the seat of a page that has gone, or is loading again, is kept though another player wants it."""
MOST_UNACKNOWLEDGED = 3
"""Blocks that are on their way to a client at most."""
MOST_WAITING_COMMANDS = 8
"""Commands of one session that are not done."""
MOST_STATES = 64
"""Saved states of one agent."""
MOST_ENCODED = 256
"""Prompts that an agent encodes ahead with one command."""
MOST_QUEUED = 16
"""Players that wait for a seat."""
MOST_QUEUED_MESSAGES = 256
"""Messages besides blocks that wait for a client that does not read."""
MOST_PICTURE_PIXELS = 16_000_000
MESSAGES_PER_S, MESSAGES_AT_ONCE = 100.0, 200.0
BYTES_PER_S, BYTES_AT_ONCE = 2_000_000.0, 24_000_000.0


class LimitError(ValueError):
    """A client asks for more than it may; the text says what is allowed."""


@dataclass
class RateLimit:
    """A bucket that is refilled at a constant rate; each use takes some out.

    Attributes:
        per_s: Amount refilled per second.
        at_once: Its size.
        what: What is counted, in the plural, for the error.
    """

    per_s: float
    at_once: float
    what: str

    def __post_init__(self) -> None:
        self._left, self._newest_s = self.at_once, float("-inf")

    def take(self, amount: float, now: float) -> None:
        """Take an amount at `now`, in seconds; LimitError when less is left."""
        self._left = min(self.at_once, self._left + self.per_s * (now - self._newest_s))
        self._newest_s = now
        if amount > self._left:
            raise LimitError(f"expected at most {self.per_s:g} {self.what} a second for long, got more")
        self._left -= amount
