"""A session: one client over all its connections."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from infrope_env.remote.client_messages import Command
from infrope_env.remote.limits import LOST_S, MOST_WAITING_COMMANDS, VIEWER_LOST_S, LimitError
from infrope_env.remote.message import Encoding, Message, Role, SeatName
from infrope_env.remote.outbox import Outbox
from infrope_env.remote.server_messages import Error, Result

if TYPE_CHECKING:
    from infrope_env.remote.hosted_rollout import HostedRollout

Answer = tuple[Result, bytes | None]
KEPT_ANSWERS = MOST_WAITING_COMMANDS


class Connection:
    """One connection of a session.

    Attributes:
        encoding: Encoding of the blocks that it gets.
        outbox: What waits to be sent.
        steers: Whether it is the connection of a player.
        inspects: Whether the client asks for what blocks saw.
        rtt_ms: Milliseconds of the newest round trip; 0 before the first.
        ended: Future of the last message, with which the server ends it.
    """

    def __init__(self, encoding: Encoding, seat: SeatName) -> None:
        self.encoding: Encoding = encoding
        self.outbox = Outbox()
        self.inspects = False
        self.rtt_ms = 0.0
        self.ended: asyncio.Future[Error] = asyncio.get_running_loop().create_future()
        self.set_seat(seat)

    def set_seat(self, seat: SeatName) -> None:
        """Adapt to the session's seat: no block of a player is dropped."""
        self.steers = self.outbox.keeps_all = seat == "player"

    def end(self, error: Error) -> None:
        """Send a last message and close the connection."""
        if not self.ended.done():
            self.ended.set_result(error)


class Session:
    """One client over all its connections. Its id is a secret of client and server.

    Attributes:
        id: Id by which it is resumed.
        role: Wanted role.
        seat: Seat that it has.
        rollout: Rollout that it looks at or steers.
        connection: Its connection; None while it is lost.
        has_left: Whether its client has gone on purpose, but may be loading again.
        next_seq: Least number of its next key event.
        expiry: Timer that ends it while the connection is lost.
    """

    def __init__(self, role: Role, seat: SeatName, rollout: HostedRollout) -> None:
        self.id = secrets.token_urlsafe(16)
        self.role, self.seat, self.rollout = role, seat, rollout
        self.connection: Connection | None = None
        self.has_left = False
        self.next_seq = 1
        self.expiry: asyncio.TimerHandle | None = None
        self._commands: dict[int, asyncio.Task[Answer]] = {}

    @property
    def lost_s(self) -> float:
        """Seconds of silence after which its connection is lost."""
        return LOST_S if self.seat in ("player", "agent") else VIEWER_LOST_S

    def send(self, message: Message, body: bytes | None = None) -> None:
        """Send a message if the client is connected; one that reads nothing is disconnected."""
        if self.connection is not None:
            try:
                self.connection.outbox.put(message, body)
            except LimitError as error:
                self.connection.end(Error(code="limit", text=f"The server closes the connection: {error}.", retry=True))

    def accepts(self, seq: int) -> bool:
        """Return whether a key event is new, and count it."""
        if seq < self.next_seq:
            return False
        self.next_seq = seq + 1
        return True

    def execute(self, command: Command, work: Coroutine[Any, Any, Answer]) -> None:
        """Execute a command once, however often it is sent, and send its answer.

        Args:
            command: The command.
            work: Executes it; closed if it was executed before.
        """
        known = self._commands.get(command.id)
        if known is not None:
            work.close()
            if known.done():
                self._send_answer(known)
            return
        if sum(not task.done() for task in self._commands.values()) >= MOST_WAITING_COMMANDS:
            work.close()
            refusal = f"expected at most {MOST_WAITING_COMMANDS} commands at a time: wait for their answers"
            self.send(Result(id=command.id, error=refusal, kind=LimitError.__name__))
            return
        task = asyncio.create_task(work)
        self._commands[command.id] = task
        task.add_done_callback(self._send_answer)
        done = [number for number, each in self._commands.items() if each.done()]
        for number in done[:-KEPT_ANSWERS]:
            del self._commands[number]

    def cancel(self) -> None:
        """Forget its commands; those that have begun are not waited for."""
        for task in self._commands.values():
            task.cancel()

    def _send_answer(self, task: asyncio.Task[Answer]) -> None:
        if not task.cancelled() and task.exception() is None:
            result, body = task.result()
            self.send(result, body)
